#include "engines/line.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void line_init(struct line *l)
{
    *l = (struct line){0};
}

void line_finish(struct line *l)
{
    free(l->tokens);
    free(l->probs);
    for (size_t i = 0; i < LINE_BRANCHES; i++)
        free(l->branch[i]);
}

void line_reset(struct line *l, size_t base)
{
    l->base = base;
    l->n = 0;
    l->n_branches = 0;
}

void line_add(struct line *l, int32_t token, float prob)
{
    if (l->n == l->size) {
        l->size = l->size * 2 + 64;
        l->tokens = xreallocarray(l->tokens, l->size, sizeof(*l->tokens));
        l->probs = xreallocarray(l->probs, l->size, sizeof(*l->probs));
    }
    l->tokens[l->n] = token;
    l->probs[l->n++] = prob;
}

static struct line_branch *branch_of(struct line *l, int64_t id, size_t at, size_t index)
{
    for (size_t i = 0; i < l->n_branches; i++) {
        if (l->branch[i]->id == id)
            return l->branch[i]->at == at ? l->branch[i] : NULL;
    }
    if (index != 0 || at < l->base || at >= l->base + l->n || l->n_branches == LINE_BRANCHES)
        return NULL;
    struct line_branch **b = &l->branch[l->n_branches++];
    if (*b == NULL)
        *b = xmalloc(sizeof(**b));
    (*b)->id = id;
    (*b)->at = at;
    (*b)->n = 0;
    return *b;
}

void line_add_branch(struct line *l, int64_t id, size_t at, size_t index, int32_t token, float prob)
{
    struct line_branch *b = branch_of(l, id, at, index);
    if (b == NULL || b->n != index || index == LINE_BRANCH_TOKENS)
        return;
    b->tokens[b->n] = token;
    b->probs[b->n++] = prob;
}

static void drop_first(struct line *l, size_t n)
{
    if (n == 0)
        return;
    l->n -= n;
    memmove(l->tokens, l->tokens + n, l->n * sizeof(*l->tokens));
    memmove(l->probs, l->probs + n, l->n * sizeof(*l->probs));
    l->base += n;
    size_t kept = 0;
    for (size_t i = 0; i < l->n_branches; i++) {
        struct line_branch *b = l->branch[i];
        if (b->at < l->base)
            continue;
        l->branch[i] = l->branch[kept];
        l->branch[kept++] = b;
    }
    l->n_branches = kept;
}

/* The line becomes what b says behind a path that ends before position n_path. */
static void take_branch(struct line *l, const struct line_branch *b, size_t n_path)
{
    size_t skip = n_path - b->at;
    line_reset(l, n_path);
    for (size_t i = skip; i < b->n; i++)
        line_add(l, b->tokens[i], b->probs[i]);
}

size_t line_same(const struct line *l, const int32_t *path, size_t n_path)
{
    size_t same = 0;
    while (l->base + same < n_path && same < l->n && l->tokens[same] == path[l->base + same])
        same++;
    return same;
}

enum line_match line_follow(struct line *l, const int32_t *path, size_t n_path)
{
    if (n_path < l->base) {
        line_reset(l, n_path);
        return LINE_LOST;
    }
    size_t grown = n_path - l->base, same = line_same(l, path, n_path);
    if (same == grown) {
        drop_first(l, grown);
        return LINE_GOES_ON;
    }
    size_t at = l->base + same, rest = grown - same;
    for (size_t i = 0; i < l->n_branches; i++) {
        const struct line_branch *b = l->branch[i];
        if (b->at == at && b->n >= rest && memcmp(b->tokens, path + at, rest * sizeof(*path)) == 0) {
            take_branch(l, b, n_path);
            return LINE_BRANCHED;
        }
    }
    line_reset(l, n_path);
    return LINE_LOST;
}
