/* What the tests of this layer share: a loop with a server and a client on it, raw connections to a server, and a raw
 * server that says what a test tells it to. */
#ifndef TIGHTWAD_TEST_HTTP_RIG_H
#define TIGHTWAD_TEST_HTTP_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <event2/bufferevent.h>
#include <event2/event.h>

#include "base/buf.h"
#include "http/httpc.h"
#include "http/httpd.h"

enum { RIG_MAX_BODY = 1 << 20, RIG_MAX_HEADERS = 8192, RIG_WAIT_MS = 10000 };

struct rig {
    struct event_base *base;
    struct httpd *server;
    struct httpc *client;
    int port;
    struct httpd_request *held; /* by the route /hold, not replied to yet */
    int closes, drains, calls;  /* of on_close, on_drain, handlers */
};

/* Routes: GET,POST /echo (the body, or "empty"), POST /hold (kept in held), GET /stream?n=N (N chunks of 1000 bytes,
 * with back-pressure), GET /secret (wants the token if one is set), GET /prefix/ */
struct rig *rig_create(void);
void rig_destroy(struct rig *r);

/* Runs the loop until the condition holds; false after RIG_WAIT_MS. */
bool rig_until(struct rig *r, bool (*condition)(void *arg), void *arg);
/* Runs the loop for a while. */
void rig_run_ms(struct rig *r, int ms);

/* A raw connection to the server, or one that the raw server accepted. */
struct raw {
    struct rig *rig;
    struct bufferevent *bev;
    struct buf in;
    bool eof, reset;
    bool replied; /* by a fake */
};

struct raw *raw_open(struct rig *r);
struct raw *raw_take(struct rig *r, evutil_socket_t fd);
void raw_close(struct raw *c);
void raw_send(struct raw *c, const char *data, size_t len);
void raw_sends(struct raw *c, const char *s);
bool raw_until(struct raw *c, const char *text); /* this has come */
bool raw_until_eof(struct raw *c);

/* A raw server: every connection is taken; when a blank line has come, the reply is sent, and the connection closed if
 * told so. */
struct fake {
    struct rig *rig;
    struct evconnlistener *listener;
    int port, accepted, closed;
    const char *reply;
    size_t reply_len; /* 0: strlen(reply) */
    bool close;
    struct buf seen; /* all that clients sent */
    struct raw *conns[64];
};

struct fake *fake_create(struct rig *r, const char *reply, bool close);
void fake_destroy(struct fake *f);

/* One call of the client and what became of it. */
struct result {
    struct rig *rig;
    bool done;
    enum httpc_error error;
    int status;
    char *body; /* owned */
    char message[256], type[64];
    size_t len;
    uint64_t bytes_out, bytes_in;
    int64_t elapsed_us;
};

void result_done(void *arg, const struct httpc_result *r); /* on_done */
bool result_wait(struct result *x);
void result_clear(struct result *x);
/* Makes the call to PATH on port and waits for the result. */
void rig_call(struct rig *r, int port, const char *path, const char *body, struct result *x);

#endif
