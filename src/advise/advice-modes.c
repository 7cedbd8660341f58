/* What the answers can promise here: exact, or approximate by consensus or the quality gate; who votes, who writes. */
#include "advise/making.h"

#include <math.h>
#include <string.h>

#include "advise/estimate.h"
#include "base/mem.h"

/* Slower than this an agent keeps its readers waiting. */
#define USABLE 8.0 /* tokens/s */

/* Whether two models are asked at the same place under the same name.  Where one is to be started is not settled yet.
 */
static bool same_place(const struct advice_model *a, const struct advice_model *b)
{
    bool run = a->source == ADVICE_RUNS && b->source == ADVICE_RUNS;
    bool urls = run && strcmp(a->url, b->url) == 0;
    return urls && (!a->model_name || !b->model_name || strcmp(a->model_name, b->model_name) == 0);
}

bool making_joins(const struct making *k, int model, const int *others, size_t n, bool wished)
{
    const struct advice *a = k->a;
    const struct advice_model *m = &a->model[model], *t = &a->model[a->target];
    bool starts = wished && m->source == ADVICE_THERE;
    if (model == a->target || !m->url || (m->source != ADVICE_RUNS && !starts))
        return false;
    if (m->machine >= 0 && !making_may(k, m->machine, ADVICE_ROLE_DRAFTER))
        return false;
    for (size_t i = 0; i <= n; i++) {
        const struct advice_model *o = i < n ? &a->model[others[i]] : t;
        if (o == m || same_place(o, m) || (!wished && (m->machine < 0 || m->machine == o->machine)))
            return false;
    }
    return true;
}

bool making_drafts(const struct advice *a, int model)
{
    for (size_t i = 0; i < a->n_drafters; i++) {
        if (a->drafter[i] == model)
            return true;
    }
    return false;
}

/* ---- the gate's agents ---- */

static bool too_large(const struct advice_model *t, const struct advice_model *m)
{
    return m->missing > 0 || (t->parameters > 0 && m->parameters > t->parameters);
}

/* Of two on one machine: one that is quick enough, then what runs, then the larger one. */
static bool better(const struct advice_model *a, const struct advice_model *b)
{
    bool qa = !(a->alone < USABLE), qb = !(b->alone < USABLE);
    if (qa != qb)
        return qa;
    if (a->source != b->source)
        return a->source < b->source;
    if (!qa && a->alone != b->alone)
        return a->alone > b->alone;
    return a->parameters > b->parameters;
}

static bool has_agent(const struct advice *a, int machine)
{
    for (size_t i = 0; i < a->n_agents; i++) {
        if (machine >= 0 && a->model[a->agent[i]].machine == machine)
            return true;
    }
    return false;
}

/* The next agent: the best one of a machine that has none yet.  wished: of the same machine too, where nothing else is
 * left. */
static int next_agent(const struct making *k, bool wished)
{
    const struct advice *a = k->a;
    int best = ADVICE_NONE;
    for (size_t i = 0; i < a->n_models; i++) {
        const struct advice_model *m = &a->model[i];
        if (too_large(&a->model[a->target], m) || !making_joins(k, (int)i, a->agent, a->n_agents, wished))
            continue;
        if (best < 0) {
            best = (int)i;
            continue;
        }
        const struct advice_model *b = &a->model[best];
        bool fresh = !has_agent(a, m->machine), was = !has_agent(a, b->machine);
        if (fresh != was ? fresh : better(m, b))
            best = (int)i;
    }
    return best;
}

static void choose_agents(struct making *k)
{
    struct advice *a = k->a;
    bool wished = k->wish->mode == ADVICE_GATE;
    while (a->n_agents < ADVICE_AGENTS_MAX) {
        int next = next_agent(k, wished);
        if (next < 0)
            break;
        a->agent[a->n_agents++] = next;
    }
}

/* An agent writes small answers as a drafter writes small drafts: it is one role of a machine. */
static void give_roles(struct making *k)
{
    struct advice *a = k->a;
    for (size_t i = 0; i < a->n_agents; i++) {
        int machine = a->model[a->agent[i]].machine;
        enum advice_role *r = machine >= 0 ? &a->machine[machine].role : NULL;
        if (r && *r == ADVICE_ROLE_NONE)
            *r = ADVICE_ROLE_DRAFTER;
        else if (r && *r == ADVICE_ROLE_TARGET && !k->wish->role)
            *r = ADVICE_ROLE_BOTH;
    }
}

/* ---- what to expect ---- */

/* What all agents write, and what the target reads of theirs: a token of a review costs what one more token adds to a
 * pass. */
static void estimate(struct making *k)
{
    struct advice *a = k->a;
    const struct advice_model *t = &a->model[a->target];
    bool gpu = t->machine >= 0 && a->machine[t->machine].gpus > 0;
    double sum = 0;
    for (size_t i = 0; i < a->n_agents; i++)
        sum += a->model[a->agent[i]].alone;
    a->estimate.agents = a->n_agents > 0 ? sum : NAN;
    a->estimate.reviewed = t->alone / (gpu ? ESTIMATE_MORE_GPU : ESTIMATE_MORE_CPU);
}

static size_t voters(const struct making *k)
{
    const struct advice *a = k->a;
    size_t n = a->n_drafters;
    int order[ADVICE_MODELS_MAX + 8], list[ADVICE_DRAFTERS_MAX];
    if (n >= 2 || a->n_models > ADVICE_MODELS_MAX || n == 0)
        return n;
    /* Those that would have to be started first. */
    size_t all = advice_drafters_for(a, a->target, order);
    list[0] = a->drafter[0];
    for (size_t i = 0; i < all && n < 2; i++) {
        if (a->model[order[i]].machine != a->model[list[0]].machine && making_joins(k, order[i], list, 1, true))
            n++;
    }
    return n;
}

void making_modes(struct making *k)
{
    struct advice *a = k->a;
    a->can[ADVICE_EXACT] = true;
    a->estimate.agents = a->estimate.reviewed = NAN;
    if (a->target < 0)
        return;
    choose_agents(k);
    a->can[ADVICE_CONSENSUS] = a->model[a->target].verifies && voters(k) >= 2;
    a->can[ADVICE_GATE] = a->n_agents > 0;
    a->mode = a->can[k->wish->mode] ? k->wish->mode : ADVICE_EXACT;
    if (a->mode == ADVICE_CONSENSUS && a->n_drafters < 2)
        a->mode = ADVICE_EXACT;
    if (a->mode == ADVICE_GATE)
        give_roles(k);
    making_ports(k);
    estimate(k);
}
