#include "engines/pool-preseed.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "probe/agent-client.h"
#include "probe/gguf.h"
#include "probe/scan-place.h"
#include "swarm/manifest-make.h"

enum {
    LOOK_MS = 300,    /* between two questions how it goes */
    ANSWER_MS = 5000, /* for one answer */
    STALL_MS = 20000, /* without a byte more: the load is not held up any longer */
};

enum worker_state { WORKER_ASKED, WORKER_WORKS, WORKER_DONE, WORKER_FAILED };

struct worker {
    struct pool_preseed *owner;
    const struct pool_share *share;
    enum worker_state state;
    struct agent_call *call;
    struct event *look;
    int number;       /* of the work there; -1: not begun */
    double progress;  /* of what it does now, 0..1, NAN unknown */
    char doing[24];   /* "fetching" */
    char why[256];    /* WORKER_FAILED */
    uint64_t moved;   /* bytes, when it last got on */
    int64_t moved_us; /* and when that was */
};

struct pool_preseed {
    struct event_base *base;
    struct httpc *http;
    struct config *cfg;
    struct pool_shares shares;
    struct worker worker[CONFIG_RPC_MAX];
    int64_t stall_us;
    struct event *end;
    pool_preseed_cb *done;
    void *arg;
};

/* ---- what is to be done ---- */

/* The agent of that host; false: agents.hosts does not name it. */
static bool find_agent(const struct config *cfg, const char *host, struct pool_share *s)
{
    bool found = false;
    for (size_t i = 0; i < cfg->agents.hosts.n && !found; i++) {
        char *name = NULL, *cause = NULL;
        int port = 0;
        if (scan_host_parse(cfg->agents.hosts.list[i], &name, &port, &cause) == 0 && strcmp(name, host) == 0) {
            snprintf(s->agent, sizeof(s->agent), "%s", name);
            s->agent_port = port;
            found = true;
        }
        free(name);
        free(cause);
    }
    return found;
}

static struct pool_share *share_of(struct pool_shares *out, const char *agent, int port)
{
    for (size_t i = 0; i < out->n; i++) {
        if (out->share[i].port == port && strcmp(out->share[i].agent, agent) == 0)
            return &out->share[i];
    }
    return NULL;
}

/* The worker at that endpoint ("HOST:PORT") of the configuration. */
static const struct config_worker *worker_at(const struct config *cfg, const char *endpoint, int *port)
{
    const char *colon = strrchr(endpoint, ':');
    *port = colon != NULL ? atoi(colon + 1) : 0;
    for (size_t i = 0; colon != NULL && i < cfg->pool.n_workers; i++) {
        const struct config_worker *w = &cfg->pool.workers[i];
        size_t n = (size_t)(colon - endpoint);
        for (size_t g = 0; strlen(w->host) == n && strncmp(w->host, endpoint, n) == 0 && g < w->n_gpus; g++) {
            if (w->gpus[g].rpc_port == *port)
                return w;
        }
    }
    return NULL;
}

/* The devices of one server stand together, and so do their layers. */
static void add_part(struct pool_shares *out, const struct config *cfg, const struct split_device *d,
                     const struct split_part *x)
{
    struct pool_share s = {0};
    const struct config_worker *w = worker_at(cfg, d->endpoint, &s.port);
    if (w == NULL || !find_agent(cfg, w->host, &s))
        return;
    struct pool_share *to = share_of(out, s.agent, s.port);
    if (to == NULL && out->n == ARRAY_LEN(out->share))
        return;
    if (to == NULL) {
        to = &out->share[out->n++];
        *to = s;
        snprintf(to->machine, sizeof(to->machine), "%s", w->name);
        to->needed = (struct needed){.first = 0, .last = -1};
    }
    bool none = to->needed.last < to->needed.first;
    if (x->n > 0) {
        int first = (int)x->first, last = (int)(x->first + x->n - 1);
        to->needed.first = none || first < to->needed.first ? first : to->needed.first;
        to->needed.last = none || last > to->needed.last ? last : to->needed.last;
    }
    to->needed.output |= x->output;
}

static void say_why(struct pool_shares *out, const struct pool_plan *plan)
{
    struct gguf *g = gguf_open(plan->path, NULL);
    struct manifest *m = manifest_stored(plan->path);
    if (plan->by_hand)
        snprintf(out->why, sizeof(out->why), "extra_args place the layers");
    else if (g != NULL && g->n_splits > 1)
        snprintf(out->why, sizeof(out->why), "the model is split into several files");
    else if (m == NULL)
        snprintf(out->why, sizeof(out->why), "it has no manifest: `tightwad manifest create %.300s` makes one",
                 plan->path);
    else
        memcpy(out->id, m->id, sizeof(out->id));
    manifest_destroy(m);
    gguf_destroy(g);
}

