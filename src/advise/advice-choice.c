#include "advise/making.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "advise/estimate.h"
#include "base/mem.h"

bool making_fixed(const struct making *k)
{
    for (size_t i = 0; k->wish->role && i < k->n; i++) {
        if (k->wish->role[i] != ADVICE_ROLE_AUTO)
            return true;
    }
    return false;
}

/* There is one target: where somebody said which machine it is, no other one is. */
static bool target_fixed(const struct making *k)
{
    for (size_t i = 0; k->wish->role && i < k->n; i++) {
        if (k->wish->role[i] == ADVICE_ROLE_TARGET || k->wish->role[i] == ADVICE_ROLE_BOTH)
            return true;
    }
    return false;
}

bool making_may(const struct making *k, int machine, enum advice_role r)
{
    enum advice_role is = k->wish->role && machine >= 0 ? k->wish->role[machine] : ADVICE_ROLE_AUTO;
    if (is == ADVICE_ROLE_AUTO)
        return r != ADVICE_ROLE_TARGET || !target_fixed(k);
    if (is == r)
        return true;
    return is == ADVICE_ROLE_BOTH && (r == ADVICE_ROLE_TARGET || r == ADVICE_ROLE_DRAFTER);
}

/* The machine may do it, or the pair is wished for. */
static bool allowed(const struct making *k, int model, enum advice_role r)
{
    return k->a->model[model].machine < 0 || making_may(k, k->a->model[model].machine, r);
}

static bool named(const struct advice_model *m, const char *url, const char *name)
{
    if (url)
        return m->url && strcmp(m->url, url) == 0 && (!name || !m->model_name || strcmp(m->model_name, name) == 0);
    return making_is_called(m, name);
}

static bool may_be_target(const struct making *k, int i)
{
    const struct advice_wish *w = k->wish;
    const struct advice_model *m = &k->a->model[i];
    if (w->target != ADVICE_AUTO)
        return i == w->target;
    if (w->target_url || w->target_name)
        return named(m, w->target_url, w->target_name);
    if (w->cloud_url)
        return m->source == ADVICE_API;
    return m->source != ADVICE_API && allowed(k, i, ADVICE_ROLE_TARGET) &&
           !(w->draft_url && named(m, w->draft_url, NULL));
}

static bool may_draft(const struct making *k, int i)
{
    const struct advice_wish *w = k->wish;
    const struct advice_model *m = &k->a->model[i];
    if (w->drafter != ADVICE_AUTO)
        return i == w->drafter;
    if (w->draft_url || w->draft_name)
        return named(m, w->draft_url, w->draft_name);
    return allowed(k, i, ADVICE_ROLE_DRAFTER);
}

/* A drafter that somebody chose is taken, suitable or not. */
static double drafter_value(const struct making *k, int target, int i)
{
    const struct advice_wish *w = k->wish;
    if (i == target || !may_draft(k, i))
        return -INFINITY;
    double score = making_drafter_score(k, target, i);
    bool chosen = w->drafter >= 0 || w->draft_url || w->draft_name;
    return chosen && score == -INFINITY ? -100 : score;
}

static int best_drafter(const struct making *k, int target, double *score)
{
    int best = ADVICE_NONE;
    *score = 0;
    for (size_t i = 0; i < k->a->n_models; i++) {
        double s = drafter_value(k, target, (int)i);
        if (s > -INFINITY && (best < 0 || s > *score)) {
            best = (int)i;
            *score = s;
        }
    }
    return best;
}

/* ---- the target ---- */

/* Slower than this nobody likes to read. */
#define USABLE 8.0 /* tokens/s */

