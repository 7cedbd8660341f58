/* The HTTP side of the node: it listens before the model is loaded, and serves it afterwards. */
#ifndef TIGHTWAD_NODE_SERVER_H
#define TIGHTWAD_NODE_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <event2/event.h>

#include "http/httpd.h"

struct node_core;

struct server_opts {
    const char *host;
    int port;            /* 0: any free one */
    const char *api_key; /* NULL: none wanted */
    const char *alias;   /* name of the model for clients; NULL: the model's own */
    const char *rpc;     /* HOST:PORT,… of the workers, for GET /v1/node; NULL: none */
};

struct server {
    struct event_base *base;
    struct httpd *httpd;
    struct node_core *core; /* NULL while the model is loading; not owned */
    struct route *routes;   /* list of what server_route made */
    struct call *calls;     /* requests that jobs answer (call.h) */
    char *alias;            /* NULL: none given */
    char *rpc;              /* NULL: none */
    char *model;            /* the model's name for clients, NULL while loading */
    double progress;        /* of the load, 0..1 */
    int64_t started_us;     /* monotonic */
    int64_t created;        /* seconds since 1970 */
};

/* Listens at once.  NULL and a cause when it can't. */
struct server *server_create(struct event_base *base, const struct server_opts *opts, int *port, char **cause);
void server_destroy(struct server *s); /* before the core is destroyed; NULL is fine */

void server_set_progress(struct server *s, double fraction);
void server_set_core(struct server *s, struct node_core *core); /* the load is done */

/* A handler that is called only once the model is loaded; before, the server answers 503 itself.  It replies exactly
 * once, now or later, as httpd_handler does. */
typedef void server_handler(struct server *s, struct httpd_request *r);
void server_route(struct server *s, enum httpd_method method, const char *path, server_handler *fn);

#endif
