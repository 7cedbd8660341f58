/* The life of the pool's programs: one state machine; what ends, fails or is ordered is an event to it. */
#include "engines/pool.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cause.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "engines/pool-internal.h"

enum {
    GRACE_MS = 10000, /* between SIGTERM and SIGKILL, which stock workers in the middle of a reply do not survive */
    BACKOFF_FIRST_MS = 1000, /* before the second start in a row, doubled each time */
    BACKOFF_MOST_MS = 60 * 1000,
    WAIT_WORKER_MS = 1000,       /* between two looks for a worker that the model ran on and can't do without */
    WAIT_CLUSTER_MS = 10 * 1000, /* … for one that was never there */
    GOOD_US = 60 * 1000 * 1000,  /* up for so long, or an answer finished: what comes is another matter */
    SEEDED_QUICKLY_US = 10 * 1000 * 1000, /* workers that got their share in this time are as they were */
    ATTEMPTS_WAITED = 3,                  /* starts in a row that clients are made to wait for without a limit */
    /* A call is never given up before a restart would pay: about what a load takes. */
    STALL_LEAST_US = 20 * 1000 * 1000,
    LINK_LEAST = 500 * 1000, /* bytes a second */
    PATIENCE_LEAST_MS = 2000,
    MISSED_LEAST = 2,      /* health checks without an answer that are a hang, of a program that is soon there again */
    MISSED_EACH_MS = 2500, /* one more for each of these that a restart takes */
    PATIENCE_MOST_MS = 30 * 1000,
};

#define TO(state) (1u << (state))
static const unsigned may_follow[] = {
    [POOL_OFF] = TO(POOL_PREFLIGHT),
    [POOL_PREFLIGHT] = TO(POOL_PREFLIGHT) | TO(POOL_STARTING) | TO(POOL_BACKOFF) | TO(POOL_FAILED) | TO(POOL_OFF),
    [POOL_STARTING] = TO(POOL_UP) | TO(POOL_STOPPING) | TO(POOL_PREFLIGHT) | TO(POOL_BACKOFF) | TO(POOL_FAILED),
    [POOL_UP] = TO(POOL_DRAINING) | TO(POOL_STOPPING) | TO(POOL_PREFLIGHT) | TO(POOL_BACKOFF),
    [POOL_DRAINING] = TO(POOL_UP) | TO(POOL_STOPPING) | TO(POOL_PREFLIGHT) | TO(POOL_BACKOFF) | TO(POOL_OFF),
    [POOL_STOPPING] = TO(POOL_PREFLIGHT) | TO(POOL_BACKOFF) | TO(POOL_OFF),
    [POOL_BACKOFF] = TO(POOL_PREFLIGHT) | TO(POOL_OFF),
    [POOL_FAILED] = TO(POOL_PREFLIGHT) | TO(POOL_OFF),
};
#undef TO

const char *pool_state_name(enum pool_state s)
{
    static const char *const names[] = {
        [POOL_OFF] = "off",         [POOL_PREFLIGHT] = "preflight", [POOL_STARTING] = "starting",
        [POOL_UP] = "up",           [POOL_DRAINING] = "draining",   [POOL_STOPPING] = "stopping",
        [POOL_BACKOFF] = "backoff", [POOL_FAILED] = "failed",
    };
    return names[s];
}

void pool_change_state(struct pool *p, enum pool_state to, const char *fmt, ...)
{
    if ((may_follow[p->state] & 1u << to) == 0) {
        log_error("the pool: no way from %s to %s", pool_state_name(p->state), pool_state_name(to));
        abort();
    }
    char why[sizeof(p->why)];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, sizeof(why), fmt, ap);
    va_end(ap);
    pool_seed_end(p);
    memcpy(p->why, why, sizeof(why));
    log_debug("pool: %s → %s %s", pool_state_name(p->state), pool_state_name(to), why);
    p->state = to;
    p->state_us = clock_us();
    p->retry_us = 0;
    event_del(p->timer);
}

