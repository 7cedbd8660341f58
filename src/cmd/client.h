/* The client side of chat, bench and demo: asks a running endpoint over HTTP and waits, on a loop of its own. */
#ifndef TIGHTWAD_CMD_CLIENT_H
#define TIGHTWAD_CMD_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <event2/event.h>
#include <jansson.h>

#include "base/buf.h"
#include "cmd/term.h"
#include "config/config.h"
#include "http/httpc.h"

struct client {
    struct event_base *base;
    struct httpc *http;
    char *url;         /* http://127.0.0.1:8088, no trailing slash */
    char *token;       /* NULL: none */
    char *unix_socket; /* path; NULL: TCP */
    bool interrupted;  /* by SIGINT (client_interrupt_event): the call ended with the cause "interrupted" */
};

/* url NULL: made from the proxy's host and port.  token NULL: the configuration's auth_token.  cfg may be NULL when url
 * is given. */
void client_init(struct client *c, const struct config *cfg, const char *url);
void client_init_unix(struct client *c, const char *path);
void client_finish(struct client *c);

/* Any reply that is HTTP: its body as JSON (new reference; NULL where it is none) and its status.  -1 and a cause when
 * there was no reply, with what to do about it. */
int client_ask(struct client *c, const char *path, const json_t *body, int timeout_ms, int *status, json_t **reply,
               char **cause);
/* The same for replies that must be 200 and JSON; anything else is a cause (an OpenAI error's message).  New reference.
 */
json_t *client_get(struct client *c, const char *path, const json_t *body, int timeout_ms, char **cause);

/* GET /v1/tightwad/status once nothing runs or waits, and all that was done until this call stands in it: it is made
 * anew several times a second.  A status that does not settle within some 10 s is given as it is.  New reference; NULL
 * and a cause. */
json_t *client_settled(struct client *c, char **cause);

/* The name of the model served, without @…: the first of GET /v1/models.  Owned by the caller; NULL and a cause. */
char *client_model(struct client *c, char **cause);

struct client_chat {
    const char *model;      /* NULL: none named */
    const json_t *messages; /* borrowed */
    int64_t max_tokens;     /* -1: not sent */
    double temperature;     /* NAN: not sent */
    int64_t seed;           /* -1: not sent */
    bool stream;
    /* Text as it arrives, by who wrote it; only while streaming.  May be NULL. */
    void (*on_text)(void *arg, const char *text, size_t len, enum paint_who who);
    void *arg;
};

struct client_answer {
    struct buf text;
    char *finish;                                                /* "stop", "length", NULL unknown */
    int64_t prompt_tokens, completion_tokens, drafted, accepted; /* -1: not told */
    int64_t by_drafter, by_target; /* tokens of the answer by who wrote them; -1: not told */
    char mode[16], outcome[16];    /* as it was really served: "exact", …; of a gate: "approved", …; "" not told */
    char agent[64];                /* who wrote it for a gate; "" not told */
    double seconds, first_seconds; /* from the request to the end, and to the first text (NAN: none, not streamed) */
    /* Generation alone: the time from the first text's arrival to the end of the answer, and the tokens that came in
     * it. What came together with the first text is in neither, so a round's worth of it does not count as time saved.
     */
    double generation_seconds; /* NAN: not streamed, or all came at once */
    int64_t generation_tokens; /* -1: not told */
};

/* 0 and the answer, or -1 and a cause; *out holds what had arrived in both cases: finish it. */
int client_chat(struct client *c, const struct client_chat *q, struct client_answer *out, char **cause);
/* Whether both are whole, say the same and ended alike. */
bool client_answer_same(const struct client_answer *a, const struct client_answer *b);
void client_answer_finish(struct client_answer *a);

/* While this event is added, SIGINT ends the running call instead of the program.  Freed by the caller before
 * client_finish. */
struct event *client_interrupt_event(struct client *c);

#endif
