#include "node/sprout.h"

#include "base/clock.h"
#include "node/tree.h"

enum {
    CHUNK = 16, /* tokens of a branch's path that are computed in one pass: a new request waits no longer */
    FAR = 256,  /* a branch whose path is so much longer than what a slot has of it, and can't be copied, has to wait */
};

/* A slot changes hands for a branch that is so many times likelier. */
static const double TAKE_OVER = 2;

static bool can_grow(const struct node_work *w, const struct branch *b)
{
    return !b->closed && b->n < w->session->grove->depth;
}

/* 0: not for b; else the more the better. */
static int suits(const struct node_work *w, const struct slot *slot, const struct branch *b, int64_t now)
{
    if (slot == w->session->slot || !slot_is_idle(slot, now))
        return 0;
    if (slot->branch == NULL)
        return 3;
    if (!can_grow(w, slot->branch))
        return 2;
    return slot->branch->chance * TAKE_OVER < b->chance ? 1 : 0;
}

/* The best slot for b, NULL: none. */
static struct slot *find_slot(struct sched *s, const struct node_work *w, const struct branch *b, const int32_t *path,
                              size_t n)
{
    int64_t now = clock_us();
    struct slot *best = NULL;
    int best_rank = 0;
    size_t best_reuse = 0;
    if (b->slot != NULL)
        return b->slot;
    for (size_t i = 0; i < s->slots.n; i++) {
        struct slot *at = &s->slots.slot[i];
        int rank = suits(w, at, b, now);
        if (rank == 0 || rank < best_rank)
            continue;
        size_t reuse = slot_reusable(&s->slots, at, path, n);
        if (rank > best_rank || reuse > best_reuse ||
            (reuse == best_reuse && best != NULL && at->used_us < best->used_us)) {
            best = at;
            best_rank = rank;
            best_reuse = reuse;
        }
    }
    return best;
}

/* Whether there is a slot for b, or one that may be had. */
static struct slot *place_for(struct sched *s, const struct node_work *w, const struct branch *b, bool *copy)
{
    const int32_t *path = tree_path(s, w, b);
    size_t n = b->at + b->n - 1;
    struct slot *slot = find_slot(s, w, b, path, n);
    if (slot == NULL)
        return NULL;
    size_t missing;
    *copy = tree_copy_pays(s, w, slot, path, n, &missing);
    return missing <= FAR ? slot : NULL;
}

bool sprout_alive(struct sched *s, const struct node_work *w)
{
    struct branch *list[GROVE_BRANCHES];
    size_t n = w->branching ? grove_growing(w->session, list) : 0;
    bool copy;
    for (size_t i = 0; i < n; i++)
        if (place_for(s, w, list[i], &copy) != NULL)
            return true;
    return false;
}

/* Puts the next tokens of b into the pass.  false: there is no place. */
static bool add_branch(struct sched *s, struct node_work *w, struct branch *b)
{
    bool copy;
    struct slot *slot = place_for(s, w, b, &copy);
    if (slot == NULL || s->outputs == s->n_outputs || s->n_tokens == s->n_batch)
        return false;
    slot_lend(slot, b);
    if (copy)
        tree_copy(s, w, slot);
    const int32_t *path = tree_path(s, w, b);
    size_t n = b->at + b->n;
    slot_prepare(&s->slots, slot, path, n - 1);
    size_t from = slot->n_kv, to = n - from > CHUNK ? from + CHUNK : n;
    if (to - from > s->n_batch - s->n_tokens)
        to = from + (s->n_batch - s->n_tokens);
    sched_add(s, (struct segment){.work = w, .slot = slot, .branch = b, .from = from, .to = to, .first_out = n - 1});
    return true;
}

/* A running request of another session always comes first. */
static bool others_run(const struct sched *s, const struct node_work *w)
{
    for (size_t i = 0; i < s->n_active; i++)
        if (s->active[i] != w && sched_runnable(s->active[i]))
            return true;
    return false;
}

/* At a rate that is set a draft may not go on before its time. */
static bool too_early(struct sched *s, const struct node_work *w)
{
    if (s->draft_us <= 0)
        return false;
    int64_t start = s->draft_free_us > w->ready_us ? s->draft_free_us : w->ready_us;
    int64_t due = start + (int64_t)s->draft_us;
    if (clock_us() >= due)
        return false;
    if (s->wake_us == 0 || due < s->wake_us)
        s->wake_us = due;
    return true;
}

void sprout_count(struct sched *s, const struct node_work *w, size_t n)
{
    if (s->draft_us <= 0)
        return;
    int64_t now = clock_us(), start = s->draft_free_us > w->ready_us ? s->draft_free_us : w->ready_us;
    int64_t due = start + (int64_t)(s->draft_us * (double)n);
    s->draft_free_us = now - due > (int64_t)s->draft_us ? now : due;
}

static void plan_branches(struct sched *s, struct node_work *w)
{
    struct branch *list[GROVE_BRANCHES];
    size_t n = grove_growing(w->session, list), used = 0;
    /* Where a pass takes several tokens for the time of one, the line goes with every one. */
    bool line = w->line_over || s->width > 1;
    used = s->width > 1 && !w->line_over;
    for (size_t i = 0; i < n && used < s->width; i++) {
        if (!line && w->session->grove->chance >= list[i]->chance) {
            line = true;
            used++;
        }
        if (used < s->width)
            used += add_branch(s, w, list[i]);
    }
    w->hold = !line && used == s->width;
}

void sprout_plan(struct sched *s, struct node_work *w)
{
    w->hold = false;
    if (w->kind != NODE_JOB_DRAFT || !w->begun || w->over || atomic_load(&w->paused))
        return;
    /* The path behind it may be computed, but for the last token. */
    bool early = w->early = too_early(s, w);
    w->hold = early && (w->slot == NULL || w->feed <= w->slot->n_kv + 1);
    if (w->branching && !early && !s->one_by_one && (w->line_over || w->made >= w->branch_first) && !others_run(s, w))
        plan_branches(s, w);
}

static void tell(struct sched *s, struct node_work *w, struct branch *b)
{
    for (; b->told < b->n; b->told++)
        work_grow(s->outbox, w,
                  (struct node_branch_token){
                      .branch = b->id, .at = b->at, .id = b->tokens[b->told], .prob = b->drawn[b->told].chance});
}

void sprout_tell(struct sched *s, struct node_work *w)
{
    struct grove *g = w->session->grove;
    for (size_t i = 0; i < g->n_branches; i++)
        if (g->branch[i]->at < w->session->n_path)
            tell(s, w, g->branch[i]);
}

void sprout_draw(struct sched *s, const struct segment *g)
{
    struct node_work *w = g->work;
    struct session *session = w->session;
    struct branch *b = g->branch;
    size_t n = b->at + b->n;
    if (g->to < n)
        return;
    const float *logits = llama_get_logits_ith(s->ctx, g->first + (int32_t)(n - 1 - g->from));
    if (logits == NULL) {
        b->closed = true;
        return;
    }
    const int32_t *path = tree_path(s, w, b);
    struct sampler_choice choice[GROVE_CHOICES];
    struct sampler_pick pick = sampler_pick(s->sampler, &session->params, logits, path, n, session->prompt_len);
    size_t count = sampler_choices(s->sampler, &session->params, logits, path, n, session->prompt_len, pick.token,
                                   choice, GROVE_CHOICES);
    grove_grow(b, choice, count);
    b->closed = node_model_is_eog(s->model, pick.token) || n + 1 >= s->n_ctx;
    s->counters.drafted++;
    s->counters.branched++;
    sprout_count(s, w, 1);
    tell(s, w, b);
}