static void try_later(struct pool *p, enum pool_state state, int64_t ms, const char *why)
{
    pool_change_state(p, state, "%s", why);
    p->attempts++;
    p->retry_us = clock_us() + ms * 1000;
    event_add(p->timer, &(struct timeval){ms / 1000, ms % 1000 * 1000});
    proxy_pool_expect(p->proxy, PROXY_POOL_AWAITED, why);
}

/* ---- starting ---- */

static void replace(char **to, const char *from)
{
    char *copy = xstrdup(from);
    free(*to);
    *to = copy;
}

static void start_check(struct pool *p, const char *model, bool serving);

void pool_begin(struct pool *p)
{
    pool_look_end(p);
    pool_change_state(p, POOL_PREFLIGHT, "looking whether %s can be started", p->model);
    if (p->attempts == 0)
        proxy_pool_expect(p->proxy, PROXY_POOL_COMING, "the target is being started");
    if (p->task == NULL) /* else the one under way is of no use any more, and its end begins the next */
        start_check(p, p->model, false);
}

/* The model can't be started.  In a swap the old one comes back.  most_ms: between two attempts. */
static void start_failed(struct pool *p, const char *why, bool waits_for_worker, int64_t most_ms)
{
    if (p->previous != NULL) {
        snprintf(p->swap_error, sizeof(p->swap_error), "%.1000s", why);
        log_error("%s could not be loaded, %s comes back: %s", p->model, p->previous, why);
        free(p->model);
        p->model = p->previous;
        p->previous = NULL;
        p->attempts = 0;
        pool_drafter_stop(p);
        pool_begin(p);
        return;
    }
    int64_t ms = p->backoff_ms == 0 ? BACKOFF_FIRST_MS : p->backoff_ms * 2;
    if (ms > most_ms)
        ms = most_ms;
    p->backoff_ms = ms;
    if (p->attempts == 0 || strcmp(p->told, why) != 0)
        log_error("%s is not started: %s", p->model, why);
    snprintf(p->told, sizeof(p->told), "%s", why);
    try_later(p, waits_for_worker ? POOL_BACKOFF : POOL_FAILED, ms, why);
}

/* How long a hundredth of the file may take on the slowest link that is worth having. */
static int64_t stall_us(const struct pool_launch *l)
{
    int64_t us = l->bytes / 100 * 1000000 / LINK_LEAST;
    return us > STALL_LEAST_US ? us : STALL_LEAST_US;
}

/* A node that is merely started again, as it was, need not test itself again: over slow links that takes longer than
 * all the rest. On this machine's CPU it is quick, and decides how it computes. */
static void spare_selftest(struct pool *p)
{
    struct pool_launch *l = p->launch;
    char *line = pool_argv_text(&l->run);
    if (p->lost_before && !l->stock && !l->maps_file && p->noise_of != NULL && strcmp(line, p->noise_of) == 0) {
        size_t n = 0;
        while (l->run.argv[n] != NULL)
            n++;
        l->run.argv = xreallocarray(l->run.argv, n + 3, sizeof(*l->run.argv));
        l->run.argv[n] = xstrdup("--noise");
        l->run.argv[n + 1] = xasprintf("%.9g", p->noise);
        l->run.argv[n + 2] = NULL;
    }
    free(l->line);
    l->line = line;
}

static void start_program(struct pool *p)
{
    char *cause = NULL;
    const struct pool_launch *l = p->launch;
    spare_selftest(p);
    pool_change_state(p, POOL_STARTING, "%s loads %s%s%s", l->program, p->model, p->preseed_note[0] != '\0' ? "; " : "",
                      p->preseed_note);
    if (p->attempts < ATTEMPTS_WAITED)
        proxy_pool_expect(p->proxy, PROXY_POOL_COMING, p->why);
    if (pool_server_start(&p->server, (const char *const *)l->run.argv, (const char *const *)l->run.env, l->url, p->log,
                          stall_us(l), &cause) != 0)
        start_failed(p, cause, false, BACKOFF_MOST_MS);
    else
        log_info("%s is started for %s (pid %ld)", l->program, p->model, (long)pool_server_pid(&p->server));
    free(cause);
    if (p->state == POOL_STARTING)
        pool_drafter_start(p);
}

