#include "node/server.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "node/call.h"
#include "node/core.h"
#include "node/oai-endpoint.h"
#include "node/protocol.h"

enum {
    MAX_BODY = 16 << 20, /* a prompt of a million tokens as ids */
    MAX_HEADERS = 32 << 10,
    IDLE_TIMEOUT_S = 120,
};

struct route {
    struct server *server;
    server_handler *fn;
    struct route *next;
};

static void on_health(struct httpd_request *r, void *arg)
{
    struct server *s = arg;
    if (s->core != NULL)
        httpd_reply_json(r, 200, json_pack("{s:s}", "status", "ok"));
    else
        httpd_reply_json(r, 503, json_pack("{s:s,s:i}", "status", "loading", "percent", (int)(s->progress * 100)));
}

static void on_route(struct httpd_request *r, void *arg)
{
    struct route *route = arg;
    struct server *s = route->server;
    if (s->core == NULL)
        httpd_reply_error(r, 503, NULL, "loading", "the model is being loaded (%d %%)", (int)(s->progress * 100));
    else
        route->fn(s, r);
}

void server_route(struct server *s, enum httpd_method method, const char *path, server_handler *fn)
{
    struct route *route = xmalloc(sizeof(*route));
    *route = (struct route){s, fn, s->routes};
    s->routes = route;
    httpd_route(s->httpd, method, path, false, on_route, route);
}

static bool is_loopback(const char *host)
{
    struct in_addr v4;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    return strcmp(host, "::1") == 0 || strcmp(host, "localhost") == 0;
}

struct server *server_create(struct event_base *base, const struct server_opts *opts, int *port, char **cause)
{
    struct server *s = xcalloc(1, sizeof(*s));
    s->base = base;
    s->alias = xstrdup(opts->alias);
    s->rpc = xstrdup(opts->rpc);
    s->started_us = clock_us();
    s->created = clock_wall_ms() / 1000;
    struct httpd_opts http = {.max_body = MAX_BODY,
                              .max_headers = MAX_HEADERS,
                              .idle_timeout_s = IDLE_TIMEOUT_S,
                              .token = opts->api_key,
                              .private_peers_only = opts->api_key == NULL && !is_loopback(opts->host)};
    s->httpd = httpd_create(base, &http);
    httpd_route(s->httpd, HTTPD_GET, "/health", true, on_health, s);
    protocol_register(s);
    oai_endpoint_register(s);
    *port = httpd_listen(s->httpd, opts->host, opts->port, cause);
    if (*port < 0) {
        server_destroy(s);
        return NULL;
    }
    if (http.private_peers_only)
        log_warn("no --api-key: only loopback and private networks are served");
    return s;
}

void server_destroy(struct server *s)
{
    if (s == NULL)
        return;
    httpd_destroy(s->httpd);
    call_drop_all(s);
    for (struct route *route = s->routes, *next; route != NULL; route = next) {
        next = route->next;
        free(route);
    }
    free(s->alias);
    free(s->rpc);
    free(s->model);
    free(s);
}

void server_set_progress(struct server *s, double fraction)
{
    s->progress = fraction;
}

void server_set_core(struct server *s, struct node_core *core)
{
    s->core = core;
    s->model = xstrdup(s->alias != NULL ? s->alias : node_core_model(core)->name);
}
