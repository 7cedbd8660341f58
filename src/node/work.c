#include "node/work.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/mem.h"

void outbox_init(struct outbox *o)
{
    *o = (struct outbox){.wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
    o->last = &o->first;
    pthread_mutex_init(&o->lock, NULL);
    if (o->wake < 0) {
        perror("eventfd");
        abort();
    }
}

void outbox_finish(struct outbox *o)
{
    close(o->wake);
    pthread_mutex_destroy(&o->lock);
}

struct node_work *work_create(struct node_job *job, size_t n_vocab)
{
    struct node_work *w = xcalloc(1, sizeof(*w));
    w->job = job;
    w->kind = job->kind;
    w->stream = job->stream || job->kind == NODE_JOB_GENERATE;
    w->session_id = job->session;
    w->epoch = job->epoch;
    w->keep = job->keep;
    w->tokens = job->tokens;
    w->n_tokens = job->n_tokens;
    w->draft = job->draft;
    w->n_draft = job->kind == NODE_JOB_VERIFY ? job->n_draft : 0;
    w->n = job->n;
    w->p_min = job->p_min;
    w->from = job->from;
    w->branch_first = job->first;
    w->branches = job->branches;
    w->depth = job->depth;
    w->n_logprobs = job->kind == NODE_JOB_DRAFT ? -1 : job->n_logprobs;
    w->n_top = w->n_logprobs > 0 ? (size_t)w->n_logprobs : 0;
    if (w->n_top > NODE_TOP_MAX)
        w->n_top = NODE_TOP_MAX;
    if (w->n_top > n_vocab)
        w->n_top = n_vocab;
    w->margin = INFINITY;
    w->n_branches = job->n_branches;
    for (size_t i = 0; i < job->n_branches; i++)
        w->branch[i] = (struct branch){.at = job->branch[i].at, .tokens = job->branch[i].tokens, .n = job->branch[i].n};
    job->n_branches = 0;
    job->tokens = job->draft = NULL;
    job->n_top = w->n_top;
    job->work = w;
    return w;
}

void work_free(struct node_work *w)
{
    free(w->tokens);
    free(w->draft);
    free(w->out);
    free(w->grown);
    for (size_t i = 0; i < w->n_branches; i++)
        free(w->branch[i].tokens);
    free(w->top);
    free(w->message);
    free(w);
}

/* With the lock held. */
static void enqueue(struct outbox *o, struct node_work *w)
{
    if (w->queued)
        return;
    w->queued = true;
    w->next_ready = NULL;
    bool first = o->first == NULL;
    *o->last = w;
    o->last = &w->next_ready;
    uint64_t one = 1;
    if (first && write(o->wake, &one, sizeof(one)) < 0)
        perror("eventfd"); /* cannot be: the counter would have to be full */
}

void work_emit(struct outbox *o, struct node_work *w, struct node_token token, const struct sampler_logprob *top)
{
    pthread_mutex_lock(&o->lock);
    if (w->n_out == w->cap_out) {
        w->cap_out = w->cap_out * 2 + 32;
        w->out = xreallocarray(w->out, w->cap_out, sizeof(*w->out));
        if (w->n_top > 0)
            w->top = xreallocarray(w->top, w->cap_out * w->n_top, sizeof(*w->top));
    }
    if (w->n_top > 0)
        memcpy(w->top + w->n_out * w->n_top, top, w->n_top * sizeof(*top));
    w->out[w->n_out++] = token;
    w->made++;
    if (w->stream)
        enqueue(o, w);
    pthread_mutex_unlock(&o->lock);
}

void work_grow(struct outbox *o, struct node_work *w, struct node_branch_token token)
{
    pthread_mutex_lock(&o->lock);
    if (w->n_grown == w->cap_grown) {
        w->cap_grown = w->cap_grown * 2 + 32;
        w->grown = xreallocarray(w->grown, w->cap_grown, sizeof(*w->grown));
    }
    w->grown[w->n_grown++] = token;
    enqueue(o, w);
    pthread_mutex_unlock(&o->lock);
}

void work_done(struct outbox *o, struct node_work *w, enum node_job_status status, char *message)
{
    pthread_mutex_lock(&o->lock);
    w->status = status;
    w->message = message;
    w->done = true;
    o->counters = *o->live;
    enqueue(o, w);
    pthread_mutex_unlock(&o->lock);
}

void outbox_publish(struct outbox *o)
{
    pthread_mutex_lock(&o->lock);
    o->counters = *o->live;
    pthread_mutex_unlock(&o->lock);
}

/* With the lock held: the news of w become results of its job. */
static void move_results(struct node_work *w, struct node_job *job)
{
    if (w->n_out > 0) {
        job->out = xreallocarray(job->out, job->n_out + w->n_out, sizeof(*job->out));
        memcpy(job->out + job->n_out, w->out, w->n_out * sizeof(*w->out));
        if (w->n_top > 0) {
            job->top = xreallocarray(job->top, (job->n_out + w->n_out) * w->n_top, sizeof(*job->top));
            memcpy(job->top + job->n_out * w->n_top, w->top, w->n_out * w->n_top * sizeof(*w->top));
        }
        job->n_out += w->n_out;
        w->n_out = 0;
    }
    if (w->n_grown > 0) {
        job->grown = xreallocarray(job->grown, job->n_grown + w->n_grown, sizeof(*job->grown));
        memcpy(job->grown + job->n_grown, w->grown, w->n_grown * sizeof(*w->grown));
        job->n_grown += w->n_grown;
        w->n_grown = 0;
    }
    if (!w->done)
        return;
    job->status = w->status;
    job->reason = w->reason;
    job->eog = w->eog;
    job->accepted = w->accepted;
    job->taken = w->taken != NULL ? (int)(w->taken - w->branch) : -1;
    job->branches_used = w->branches_used;
    job->margin = w->margin;
    job->have = w->have;
    free(job->message);
    job->message = w->message;
    w->message = NULL;
}

static struct node_work *take_one(struct outbox *o, bool *more_out, bool *done)
{
    pthread_mutex_lock(&o->lock);
    struct node_work *w = o->first;
    if (w != NULL) {
        o->first = w->next_ready;
        if (o->first == NULL)
            o->last = &o->first;
        w->queued = false;
        *more_out = w->n_out + w->n_grown > 0;
        *done = w->done;
        if (w->job != NULL)
            move_results(w, w->job);
    }
    pthread_mutex_unlock(&o->lock);
    return w;
}

/* A work that is not done stays the inference thread's, but only the loop sets w->job, so it may be looked at here. */
void outbox_deliver(struct outbox *o)
{
    uint64_t count;
    if (read(o->wake, &count, sizeof(count)) < 0)
        return;
    struct node_work *w;
    bool more, done;
    while ((w = take_one(o, &more, &done)) != NULL) {
        struct node_job *job = w->job;
        if (job != NULL && more && job->on_tokens != NULL)
            job->on_tokens(job);
        /* A callback may have cancelled the job. A work that is not done may be freed by nobody but this function. */
        job = w->job;
        if (!done)
            continue;
        if (job != NULL) {
            w->job = NULL;
            job->work = NULL;
        }
        work_free(w);
        if (job != NULL && job->on_done != NULL)
            job->on_done(job);
    }
}