/* What was found out may be old by now. */
static void start_seeded(struct pool *p)
{
    if (clock_us() - p->state_us > SEEDED_QUICKLY_US)
        start_check(p, p->model, false);
    else
        start_program(p);
}

static void swap_refused(struct pool *p, const char *why)
{
    log_error("%s is not loaded: %s", p->next, why);
    snprintf(p->swap_error, sizeof(p->swap_error), "%s", why);
    free(p->next);
    p->next = NULL;
}

static void on_checked(void *arg)
{
    struct pool_check *c = arg;
    struct pool *p = c->owner;
    p->task = NULL;
    p->check = NULL;
    p->program = c->program;
    c->program = (struct pool_program){0};
    if (!c->serving)
        p->facts = c->facts;
    const char *of = c->serving ? p->next : p->model;
    bool current = of != NULL && strcmp(of, c->model) == 0 && c->serving == (p->state == POOL_UP);
    if (p->state == POOL_PREFLIGHT && !current) {
        start_check(p, p->model, false);
    } else if (!current) {
        ; /* what it was for is over */
    } else if (c->serving && c->ok) {
        if (!pool_seed_begin(p, c->launch, p->next, pool_drain))
            pool_drain(p);
    } else if (c->serving) {
        swap_refused(p, c->why);
    } else if (p->state == POOL_PREFLIGHT && c->ok) {
        pool_launch_destroy(p->launch);
        p->launch = c->launch;
        c->launch = NULL;
        if (p->lost_us != 0 || p->attempts > 0 || !pool_seed_begin(p, p->launch, p->model, start_seeded))
            start_program(p);
    } else if (p->state == POOL_PREFLIGHT) {
        start_failed(p, c->why, c->waits_for_worker,
                     c->waits_for_worker ? WAIT_WORKER_MS
                     : c->worker_trouble ? WAIT_CLUSTER_MS
                                         : BACKOFF_MOST_MS);
    }
    pool_launch_destroy(c->launch);
    pool_check_finish(c);
    free(c);
}

static void check_work(void *arg)
{
    pool_check_run(arg);
}

static void start_check(struct pool *p, const char *model, bool serving)
{
    struct pool_check *c = xcalloc(1, sizeof(*c));
    *c = (struct pool_check){.owner = p,
                             .cfg = config_keep(p->cfg),
                             .model = xstrdup(model),
                             .node = xstrdup(p->node),
                             .node_cause = xstrdup(p->node_cause),
                             .serving = serving,
                             .can_do_without = p->lost_before};
    c->program = p->program; /* lent */
    p->program = (struct pool_program){0};
    c->facts = p->facts;
    p->check = c;
    p->task = task_start(p->base, check_work, on_checked, c);
    if (p->task == NULL) { /* no thread is to be had: the next attempt may find one */
        p->check = NULL;
        pool_check_finish(c);
        free(c);
        if (serving)
            swap_refused(p, "this machine gives no further thread");
        else
            start_failed(p, "this machine gives no further thread", false, BACKOFF_MOST_MS);
    }
}

void pool_check_next(struct pool *p)
{
    if (p->task == NULL)
        start_check(p, p->next, true);
}

/* ---- it is up ---- */

static int make_target(struct pool *p, char **cause)
{
    struct config_server given = {.url = p->server.url,
                                  .model_name = p->model,
                                  .api_key = p->cfg->proxy.target.api_key,
                                  .name = (char *)"pool",
                                  .backend = (char *)(p->launch->stock ? "llamacpp" : "node")},
                         s;
    int failed = config_server_init(&s, &given, cause);
    if (failed != 0)
        return -1;
    failed = proxy_pool_set_target(p->proxy, &s, cause);
    config_server_finish(&s);
    if (failed != 0)
        return failed;
    replace(&p->target_model, p->model);
    replace(&p->target_url, p->server.url);
    const struct config_model *m = config_model_find(p->cfg, p->model);
    proxy_pool_set_predict(p->proxy, m != NULL ? m->predict : CONFIG_AUTO);
    return 0;
}

