/* What the gate knows of a request from its beginning to its end: how it came out, and what is counted and remembered
 * of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "engines/gate-internal.h"

enum { RATE_TOKENS = 4 }; /* of an answer that says what a token takes the target */

/* ---- the key of the cache ---- */

/* Whether the same request has the same answer every time. */
static bool is_reproducible(const struct oai_request *q)
{
    return q->sampling.temperature == 0 || q->seed_given;
}

/* All that the answer depends on, as a text; what does not change it (user, stream, metadata …) is left out.  The
 * parameters are those that were parsed, so that a default is the same whether it was given or not. */
static char *key_of(const struct oai_request *q)
{
    json_t *sampling = sampler_params_to_json(&q->sampling), *stops = json_array();
    if (q->sampling.temperature == 0)
        json_object_del(sampling, "seed");
    for (size_t i = 0; i < q->n_stops; i++)
        json_array_append_new(stops, json_string(q->stops[i]));
    json_t *o = json_pack("{s:b, s:o, s:I, s:o}", "chat", q->chat, "sampling", sampling, "max_tokens",
                          (json_int_t)q->max_tokens, "stops", stops);
    if (q->chat)
        json_object_set(o, "messages", q->messages);
    else
        json_object_set_new(o, "prompt", json_string(q->prompt));
    char *key = json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(o);
    return key;
}

/* ---- life ---- */

bool gate_take_in(struct gate *g, struct proxy_answer *a)
{
    a->gate = xcalloc(1, sizeof(*a->gate));
    a->gate->waited_us = clock_us();
    g->requests++;
    if (g->cfg.cache_identical && is_reproducible(&a->req))
        a->gate->key = key_of(&a->req);
    return a->gate->key != NULL && !g->p->held && gate_cache_find(g->cache, a->gate->key) != NULL;
}

void gate_begins_direct(struct proxy_answer *a)
{
    a->gate->outcome = OUTCOME_DIRECT;
    a->gate->target_us = clock_us();
}

void gate_ticket_destroy(struct gate_ticket *t)
{
    if (t == NULL)
        return;
    free(t->key);
    free(t);
}

const char *proxy_answer_outcome(const struct proxy_answer *a)
{
    static const char *const names[OUTCOMES] = {
        [OUTCOME_NONE] = NULL,           [OUTCOME_APPROVED] = "approved", [OUTCOME_CORRECTED] = "corrected",
        [OUTCOME_REJECTED] = "rejected", [OUTCOME_DIRECT] = "direct",     [OUTCOME_UNREVIEWED] = "unreviewed",
        [OUTCOME_CACHED] = "cached",
    };
    return a->gate != NULL ? names[a->gate->outcome] : NULL;
}

const char *proxy_answer_agent(const struct proxy_answer *a)
{
    return a->gate != NULL && a->gate->agent[0] != '\0' ? a->gate->agent : NULL;
}

bool gate_agent_wrote(const struct proxy_answer *a)
{
    return a->runner == &gate_runner && a->gate->outcome != OUTCOME_CORRECTED;
}

/* ---- the end ---- */

static void count_tokens(struct gate *g, const struct proxy_answer *a)
{
    const struct gate_ticket *t = a->gate;
    int64_t written = t->target_us != 0 && a->tokens > t->kept ? a->tokens - t->kept : 0;
    bool rewritten = t->outcome == OUTCOME_CORRECTED && t->target_us == 0; /* the text is the verdict's */
    g->tokens += (uint64_t)a->tokens;
    g->agent_tokens += rewritten ? 0 : (uint64_t)(a->tokens - written);
    g->target_tokens += (uint64_t)(written + t->target_tokens);
    if (written >= RATE_TOKENS && a->ended_us > t->target_us)
        stats_ring_add(&g->target_token_us, (double)(a->ended_us - t->target_us) / (double)written);
}

static void count_agent(struct gate *g, const struct gate_ticket *t)
{
    struct agent *agent = gate_agent_by_id(g, t->agent_id);
    bool reviewed = t->outcome == OUTCOME_APPROVED || t->outcome == OUTCOME_CORRECTED || t->outcome == OUTCOME_REJECTED;
    if (agent == NULL || !reviewed)
        return;
    gate_record_add(&agent->record, t->outcome == OUTCOME_APPROVED);
    agent->approved += t->outcome == OUTCOME_APPROVED;
    agent->corrected += t->outcome == OUTCOME_CORRECTED;
    agent->rejected += t->outcome == OUTCOME_REJECTED;
}

static void remember(struct gate *g, const struct proxy_answer *a)
{
    const struct gate_ticket *t = a->gate;
    struct gate_cached what = {.prompt_tokens = a->prompt_tokens, .tokens = a->tokens, .agent = t->agent};
    what.text = gate_run_text(a, &what.len, &what.finish);
    if (what.text == NULL)
        return;
    if (t->key != NULL)
        gate_cache_add(g->cache, t->key, &what);
    if (t->outcome == OUTCOME_APPROVED)
        gate_shadow_add(g, a, what.text, what.len);
}

void gate_answer_ended(struct proxy_answer *a)
{
    struct gate *g = a->proxy->gate;
    if (a->gate == NULL) {
        /* Exact answers show what a token takes the target. */
        bool by_target = a->mode == PROXY_EXACT || a->mode == PROXY_TARGET;
        if (a->state == REQUEST_DONE && by_target && a->tokens >= RATE_TOKENS && a->ended_us > a->running_us)
            stats_ring_add(&g->target_token_us, (double)(a->ended_us - a->running_us) / (double)a->tokens);
        return;
    }
    if (a->state == REQUEST_FAILED)
        g->errors++;
    if (a->state != REQUEST_DONE)
        return;
    g->outcomes[a->gate->outcome]++;
    count_tokens(g, a);
    count_agent(g, a->gate);
    if (a->gate->outcome == OUTCOME_APPROVED || a->gate->outcome == OUTCOME_CORRECTED)
        remember(g, a);
}
