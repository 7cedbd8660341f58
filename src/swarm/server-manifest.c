/* Manifests on their way out.  A large one takes long to write down, so the crew does, and it is kept for those who ask
 * next. */
#include "swarm/server-parts.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

enum {
    ASKS_MAX = 128,         /* requests that wait for one */
    KEEP_US = 10 * 1000000, /* how long the text is kept after it was last asked for */
};

struct manifest_text {
    char *text; /* owned */
    size_t len;
    int users;
};

struct manifest_job {
    struct served *served; /* NULL: it has gone meanwhile */
    struct swarm_server *server;
    struct manifest *manifest; /* kept */
    char *text;
};

struct waiter {
    TAILQ_ENTRY(waiter) entry;
    struct served *served;
    struct httpd_request *request;
};

static void text_put(void *arg)
{
    struct manifest_text *t = arg;
    if (--t->users > 0)
        return;
    free(t->text);
    free(t);
}

static void remove_waiter(struct waiter *w)
{
    struct swarm_server *s = w->served->server;
    TAILQ_REMOVE(&s->asks, w, entry);
    s->n_asks--;
    free(w);
}

static void on_close(void *arg)
{
    struct waiter *w = arg;
    httpd_cut(w->request);
    remove_waiter(w);
}

static void reply(struct served *v, struct httpd_request *r)
{
    v->text_used_us = clock_us();
    v->text->users++;
    httpd_reply_shared(r, 200, "application/json", v->text->text, v->text->len, text_put, v->text);
}

static void job_work(void *data)
{
    struct manifest_job *j = data;
    j->text = manifest_text(j->manifest);
}

static void job_drop(void *data)
{
    struct manifest_job *j = data;
    if (j->served != NULL)
        j->served->making = NULL;
    manifest_destroy(j->manifest);
    free(j->text);
    free(j);
}

static void job_done(void *data)
{
    struct manifest_job *j = data;
    struct served *v = j->served;
    if (v == NULL) {
        job_drop(j);
        return;
    }
    struct swarm_server *s = j->server;
    struct held held = held_begin();
    v->text = xcalloc(1, sizeof(*v->text));
    *v->text = (struct manifest_text){.text = j->text, .len = strlen(j->text), .users = 1};
    j->text = NULL;
    job_drop(j);
    struct waiter *w, *next;
    for (w = TAILQ_FIRST(&s->asks); w != NULL; w = next) {
        next = TAILQ_NEXT(w, entry);
        if (w->served != v)
            continue;
        reply(v, w->request);
        remove_waiter(w);
    }
    streams_need_tick(s);
    server_took(s, &held);
}

void manifest_reply(struct served *v, struct httpd_request *r)
{
    struct swarm_server *s = v->server;
    if (v->text != NULL) {
        reply(v, r);
        return;
    }
    if (s->n_asks >= ASKS_MAX) {
        server_refuse(s, r, "too many requests wait here already");
        return;
    }
    struct waiter *w = xcalloc(1, sizeof(*w));
    *w = (struct waiter){.served = v, .request = r};
    TAILQ_INSERT_TAIL(&s->asks, w, entry);
    s->n_asks++;
    httpd_on_close(r, on_close, w);
    if (v->making != NULL)
        return;
    v->making = xcalloc(1, sizeof(*v->making));
    *v->making = (struct manifest_job){.served = v, .server = s, .manifest = manifest_keep(v->share->manifest)};
    crew_add(s->crew, &(struct crew_job){.work = job_work, .done = job_done, .drop = job_drop, .data = v->making});
}

void manifests_forget(struct swarm_server *s, struct served *v)
{
    struct waiter *w, *next;
    for (w = TAILQ_FIRST(&s->asks); w != NULL; w = next) {
        next = TAILQ_NEXT(w, entry);
        if (w->served != v)
            continue;
        httpd_reply_error(w->request, 404, NULL, "unknown_model", "the model is given out no more");
        remove_waiter(w);
    }
    if (v->making != NULL)
        v->making->served = NULL;
    if (v->text != NULL)
        text_put(v->text);
    v->making = NULL;
    v->text = NULL;
}

bool manifests_tick(struct swarm_server *s)
{
    struct served *v;
    int64_t now = clock_us();
    bool kept = false;
    TAILQ_FOREACH(v, &s->shares, entry)
    {
        if (v->text != NULL && now - v->text_used_us > KEEP_US) {
            text_put(v->text);
            v->text = NULL;
        }
        kept = kept || v->text != NULL;
    }
    return kept;
}
