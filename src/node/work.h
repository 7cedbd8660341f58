/* A job on its way: what the loop gave in, where the inference thread stands with it, and the results that cross back.
 * The job itself is the loop's; the inference thread only knows the work. */
#ifndef TIGHTWAD_NODE_WORK_H
#define TIGHTWAD_NODE_WORK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node/core.h"
#include "node/grove.h"
#include "node/session.h"
#include "node/slots.h"

struct node_work {
    /* the loop's */
    struct node_job *job; /* NULL once it was cancelled or is done */

    /* set when it is made */
    enum node_job_kind kind;
    int64_t session_id, epoch;
    size_t keep, n_tokens, n_draft, n;
    int32_t *tokens, *draft; /* owned */
    float p_min;
    size_t from, branch_first, branches, depth; /* DRAFT, as in the job */
    bool stream;                                /* its tokens are told as they come */
    int n_logprobs;
    size_t n_top; /* alternatives per token */
    atomic_bool cancelled, paused;

    /* the inference thread's */
    struct session *session;
    struct slot *slot;
    struct node_work *next_of_session;
    bool begun, superseded, shared, retried, over;
    size_t base;                             /* length of the settled path when it began */
    size_t feed;                             /* so many tokens of path and draft are to be in the cache */
    size_t first_out;                        /* logits are needed from this position on */
    size_t made;                             /* tokens given out so far */
    struct branch branch[NODE_BRANCHES_MAX]; /* VERIFY; before it has begun `at` counts from the draft */
    size_t n_branches, branches_used;
    struct branch *taken; /* the one that the accepted tokens go into, NULL: none */
    size_t left;          /* then, the position where they leave the draft */
    bool branching;       /* DRAFT: with branches */
    bool line_over;       /* the line has ended, branches may still grow */
    bool hold;            /* the line is not in this pass, */
    bool early;           /* or without its last token */
    int64_t ready_us;     /* when it began */

    /* results on their way, under the outbox's lock */
    struct node_token *out;
    struct sampler_logprob *top;
    size_t n_out, cap_out;
    struct node_branch_token *grown;
    size_t n_grown, cap_grown;
    bool done, queued;
    enum node_job_status status;
    enum node_job_reason reason;
    bool eog;
    size_t accepted, have;
    float margin;
    char *message; /* owned */
    struct node_work *next_ready;
};

/* From the inference thread to the loop: works with news, and the counters as they were before the news. */
struct outbox {
    pthread_mutex_t lock;
    struct node_work *first, **last;
    struct node_core_counters counters;
    const struct node_core_counters *live; /* the inference thread's own, which are copied */
    int wake;                              /* eventfd */
};

void outbox_init(struct outbox *o); /* aborts when the system has no eventfd left */
void outbox_finish(struct outbox *o);

/* Takes over the arrays of the job. */
struct node_work *work_create(struct node_job *job, size_t n_vocab);
void work_free(struct node_work *w);

/* Inference thread: one more token; top has w->n_top entries. */
void work_emit(struct outbox *o, struct node_work *w, struct node_token token, const struct sampler_logprob *top);
/* Inference thread: one more token of a branch. */
void work_grow(struct outbox *o, struct node_work *w, struct node_branch_token token);
/* Inference thread: the end.  Afterwards the work is the loop's. message may be NULL, else it is taken over. */
void work_done(struct outbox *o, struct node_work *w, enum node_job_status status, char *message);

/* Inference thread: lets others see its counters (work_done does it as well). */
void outbox_publish(struct outbox *o);

/* Loop: gives out what has come: callbacks, and frees what is done. */
void outbox_deliver(struct outbox *o);

#endif
