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

/* ---- pairs ---- */

/* A trip in a local network where nobody measured it. */
#define TRIP_UNKNOWN 0.5e-3

double advice_trip(const struct advice_model *m)
{
    if (m->source == ADVICE_HERE)
        return 0;
    return m->rtt_us >= 0 ? (double)m->rtt_us / 1e6 : TRIP_UNKNOWN;
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
static double score_drafter(const struct making *k, int target, int draft)
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

/* The machine may do it, or the pair is wished for. */
static bool allowed(const struct making *k, int model, enum advice_role r)
{
    return k->a->model[model].machine < 0 || making_may(k, k->a->model[model].machine, r);
}

static bool named(const struct advice_model *m, const char *url, const char *name)
{
    if (url)
        return m->url && strcmp(m->url, url) == 0 && (!name || !m->model_name || strcmp(m->model_name, name) == 0);
    size_t n = strlen(name);
    return strcasecmp(m->name, name) == 0 || (m->path && strcmp(m->path, name) == 0) ||
           (strncasecmp(m->name, name, n) == 0 && strcasecmp(m->name + n, ":latest") == 0);
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
    double score = score_drafter(k, target, i);
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

/* ---- the pool ---- */

/* Whether the machine lends to a pool now, or is to by the wish. */
static bool lends(const struct making *k, int i)
{
    bool wished = k->wish->role && k->wish->role[i] == ADVICE_ROLE_WORKER;
    return i != k->here && k->list[i].address[0] && making_may(k, i, ADVICE_ROLE_WORKER) &&
           (wished || making_service(&k->list[i], SERVICE_WORKER));
}

enum { MACHINES_MAX = 1024 }; /* that could lend */

int64_t making_pool(const struct making *k, int64_t need, int *worker, size_t *n_workers)
{
    const struct advice *a = k->a;
    int64_t has = k->here >= 0 && a->machine[k->here].memory > 0 ? a->machine[k->here].memory : 0;
    bool wished = false;
    *n_workers = 0;
    for (size_t i = 0; i < k->n; i++)
        wished = wished || (k->wish->role && k->wish->role[i] == ADVICE_ROLE_WORKER);
    /* The fewest: each is a trip.  Those whose memory is not known come last. */
    bool taken[MACHINES_MAX] = {false};
    while ((has < need || wished) && *n_workers < ADVICE_WORKERS_MAX) {
        int best = ADVICE_NONE;
        for (size_t i = 0; i < k->n && i < MACHINES_MAX; i++) {
            if (!taken[i] && lends(k, (int)i) && (best < 0 || a->machine[i].lends > a->machine[best].lends))
                best = (int)i;
        }
        if (best < 0)
            break;
        taken[best] = true;
        worker[(*n_workers)++] = best;
        /* What is not known is taken to do. */
        has += a->machine[best].lends > 0 ? a->machine[best].lends : need > has ? need - has : 0;
    }
    return has;
}

/* The rate over this machine and the workers: each reads its share, and each worker is a trip for every pass. */
static double token_pooled(const struct making *k, const struct advice_model *m, const int *worker, size_t n_workers)
{
    const struct advice *a = k->a;
    struct estimate_part parts[ADVICE_WORKERS_MAX + 1];
    size_t n = 0;
    double left = (double)m->bytes * (m->parameters > 0 ? (double)m->active / (double)m->parameters : 1), trips = 0;
    double share = m->need > 0 ? left / (double)m->need : 0; /* of the memory used, what a token reads */
    for (size_t i = 0; i <= n_workers && left > 0; i++) {
        int at = i == 0 ? k->here : worker[i - 1];
        const struct advice_machine *x = &a->machine[at];
        int64_t room = i == 0 ? x->memory : x->lends;
        double part = room > 0 ? fmin(left, (double)room * share) : left;
        parts[n++] = (struct estimate_part){part, x->gbps};
        left -= part;
        if (i > 0)
            trips += k->list[at].rtt_us >= 0 ? (double)k->list[at].rtt_us / 1e6 : TRIP_UNKNOWN;
    }
    return estimate_token(parts, n, trips);
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
        alone = 1 / token_pooled(k, m, worker, n);
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

/* The drafters in the order of their worth: the chosen one, and those that run and could stand by. */
static void choose_drafters(struct making *k)
{
    struct advice *a = k->a;
    int order[ADVICE_MODELS_MAX + 8];
    if (a->target < 0 || k->wish->drafter == ADVICE_NONE)
        return;
    double score;
    int best = best_drafter(k, a->target, &score);
    if (best < 0)
        return;
    a->drafter[a->n_drafters++] = best;
    bool chosen = k->wish->drafter >= 0 || k->wish->draft_url || k->wish->draft_name;
    size_t n = chosen || a->n_models > ADVICE_MODELS_MAX ? 0 : advice_drafters_for(a, a->target, order);
    for (size_t i = 0; i < n && a->n_drafters < ADVICE_DRAFTERS_MAX; i++) {
        const struct advice_model *m = &a->model[order[i]], *t = &a->model[a->target];
        bool other = m->machine >= 0 && m->machine != t->machine;
        for (size_t j = 0; j < a->n_drafters; j++)
            other = other && m->machine != a->model[a->drafter[j]].machine;
        if (other && m->source == ADVICE_RUNS && allowed(k, order[i], ADVICE_ROLE_DRAFTER))
            a->drafter[a->n_drafters++] = order[i];
    }
}

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
        double score = score_drafter(&k, target, (int)i);
        if (score > -INFINITY)
            list[n++] = (struct ranked){(int)i, score};
    }
    qsort(list, n, sizeof(*list), by_score);
    for (size_t i = 0; i < n; i++)
        order[i] = list[i].model;
    free(list);
    return n;
}

/* ---- the pool that is chosen ---- */

static void choose_pool(struct making *k)
{
    struct advice *a = k->a;
    struct advice_model *t = &a->model[a->target];
    bool here = t->machine == k->here && k->here >= 0;
    a->pooled = t->source == ADVICE_HERE || (t->source == ADVICE_NAMED && !t->url);
    if (!a->pooled || !here)
        return;
    int worker[ADVICE_WORKERS_MAX];
    size_t n = 0;
    int64_t has = making_pool(k, t->need, worker, &n);
    if (n == 0)
        return;
    a->worker = xmemdup(worker, n * sizeof(*worker));
    a->n_workers = n;
    if (t->need > 0)
        t->missing = has < t->need ? t->need - has : 0;
    t->alone = 1 / token_pooled(k, t, worker, n);
}

/* ---- ports ---- */

/* A port of the machine that nothing listens on, as far as was seen, and that none of those before has. */
static int free_port(const struct making *k, int machine, const int *given, size_t n_given)
{
    const struct machine *m = machine >= 0 ? &k->list[machine] : NULL;
    int port = ADVICE_NODE_PORT;
    for (bool taken = true; taken; port += taken) {
        taken = false;
        for (size_t i = 0; m && i < m->n_services; i++)
            taken = taken || m->service[i].port == port;
        for (size_t i = 0; i < n_given; i += 2)
            taken = taken || (given[i] == machine && given[i + 1] == port);
    }
    return port;
}

/* Where servers will be that are still to be started. */
static void choose_ports(struct making *k)
{
    struct advice *a = k->a;
    int given[2 * (ADVICE_DRAFTERS_MAX + 1)];
    size_t n = 0;
    for (size_t i = 0; i <= a->n_drafters; i++) {
        struct advice_model *m = i == 0 ? &a->model[a->target] : &a->model[a->drafter[i - 1]];
        bool beside = a->pooled && (m->source == ADVICE_HERE || !m->url); /* started with the pool */
        if (m->source == ADVICE_RUNS || m->source == ADVICE_API || beside || strcmp(m->backend, "node") != 0)
            continue;
        int port = free_port(k, m->machine, given, n);
        bool here = m->machine == k->here || m->machine < 0;
        free(m->url);
        m->url = xasprintf("http://%s:%d", here ? "127.0.0.1" : k->list[m->machine].address, port);
        given[n++] = m->machine;
        given[n++] = port;
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
    if (a->target >= 0) {
        choose_pool(k);
        choose_ports(k);
    }
    /* What costs nothing: it drafts what repeats, where there is no model to draft. */
    a->ngram = a->target >= 0 && a->n_drafters == 0 && a->model[a->target].verifies && k->wish->drafter != ADVICE_NONE;
    choose_roles(k);
    a->estimate = advice_estimate_pair(a, a->target, a->n_drafters > 0 ? a->drafter[0] : ADVICE_NONE);
}
