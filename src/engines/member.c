#include "engines/member.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "probe/machine.h"

enum {
    PROBE_TIMEOUT_MS = 2000,
    PROBE_EVERY_US = 5 * 1000 * 1000,  /* of a member that is up */
    BACKOFF_FIRST_US = 200 * 1000,     /* of one that is down, doubled each time */
    BACKOFF_MOST_US = 2 * 1000 * 1000, /* for the target and drafters alike: a probe costs next to nothing */
    PENALTY_FIRST_US = 500 * 1000,     /* of a member whose calls fail though its probes are fine */
    PENALTY_MOST_US = 30 * 1000 * 1000,
    SLOTS_UNKNOWN = 4,
    DEADLINE_FLOOR_MS = 10 * 1000,   /* no call is given up before this */
    DEADLINE_UNKNOWN_MS = 30 * 1000, /* while there is no record yet */
    DEADLINE_TOKEN_MS = 500,         /* room for each token of a prompt that is new to the server, until it is known */
    DEADLINE_ROUND = 64,             /* so many new tokens are a round, whose time is on record */
    DEADLINE_RECORD = 8,             /* calls that make a record */
    DEADLINE_TIMES = 20,             /* times the slow calls of the record */
};

static void schedule(struct member *m, int64_t us)
{
    struct timeval tv = {.tv_sec = us / 1000000, .tv_usec = us % 1000000};
    evtimer_add(m->timer, &tv);
}

static const char *role_name(const struct member *m)
{
    static const char *const names[] = {
        [ROLE_TARGET] = "target", [ROLE_DRAFTER] = "drafter", [ROLE_AGENT] = "agent", [ROLE_VERIFIER] = "verifier"};
    return names[m->role];
}

static void set_health(struct member *m, enum snapshot_health health, const char *reason)
{
    bool was_probed = m->probed;
    bool same = m->health == health;
    m->health = health;
    m->probed = true;
    if (health != HEALTH_UP || !m->vocab_known || m->vocab != BACKEND_VOCAB_DIFFERENT)
        snprintf(m->reason, sizeof(m->reason), "%s", reason);
    if (same && was_probed)
        return;
    if (health == HEALTH_UP)
        log_info("%s %s is up: %s, %s", role_name(m), m->name, m->backend->info.model, m->backend->ops->name);
    else
        log_warn("%s %s is down: %s", role_name(m), m->name, reason);
    if (health != HEALTH_UP)
        m->vocab_known = false;
    m->changed(m->arg, m);
}

static void on_probe(void *arg, const struct backend_status *st, const struct backend_info *info)
{
    struct member *m = arg;
    m->probe_call = NULL;
    if (st->error != BACKEND_OK) {
        m->backoff_us = m->backoff_us == 0 ? BACKOFF_FIRST_US : m->backoff_us * 2;
        if (m->backoff_us > BACKOFF_MOST_US)
            m->backoff_us = BACKOFF_MOST_US;
        schedule(m, m->backoff_us);
        set_health(m, HEALTH_DOWN, st->message);
        return;
    }
    m->backoff_us = 0;
    if (info->rtt_us >= 0)
        stats_ring_add(&m->rtt_us, (double)info->rtt_us);
    schedule(m, PROBE_EVERY_US);
    set_health(m, HEALTH_UP, "");
    /* A comparison that came to nothing, perhaps because a call of it failed, is made again. */
    if (m->vocab_known && m->vocab == BACKEND_VOCAB_UNKNOWN) {
        m->vocab_known = false;
        m->changed(m->arg, m);
    }
}

static void probe(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct member *m = arg;
    if (m->probe_call == NULL)
        m->probe_call = backend_probe(m->backend, PROBE_TIMEOUT_MS, on_probe, m);
}

struct member *member_create(struct event_base *base, enum snapshot_role role, struct backend *backend,
                             member_changed_cb *changed, void *arg)
{
    struct member *m = xcalloc(1, sizeof(*m));
    m->role = role;
    m->name = xstrdup(backend->cfg.name != NULL ? backend->cfg.name : backend->cfg.url);
    m->backend = backend;
    m->base = base;
    m->changed = changed;
    m->deadline_floor_ms = DEADLINE_FLOOR_MS;
    m->deadline_unknown_ms = DEADLINE_UNKNOWN_MS;
    m->arg = arg;
    m->timer = evtimer_new(base, probe, m);
    schedule(m, 0);
    return m;
}

