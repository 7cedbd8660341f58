/* A job of the core that answers an HTTP request: it ends at once when the client goes away, and is held while the
 * client does not read. */
#ifndef TIGHTWAD_NODE_CALL_H
#define TIGHTWAD_NODE_CALL_H

#include <stdbool.h>
#include <stddef.h>

#include "http/httpd.h"
#include "node/core.h"
#include "node/server.h"

struct call {
    struct server *server;
    struct httpd_request *request;
    struct node_job *job; /* owned; its arg is the call; NULL between two jobs */
    bool gone;            /* the client is away: nothing is written any more */
    bool streaming;       /* the reply has started */
    bool paused;          /* held for a slow reader */
    size_t shown;         /* tokens of the job that were looked at */
    void *arg;            /* of whoever started it */
    /* New tokens are there; NULL: nobody wants to know before the end. */
    void (*on_tokens)(struct call *c);
    /* The job is done: ends the request, or starts another job.  Also called when the client is gone (then the request
     * ends with any reply, which goes nowhere).  Frees the call with call_destroy unless it starts another job. */
    void (*on_done)(struct call *c);
    struct call *prev, *next; /* in the server's list */
};

/* Owned by itself until call_destroy, or by the server when that goes. */
struct call *call_create(struct server *s, struct httpd_request *r, void (*on_done)(struct call *c));
void call_destroy(struct call *c);
void call_abandon_all(struct server *s); /* the core is gone: no job will call back */

/* job: filled but for its callbacks; the call takes it. */
void call_run(struct call *c, struct node_job *job);
/* Ends the job before its time; on_done follows. */
void call_cancel(struct call *c);

/* Starts the streamed reply if it has not, writes, and holds the job above the high-water mark. */
void call_send(struct call *c, const char *content_type, const char *data, size_t len);

/* Whether the job went well.  If not, the request was ended with its error (before the reply started) or is left to the
 * caller (after: returns false with streaming set, the words in job->cause). */
bool call_check(struct call *c);

#endif