static void target_changed(void *arg, bool up);

static void on_server_up(void *arg)
{
    struct pool *p = arg;
    char *cause = NULL;
    double load = p->server.load_ms;
    log_info("%s is loaded, after %.1f s", p->model, load / 1000);
    if (p->target_model == NULL || strcmp(p->target_model, p->model) != 0 ||
        strcmp(p->target_url, p->server.url) != 0) {
        if (make_target(p, &cause) != 0) { /* it must not answer under the name of the one before */
            snprintf(p->kill_why, sizeof(p->kill_why), "it can't be made the target: %s", cause);
            free(cause);
            pool_server_stop(&p->server, GRACE_MS);
            return;
        }
    }
    pool_change_state(p, POOL_UP, "%s", "");
    pool_seed_forget(p);
    p->attempts = 0;
    p->answered = proxy_snapshot(p->proxy)->requests_ok;
    int patience = load < PATIENCE_LEAST_MS  ? PATIENCE_LEAST_MS
                   : load > PATIENCE_MOST_MS ? PATIENCE_MOST_MS
                                             : (int)load;
    proxy_pool_set_patience(p->proxy, patience);
    p->server.missed_most = MISSED_LEAST + (unsigned)(patience / MISSED_EACH_MS);
    proxy_pool_probe(p->proxy);
    if (p->previous != NULL || p->reloading) {
        p->swaps++;
        p->swap_error[0] = '\0';
    }
    free(p->previous);
    p->previous = NULL;
    p->reloading = false;
    if (p->next != NULL) { /* it died while it was to be replaced */
        pool_check_next(p);
    } else if (proxy_pool_held(p->proxy)) {
        proxy_pool_release(p->proxy, p->swap_error[0] != '\0' ? p->swap_error : NULL);
    }
    pool_look_begin(p);
    pool_loaded(p);
    if (proxy_pool_target_up(
            p->proxy)) /* the proxy's own probe was sooner, and that was no news while it was starting */
        target_changed(p, true);
}

/* ---- it ends ---- */

void pool_end_program(struct pool *p, int grace_ms)
{
    pool_change_state(p, POOL_STOPPING, "%s ends", p->model);
    proxy_pool_hang_up(p->proxy);
    pool_server_stop(&p->server, grace_ms);
}

static void on_idle(void *arg)
{
    struct pool *p = arg;
    p->drained = true;
    if (p->state != POOL_DRAINING)
        return; /* it is away just now: when it is up again there is nothing left to wait for */
    if (p->next != NULL)
        proxy_pool_expect(p->proxy, PROXY_POOL_COMING, "another model is being loaded");
    else
        proxy_pool_expect(p->proxy, PROXY_POOL_AWAITED, "the pool is being stopped");
    pool_drafter_stop(p);
    pool_end_program(p, GRACE_MS);
}

void pool_drain(struct pool *p)
{
    pool_change_state(p, POOL_DRAINING, "the answers under way are finished first");
    if (p->drained) {
        on_idle(p);
        return;
    }
    bool other = p->next != NULL && strcmp(p->next, p->model) != 0;
    proxy_pool_hold(p->proxy, other ? p->next : NULL, on_idle, p);
}

void pool_off(struct pool *p)
{
    pool_look_end(p);
    pool_drafter_stop(p);
    pool_change_state(p, POOL_OFF, "stopped: `tightwad start` starts it");
    pool_seed_forget(p);
    if (proxy_pool_held(p->proxy))
        proxy_pool_release(p->proxy, p->why);
    proxy_pool_expect(p->proxy, PROXY_POOL_OFF, "the pool is stopped: `tightwad start` starts it");
    p->lost_us = 0;
    p->lost_before = false;
}

