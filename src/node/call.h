/* An HTTP request that jobs of the core answer: they end at once when the client goes away, and are held while it does
 * not read. */
#ifndef TIGHTWAD_NODE_CALL_H
#define TIGHTWAD_NODE_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/httpd.h"
#include "node/core.h"
#include "node/server.h"

struct call {
    struct server *server;
    struct httpd_request *request;
    struct node_job *job;         /* owned; NULL before the first */
    int64_t session;              /* owned: closed with the call; 0: none */
    bool streaming;               /* the reply has started */
    bool paused;                  /* held for a slow reader */
    size_t shown;                 /* tokens of the job that were looked at, */
    size_t shown_grown;           /* and of its branches */
    int64_t sent_us;              /* when the newest line of a stream of tokens was sent */
    struct event *later;          /* sends what was held back for a moment; NULL: none yet */
    void (*send)(struct call *c); /* how */
    void *arg;                    /* of whoever started it, freed by free_arg */
    void (*free_arg)(void *arg);
    /* New tokens are in job->out; NULL: nobody wants to know before the end. */
    void (*on_tokens)(struct call *c);
    /* The job is done and went well: runs another one, or ends with call_reply or call_end. */
    void (*on_done)(struct call *c);
    /* The job went wrong after the reply has started: writes what the client is to see. NULL: nothing. */
    void (*on_error)(struct call *c, const char *message);
    struct call *prev, *next; /* in the server's list */
};

/* Lives until call_reply, call_end, or the client goes away.  arg is freed with it. */
struct call *call_create(struct server *s, struct httpd_request *r, void *arg, void (*free_arg)(void *arg));

/* Runs a job, filled but for its callbacks; the call takes it (and drops the one before). */
void call_run(struct call *c, struct node_job *job);

/* Starts the streamed reply if it has not started, writes, and holds the job above the high-water mark. */
void call_send(struct call *c, const char *content_type, const char *data, size_t len);

/* New tokens are there to be sent by send(c), which sets nothing itself: at once when the newest line went out every_us
 * ago or longer, else then.  Tokens that come fast share a line: each line costs both sides more than a token does. */
void call_pace(struct call *c, int64_t every_us, void (*send)(struct call *c));

/* Ends a streamed reply. */
void call_end(struct call *c);
/* Ends with a reply in one piece. */
void call_reply(struct call *c, const char *content_type, const char *data, size_t len);

/* Drops all of the server's calls once its connections are closed. */
void call_drop_all(struct server *s);

#endif
