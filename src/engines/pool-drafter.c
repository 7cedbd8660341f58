/* The pool's own drafter: a second node on this machine, which the loaded model names.  It comes and goes with the
 * model; when it fails the target writes alone meanwhile. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "engines/pool-internal.h"

enum {
    GRACE_MS = 1000,
    STALL_US = 60 * 1000 * 1000,
    MISSED_MOST = 2, /* health checks: it is quickly there again, and nobody waits for it */
    BACKOFF_FIRST_MS = 250,
    BACKOFF_MOST_MS = 60 * 1000,
    GOOD_US = 60 * 1000 * 1000,
};

static void forget(struct pool *p)
{
    struct pool_drafter *d = &p->drafter;
    char *cause = NULL;
    if (d->url != NULL && proxy_remove_drafter(p->proxy, d->url, &cause) != 0)
        log_debug("the pool's drafter: %s", cause);
    free(cause);
    free(d->url);
    d->url = NULL;
}

static void try_later(struct pool *p, const char *why)
{
    struct pool_drafter *d = &p->drafter;
    bool good = d->server.up_us != 0 && d->server.ended_us - d->server.up_us >= GOOD_US;
    if (good || proxy_snapshot(p->proxy)->accepted > d->accepted)
        d->backoff_ms = 0;
    d->accepted = UINT64_MAX;
    d->backoff_ms = d->backoff_ms == 0                    ? BACKOFF_FIRST_MS
                    : d->backoff_ms * 2 < BACKOFF_MOST_MS ? d->backoff_ms * 2
                                                          : BACKOFF_MOST_MS;
    log_warn("the pool's drafter went away and is started again: %s", why);
    event_add(d->retry, &(struct timeval){d->backoff_ms / 1000, d->backoff_ms % 1000 * 1000});
}

static void on_up(void *arg)
{
    struct pool *p = arg;
    struct pool_drafter *d = &p->drafter;
    char *cause = NULL;
    d->accepted = proxy_snapshot(p->proxy)->accepted;
    if (d->url != NULL && strcmp(d->url, d->server.url) != 0)
        forget(p); /* it listens elsewhere now */
    if (d->url != NULL) {
        proxy_pool_probe_drafter(p->proxy, d->url);
        return;
    }
    struct config_server given = {.url = d->server.url, .name = d->name, .backend = (char *)"node"}, s;
    if (config_server_init(&s, &given, &cause) == 0) {
        if (proxy_pool_add_drafter(p->proxy, &s, &cause) == 0)
            d->url = xstrdup(d->server.url);
        config_server_finish(&s);
    }
    if (cause != NULL)
        log_error("the pool's drafter: %s", cause);
    free(cause);
}

static void on_ended(void *arg, const char *why)
{
    struct pool *p = arg;
    if (p->drafter.url != NULL) /* an idle proxy would go on showing it as one that drafts */
        proxy_pool_probe_drafter(p->proxy, p->drafter.url);
    if (p->drafter.wanted)
        try_later(p, why);
    else if (p->drafter.again)
        pool_drafter_start(p);
}

static void on_silent(void *arg)
{
    struct pool *p = arg;
    log_warn("the pool's drafter does not answer any more and is ended");
    pool_server_stop(&p->drafter.server, 0);
}

static const struct pool_server_events events = {.up = on_up, .ended = on_ended, .silent = on_silent};

static void run(struct pool *p)
{
    const struct pool_launch *l = p->launch;
    char *cause = NULL;
    if (pool_server_start(&p->drafter.server, (const char *const *)l->draft.argv, (const char *const *)l->draft.env,
                          l->draft_url, p->draft_log, STALL_US, &cause) != 0)
        try_later(p, cause);
    free(cause);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
    struct pool *p = arg;
    (void)fd;
    (void)what;
    if (p->drafter.wanted && !pool_server_runs(&p->drafter.server))
        run(p);
}

void pool_drafter_init(struct pool *p)
{
    pool_server_init(&p->drafter.server, p->base, p->http, "the pool's drafter", MISSED_MOST, &events, p);
    p->drafter.retry = evtimer_new(p->base, on_retry, p);
}

void pool_drafter_finish(struct pool *p)
{
    pool_server_finish(&p->drafter.server, GRACE_MS);
    event_free(p->drafter.retry);
    free(p->drafter.name);
    free(p->drafter.url);
}

void pool_drafter_start(struct pool *p)
{
    struct pool_drafter *d = &p->drafter;
    if (p->launch == NULL || !p->launch->drafts || d->wanted)
        return;
    if (pool_server_runs(&d->server)) { /* the one before has not ended yet */
        d->again = true;
        return;
    }
    const struct config_model *m = config_model_find(p->cfg, p->model);
    free(d->name);
    d->name = xstrdup(m != NULL && m->draft != NULL ? m->draft : "drafter");
    d->again = false;
    d->wanted = true;
    d->backoff_ms = 0;
    run(p);
}

void pool_drafter_stop(struct pool *p)
{
    struct pool_drafter *d = &p->drafter;
    d->wanted = d->again = false;
    event_del(d->retry);
    forget(p);
    pool_server_stop(&d->server, GRACE_MS);
}