void pool_shares_make(struct pool_shares *out, const struct config *cfg, const struct pool_plan *plan)
{
    const char *slash = strrchr(plan->path, '/');
    *out = (struct pool_shares){0};
    snprintf(out->file, sizeof(out->file), "%.255s", slash != NULL ? slash + 1 : plan->path);
    if (cfg->agents.hosts.n == 0 || strcmp(cfg->swarm.preseed, "off") == 0)
        return;
    for (size_t i = 0; i < plan->split->n_parts; i++) {
        const struct split_part *x = &plan->split->parts[i];
        const struct split_device *d = &plan->devices[x->device];
        if (d->kind == SPLIT_RPC && (x->n > 0 || x->output))
            add_part(out, cfg, d, x);
    }
    if (out->n == 0)
        return;
    say_why(out, plan);
    if (out->why[0] != '\0')
        out->n = 0;
}

/* ---- one worker ---- */

static struct agent_where where(const struct worker *w)
{
    return (struct agent_where){.host = w->share->agent,
                                .port = w->share->agent_port,
                                .token = w->owner->cfg->agents.token,
                                .timeout_ms = ANSWER_MS};
}

static void check_end(struct pool_preseed *p)
{
    for (size_t i = 0; i < p->shares.n; i++) {
        if (p->worker[i].state < WORKER_DONE)
            return;
    }
    event_active(p->end, EV_TIMEOUT, 0);
}

/* What it has not done is done by the load; an agent stops what nobody asks about any more. */
static void worker_failed(struct worker *w, const char *why)
{
    w->state = WORKER_FAILED;
    snprintf(w->why, sizeof(w->why), "%.255s", why);
    log_warn("%s gets its layers of %s from here: %s", w->share->machine, w->owner->shares.file, why);
    check_end(w->owner);
}

static void worker_done(struct worker *w, const json_t *work)
{
    w->state = WORKER_DONE;
    log_info("%s has its layers of %s: %.1f MiB of large tensors, %.1f MiB of them written now, %.1f MiB fetched",
             w->share->machine, w->owner->shares.file, json_number(work, "total") / (1 << 20),
             json_number(work, "written") / (1 << 20), json_number(work, "fetched") / (1 << 20));
    check_end(w->owner);
}

static void on_answer(const struct agent_answer *a, void *arg);

static void on_look(evutil_socket_t fd, short what, void *arg)
{
    struct worker *w = arg;
    const struct agent_where at = where(w);
    (void)fd;
    (void)what;
    w->call = agent_client_preseed_look(w->owner->http, &at, w->number, on_answer, w);
}

/* Bytes that it is on by: those that came and those that are written. */
static uint64_t moved_by(const json_t *work)
{
    double have = json_number(work, "have"), done = json_number(work, "done");
    return (isfinite(have) ? (uint64_t)have : 0) + (isfinite(done) ? (uint64_t)done : 0);
}

/* Of several workers at one machine the agent serves one after the other. */
static bool has_to_wait(const struct worker *w)
{
    const struct pool_preseed *p = w->owner;
    for (size_t i = 0; i < p->shares.n && strcmp(w->doing, "waiting") == 0; i++) {
        const struct worker *x = &p->worker[i];
        if (x->state == WORKER_WORKS && strcmp(x->doing, "waiting") != 0 &&
            strcmp(x->share->agent, w->share->agent) == 0)
            return true;
    }
    return false;
}

static void goes_on(struct worker *w, const json_t *work)
{
    uint64_t moved = moved_by(work);
    int64_t now = clock_us();
    bool fetches = strcmp(json_text(work, "state"), "fetching") == 0;
    w->state = WORKER_WORKS;
    snprintf(w->doing, sizeof(w->doing), "%s", json_text(work, "state"));
    w->progress = fetches ? json_number(work, "have") / json_number(work, "wanted")
                          : json_number(work, "done") / json_number(work, "total");
    if (moved != w->moved || w->moved_us == 0 || has_to_wait(w)) {
        w->moved = moved;
        w->moved_us = now;
    }
    if (now - w->moved_us > w->owner->stall_us) {
        const char *its = json_text(work, "why");
        char *why = xasprintf("nothing has come for %.1f s (%s)%s%s", (double)w->owner->stall_us / 1e6, w->doing,
                              *its != '\0' ? ": " : "", its);
        worker_failed(w, why);
        free(why);
        return;
    }
    event_add(w->look, &(struct timeval){.tv_usec = LOOK_MS * 1000});
}