/* How a model suits as the target, in doublings of its size; each halving of a rate that is too low costs two. */
static double score_target(const struct making *k, const struct advice_model *m)
{
    double size = m->parameters > 0 ? (double)m->parameters : m->bytes > 0 ? (double)m->bytes * 1.65 : 1e6;
    double score = log2(size / 1e9) + (m->verifies ? 1 : 0);
    score += m->source == ADVICE_RUNS ? 1 : m->source == ADVICE_HERE ? 0.5 : 0;
    int worker[ADVICE_WORKERS_MAX];
    size_t n = 0;
    double alone = m->alone;
    if (m->missing > 0 && m->source == ADVICE_HERE && making_pool(k, m->need, worker, &n) >= m->need) {
        score -= 0.5; /* trips for every pass */
        alone = 1 / making_pool_token(k, m, worker, n);
    } else if (m->missing > 0) {
        score -= 20; /* only where there is nothing else */
    }
    if (alone < USABLE)
        score -= 2 * log2(USABLE / alone);
    return score;
}

static void choose_pair(struct making *k)
{
    struct advice *a = k->a;
    double most = -INFINITY;
    a->target = ADVICE_NONE;
    for (size_t i = 0; i < a->n_models; i++) {
        double draft;
        if (!may_be_target(k, (int)i))
            continue;
        int with = best_drafter(k, (int)i, &draft);
        double score = score_target(k, &a->model[i]) + (with >= 0 && draft > 0 ? draft : 0);
        if (score > most) {
            most = score;
            a->target = (int)i;
        }
    }
}

/* The drafters in the order of their worth: the chosen one, and others that run, each on a machine of its own: all
 * draft at once.  For consensus also such as have to be started, or share a machine. */
static void choose_drafters(struct making *k)
{
    struct advice *a = k->a;
    int order[ADVICE_MODELS_MAX + 8];
    bool votes = k->wish->mode == ADVICE_CONSENSUS;
    if (a->target < 0 || k->wish->drafter == ADVICE_NONE)
        return;
    double score;
    int best = best_drafter(k, a->target, &score);
    if (best < 0)
        return;
    a->drafter[a->n_drafters++] = best;
    bool chosen = (k->wish->drafter >= 0 || k->wish->draft_url || k->wish->draft_name) && !votes;
    size_t n = chosen || a->n_models > ADVICE_MODELS_MAX ? 0 : advice_drafters_for(a, a->target, order);
    for (size_t i = 0; i < n && a->n_drafters < ADVICE_DRAFTERS_MAX; i++) {
        if (making_joins(k, order[i], a->drafter, a->n_drafters, votes))
            a->drafter[a->n_drafters++] = order[i];
    }
}

/* ---- roles ---- */

static void add_role(struct advice *a, int machine, enum advice_role r)
{
    if (machine < 0)
        return;
    enum advice_role *is = &a->machine[machine].role;
    *is = *is == ADVICE_ROLE_NONE || *is == r ? r : *is == ADVICE_ROLE_WORKER ? r : ADVICE_ROLE_BOTH;
}

static void choose_roles(struct making *k)
{
    struct advice *a = k->a;
    if (a->target >= 0)
        add_role(a, a->model[a->target].machine, ADVICE_ROLE_TARGET);
    for (size_t i = 0; i < a->n_drafters; i++)
        add_role(a, a->model[a->drafter[i]].machine, ADVICE_ROLE_DRAFTER);
    for (size_t i = 0; i < a->n_workers; i++) {
        if (a->machine[a->worker[i]].role == ADVICE_ROLE_NONE)
            a->machine[a->worker[i]].role = ADVICE_ROLE_WORKER;
    }
    for (size_t i = 0; k->wish->role && i < k->n; i++) {
        if (k->wish->role[i] != ADVICE_ROLE_AUTO)
            a->machine[i].role = k->wish->role[i];
    }
}

void making_choice(struct making *k)
{
    struct advice *a = k->a;
    choose_pair(k);
    choose_drafters(k);
    if (a->target >= 0)
        making_pool_choice(k);
    /* What costs nothing: it drafts what repeats, where there is no model to draft. */
    a->ngram = a->target >= 0 && a->n_drafters == 0 && a->model[a->target].verifies && k->wish->drafter != ADVICE_NONE;
    choose_roles(k);
    a->estimate = advice_estimate_pair(a, a->target, a->n_drafters > 0 ? a->drafter[0] : ADVICE_NONE);
}
