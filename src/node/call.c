#include "node/call.h"

#include <stdlib.h>

#include "base/mem.h"
#include "node/protocol.h"

static void on_job_tokens(struct node_job *job)
{
    struct call *c = job->arg;
    if (!c->gone && c->on_tokens != NULL)
        c->on_tokens(c);
}

static void on_job_done(struct node_job *job)
{
    struct call *c = job->arg;
    c->on_done(c);
}

static void on_client_gone(void *arg)
{
    struct call *c = arg;
    c->gone = true;
    call_cancel(c);
}

static void on_drained(void *arg)
{
    struct call *c = arg;
    if (c->paused && c->job != NULL)
        node_core_pause(c->server->core, c->job, false);
    c->paused = false;
}

struct call *call_create(struct server *s, struct httpd_request *r, void (*on_done)(struct call *c))
{
    struct call *c = xcalloc(1, sizeof(*c));
    *c = (struct call){.server = s, .request = r, .on_done = on_done, .next = s->calls};
    if (c->next != NULL)
        c->next->prev = c;
    s->calls = c;
    httpd_on_close(r, on_client_gone, c);
    httpd_on_drain(r, on_drained, c);
    return c;
}

void call_destroy(struct call *c)
{
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        c->server->calls = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    node_job_destroy(c->job);
    free(c);
}

void call_run(struct call *c, struct node_job *job)
{
    node_job_destroy(c->job);
    c->job = job;
    c->shown = 0;
    job->arg = c;
    job->on_tokens = c->on_tokens != NULL ? on_job_tokens : NULL;
    job->on_done = on_job_done;
    node_core_submit(c->server->core, job);
    if (c->gone)
        call_cancel(c);
}

void call_cancel(struct call *c)
{
    if (c->job != NULL)
        node_core_cancel(c->server->core, c->job);
}

void call_send(struct call *c, const char *content_type, const char *data, size_t len)
{
    if (c->gone)
        return;
    if (!c->streaming)
        httpd_stream_start(c->request, 200, content_type);
    c->streaming = true;
    httpd_stream_send(c->request, data, len);
    if (!c->paused && c->job != NULL && httpd_stream_pending(c->request) > HTTPD_HIGH_WATER) {
        c->paused = true;
        node_core_pause(c->server->core, c->job, true);
    }
}

void call_end(struct call *c)
{
    if (c->streaming)
        httpd_stream_end(c->request);
    else
        httpd_reply_error(c->request, 500, NULL, NULL, "the request was dropped");
    call_destroy(c);
}
