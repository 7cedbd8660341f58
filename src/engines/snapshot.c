#include "engines/snapshot.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "engines/names.h"
#include "engines/gate.h"
#include "engines/proxy-internal.h"
#include "probe/machine.h"

const char *snapshot_health_name(enum snapshot_health h)
{
    static const char *const names[] = {[HEALTH_UNKNOWN] = "unknown", [HEALTH_UP] = "up", [HEALTH_DOWN] = "down"};
    return names[h];
}

const char *snapshot_state_name(enum snapshot_state s)
{
    static const char *const names[] = {
        [REQUEST_QUEUED] = "queued",       [REQUEST_PREFILL] = "prefill", [REQUEST_RUNNING] = "running",
        [REQUEST_WAITING] = "waiting",     [REQUEST_DONE] = "done",       [REQUEST_FAILED] = "failed",
        [REQUEST_CANCELLED] = "cancelled",
    };
    return names[s];
}

enum {
    NAME_SHOWN = 50, /* bytes that the picture has of a model's name */
    RATE_TOKENS = 8, /* of an answer that says how fast its model is */
};

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

double snapshot_model_rate(const struct snapshot *s, const char *model)
{
    double found[SNAPSHOT_REQUESTS];
    size_t n = 0, len = strnlen(model, NAME_SHOWN);
    for (size_t i = 0; i < s->n_requests; i++) {
        const struct snapshot_request *r = &s->request[i];
        if (r->state == REQUEST_DONE && r->tokens >= RATE_TOKENS && !isnan(r->tokens_per_second) &&
            strlen(r->model) == len && memcmp(r->model, model, len) == 0)
            found[n++] = r->tokens_per_second;
    }
    qsort(found, n, sizeof(*found), by_size);
    return n > 0 ? found[n / 2] : NAN;
}

/* ---- counts ---- */

static void tell_round(struct proxy *p, const struct snapshot_round *r)
{
    proxy_live_round(p, r);
    for (struct proxy_listener *l = p->listeners, *next; l != NULL; l = next) {
        next = l->next;
        if (l->on_round != NULL)
            l->on_round(l->arg, r);
    }
}

void proxy_count_round(struct proxy_answer *a, const struct snapshot_round *r, bool near_tie)
{
    struct proxy *p = a->proxy;
    p->near_ties += near_tie;
    if (r->drafted == 0) {
        tell_round(p, r);
        return;
    }
    p->rounds++;
    p->drafted += r->drafted;
    p->accepted += r->accepted;
    p->round[p->rounds_written++ % PROXY_ROUNDS] = (struct proxy_round){r->drafted, r->accepted, r->emitted};
    if (!isnan(r->draft_ms))
        stats_ring_add(&p->draft_ms, r->draft_ms);
    if (!isnan(r->verify_ms))
        stats_ring_add(&p->verify_ms, r->verify_ms);
    stats_ring_add(&p->wait_ms, r->wait_ms);
    tell_round(p, r);
}

void proxy_count_compared(struct proxy_answer *a, struct member *drafter, size_t drafted, size_t accepted)
{
    a->proxy->compared = true;
    a->rounds++;
    a->drafted += (int64_t)drafted;
    a->accepted += (int64_t)accepted;
    drafter->drafted += drafted;
    drafter->accepted += accepted;
    struct snapshot_round r = {.request = a->id,
                               .round = (uint64_t)a->rounds,
                               .drafter = drafter->name,
                               .drafted = (uint32_t)drafted,
                               .accepted = (uint32_t)accepted,
                               .emitted = 0,
                               .draft_ms = stats_ring_quantile(&drafter->call_us, 0.5) / 1000.0,
                               .verify_ms = NAN,
                               .wait_ms = 0};
    proxy_count_round(a, &r, false);
}

void proxy_count_tokens(struct proxy_answer *a, size_t n)
{
    a->proxy->emitted += n;
    a->target->emitted += n;
}

