#include "node/grove.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "node/session.h"
#include "node/slots.h"

/* A choice that is less likely to be needed is not worth its place; a token of a branch, its time. */
static const double CHANCE_MIN = 0.01, CHANCE_LEAST = 0.02;

struct grove *grove_create(void)
{
    return xcalloc(1, sizeof(struct grove));
}

static void branch_destroy(struct branch *b)
{
    slot_unlend(b->slot);
    free(b->tokens);
    free(b->drawn);
    free(b);
}

static void drop_branch(struct grove *g, size_t i)
{
    branch_destroy(g->branch[i]);
    g->n_branches--;
    memmove(&g->branch[i], &g->branch[i + 1], (g->n_branches - i) * sizeof(*g->branch));
}

void grove_clear(struct grove *g)
{
    while (g->n_branches > 0)
        drop_branch(g, g->n_branches - 1);
    g->n_known = g->n_drawn = 0;
}

void grove_destroy(struct grove *g)
{
    if (g == NULL)
        return;
    grove_clear(g);
    free(g->drawn);
    free(g);
}

static struct drawn make_drawn(const struct sampler_choice *choice, size_t n)
{
    struct drawn d = {.chance = n > 0 ? choice[0].chance : 1};
    for (size_t i = 1; i < GROVE_CHOICES; i++)
        d.other[i - 1] = i < n ? choice[i] : (struct sampler_choice){.token = -1};
    return d;
}

static struct drawn *line_at(const struct grove *g, size_t pos)
{
    return pos >= g->start && pos - g->start < g->n_drawn ? &g->drawn[pos - g->start] : NULL;
}

/* Sets what is known of the line's position pos; positions between, of which nothing is known, count as right. */
static void set_line(struct grove *g, size_t pos, struct drawn d)
{
    if (g->n_drawn == 0)
        g->start = pos;
    size_t i = pos - g->start;
    if (i >= g->cap) {
        g->cap = i * 2 + 64;
        g->drawn = xreallocarray(g->drawn, g->cap, sizeof(*g->drawn));
    }
    for (size_t gap = g->n_drawn; gap < i; gap++)
        g->drawn[gap] = make_drawn(NULL, 0);
    g->drawn[i] = d;
    g->n_drawn = i + 1;
}

/* Forgets the line's positions before `from` and from `to` on. */
static void cut_line(struct grove *g, size_t from, size_t to)
{
    if (g->start + g->n_drawn > to)
        g->n_drawn = to > g->start ? to - g->start : 0;
    if (g->start >= from)
        return;
    size_t skip = from - g->start < g->n_drawn ? from - g->start : g->n_drawn;
    g->n_drawn -= skip;
    if (g->n_drawn > 0)
        memmove(g->drawn, g->drawn + skip, g->n_drawn * sizeof(*g->drawn));
    g->start += skip;
}

static size_t common(const int32_t *a, size_t n_a, const int32_t *b, size_t n_b)
{
    size_t n = n_a < n_b ? n_a : n_b, i = 0;
    while (i < n && a[i] == b[i])
        i++;
    return i;
}

void grove_grow(struct branch *b, const struct sampler_choice *choice, size_t n)
{
    if (b->n == b->cap) {
        b->cap = b->cap * 2 + 8;
        b->tokens = xreallocarray(b->tokens, b->cap, sizeof(*b->tokens));
        b->drawn = xreallocarray(b->drawn, b->cap, sizeof(*b->drawn));
    }
    b->tokens[b->n] = choice[0].token;
    b->drawn[b->n++] = make_drawn(choice, n);
    b->chance *= (double)choice[0].chance;
}

/* The least likely branch that no work has gone into yet. */
static size_t weakest(const struct grove *g)
{
    size_t which = g->n_branches;
    for (size_t i = 0; i < g->n_branches; i++)
        if (g->branch[i]->n == 1 && (which == g->n_branches || g->branch[i]->chance < g->branch[which]->chance))
            which = i;
    return which;
}

/* Opens branches at pos; before: how likely the line is right until there. */
static void open_at(struct grove *g, size_t pos, double before)
{
    struct drawn *d = line_at(g, pos);
    for (size_t i = 0; d != NULL && i < GROVE_CHOICES - 1; i++) {
        double chance = before * (double)d->other[i].chance;
        if (d->other[i].token < 0 || chance < CHANCE_MIN)
            continue;
        if (g->n_branches >= g->most || g->n_branches == GROVE_BRANCHES) {
            size_t other = weakest(g);
            if (other == g->n_branches || g->branch[other]->chance >= chance)
                continue;
            drop_branch(g, other);
        }
        struct branch *b = xcalloc(1, sizeof(*b));
        b->id = ++g->next_id;
        b->at = pos;
        b->chance = before;
        grove_grow(b, &d->other[i], 1);
        d->other[i].token = -1;
        g->branch[g->n_branches++] = b;
    }
}