void member_destroy(struct member *m)
{
    if (m == NULL)
        return;
    if (m->probe_call != NULL)
        backend_cancel(m->probe_call);
    if (m->vocab_call != NULL)
        backend_cancel(m->vocab_call);
    event_free(m->timer);
    backend_destroy(m->backend);
    free(m->name);
    free(m);
}

void member_ok(struct member *m, int64_t elapsed_us, size_t n)
{
    m->calls++;
    m->strikes = 0;
    m->penalty_until_us = 0;
    stats_ring_add(&m->call_us, (double)elapsed_us);
    if ((m->role == ROLE_DRAFTER || m->role == ROLE_AGENT) && n > 0)
        stats_ring_add(&m->token_us, (double)elapsed_us / (double)n);
}

void member_failed(struct member *m, const struct backend_status *st)
{
    m->calls++;
    m->failures++;
    int64_t penalty = PENALTY_FIRST_US;
    for (unsigned i = 0; i < m->strikes && penalty < PENALTY_MOST_US; i++)
        penalty *= 2;
    m->strikes++;
    m->penalty_until_us = clock_us() + (penalty < PENALTY_MOST_US ? penalty : PENALTY_MOST_US);
    log_warn("%s %s: %s", role_name(m), m->name, st->message);
    if (st->error == BACKEND_UNREACHABLE || st->error == BACKEND_TIMEOUT || st->error == BACKEND_BROKEN) {
        if (m->probe_call != NULL) {
            backend_cancel(m->probe_call); /* it was sent while the server was still fine */
            m->probe_call = NULL;
        }
        m->backoff_us = 0;
        schedule(m, BACKOFF_FIRST_US / 4);
        set_health(m, HEALTH_DOWN, st->message);
    } else {
        snprintf(m->reason, sizeof(m->reason), "%s", st->message);
    }
    if (m->failed != NULL)
        m->failed(m->arg, m, st);
}

void member_saw_gap(struct member *m, int64_t elapsed_us)
{
    stats_ring_add(&m->gap_us, (double)elapsed_us);
}

void member_saw_prompt(struct member *m, int64_t elapsed_us, size_t n)
{
    if (n > DEADLINE_ROUND)
        stats_ring_add(&m->fed_us, (double)elapsed_us / (double)n);
}

static void on_vocab(void *arg, enum backend_vocab_match match, const char *reason)
{
    struct member *m = arg;
    bool again = match == BACKEND_VOCAB_UNKNOWN && m->vocab == match; /* asked at each probe */
    m->vocab_call = NULL;
    m->vocab_known = true;
    m->vocab = match;
    m->reason[0] = '\0';
    if (again)
        log_debug("drafter %s: %s", m->name, reason);
    else if (match == BACKEND_VOCAB_DIFFERENT) {
        snprintf(m->reason, sizeof(m->reason), "%s", reason);
        log_warn("drafter %s is not used: %s", m->name, reason);
    } else {
        log_info("drafter %s: %s", m->name, reason);
    }
    m->changed(m->arg, m);
}

void member_forget_vocab(struct member *m)
{
    if (m->vocab_call != NULL)
        backend_cancel(m->vocab_call);
    m->vocab_call = NULL;
    m->vocab_known = false;
}

void member_compare_vocab(struct member *m, struct member *target)
{
    member_forget_vocab(m);
    if (member_up(m) && member_up(target))
        m->vocab_call = backend_compare_vocab(target->backend, m->backend, on_vocab, m);
}

void member_probe_now(struct member *m)
{
    if (m->probe_call != NULL)
        backend_cancel(m->probe_call); /* it may have been sent to a server that is no more */
    m->probe_call = NULL;
    m->backoff_us = 0;
    m->penalty_until_us = 0;
    m->strikes = 0;
    schedule(m, 0);
}

