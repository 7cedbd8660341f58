#include "engines/gate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cause.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "engines/gate-internal.h"

/* ---- agents ---- */

struct member *gate_verifier(const struct gate *g)
{
    return g->verifier != NULL ? g->verifier : g->p->target;
}

struct agent *gate_agent_by_id(const struct gate *g, uint64_t id)
{
    for (size_t i = 0; i < g->n_agents; i++) {
        if (g->agent[i]->id == id)
            return g->agent[i];
    }
    return NULL;
}

static bool is_usable(const struct agent *agent)
{
    const struct member *m = agent->m;
    return member_ready(m) && !m->paused && m->backend->info.caps.chat;
}

/* Small servers that don't say how many answers they write at once write one; an API has room for some. */
uint32_t gate_agent_slots(const struct agent *agent)
{
    const struct backend *b = agent->m->backend;
    return b->info.slots > 0 || b->ops == backend_kind("openai") ? member_slots(agent->m) : 1;
}

size_t gate_seats(const struct gate *g, const uint64_t *tried, size_t n_tried, struct gate_seat *out)
{
    for (size_t i = 0; i < g->n_agents; i++) {
        const struct agent *agent = g->agent[i];
        out[i] = (struct gate_seat){.usable = is_usable(agent),
                                    .busy = agent->busy,
                                    .slots = gate_agent_slots(agent),
                                    .record = gate_record_share(&agent->record)};
        for (size_t k = 0; k < n_tried; k++)
            out[i].tried = out[i].tried || tried[k] == agent->id;
    }
    return g->n_agents;
}

size_t gate_choose(struct gate *g, const struct gate_seat *seats)
{
    size_t last = g->n_agents;
    for (size_t i = 0; i < g->n_agents; i++) {
        if (g->agent[i]->id == g->last_agent)
            last = i;
    }
    size_t i = gate_route(g->routing, seats, g->n_agents, last);
    if (i < g->n_agents)
        g->last_agent = g->agent[i]->id;
    return i;
}

static int add_agent(struct gate *g, const struct config_server *s, char **cause)
{
    if (g->n_agents == GATE_AGENTS)
        return cause_set(cause, "quality_gate.agents: there are %d already, and no more are taken", GATE_AGENTS);
    struct member *m = proxy_make_member(g->p, ROLE_AGENT, s, cause);
    if (m == NULL)
        return -1;
    struct agent *agent = xcalloc(1, sizeof(*agent));
    agent->id = ++g->next_agent;
    agent->m = m;
    g->agent[g->n_agents++] = agent;
    return 0;
}

static void remove_agent(struct gate *g, size_t i)
{
    struct agent *agent = g->agent[i];
    log_info("agent %s is removed", agent->m->name);
    memmove(g->agent + i, g->agent + i + 1, (g->n_agents - i - 1) * sizeof(struct agent *));
    g->n_agents--;
    gate_agent_leaves(g, agent);
    g->leaving[g->n_leaving++] = agent;
    proxy_wake(g->p);
}

static void destroy_agent(struct agent *agent)
{
    member_destroy(agent->m);
    free(agent);
}

/* ---- life ---- */

static void take_settings(struct gate *g, const struct config_gate *from)
{
    char *prompt = xstrdup(from->verification_prompt != NULL ? from->verification_prompt : "");
    free(g->prompt);
    g->prompt = prompt;
    g->routing = gate_routing_by_name(from->routing);
    g->review = review_kind_by_name(from->review);
    g->cfg = *from;
    g->cfg.verifier = (struct config_server){0};
    g->cfg.agents = NULL;
    g->cfg.n_agents = 0;
    g->cfg.routing = g->cfg.review = g->cfg.verification_prompt = NULL;
}

struct gate *gate_create(struct proxy *p, const struct config *cfg, char **cause)
{
    struct gate *g = xcalloc(1, sizeof(*g));
    g->p = p;
    g->cache = gate_cache_create(GATE_CACHE_MOST, GATE_CACHE_BYTES);
    take_settings(g, &cfg->gate);
    bool fine = true;
    if (cfg->gate.verifier.url != NULL) {
        g->verifier = proxy_make_member(p, ROLE_VERIFIER, &cfg->gate.verifier, cause);
        g->verifier_down_us = clock_us();
        fine = g->verifier != NULL;
    }
    for (size_t i = 0; i < cfg->gate.n_agents && fine; i++)
        fine = add_agent(g, &cfg->gate.agents[i], cause) == 0;
    if (fine)
        return g;
    gate_destroy(g);
    return NULL;
}

void gate_destroy(struct gate *g)
{
    if (g == NULL)
        return;
    gate_shadow_drop(g);
    for (size_t i = 0; i < g->n_agents; i++)
        destroy_agent(g->agent[i]);
    for (size_t i = 0; i < g->n_leaving; i++)
        destroy_agent(g->leaving[i]);
    member_destroy(g->verifier);
    review_words_finish(&g->words);
    gate_cache_destroy(g->cache);
    free(g->prompt);
    free(g);
}

static bool is_listed(const struct agent *agent, const struct config_gate *cfg)
{
    for (size_t i = 0; i < cfg->n_agents; i++) {
        if (proxy_same_server(&agent->m->backend->cfg, &cfg->agents[i]))
            return true;
    }
    return false;
}

static bool is_there(const struct gate *g, const struct config_server *s)
{
    for (size_t i = 0; i < g->n_agents; i++) {
        if (proxy_same_server(&g->agent[i]->m->backend->cfg, s))
            return true;
    }
    return false;
}

