#include "node/call.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "node/protocol.h"

/* Everything but the request. */
static void call_destroy(struct call *c)
{
    struct server *s = c->server;
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        s->calls = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    node_job_destroy(s->core, c->job);
    if (c->later != NULL)
        event_free(c->later);
    if (c->session != 0)
        node_session_close(s->core, c->session);
    if (c->free_arg != NULL)
        c->free_arg(c->arg);
    free(c);
}

static void drop(struct call *c)
{
    struct httpd_request *r = c->request;
    bool streaming = c->streaming;
    call_destroy(c);
    if (streaming)
        httpd_stream_end(r);
    else
        httpd_reply_text(r, 503, "text/plain", "", 0);
}

static void on_client_gone(void *arg)
{
    drop(arg);
}

static void on_drained(void *arg)
{
    struct call *c = arg;
    if (c->paused && c->job != NULL)
        node_core_resume(c->server->core, c->job);
    c->paused = false;
}

struct call *call_create(struct server *s, struct httpd_request *r, void *arg, void (*free_arg)(void *arg))
{
    struct call *c = xcalloc(1, sizeof(*c));
    c->server = s;
    c->request = r;
    c->arg = arg;
    c->free_arg = free_arg;
    c->next = s->calls;
    if (c->next != NULL)
        c->next->prev = c;
    s->calls = c;
    httpd_on_close(r, on_client_gone, c);
    httpd_on_drain(r, on_drained, c);
    return c;
}

static void on_job_tokens(struct node_job *job)
{
    struct call *c = job->arg;
    c->on_tokens(c);
}

static void fail(struct call *c)
{
    const struct node_job *job = c->job;
    struct httpd_request *r = c->request;
    const char *message = job->message != NULL ? job->message : "the model failed";
    if (c->streaming) {
        if (c->on_error != NULL)
            c->on_error(c, message);
        call_end(c);
        return;
    }
    int32_t n_ctx = node_core_info(c->server->core)->n_ctx;
    switch (job->status) {
    case NODE_JOB_SESSION_LOST:
        protocol_error_with(r, 409, "session_lost", "have", (int64_t)job->have,
                            "the session has %zu tokens here, not the %zu to be kept", job->have, job->keep);
        break;
    case NODE_JOB_CONTEXT_FULL:
        protocol_error_with(r, 400, "context_full", "n_ctx", n_ctx, "%zu tokens do not fit the context of %d",
                            job->keep + job->n_tokens + job->n_draft, n_ctx);
        break;
    case NODE_JOB_INVALID:
        httpd_reply_error(r, 400, NULL, NULL, "%s", message);
        break;
    default:
        httpd_reply_error(r, 500, NULL, NULL, "%s", message);
    }
    call_destroy(c);
}

static void on_job_done(struct node_job *job)
{
    struct call *c = job->arg;
    if (job->status == NODE_JOB_OK)
        c->on_done(c);
    else
        fail(c);
}

void call_run(struct call *c, struct node_job *job)
{
    node_job_destroy(c->server->core, c->job);
    c->job = job;
    c->shown = c->shown_grown = 0;
    job->arg = c;
    job->on_tokens = c->on_tokens != NULL ? on_job_tokens : NULL;
    job->on_done = on_job_done;
    node_core_submit(c->server->core, job);
}

void call_send(struct call *c, const char *content_type, const char *data, size_t len)
{
    if (!c->streaming)
        httpd_stream_start(c->request, 200, content_type);
    c->streaming = true;
    httpd_stream_send(c->request, data, len);
    if (!c->paused && c->job != NULL && httpd_stream_pending(c->request) > HTTPD_HIGH_WATER) {
        c->paused = true;
        node_core_pause(c->server->core, c->job);
    }
}

static void send_now(struct call *c)
{
    c->sent_us = clock_us();
    c->send(c);
}

static void on_later(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    send_now(arg);
}

void call_pace(struct call *c, int64_t every_us, void (*send)(struct call *c))
{
    int64_t wait = c->sent_us + every_us - clock_us();
    c->send = send;
    if (c->sent_us == 0 || wait <= 0) {
        send_now(c);
        return;
    }
    if (c->later == NULL)
        c->later = evtimer_new(c->server->base, on_later, c);
    struct timeval tv = {.tv_usec = (suseconds_t)wait};
    if (c->later != NULL && !evtimer_pending(c->later, NULL))
        evtimer_add(c->later, &tv);
}

void call_end(struct call *c)
{
    struct httpd_request *r = c->request;
    call_destroy(c);
    httpd_stream_end(r);
}

void call_reply(struct call *c, const char *content_type, const char *data, size_t len)
{
    httpd_reply_text(c->request, 200, content_type, data, len);
    call_destroy(c);
}

void call_drop_all(struct server *s)
{
    while (s->calls != NULL)
        drop(s->calls);
}
