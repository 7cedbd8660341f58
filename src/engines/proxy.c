#include "engines/proxy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cause.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "engines/names.h"
#include "engines/gate.h"
#include "engines/proxy-internal.h"

void proxy_wake(struct proxy *p)
{
    event_active(p->pump, EV_TIMEOUT, 0);
}

static void tell_answers(struct proxy *p, struct member *m, bool going)
{
    for (struct proxy_answer *a = p->running.first, *next; a != NULL; a = next) {
        next = a->next;
        if (!a->ended)
            a->runner->member_changed(a, m, going);
    }
}

static void check_probed(struct proxy *p)
{
    if (p->when_probed == NULL || !p->target->probed || !gate_is_probed(p->gate))
        return;
    for (size_t i = 0; i < p->n_drafters; i++) {
        const struct member *m = p->drafter[i];
        bool judged = m->vocab_known || !member_up(m) || !member_up(p->target) || !m->backend->info.caps.draft_tokens;
        if (!m->probed || !judged)
            return;
    }
    void (*fn)(void *) = p->when_probed;
    p->when_probed = NULL;
    fn(p->when_probed_arg);
}

static void on_member_changed(void *arg, struct member *m)
{
    struct proxy *p = arg;
    if (m == p->target) {
        p->target_down_us = member_up(m) ? 0 : p->target_down_us != 0 ? p->target_down_us : clock_us();
        /* A target that comes back may be another model than before. */
        for (size_t i = 0; i < p->n_drafters && member_up(m); i++)
            member_compare_vocab(p->drafter[i], m);
    } else if (m->role == ROLE_DRAFTER && member_up(m) && !m->vocab_known && m->vocab_call == NULL) {
        member_compare_vocab(m, p->target);
    }
    gate_member_changed(p->gate, m);
    tell_answers(p, m, false);
    check_probed(p);
    proxy_wake(p);
    if (m == p->target && p->pool != NULL)
        p->pool->target_changed(p->pool_arg, member_up(m));
}

static void on_member_failed(void *arg, struct member *m, const struct backend_status *st)
{
    struct proxy *p = arg;
    if (m == p->target && p->pool != NULL)
        p->pool->target_failed(p->pool_arg, st);
}

static void on_pump(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct proxy *p = arg;
    proxy_pump(p);
    for (size_t i = 0; i < p->n_leaving; i++)
        member_destroy(p->leaving[i]);
    p->n_leaving = 0;
    if (p->drained != NULL && p->draining && p->running.n == 0 && p->queue.n == 0) {
        void (*fn)(void *) = p->drained;
        p->drained = NULL;
        fn(p->drained_arg);
    }
    if (p->held_idle != NULL && proxy_is_quiet(p)) {
        void (*fn)(void *) = p->held_idle;
        p->held_idle = NULL;
        fn(p->held_idle_arg);
    }
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct proxy *p = arg;
    /* A drafter whose penalty has run out comes back without an event of its own. */
    struct member *m = proxy_pick_drafter(p);
    if (m != NULL && !p->could_draft)
        tell_answers(p, m, false);
    p->could_draft = m != NULL;
    proxy_check_waiting(p);
    names_tell(p);
    gate_tick(p->gate);
    proxy_fill_snapshot(p);
    for (struct proxy_listener *l = p->listeners, *next; l != NULL; l = next) {
        next = l->next;
        if (l->on_tick != NULL)
            l->on_tick(l->arg, &p->snapshot);
    }
}

struct member *proxy_make_member(struct proxy *p, enum snapshot_role role, const struct config_server *s, char **cause)
{
    struct backend *b = backend_create(p->base, p->http, s, cause);
    if (b == NULL)
        return NULL;
    struct member *m = member_create(p->base, role, b, on_member_changed, p);
    m->failed = on_member_failed;
    return m;
}

static void take_settings(struct proxy *p, const struct config_proxy *from)
{
    char *default_mode = p->settings.default_mode, *consensus_mode = p->settings.consensus_mode;
    p->settings = *from;
    p->settings.default_mode = default_mode; /* see names_take */
    p->settings.consensus_mode = consensus_mode;
    p->settings.host = p->settings.auth_token = NULL;
    p->settings.drafters = NULL;
    p->settings.n_drafters = 0;
    p->settings.target = (struct config_server){0};
}

/* The server that is named, or the coordinator of the pool. */
static int make_target(struct proxy *p, const struct config *cfg, char **cause)
{
    struct config_server s = cfg->proxy.target;
    char *url = NULL;
    if (config_target_is_pool(cfg)) {
        url = config_pool_url(cfg);
        s = (struct config_server){.name = (char *)"pool",
                                   .url = url,
                                   .model_name = config_model_default(cfg)->name,
                                   .backend = (char *)"auto",
                                   .api_key = s.api_key};
    }
    p->model = xstrdup(s.model_name);
    p->target = proxy_make_member(p, ROLE_TARGET, &s, cause);
    free(url);
    return p->target == NULL ? -1 : 0;
}