int gate_reload(struct gate *g, const struct config *cfg, char **cause)
{
    take_settings(g, &cfg->gate);
    gate_cache_clear(g->cache);
    for (size_t i = g->n_agents; i-- > 0;) {
        if (!is_listed(g->agent[i], &cfg->gate) && g->n_leaving < GATE_AGENTS)
            remove_agent(g, i);
    }
    for (size_t i = 0; i < cfg->gate.n_agents; i++) {
        const struct config_server *s = &cfg->gate.agents[i];
        if (is_there(g, s))
            continue;
        if (add_agent(g, s, cause) != 0)
            return -1;
        log_info("agent %s is added", g->agent[g->n_agents - 1]->m->name);
    }
    proxy_wake(g->p);
    return 0;
}

void gate_member_changed(struct gate *g, const struct member *m)
{
    if (m == g->verifier)
        g->verifier_down_us = member_up(m) ? 0 : g->verifier_down_us != 0 ? g->verifier_down_us : clock_us();
    /* What comes back may be another model than before. */
    for (size_t i = 0; i < g->n_agents; i++) {
        if (g->agent[i]->m == m && !member_up(m))
            g->agent[i]->record = (struct gate_record){0};
    }
    if (m == gate_verifier(g) || m == g->p->target)
        gate_cache_clear(g->cache);
    if (m == g->p->target && !member_up(m))
        gate_shadow_drop(g);
}

void gate_target_replaced(struct gate *g)
{
    gate_cache_clear(g->cache);
    gate_shadow_drop(g);
    g->target_token_us = (struct stats_ring){0};
}

bool gate_is_probed(const struct gate *g)
{
    if (g->verifier != NULL && !g->verifier->probed)
        return false;
    for (size_t i = 0; i < g->n_agents; i++) {
        if (!g->agent[i]->m->probed)
            return false;
    }
    return true;
}

bool gate_configured(const struct gate *g)
{
    return g->n_agents > 0;
}

bool gate_is_on(const struct gate *g)
{
    return gate_configured(g) && g->p->gate_on;
}

bool proxy_gate_configured(const struct proxy *p)
{
    return p->gate_configured;
}

bool proxy_gate_on(const struct proxy *p)
{
    return p->gate_configured && p->gate_on;
}

int proxy_set_gate(struct proxy *p, bool on, char **cause)
{
    if (on && !p->gate_configured)
        return cause_set(cause, "no quality gate is configured: quality_gate in cluster.yaml wants agents");
    if (p->gate_on != on && p->gate != NULL)
        log_info("the quality gate is %s", on ? "on" : "off");
    p->gate_on = on;
    proxy_wake(p);
    return 0;
}

/* ---- the queue ---- */

uint32_t gate_slots(const struct gate *g)
{
    uint32_t n = 0;
    for (size_t i = 0; i < g->n_agents; i++)
        n += is_usable(g->agent[i]) ? gate_agent_slots(g->agent[i]) : 0;
    return n;
}

uint32_t gate_busy(const struct gate *g)
{
    uint32_t n = 0;
    for (size_t i = 0; i < g->n_agents; i++)
        n += g->agent[i]->busy;
    return n;
}

int64_t gate_verifier_gone_us(const struct gate *g)
{
    int64_t since = g->verifier != NULL ? g->verifier_down_us : g->p->target_down_us;
    return since != 0 ? clock_us() - since : 0;
}

bool gate_goes_without(const struct gate *g)
{
    return g->cfg.fail_open && gate_is_on(g) && gate_slots(g) > 0;
}

/* Logprobs are the target's, and token ids mean something in its vocabulary only. */
bool gate_serves(const struct gate *g, const struct oai_request *q)
{
    return gate_is_on(g) && q->logprobs < 0 && !q->echo && q->prompt_tokens == NULL;
}

enum gate_entry gate_entry(struct gate *g, const struct proxy_answer *a)
{
    struct gate_seat seats[GATE_AGENTS];
    if (!gate_is_on(g))
        return GATE_BY_TARGET;
    if (a->gate->key != NULL && gate_cache_find(g->cache, a->gate->key) != NULL)
        return GATE_BEGINS;
    size_t n = gate_seats(g, NULL, 0, seats);
    if (!gate_route_possible(seats, n))
        return gate_is_probed(g) ? GATE_BY_TARGET : GATE_LATER;
    /* Whoever waits with work begun has been asked first (gate_pump), and has no use for who is free now. */
    return gate_route(g->routing, seats, n, n) < n ? GATE_BEGINS : GATE_LATER;
}

bool gate_has_room(const struct gate *g)
{
    struct gate_seat seats[GATE_AGENTS];
    size_t n = gate_seats(g, NULL, 0, seats);
    return gate_route(g->routing, seats, n, n) < n;
}

void gate_pump(struct gate *g)
{
    for (size_t i = 0; i < g->n_leaving; i++)
        destroy_agent(g->leaving[i]);
    g->n_leaving = 0;
    gate_serve_waiting(g);
}

/* ---- time ---- */

enum { QUIET_US = 3 * 1000 * 1000 }; /* longest time in which a client hears nothing */

/* Tells those who have got nothing yet that they are not forgotten. */
static void tell_waiting(const struct answer_list *list, int64_t now)
{
    for (struct proxy_answer *a = list->first, *next; a != NULL; a = next) {
        next = a->next;
        if (a->ended || a->gate == NULL || a->first_us != 0 || now - a->gate->waited_us < QUIET_US)
            continue;
        a->gate->waited_us = now;
        if (a->ops->on_wait != NULL)
            a->ops->on_wait(a->arg);
    }
}

void gate_tick(struct gate *g)
{
    int64_t now = clock_us();
    gate_check_runs(g, now);
    tell_waiting(&g->p->running, now);
    tell_waiting(&g->p->queue, now);
    if (g->waiting != NULL || g->shadows != NULL) /* a penalty, a busy moment end without an event of their own */
        proxy_wake(g->p);
}