void member_set_patience(struct member *m, int floor_ms)
{
    m->deadline_floor_ms = floor_ms;
    m->deadline_unknown_ms = floor_ms * (DEADLINE_UNKNOWN_MS / DEADLINE_FLOOR_MS);
}

void member_set_paused(struct member *m, bool paused)
{
    if (m->paused == paused)
        return;
    m->paused = paused;
    log_info("%s %s is %s", role_name(m), m->name, paused ? "paused" : "back from its pause");
    m->changed(m->arg, m);
}

bool member_up(const struct member *m)
{
    return m->health == HEALTH_UP;
}

uint32_t member_slots(const struct member *m)
{
    int32_t slots = m->backend->info.slots;
    return slots > 0 ? (uint32_t)slots : SLOTS_UNKNOWN;
}

bool member_ready(const struct member *m)
{
    return member_up(m) && clock_us() >= m->penalty_until_us;
}

bool member_is_text(const struct member *m)
{
    return m->backend->ops->no_server;
}

bool member_can_draft(const struct member *m, const struct member *target)
{
    const struct backend_caps *caps = &m->backend->info.caps;
    if (!member_up(m) || m->paused || clock_us() < m->penalty_until_us)
        return false;
    if (member_is_text(m))
        return true;
    if (caps->draft_tokens)
        return m->vocab_known && m->vocab != BACKEND_VOCAB_DIFFERENT && m->vocab != BACKEND_VOCAB_UNKNOWN;
    return caps->draft_text && target->backend->info.caps.tokenize;
}

static int deadline_ms(const struct member *m, const struct stats_ring *record, size_t n_new)
{
    bool known = stats_ring_count(record) >= DEADLINE_RECORD;
    double base = m->deadline_unknown_ms, token = DEADLINE_TOKEN_MS;
    if (known) {
        base = DEADLINE_TIMES * stats_ring_quantile(record, 0.95) / 1000.0;
        if (base < m->deadline_floor_ms)
            base = m->deadline_floor_ms;
    }
    double fed = DEADLINE_TIMES * stats_ring_quantile(&m->fed_us, 0.95) / 1000.0;
    if (fed < token) /* not where it is unknown */
        token = fed;
    double ms = base + (known && n_new <= DEADLINE_ROUND ? 0 : token * (double)n_new);
    return ms < 3600e3 ? (int)ms : 3600 * 1000;
}

int member_deadline_ms(const struct member *m, size_t n_new)
{
    return deadline_ms(m, &m->call_us, n_new);
}

int member_stream_deadline_ms(const struct member *m, size_t n_new)
{
    return deadline_ms(m, stats_ring_count(&m->gap_us) >= DEADLINE_RECORD ? &m->gap_us : &m->call_us, n_new);
}

void member_snapshot(const struct member *m, struct snapshot_backend *out)
{
    const struct backend_info *info = &m->backend->info;
    *out = (struct snapshot_backend){.role = m->role,
                                     .health = m->health,
                                     .paused = m->paused,
                                     .calls = m->calls,
                                     .failures = m->failures,
                                     .drafted = m->drafted,
                                     .accepted = m->accepted,
                                     .offered = m->offered,
                                     .wins = m->wins,
                                     .resting = m->rest.resting};
    snprintf(out->name, sizeof(out->name), "%s", m->name);
    snprintf(out->url, sizeof(out->url), "%s", m->backend->cfg.url);
    snprintf(out->kind, sizeof(out->kind), "%s", m->backend->ops->name);
    machine_text(out->model, sizeof(out->model), info->model); /* the server's own words */
    machine_text(out->version, sizeof(out->version), info->version);
    machine_text(out->reason, sizeof(out->reason), m->reason);
    double rtt = stats_ring_quantile(&m->rtt_us, 0.5);
    out->rtt_us = isnan(rtt) ? -1 : (int64_t)rtt;
    double call = stats_ring_quantile(&m->call_us, 0.5), token = stats_ring_quantile(&m->token_us, 0.5);
    out->call_ms = call / 1000.0;
    out->tokens_per_second = token > 0 ? 1e6 / token : NAN;
}