void proxy_count_draft_failure(struct proxy *p)
{
    p->draft_failures++;
}

void proxy_count_fallback_round(struct proxy *p)
{
    p->fallback_rounds++;
}

void proxy_count_resumed(struct proxy *p)
{
    p->resumed++;
}

void proxy_count_branches(struct proxy *p, size_t checked, bool right)
{
    p->branches += checked;
    p->branches_right += right;
}

void proxy_count_drawn(struct proxy *p, size_t n)
{
    p->drawn += n;
}

void proxy_count_ahead(struct proxy *p, enum line_match match, size_t ready)
{
    p->ahead_asked++;
    p->ahead_line += match == LINE_GOES_ON && ready > 0;
    p->ahead_branch += match == LINE_BRANCHED && ready > 0;
}

/* ---- the picture ---- */

void proxy_answer_snapshot(const struct proxy_answer *a, struct snapshot_request *out)
{
    int64_t end = a->ended_us != 0 ? a->ended_us : clock_us();
    *out = (struct snapshot_request){
        .id = a->id,
        .state = a->state,
        .speculative = a->runner == &speculate_runner && a->rounds > 0,
        .started_wall_ms = a->started_wall_ms,
        .prompt_tokens = a->prompt_tokens,
        .tokens = a->tokens,
        .drafted = a->drafted,
        .accepted = a->accepted,
        .rounds = a->rounds,
        .seconds = (double)(end - a->started_us) / 1e6,
        .first_token_seconds = NAN,
        .tokens_per_second = NAN,
    };
    char name[NAME_SHOWN + 1];
    machine_text(name, sizeof(name), proxy_model(a->proxy));
    snprintf(out->mode, sizeof(out->mode), "%s", proxy_mode_name(a->mode));
    snprintf(out->model, sizeof(out->model), a->mode == PROXY_EXACT ? "%s" : "%s@%s", name, out->mode);
    snprintf(out->outcome, sizeof(out->outcome), "%s", gate_answer_state(a));
    machine_text(out->agent, sizeof(out->agent), proxy_answer_agent(a));
    if (a->first_us != 0)
        out->first_token_seconds = (double)(a->first_us - a->started_us) / 1e6;
    if (a->running_us != 0 && a->tokens > 0 && end > a->running_us)
        out->tokens_per_second = (double)a->tokens * 1e6 / (double)(end - a->running_us);
}

static void why_not(const struct proxy *p, char *out, size_t size)
{
    const struct backend_info *target = &p->target->backend->info;
    out[0] = '\0';
    if (p->n_drafters == 0)
        snprintf(out, size, "no drafter is configured");
    else if (proxy_draft_cap(p) == 0)
        snprintf(out, size, "max_draft_tokens is 0");
    else if (!member_up(p->target))
        snprintf(out, size, "the target is not there: %.200s", p->trouble[0] != '\0' ? p->trouble : p->target->reason);
    else if (!target->caps.verify)
        snprintf(out, size, "the target can't verify: %.200s",
                 target->cannot_verify != NULL ? target->cannot_verify : "it has no way to check a draft");
    else if (proxy_pick_drafter(p) != NULL || proxy_pick_quoter(p) != NULL)
        return;
    else if (p->drafter[0]->paused)
        snprintf(out, size, "drafter %s is paused", p->drafter[0]->name);
    else
        snprintf(out, size, "drafter %s: %.180s", p->drafter[0]->name,
                 p->drafter[0]->reason[0] != '\0' ? p->drafter[0]->reason : "not ready yet");
}

