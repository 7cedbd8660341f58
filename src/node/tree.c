#include "node/tree.h"

#include <string.h>

#include "base/clock.h"
#include "node/grove.h"

/* A slot that lacks so much that getting it takes as long as so many passes is not worth it. */
static const double ATTACH_PASSES = 4;
/* What copying a cache over the network takes, before it was measured: so many passes. */
static const double COPY_PASSES = 5;

const int32_t *tree_path(struct sched *s, const struct node_work *w, const struct branch *b)
{
    memcpy(s->scratch, w->session->path, b->at * sizeof(*s->scratch));
    memcpy(s->scratch + b->at, b->tokens, b->n * sizeof(*s->scratch));
    return s->scratch;
}

static double copy_us(const struct sched *s)
{
    return s->copy_known ? s->copy_us : s->networked ? COPY_PASSES * s->cost.first_us : 0;
}

bool tree_copy_pays(struct sched *s, const struct node_work *w, const struct slot *slot, const int32_t *path, size_t n,
                    size_t *missing)
{
    const struct slot *own = w->session->slot;
    size_t has = slot_reusable(&s->slots, slot, path, n);
    size_t there = own != NULL ? slot_reusable(&s->slots, own, path, n) : 0;
    bool pays = there > has && s->cost.known && (double)(there - has) * s->cost.token_us > copy_us(s);
    *missing = n - (pays ? there : has);
    return pays;
}

void tree_copy(struct sched *s, const struct node_work *w, struct slot *slot)
{
    slot_copy(&s->slots, w->session->slot, slot);
    s->counters.copies++;
    s->copied++;
}

static bool beside_the_pass(const struct sched *s, const struct slot *slot)
{
    size_t i = (size_t)slot->seq;
    return (i > 0 && s->slots.slot[i - 1].in_pass) || (i + 1 < s->slots.n && s->slots.slot[i + 1].in_pass);
}

/* The slot that b costs least in, and what that is; NULL: none is idle. */
static struct slot *find_slot(struct sched *s, const struct node_work *w, const struct branch *b, double *cost)
{
    const int32_t *path = tree_path(s, w, b);
    int64_t now = clock_us();
    struct slot *best = NULL;
    for (size_t i = 0; i < s->slots.n; i++) {
        struct slot *at = &s->slots.slot[i];
        size_t missing;
        if (at->in_pass || !slot_is_idle(at, now))
            continue;
        double us = tree_copy_pays(s, w, at, path, b->at, &missing) ? copy_us(s) : 0;
        us += (double)missing * s->cost.token_us;
        us += beside_the_pass(s, at) ? 0 : pass_cost_step(&s->cost);
        if (at->owner != NULL)
            us += s->cost.first_us; /* it may come back */
        if (best == NULL || us < *cost) {
            best = at;
            *cost = us;
        }
    }
    return best;
}

/* false: no slot, or no room in the pass. */
static bool attach(struct sched *s, const struct segment *main, struct branch *b)
{
    struct node_work *w = main->work;
    double cost = 0, pass = s->cost.first_us + s->cost.token_us * (double)(main->to - main->from);
    struct slot *slot = find_slot(s, w, b, &cost);
    if (slot == NULL || (s->cost.known && cost > ATTACH_PASSES * pass))
        return false;
    const int32_t *path = tree_path(s, w, b);
    size_t missing, n = b->at + b->n;
    bool copy = tree_copy_pays(s, w, slot, path, b->at, &missing);
    if (missing + b->n > s->n_batch - s->n_tokens || b->n > s->n_outputs - s->outputs)
        return false;
    slot_free(slot);
    if (copy)
        tree_copy(s, w, slot);
    slot_prepare(&s->slots, slot, path, b->at);
    sched_add(s,
              (struct segment){.work = w, .slot = slot, .branch = b, .from = slot->n_kv, .to = n, .first_out = b->at});
    b->slot = slot;
    w->branches_used++;
    return true;
}

void tree_attach(struct sched *s)
{
    size_t n = s->n_segments;
    for (size_t i = 0; i < n; i++) {
        struct segment main = s->segment[i];
        struct node_work *w = main.work;
        w->branches_used = 0;
        bool whole = w->kind == NODE_JOB_VERIFY && main.to == w->feed && main.from <= w->first_out;
        for (size_t j = 0; j < w->n_branches; j++) {
            w->branch[j].slot = NULL;
            if (whole && s->branches && !s->one_by_one && w->branch[j].n > 0 &&
                w->branch[j].at + w->branch[j].n <= s->n_ctx)
                (void)attach(s, &main, &w->branch[j]);
        }
    }
}

/* Whether the branch continues the session's path, which has left the draft at position `left`, by token. */
static bool goes_on(const struct session *session, const struct branch *b, size_t left, int32_t token)
{
    size_t pos = session->n_path, n = pos - b->at;
    return b->slot != NULL && b->at <= left && b->at <= pos && n < b->n && b->tokens[n] == token &&
           memcmp(b->tokens, session->path + b->at, n * sizeof(*b->tokens)) == 0;
}

bool tree_turn(struct sched *s, struct node_work *w, int32_t token)
{
    struct session *session = w->session;
    size_t left = w->taken != NULL ? w->left : session->n_path;
    for (size_t j = 0; j < w->n_branches; j++) {
        struct branch *b = &w->branch[j];
        if (!goes_on(session, b, left, token))
            continue;
        size_t rest = b->n - (session->n_path - b->at);
        memcpy(session_room(session, rest), b->tokens + (b->n - rest), rest * sizeof(*b->tokens));
        slot_swap(session, b->slot);
        s->counters.branches_taken += w->taken == NULL;
        w->taken = b;
        w->left = left;
        return true;
    }
    return false;
}