/* The old one has ended as it was meant to. */
static void begin_next(struct pool *p)
{
    p->drained = false;
    p->attempts = 0;
    p->backoff_ms = 0;
    p->lost_before = p->came_up; /* what served goes on without a worker rather than not at all */
    p->reloading = strcmp(p->next, p->model) == 0;
    pool_note_rates(p);
    if (!p->reloading)
        replace(&p->previous, p->came_up ? p->model : NULL);
    free(p->model);
    p->model = p->next;
    p->next = NULL;
    p->came_up = false;
    pool_begin(p);
}

/* It was up and ended by itself, or was ended because it hung. */
static void died(struct pool *p, const char *why)
{
    int64_t now = clock_us();
    log_error("%s went away: %s", p->model, why);
    if (p->lost_us == 0)
        p->lost_us = now;
    p->restarts++;
    p->lost_before = true;
    bool good = p->server.up_us != 0 && now - p->server.up_us >= GOOD_US;
    if (good || proxy_snapshot(p->proxy)->requests_ok > p->answered)
        p->backoff_ms = 0;
    int64_t ms = p->backoff_ms;
    p->backoff_ms = ms == 0 ? BACKOFF_FIRST_MS : ms * 2 < BACKOFF_MOST_MS ? ms * 2 : BACKOFF_MOST_MS;
    if (ms > 0) {
        try_later(p, POOL_BACKOFF, ms, why);
        return;
    }
    pool_begin(p);
}

static void on_server_ended(void *arg, const char *how)
{
    struct pool *p = arg;
    char why[sizeof(p->why)];
    snprintf(why, sizeof(why), "%s", p->kill_why[0] != '\0' ? p->kill_why : how);
    bool killed = p->kill_why[0] != '\0';
    p->kill_why[0] = '\0';
    switch (p->state) {
    case POOL_UP:
    case POOL_DRAINING:
        died(p, why);
        break;
    case POOL_STOPPING:
        if (killed && p->wanted)
            died(p, why);
        else if (p->next != NULL)
            begin_next(p);
        else if (!p->wanted)
            pool_off(p);
        else
            died(p, why);
        break;
    case POOL_STARTING:
        start_failed(p, why, false, BACKOFF_MOST_MS);
        break;
    default:
        log_warn("%s", how);
    }
}

/* What hangs says nothing, and goes on hanging: it is ended at once, the answers go on from the proxy's log. */
static void end_hung(struct pool *p, int64_t since_us, const char *why)
{
    if (p->state != POOL_UP && p->state != POOL_DRAINING)
        return;
    log_error("%s hangs and is ended: %s", p->model, why);
    snprintf(p->kill_why, sizeof(p->kill_why), "%s", why);
    if (p->lost_us == 0 || since_us < p->lost_us)
        p->lost_us = since_us;
    proxy_pool_expect(p->proxy, PROXY_POOL_COMING, why);
    pool_end_program(p, 0);
}

static void on_server_silent(void *arg)
{
    struct pool *p = arg;
    if (p->state == POOL_STARTING) {
        snprintf(p->kill_why, sizeof(p->kill_why), "its load does not get on");
        p->lost_before = true; /* whoever it waits for is left out, if that can be */
        pool_server_stop(&p->server, 0);
    } else {
        end_hung(p, p->server.silent_us, "it does not answer its health check any more");
    }
}

static const struct pool_server_events server_events = {
    .up = on_server_up, .ended = on_server_ended, .silent = on_server_silent};

/* ---- what the proxy sees ---- */

static void target_failed(void *arg, const struct backend_status *st)
{
    struct pool *p = arg;
    if (st->error == BACKEND_TIMEOUT)
        end_hung(p, clock_us() - st->elapsed_us, st->message);
}

