#include "advise/making.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "advise/estimate.h"
#include "base/mem.h"

double advice_trip(const struct advice_model *m)
{
    if (m->source == ADVICE_HERE)
        return 0;
    return m->rtt_us >= 0 ? (double)m->rtt_us / 1e6 : MAKING_TRIP;
}

struct family_model making_family(const struct advice_model *m)
{
    return (struct family_model){m->name, m->architecture, m->vocab, m->family, true};
}

static bool same_sized_or_larger(const struct advice_model *t, const struct advice_model *d)
{
    if (t->parameters > 0 && d->parameters > 0)
        return d->parameters >= t->parameters;
    return t->bytes > 0 && d->bytes > 0 && d->bytes >= t->bytes;
}

/* A llama-server reads some (K + 1)(K + 2) / 2 tokens for a draft of K: over short drafts about so many for each. */
#define SLOTS_MORE 5
enum { SLOTS_DRAFT_MAX = 8 };

/* Seconds for a drafted token.  Where both models are to be on one machine's GPUs and do not fit there together, the
 * drafter computes on the CPU. */
static double draft_token(const struct advice *a, const struct advice_model *t, const struct advice_model *d)
{
    const struct advice_machine *at = d->machine >= 0 ? &a->machine[d->machine] : NULL;
    if (!at || at->gpus == 0 || t->machine != d->machine || d->source == ADVICE_RUNS || at->memory < 0 || t->need < 0 ||
        t->need + d->need <= at->memory)
        return 1 / d->alone;
    const struct machine_cpu any = {.packages = 1};
    const struct estimate_part cpu = {(double)d->bytes, hardware_cpu_bandwidth(&any)};
    return estimate_token(&cpu, 1, 0);
}

struct advice_estimate advice_estimate_pair(const struct advice *a, int target, int draft)
{
    struct advice_estimate e = {.alone = NAN, .drafted = NAN, .accepted = NAN, .pair = {PAIR_GUESS, NAN, NAN, NULL}};
    if (target < 0)
        return e;
    const struct advice_model *t = &a->model[target];
    e.alone = t->alone;
    if (draft < 0)
        return e;
    const struct advice_model *d = &a->model[draft];
    const struct family_model tf = making_family(t), df = making_family(d);
    e.pair = pair_expect(&tf, t->parameters, &df, d->parameters);
    e.accepted = pair_chance(&e.pair);
    bool gpu = t->machine >= 0 && a->machine[t->machine].gpus > 0, slots = strcmp(t->backend, "llamacpp") == 0;
    double token = 1 / t->alone;
    const struct estimate_round r = {
        .chance = e.accepted,
        .fixed = advice_trip(d),
        .draft = draft_token(a, t, d),
        .pass = token + advice_trip(t),
        .more = token * (gpu ? ESTIMATE_MORE_GPU : ESTIMATE_MORE_CPU) * (slots ? SLOTS_MORE : 1),
    };
    if (t->verifies)
        e.draft_tokens = estimate_best(&r, slots ? SLOTS_DRAFT_MAX : ESTIMATE_DRAFT_MAX, &e.drafted);
    return e;
}

/* How a drafter suits the target, in doublings of what it brings; -INFINITY: not at all. */
double making_drafter_score(const struct making *k, int target, int draft)
{
    const struct advice *a = k->a;
    const struct advice_model *t = &a->model[target], *d = &a->model[draft];
    const struct family_model tf = making_family(t), df = making_family(d);
    bool servers = k->wish->target_url && k->wish->draft_url;
    if (target == draft || d->source == ADVICE_API || (same_sized_or_larger(t, d) && !servers) || d->missing > 0)
        return -INFINITY;
    if (t->url && d->url && strcmp(t->url, d->url) == 0 && strcmp(t->backend, "ollama") != 0)
        return -INFINITY;
    enum family_match match = family_compare(&tf, &df);
    struct advice_estimate e = advice_estimate_pair(a, target, draft);
    if (match == FAMILY_OTHER && e.pair.basis != PAIR_PROVEN)
        return -INFINITY;
    double score = match == FAMILY_SAME ? 1 : match == FAMILY_LIKELY ? 0 : -0.5;
    if (!isnan(e.drafted) && e.alone > 0)
        score += log2(e.drafted / e.alone);
    else if (e.pair.basis == PAIR_PROVEN || e.pair.basis == PAIR_ROW)
        score += 0.5;
    score += d->source == ADVICE_RUNS ? 1 : d->source == ADVICE_HERE ? 0.5 : d->source == ADVICE_NAMED ? -1 : 0;
    if (d->machine >= 0 && d->machine != t->machine)
        score += 0.5;
    return score;
}

/* ---- in order ---- */

struct ranked {
    int model;
    double score;
};

static int by_score(const void *x, const void *y)
{
    const struct ranked *a = x, *b = y;
    if (a->score != b->score)
        return a->score > b->score ? -1 : 1;
    return a->model - b->model;
}

size_t advice_drafters_for(const struct advice *a, int target, int *order)
{
    struct advice_wish none;
    advice_wish_init(&none);
    const struct making k = {.a = (struct advice *)a, .wish = &none};
    struct ranked *list = xcalloc(a->n_models + 1, sizeof(*list));
    size_t n = 0;
    for (size_t i = 0; target >= 0 && i < a->n_models; i++) {
        double score = making_drafter_score(&k, target, (int)i);
        if (score > -INFINITY)
            list[n++] = (struct ranked){(int)i, score};
    }
    qsort(list, n, sizeof(*list), by_score);
    for (size_t i = 0; i < n; i++)
        order[i] = list[i].model;
    free(list);
    return n;
}
