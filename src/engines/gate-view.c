/* The gate's part of the picture, and what it has saved. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engines/gate-internal.h"
#include "probe/machine.h"

static void fill_agent(const struct agent *agent, struct snapshot_agent *out)
{
    struct snapshot_backend b;
    member_snapshot(agent->m, &b);
    *out = (struct snapshot_agent){
        .health = b.health,
        .rtt_us = b.rtt_us,
        .busy = agent->busy,
        .slots = gate_agent_slots(agent),
        .answers = agent->answers,
        .failures = agent->failures,
        .approved = agent->approved,
        .corrected = agent->corrected,
        .rejected = agent->rejected,
        .shadowed = agent->shadowed,
        .false_approved = agent->false_approved,
        .answer_ms = stats_ring_quantile(&agent->answer_us, 0.5) / 1000.0,
        .tokens_per_second = b.tokens_per_second,
    };
    snprintf(out->name, sizeof(out->name), "%s", b.name);
    snprintf(out->url, sizeof(out->url), "%s", b.url);
    snprintf(out->kind, sizeof(out->kind), "%s", b.kind);
    snprintf(out->model, sizeof(out->model), "%s", b.model);
    snprintf(out->reason, sizeof(out->reason), "%s", b.reason);
}

static void why(const struct gate *g, char *out, size_t size)
{
    const struct member *v = gate_verifier(g);
    const char *cannot = member_up(v) ? review_cannot(v, g->review) : NULL;
    size_t up = 0;
    for (size_t i = 0; i < g->n_agents; i++)
        up += member_up(g->agent[i]->m);
    out[0] = '\0';
    if (!gate_is_on(g))
        snprintf(out, size, "it is stopped: `tightwad gate start` turns it on");
    else if (!member_up(v))
        snprintf(out, size, "the verifier %.60s is not there: %.160s", v->name, v->reason);
    else if (cannot != NULL)
        snprintf(out, size, "the verifier %.60s: %.160s", v->name, cannot);
    else if (up == 0)
        snprintf(out, size, "no agent can be reached: %.60s: %.140s", g->agent[0]->m->name,
                 g->agent[0]->m->reason[0] != '\0' ? g->agent[0]->m->reason : "not asked yet");
}

/* ---- what is saved ---- */

/* The host of a url, which is compared with where machines are reached. */
static size_t host_of(const char *url, const char **host)
{
    const char *at = strstr(url, "://");
    *host = at != NULL ? at + 3 : url;
    return strcspn(*host, ":/");
}

static bool is_here(const char *host, size_t n)
{
    return (n == 9 && strncmp(host, "127.0.0.1", n) == 0) || (n == 9 && strncmp(host, "localhost", n) == 0);
}

/* Watts that the GPUs of the machine with this server draw now; NAN: not known of each. */
static double power_of(const struct snapshot *s, const char *url)
{
    const char *host;
    size_t n = host_of(url, &host);
    for (size_t i = 0; i < s->n_machines; i++) {
        const struct snapshot_machine *m = &s->machine[i];
        bool same = m->address[0] == '\0' ? is_here(host, n)
                                          : strcspn(m->address, ":") == n && strncmp(m->address, host, n) == 0;
        if (!same)
            continue;
        double watts = m->n_gpus > 0 ? 0 : NAN;
        for (size_t k = 0; k < m->n_gpus; k++)
            watts += m->gpu[k].power;
        return watts;
    }
    return NAN;
}

/* Time of the target's that it did not need for what agents wrote, less what reviews and checks took. */
static double seconds_saved(const struct gate *g)
{
    double token_us = stats_ring_quantile(&g->target_token_us, 0.5);
    double spared = (double)g->tokens - (double)g->target_tokens;
    return (spared * token_us - (double)g->review_us - (double)g->shadow_us) / 1e6;
}

static double joules_saved(const struct gate *g, const struct snapshot *s, double seconds)
{
    double joules = seconds * power_of(s, gate_verifier(g)->backend->cfg.url);
    for (size_t i = 0; i < g->n_agents; i++)
        joules -= (double)g->agent[i]->busy_us / 1e6 * power_of(s, g->agent[i]->m->backend->cfg.url);
    return joules;
}

void gate_fill(const struct proxy *p, struct snapshot_gate *out)
{
    const struct gate *g = p->gate;
    *out = (struct snapshot_gate){
        .configured = gate_configured(g),
        .on = gate_is_on(g),
        .writing = gate_count_runs(g, false),
        .reviewing = gate_count_runs(g, true),
        .requests = g->requests,
        .approved = g->outcomes[OUTCOME_APPROVED],
        .corrected = g->outcomes[OUTCOME_CORRECTED],
        .rejected = g->outcomes[OUTCOME_REJECTED],
        .errors = g->errors,
        .direct = g->outcomes[OUTCOME_DIRECT],
        .unreviewed = g->outcomes[OUTCOME_UNREVIEWED],
        .cached = g->outcomes[OUTCOME_CACHED],
        .retries = g->retries,
        .agent_tokens = g->agent_tokens,
        .unreadable = g->unreadable,
        .tokens = g->tokens,
        .target_tokens = g->target_tokens,
        .shadowed = g->shadowed,
        .false_approved = g->false_approved,
    };
    stats_wilson(g->false_approved, g->shadowed, &out->shadow_low, &out->shadow_high);
    out->seconds_saved = g->requests > 0 ? seconds_saved(g) : NAN;
    out->joules_saved = g->requests > 0 ? joules_saved(g, &p->snapshot, out->seconds_saved) : NAN;
    snprintf(out->routing, sizeof(out->routing), "%s", gate_routing_name(g->routing));
    snprintf(out->review, sizeof(out->review), "%s", review_kind_name(review_kind_for(gate_verifier(g), g->review)));
    machine_text(out->verifier, sizeof(out->verifier), gate_verifier(g)->name);
    if (out->configured)
        why(g, out->why, sizeof(out->why));
    for (size_t i = 0; i < g->n_agents; i++)
        fill_agent(g->agent[i], &out->agent[out->n_agents++]);
}