static void target_changed(void *arg, bool up)
{
    struct pool *p = arg;
    int64_t now = clock_us();
    if (!up && p->state == POOL_UP && p->lost_us == 0 && p->came_up)
        p->lost_us = now;
    if (!up || (p->state != POOL_UP && p->state != POOL_DRAINING))
        return;
    p->came_up = true;
    if (proxy_pool_noise(p->proxy, &p->noise))
        replace(&p->noise_of, p->launch->line);
    if (p->lost_us != 0)
        p->pause_ms = (double)(now - p->lost_us) / 1000;
    p->lost_us = 0;
    proxy_pool_expect(p->proxy, PROXY_POOL_AWAITED, NULL);
}

static bool knows_model(void *arg, const char *name, size_t n)
{
    struct pool *p = arg;
    char *copy = xstrndup(name, n);
    bool known = config_model_find(p->cfg, copy) != NULL;
    free(copy);
    return known;
}

static const struct proxy_pool_ops proxy_ops = {.target_failed = target_failed,
                                                .target_changed = target_changed,
                                                .knows_model = knows_model,
                                                .fill = pool_fill_snapshot};

/* ---- life ---- */

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct pool *p = arg;
    (void)fd;
    (void)what;
    pool_begin(p);
}

char *pool_log_path(const char *log_dir, int port, bool drafter)
{
    return xasprintf("%s/pool-%d%s.log", log_dir, port, drafter ? "-drafter" : "");
}

struct pool *pool_create(struct event_base *base, struct httpc *http, struct config *cfg, struct proxy *proxy,
                         const struct pool_opts *opts)
{
    struct pool *p = xcalloc(1, sizeof(*p));
    p->base = base;
    p->http = http;
    p->proxy = proxy;
    p->cfg = config_keep(cfg);
    p->node = xstrdup(opts->node);
    p->node_cause = xstrdup(opts->node_cause);
    if (opts->log_dir != NULL) {
        p->log = pool_log_path(opts->log_dir, opts->port, false);
        p->draft_log = pool_log_path(opts->log_dir, opts->port, true);
    }
    p->state_us = clock_us();
    p->pause_ms = NAN;
    p->reclaimed = -1;
    p->model = xstrdup(config_model_default(cfg)->name);
    p->timer = evtimer_new(base, on_timer, p);
    pool_server_init(&p->server, base, http, "the pool's program", MISSED_LEAST, &server_events, p);
    pool_drafter_init(p);
    proxy_pool_attach(proxy, &proxy_ops, p);
    return p;
}

void pool_destroy(struct pool *p)
{
    if (p == NULL)
        return;
    proxy_pool_attach(p->proxy, NULL, NULL);
    pool_look_end(p);
    if (p->look_timer != NULL)
        event_free(p->look_timer);
    pool_drafter_finish(p);
    pool_server_finish(&p->server, GRACE_MS);
    task_destroy(p->task);
    pool_program_finish(&p->program);
    if (p->check != NULL) {
        pool_launch_destroy(p->check->launch);
        pool_check_finish(p->check);
        free(p->check);
    }
    pool_seed_end(p);
    pool_reclaim_finish(p);
    pool_models_finish(p);
    pool_launch_destroy(p->launch);
    event_free(p->timer);
    config_destroy(p->cfg);
    char *texts[] = {p->node,     p->node_cause,   p->log,        p->draft_log, p->model,    p->next,
                     p->previous, p->target_model, p->target_url, p->noise_of,  p->preseeded};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        free(texts[i]);
    free(p);
}

void pool_reload(struct pool *p, struct config *cfg)
{
    struct config *old = p->cfg;
    p->cfg = config_keep(cfg);
    config_destroy(old);
    if (p->state == POOL_FAILED || p->state == POOL_BACKOFF) { /* what was wrong may have been mended */
        p->backoff_ms = 0;
        if (config_model_find(cfg, p->model) == NULL)
            replace(&p->model, config_model_default(cfg)->name);
        pool_begin(p);
    }
}