static void exactness(const struct proxy *p, struct snapshot *s)
{
    const struct backend_info *info = &p->target->backend->info;
    if (!info->known) {
        snprintf(s->exactness, sizeof(s->exactness), "unknown");
    } else if (!info->caps.verify) {
        snprintf(s->exactness, sizeof(s->exactness), "byte for byte");
        snprintf(s->exactness_note, sizeof(s->exactness_note), "the target writes every token by itself");
    } else if (!info->batch_invariant_known) {
        snprintf(s->exactness, sizeof(s->exactness), "unknown");
        snprintf(s->exactness_note, sizeof(s->exactness_note),
                 "the target does not say whether its batched and single passes agree");
    } else if (info->batch_invariant) {
        snprintf(s->exactness, sizeof(s->exactness), "byte for byte");
    } else {
        snprintf(s->exactness, sizeof(s->exactness), "up to near-ties");
        snprintf(s->exactness_note, sizeof(s->exactness_note),
                 "on this target batched and single passes differ by up to %.3g in a logit", info->noise);
    }
    if (info->known && info->advice != NULL) {
        size_t len = strlen(s->exactness_note);
        snprintf(s->exactness_note + len, sizeof(s->exactness_note) - len, "%s%s", len > 0 ? "; " : "", info->advice);
    }
}

static void rates(struct proxy *p, struct snapshot *s)
{
    size_t ticks = s->tick < PROXY_RATE_TICKS ? (size_t)s->tick : PROXY_RATE_TICKS;
    uint64_t *oldest = &p->tick_emitted[s->tick % PROXY_RATE_TICKS];
    s->tokens_per_second = ticks == 0 ? 0 : (double)(p->emitted - *oldest) * 1000.0 / (double)(ticks * PROXY_TICK_MS);
    *oldest = p->emitted;
    uint64_t drafted = 0, accepted = 0, emitted = 0;
    size_t n = p->rounds_written < PROXY_ROUNDS ? p->rounds_written : PROXY_ROUNDS;
    for (size_t i = 0; i < n; i++) {
        drafted += p->round[i].drafted;
        accepted += p->round[i].accepted;
        emitted += p->round[i].emitted;
    }
    s->acceptance = drafted > 0 ? (double)accepted / (double)drafted : NAN;
    s->tokens_per_round = n > 0 && emitted > 0 ? (double)emitted / (double)n : NAN;
    s->draft_ms = stats_ring_quantile(&p->draft_ms, 0.5);
    s->verify_ms = stats_ring_quantile(&p->verify_ms, 0.5);
    s->wait_ms = stats_ring_quantile(&p->wait_ms, 0.5);
}

/* What drafters have spent on tokens that were never in a pass. */
static double wasted_ms(const struct proxy *p)
{
    double ms = NAN;
    for (size_t i = 0; i < p->n_drafters; i++) {
        const struct member *m = p->drafter[i];
        uint64_t unused = m->drawn > m->drafted ? m->drawn - m->drafted : 0;
        if (m->record.draft_us > 0)
            ms = (isnan(ms) ? 0 : ms) + (double)unused * m->record.draft_us / 1000;
    }
    return ms;
}

static void governor(struct proxy *p, struct snapshot *s)
{
    const struct governor *g = &p->governor;
    if (p->settings.governor)
        governor_reason(g, s->governor, sizeof(s->governor));
    else
        snprintf(s->governor, sizeof(s->governor), "off");
    s->drafting_pays = !p->settings.governor || !g->use_alone;
    s->predicted_ms = g->predicted_us > 0 ? g->predicted_us / 1000 : NAN;
    s->measured_ms = g->measured_us > 0 ? g->measured_us / 1000 : NAN;
    s->prediction_error = g->error;
    s->ahead_verdicts = p->ahead_asked;
    s->ahead_line = p->ahead_line;
    s->ahead_branch = p->ahead_branch;
    s->drafts_written = p->drawn;
    s->drafts_wasted_ms = wasted_ms(p);
    s->branches_checked = p->branches;
    s->branches_right = p->branches_right;
}

