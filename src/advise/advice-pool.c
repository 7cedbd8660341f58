#include "advise/making.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "advise/estimate.h"
#include "base/mem.h"

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
double making_pool_token(const struct making *k, const struct advice_model *m, const int *worker, size_t n_workers)
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
            trips += k->list[at].rtt_us >= 0 ? (double)k->list[at].rtt_us / 1e6 : MAKING_TRIP;
    }
    return estimate_token(parts, n, trips);
}

void making_pool_choice(struct making *k)
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
    t->alone = 1 / making_pool_token(k, t, worker, n);
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

/* Where the servers will be that are still to be started: target, drafters, then agents that are no drafters. */
void making_ports(struct making *k)
{
    struct advice *a = k->a;
    int all[1 + ADVICE_DRAFTERS_MAX + ADVICE_AGENTS_MAX], given[2 * ARRAY_LEN(all)];
    size_t n = 0, n_all = 0;
    all[n_all++] = a->target;
    for (size_t i = 0; i < a->n_drafters; i++)
        all[n_all++] = a->drafter[i];
    for (size_t i = 0; i < a->n_agents; i++) {
        if (!making_drafts(a, a->agent[i]))
            all[n_all++] = a->agent[i];
    }
    for (size_t i = 0; i < n_all; i++) {
        struct advice_model *m = &a->model[all[i]];
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