struct proxy *proxy_create(struct event_base *base, struct httpc *http, const struct config *cfg, char **cause)
{
    if (cfg->proxy.target.url == NULL && !config_has_pool(cfg)) {
        cause_set(cause, "no target is configured: set proxy.target.url in cluster.yaml, or TIGHTWAD_TARGET_URL");
        return NULL;
    }
    struct proxy *p = xcalloc(1, sizeof(*p));
    p->base = base;
    p->http = http;
    p->started_us = clock_us();
    p->target_down_us = p->started_us;
    p->next_id = 1;
    p->predict = CONFIG_AUTO;
    governor_init(&p->governor);
    consensus_init(&p->consensus);
    p->config_path = xstrdup(cfg->path);
    take_settings(p, &cfg->proxy);
    p->pump = event_new(base, -1, 0, on_pump, p);
    p->tick = event_new(base, -1, EV_PERSIST, on_tick, p);
    bool fine = names_take(p, cfg, cause) == 0 && make_target(p, cfg, cause) == 0;
    if (fine)
        p->gate = gate_create(p, cfg, cause);
    if (p->gate == NULL) {
        proxy_destroy(p);
        return NULL;
    }
    for (size_t i = 0; i < cfg->proxy.n_drafters; i++) {
        if (proxy_add_drafter(p, &cfg->proxy.drafters[i], cause) != 0) {
            proxy_destroy(p);
            return NULL;
        }
    }
    struct timeval tv = {.tv_usec = PROXY_TICK_MS * 1000};
    event_add(p->tick, &tv);
    proxy_fill_snapshot(p);
    return p;
}

void proxy_destroy(struct proxy *p)
{
    if (p == NULL)
        return;
    proxy_stop_answers(p);
    consensus_finish(&p->consensus);
    gate_destroy(p->gate);
    for (size_t i = 0; i < p->n_leaving; i++)
        member_destroy(p->leaving[i]);
    for (size_t i = 0; i < p->n_drafters; i++)
        member_destroy(p->drafter[i]);
    member_destroy(p->target);
    event_free(p->pump);
    event_free(p->tick);
    names_finish(p);
    free(p->config_path);
    free(p->model);
    free(p->next_model);
    free(p);
}

/* ---- drafters ---- */

static long find_drafter(const struct proxy *p, const char *name)
{
    for (size_t i = 0; i < p->n_drafters; i++) {
        if (strcmp(p->drafter[i]->name, name) == 0 || strcmp(p->drafter[i]->backend->cfg.url, name) == 0)
            return (long)i;
    }
    return -1;
}

int proxy_add_drafter(struct proxy *p, const struct config_server *s, char **cause)
{
    if (p->n_drafters == PROXY_DRAFTERS)
        return cause_set(cause, "there are %d drafters already, and no more are taken", PROXY_DRAFTERS);
    if (find_drafter(p, s->name != NULL ? s->name : s->url) >= 0)
        return cause_set(cause, "there is a drafter %s already", s->name != NULL ? s->name : s->url);
    struct member *m = proxy_make_member(p, ROLE_DRAFTER, s, cause);
    if (m == NULL)
        return -1;
    p->drafter[p->n_drafters++] = m;
    return 0;
}

static void remove_drafter(struct proxy *p, size_t i)
{
    struct member *m = p->drafter[i];
    log_info("drafter %s is removed", m->name);
    memmove(p->drafter + i, p->drafter + i + 1, (p->n_drafters - i - 1) * sizeof(*p->drafter));
    p->n_drafters--;
    live_drop_drafter(&p->live.live, (uint8_t)(i + 1));
    tell_answers(p, m, true);
    p->leaving[p->n_leaving++] = m;
    proxy_wake(p);
}

int proxy_remove_drafter(struct proxy *p, const char *name, char **cause)
{
    long i = find_drafter(p, name);
    if (i < 0)
        return cause_set(cause, "there is no drafter %s", name);
    if (p->n_leaving == PROXY_DRAFTERS)
        return cause_set(cause, "too many drafters leave at once: try again");
    remove_drafter(p, (size_t)i);
    return 0;
}

int proxy_pause_drafter(struct proxy *p, const char *name, bool paused, char **cause)
{
    long i = name != NULL ? find_drafter(p, name) : 0;
    if (i < 0)
        return cause_set(cause, "there is no drafter %s", name);
    for (size_t k = 0; k < p->n_drafters; k++) {
        if (name == NULL || k == (size_t)i)
            member_set_paused(p->drafter[k], paused);
    }
    return 0;
}

int proxy_set_max_draft_tokens(struct proxy *p, int64_t n, char **cause)
{
    if (n != CONFIG_AUTO && (n < 0 || n > 1024))
        return cause_set(cause, "max_draft_tokens is 0 to 1024, or auto; not %lld", (long long)n);
    p->settings.max_draft_tokens = n;
    return 0;
}

static struct member *first_drafter(const struct proxy *p, bool is_text)
{
    for (size_t i = 0; i < p->n_drafters; i++) {
        struct member *m = p->drafter[i];
        if (member_is_text(m) == is_text && member_can_draft(m, p->target))
            return m;
    }
    return NULL;
}