/* The line goes on by a token at pos that it has: its chance, and branches beside it. */
static void pass_by(struct grove *g, size_t pos)
{
    const struct drawn *d = line_at(g, pos);
    double before = g->chance;
    open_at(g, pos, before);
    if (d != NULL)
        g->chance = before * (double)d->chance;
}

/* The branch becomes the line: the slot that serves it becomes the session's. */
static void take_branch(struct session *s, size_t i)
{
    struct grove *g = s->grove;
    struct branch *b = g->branch[i];
    s->n_path = b->at;
    memcpy(session_room(s, b->n), b->tokens, b->n * sizeof(*b->tokens));
    cut_line(g, 0, b->at);
    for (size_t j = 0; j < b->n; j++)
        set_line(g, b->at + j, b->drawn[j]);
    g->n_known = b->at + b->n;
    slot_swap(s, b->slot);
    b->slot = NULL;
    drop_branch(g, i);
}

/* Of path, n tokens: how many the line or a branch has; the line becomes the one that has most. */
static size_t choose_line(struct session *s, const int32_t *path, size_t n)
{
    struct grove *g = s->grove;
    size_t best = common(path, n, s->path, g->n_known), which = g->n_branches;
    size_t line = best;
    for (size_t i = 0; i < g->n_branches; i++) {
        const struct branch *b = g->branch[i];
        if (b->at > line)
            continue;
        size_t c = b->at + common(path + b->at, n - b->at, b->tokens, b->n);
        if (c > best && c > b->at) {
            best = c;
            which = i;
        }
    }
    if (which < g->n_branches)
        take_branch(s, which);
    return best;
}

/* What has changed with the path: which branches are left, and all chances. */
static void settle(struct session *s, size_t same)
{
    struct grove *g = s->grove;
    double line = 1;
    for (size_t i = g->n_branches; i-- > 0;) {
        struct branch *b = g->branch[i];
        if (b->at < g->from || b->at > same || g->n_branches > g->most) {
            drop_branch(g, i);
            continue;
        }
        b->told = 0;
    }
    for (size_t pos = g->from; pos < g->n_known; pos++) {
        const struct drawn *d = line_at(g, pos);
        for (size_t i = 0; i < g->n_branches; i++) {
            struct branch *b = g->branch[i];
            if (b->at != pos)
                continue;
            b->chance = line;
            for (size_t j = 0; j < b->n; j++)
                b->chance *= (double)b->drawn[j].chance;
        }
        line *= d != NULL ? (double)d->chance : 1;
    }
    g->chance = 1;
    for (size_t pos = g->from; pos < s->n_path; pos++)
        pass_by(g, pos);
}

void grove_follow(struct session *s, size_t keep, const int32_t *tokens, size_t n)
{
    struct grove *g = s->grove;
    size_t n_new = keep + n;
    int32_t *path = xmalloc((n_new + 1) * sizeof(*path));
    if (keep > 0)
        memcpy(path, s->path, keep * sizeof(*path));
    if (n > 0)
        memcpy(path + keep, tokens, n * sizeof(*path));
    if (g->n_known < s->n_path)
        g->n_known = s->n_path;
    size_t same = choose_line(s, path, n_new);
    if (same < n_new) {
        s->n_path = same;
        memcpy(session_room(s, n_new - same), path + same, (n_new - same) * sizeof(*path));
        g->n_known = n_new;
    }
    s->n_path = n_new;
    free(path);
    if (g->from > n_new)
        g->from = n_new;
    cut_line(g, g->from, same < n_new ? same : g->n_known);
    settle(s, same);
}

void grove_add(struct session *s, const struct sampler_choice *choice, size_t n)
{
    struct grove *g = s->grove;
    if (s->n_path - 1 >= g->from)
        set_line(g, s->n_path - 1, make_drawn(choice, n));
    g->n_known = s->n_path;
    pass_by(g, s->n_path - 1);
}

bool grove_peek(const struct session *s, int32_t *token, float *chance)
{
    const struct grove *g = s->grove;
    const struct drawn *d = line_at(g, s->n_path);
    if (s->n_path >= g->n_known || d == NULL)
        return false;
    *token = s->path[s->n_path];
    *chance = d->chance;
    return true;
}

void grove_recall(struct session *s)
{
    pass_by(s->grove, s->n_path++);
}

size_t grove_growing(const struct session *s, struct branch *out[GROVE_BRANCHES])
{
    const struct grove *g = s->grove;
    size_t n = 0;
    for (size_t i = 0; i < g->n_branches; i++) {
        struct branch *b = g->branch[i];
        if (b->closed || b->n >= g->depth || b->at >= s->n_path || b->chance < CHANCE_LEAST)
            continue;
        size_t at = n++;
        for (; at > 0 && out[at - 1]->chance < b->chance; at--)
            out[at] = out[at - 1];
        out[at] = b;
    }
    return n;
}
