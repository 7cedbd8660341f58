/* The api on a free port over a fake proxy, and a client on the same loop. */
#ifndef TIGHTWAD_TEST_FIXTURE_H
#define TIGHTWAD_TEST_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/api.h"
#include "base/buf.h"
#include "fake-proxy.h"
#include "http/httpc.h"

struct fixture {
    struct event_base *base;
    struct httpc *client;
    struct config cfg;
    struct proxy *proxy;
    struct api *api;
    char dir[64]; /* XDG_RUNTIME_DIR */
};

/* A raw connection: what was received so far stands in got; reading can be held back. */
struct raw {
    struct fixture *fx;
    struct bufferevent *bev;
    struct buf got;
    bool closed;
};

struct reply {
    enum httpc_error error;
    int status;
    char *body;   /* owned; "" if none */
    json_t *json; /* owned; NULL when the body is not JSON */
};

int fixture_setup(void **state); /* no token, 127.0.0.1 */
int fixture_teardown(void **state);
void fixture_open(struct fixture *fx);  /* api_create from fx->cfg */
void fixture_close(struct fixture *fx); /* api_destroy */

/* Sends a request and runs the loop until the reply is there.  headers: "Name: value" lists, NULL-terminated, or NULL;
 * body NULL: GET. */
struct reply call(struct fixture *fx, const char *path, const char *body, const char *const *headers);
struct reply call_unix(struct fixture *fx, const char *path, const char *body);
void reply_finish(struct reply *r);

struct raw *raw_open(struct fixture *fx, const char *text); /* connects and sends text */
void raw_close(struct raw *r);
/* Runs the loop until the text was received. */
void raw_expect(struct raw *r, const char *text);
void raw_expect_close(struct raw *r);
char *raw_post(const char *path, const char *body); /* the text of a request; owned */

/* Runs the loop until done(arg) or fails after 10 s. */
void run_until(struct fixture *fx, bool (*done)(void *arg), void *arg);
void run_for(struct fixture *fx, int ms);

/* Fails unless it is one of the lines of text. */
void has_line(const char *text, const char *line);

#endif