size_t proxy_list_drafters(const struct proxy *p, struct member **out)
{
    size_t n = 0;
    for (size_t i = 0; i < p->n_drafters; i++) {
        if (!member_is_text(p->drafter[i]))
            out[n++] = p->drafter[i];
    }
    return n;
}

struct member *proxy_pick_drafter(const struct proxy *p)
{
    return first_drafter(p, false);
}

struct member *proxy_pick_quoter(const struct proxy *p)
{
    return first_drafter(p, true);
}

struct ngram_record *proxy_quotes(struct proxy *p)
{
    return &p->quotes;
}

struct member *proxy_compare_drafter(struct proxy *p)
{
    for (size_t i = 0; i < p->n_drafters; i++) {
        const struct member *m = p->drafter[i];
        const struct backend_caps *caps = &m->backend->info.caps;
        if (member_up(m) && !m->paused && caps->draft_tokens && caps->templated && caps->tokenize)
            return p->drafter[i];
    }
    return NULL;
}

bool proxy_same_server(const struct config_server *a, const struct config_server *b)
{
    const char *const x[] = {a->url, a->model_name, a->backend, a->api_key, a->name};
    const char *const y[] = {b->url, b->model_name, b->backend, b->api_key, b->name};
    for (size_t i = 0; i < ARRAY_LEN(x); i++) {
        if (strcmp(x[i] != NULL ? x[i] : "", y[i] != NULL ? y[i] : "") != 0)
            return false;
    }
    return true;
}

int proxy_reload(struct proxy *p, const struct config *cfg, char **cause)
{
    take_settings(p, &cfg->proxy);
    for (size_t i = p->n_drafters; i-- > 0;) {
        bool stays = p->drafter[i]->pooled;
        for (size_t k = 0; k < cfg->proxy.n_drafters; k++)
            stays = stays || proxy_same_server(&p->drafter[i]->backend->cfg, &cfg->proxy.drafters[k]);
        if (!stays && p->n_leaving < PROXY_DRAFTERS)
            remove_drafter(p, i);
    }
    for (size_t k = 0; k < cfg->proxy.n_drafters; k++) {
        const struct config_server *s = &cfg->proxy.drafters[k];
        if (find_drafter(p, s->name != NULL ? s->name : s->url) < 0) {
            if (proxy_add_drafter(p, s, cause) != 0)
                return -1;
            log_info("drafter %s is added", s->name != NULL ? s->name : s->url);
        }
    }
    return gate_reload(p->gate, cfg, cause) != 0 ? -1 : names_take(p, cfg, cause);
}

/* ---- what others ask ---- */

void proxy_set_listen(struct proxy *p, const char *text)
{
    snprintf(p->listen, sizeof(p->listen), "%s", text);
}

void proxy_when_probed(struct proxy *p, void (*fn)(void *arg), void *arg)
{
    p->when_probed = fn;
    p->when_probed_arg = arg;
    check_probed(p);
}

int64_t proxy_draft_cap(const struct proxy *p)
{
    return p->settings.max_draft_tokens == CONFIG_AUTO ? PROXY_DRAFT_CAP_AUTO : p->settings.max_draft_tokens;
}

bool proxy_is_target(const struct proxy *p, const struct member *m)
{
    return m == p->target;
}

struct governor *proxy_governor(struct proxy *p)
{
    return &p->governor;
}

int64_t proxy_default_tokens(const struct proxy *p)
{
    int64_t most = p->settings.max_tokens_limit;
    return p->predict != CONFIG_AUTO && p->predict < most ? p->predict : most;
}

const struct config_proxy *proxy_settings(const struct proxy *p)
{
    return &p->settings;
}

struct event_base *proxy_base(const struct proxy *p)
{
    return p->base;
}

const char *proxy_model(const struct proxy *p)
{
    if (p->model != NULL)
        return p->model;
    return p->target->backend->info.model != NULL ? p->target->backend->info.model : "target";
}

const struct snapshot *proxy_snapshot(const struct proxy *p)
{
    return &p->snapshot;
}

void proxy_set_filler(struct proxy *p, void (*fn)(void *arg, struct snapshot *s), void *arg)
{
    p->filler = fn;
    p->filler_arg = arg;
    if (fn != NULL)
        fn(arg, &p->snapshot);
}

void proxy_listen(struct proxy *p, struct proxy_listener *l)
{
    l->next = p->listeners;
    p->listeners = l;
}

void proxy_unlisten(struct proxy *p, struct proxy_listener *l)
{
    for (struct proxy_listener **at = &p->listeners; *at != NULL; at = &(*at)->next) {
        if (*at == l) {
            *at = l->next;
            return;
        }
    }
}

void proxy_drain(struct proxy *p, void (*fn)(void *arg), void *arg)
{
    p->draining = true;
    p->drained = fn;
    p->drained_arg = arg;
    proxy_wake(p);
}

void proxy_set_hooks(struct proxy *p, const struct proxy_hooks *hooks)
{
    p->hooks = *hooks;
}