static void on_answer(const struct agent_answer *a, void *arg)
{
    struct worker *w = arg;
    int64_t number = -1;
    const char *state = a->body != NULL ? json_text(a->body, "state") : "";
    w->call = NULL;
    if (!a->ok) {
        worker_failed(w, a->message);
    } else if (json_get_int(a->body, "number", 0, INT32_MAX, &number, NULL) != 1) {
        worker_failed(w, "what its agent answers can't be read");
    } else if (w->number = (int)number, strcmp(state, "done") == 0) {
        worker_done(w, a->body);
    } else if (strcmp(state, "failed") == 0 || strcmp(state, "stopped") == 0) {
        worker_failed(w, json_text(a->body, "why"));
    } else {
        goes_on(w, a->body);
    }
}

/* Who may have pieces: the peers of the configuration and the agents of the other machines.  Not this machine: then its
 * link would carry the same bytes. */
static json_t *peers_for(const struct worker *w)
{
    const struct config *cfg = w->owner->cfg;
    json_t *list = json_array();
    for (size_t i = 0; i < cfg->swarm.peers.n; i++)
        json_array_append_new(list, json_string(cfg->swarm.peers.list[i]));
    for (size_t i = 0; i < cfg->agents.hosts.n; i++) {
        char *name = NULL, *cause = NULL;
        int port;
        if (scan_host_parse(cfg->agents.hosts.list[i], &name, &port, &cause) == 0 && strcmp(name, w->share->agent) != 0)
            json_array_append_new(list, json_string(name));
        free(name);
        free(cause);
    }
    return list;
}

static void ask(struct worker *w)
{
    const struct pool_preseed *p = w->owner;
    const struct agent_where at = where(w);
    const struct needed *n = &w->share->needed;
    json_t *order = json_pack("{s:s, s:s, s:i, s:i, s:i, s:b, s:o, s:s*}", "id", p->shares.id, "name", p->shares.file,
                              "worker", w->share->port, "first_layer", n->first, "last_layer", n->last, "output",
                              (int)n->output, "peers", peers_for(w), "token", p->cfg->swarm.token);
    w->call = agent_client_preseed(p->http, &at, order, on_answer, w);
}

/* ---- all of them ---- */

static void preseed_free(struct pool_preseed *p)
{
    for (size_t i = 0; i < p->shares.n; i++) {
        agent_client_cancel(p->worker[i].call);
        event_free(p->worker[i].look);
    }
    event_free(p->end);
    config_destroy(p->cfg);
    free(p);
}

static void on_end(evutil_socket_t fd, short what, void *arg)
{
    struct pool_preseed *p = arg;
    struct buf note;
    (void)fd;
    (void)what;
    buf_init(&note, 2048);
    for (size_t i = 0; i < p->shares.n; i++) {
        const struct worker *w = &p->worker[i];
        if (w->state == WORKER_FAILED)
            buf_printf(&note, "%s%s gets its weights from here: %s", note.len > 0 ? "; " : "", w->share->machine,
                       w->why);
    }
    p->done(p->arg, note.data);
    buf_finish(&note);
    preseed_free(p);
}

struct pool_preseed *pool_preseed_start(struct event_base *base, struct httpc *http, struct config *cfg,
                                        const struct pool_shares *s, int stall_ms, pool_preseed_cb *done, void *arg)
{
    if (s->n == 0)
        return NULL;
    struct pool_preseed *p = xcalloc(1, sizeof(*p));
    *p = (struct pool_preseed){.base = base,
                               .http = http,
                               .cfg = config_keep(cfg),
                               .shares = *s,
                               .stall_us = (stall_ms > 0 ? stall_ms : STALL_MS) * (int64_t)1000,
                               .done = done,
                               .arg = arg};
    p->end = evtimer_new(base, on_end, p);
    for (size_t i = 0; i < s->n; i++) {
        struct worker *w = &p->worker[i];
        *w = (struct worker){.owner = p, .share = &p->shares.share[i], .number = -1, .progress = NAN};
        w->look = evtimer_new(base, on_look, w);
        ask(w);
    }
    return p;
}

void pool_preseed_cancel(struct pool_preseed *p)
{
    if (p != NULL)
        preseed_free(p);
}

void pool_preseed_text(const struct pool_preseed *p, char *out, size_t size)
{
    struct buf b;
    buf_init(&b, 4096);
    for (size_t i = 0; i < p->shares.n; i++) {
        const struct worker *w = &p->worker[i];
        buf_printf(&b, "%s%s ", i > 0 ? ", " : "", w->share->machine);
        if (w->state == WORKER_DONE)
            buf_adds(&b, "is done");
        else if (w->state == WORKER_FAILED)
            buf_printf(&b, "can't (%s)", w->why);
        else if (w->state == WORKER_ASKED)
            buf_adds(&b, "is asked");
        else if (isfinite(w->progress))
            buf_printf(&b, "is %s: %.0f %%", w->doing, 100 * w->progress);
        else
            buf_printf(&b, "is %s", w->doing);
    }
    snprintf(out, size, "%s", b.data);
    buf_finish(&b);
}