static void requests(const struct proxy *p, struct snapshot *s)
{
    const struct answer_list *lists[] = {&p->running, &p->queue};
    for (size_t i = 0; i < 2; i++) {
        for (const struct proxy_answer *a = lists[i]->first; a != NULL && s->n_requests < SNAPSHOT_REQUESTS;
             a = a->next)
            proxy_answer_snapshot(a, &s->request[s->n_requests++]);
    }
    size_t done = p->done_written < SNAPSHOT_REQUESTS ? p->done_written : SNAPSHOT_REQUESTS;
    for (size_t i = 1; i <= done && s->n_requests < SNAPSHOT_REQUESTS; i++)
        s->request[s->n_requests++] = p->done[(p->done_written - i) % SNAPSHOT_REQUESTS];
}

void proxy_fill_snapshot(struct proxy *p)
{
    struct snapshot *s = &p->snapshot;
    struct httpc_counters wire;
    httpc_get_counters(p->http, &wire);
    uint64_t tick = s->wall_ms == 0 ? 0 : s->tick + 1;
    *s = (struct snapshot){
        .tick = tick,
        .wall_ms = clock_wall_ms(),
        .uptime_ms = (clock_us() - p->started_us) / 1000,
        .max_draft_tokens = p->settings.max_draft_tokens,
        .rounds = p->rounds,
        .drafted = p->drafted,
        .accepted = p->accepted,
        .emitted = p->emitted,
        .draft_failures = p->draft_failures,
        .fallback_rounds = p->fallback_rounds,
        .resumed = p->resumed,
        .near_ties = p->near_ties,
        .wire_out = wire.bytes_out,
        .wire_in = wire.bytes_in,
        .requests_ok = p->requests_ok,
        .requests_failed = p->requests_failed,
        .requests_cancelled = p->requests_cancelled,
        .requests_refused = p->requests_refused,
        .running = p->running.n,
        .queued = p->queue.n,
        .slots = proxy_slots(p),
        .max_queue = (uint32_t)p->settings.max_queue,
    };
    snprintf(s->version, sizeof(s->version), "%s", TIGHTWAD_VERSION);
    machine_text(s->model, sizeof(s->model), proxy_model(p));
    snprintf(s->config, sizeof(s->config), "%s", p->config_path != NULL ? p->config_path : "");
    snprintf(s->listen, sizeof(s->listen), "%s", p->listen);
    snprintf(s->mode, sizeof(s->mode), "%s", proxy_mode_name(names_default(p)));
    snprintf(s->acceptance_source, sizeof(s->acceptance_source), "%s", p->compared ? "compared" : "verified");
    why_not(p, s->why_not, sizeof(s->why_not));
    s->speculating = s->why_not[0] == '\0';
    exactness(p, s);
    rates(p, s);
    governor(p, s);
    member_snapshot(p->target, &s->backend[0]);
    s->backend[0].active = true;
    s->backend[0].tokens_per_second = s->tokens_per_second;
    s->n_backends = 1;
    for (size_t i = 0; i < p->n_drafters; i++) {
        const struct member *m = p->drafter[i];
        member_snapshot(m, &s->backend[s->n_backends]);
        s->backend[s->n_backends++].active = s->speculating && member_can_draft(m, p->target) && !m->rest.resting;
    }
    requests(p, s);
    s->pool = (struct snapshot_pool){.progress = NAN, .load_ms = NAN, .pause_ms = NAN, .retry_ms = -1, .reclaimed = -1};
    if (p->pool != NULL)
        p->pool->fill(p->pool_arg, &s->pool);
    consensus_fill(p, &s->consensus);
    if (p->filler != NULL)
        p->filler(p->filler_arg, s);
    gate_fill(p, &s->gate); /* it asks what the machines draw */
    struct log_line lines[SNAPSHOT_LOG];
    s->n_log = log_recent(lines, SNAPSHOT_LOG);
    for (size_t i = 0; i < s->n_log; i++) {
        s->log[i].wall_ms = lines[i].wall_ms;
        s->log[i].level = (int)lines[i].level;
        snprintf(s->log[i].text, sizeof(s->log[i].text), "%.199s", lines[i].text);
    }
}
