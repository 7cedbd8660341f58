#include "engines/merge.h"

#include <string.h>

static const double TRUST_FADE = 0.8;  /* of a place where drafts parted, per newer one */
static const double TRUST_PRIOR = 0.5; /* such places that the first guess weighs */

double merge_trusted(const struct merge_trust *t)
{
    double trust = (t->right + TRUST_PRIOR) / (t->hoped + TRUST_PRIOR);
    return trust < 1 ? trust : 1;
}

size_t merge_common(const int32_t *a, size_t n_a, const int32_t *b, size_t n_b)
{
    size_t n = n_a < n_b ? n_a : n_b, i = 0;
    while (i < n && a[i] == b[i])
        i++;
    return i;
}

/* The lines that say the same until some depth are a group, named by the first of them. */
struct groups {
    size_t of[MERGE_LINES];
};

static void one_group(struct groups *g, size_t n)
{
    for (size_t i = 0; i < n; i++)
        g->of[i] = 0;
}

/* Whether lines i and j are in one group, and say the same at depth, too. */
static bool go_together(const struct merge_line *lines, const struct groups *g, size_t i, size_t j, size_t depth)
{
    return g->of[i] == g->of[j] && lines[i].n > depth && lines[j].n > depth &&
           lines[i].tokens[depth] == lines[j].tokens[depth];
}

/* The groups one token further.  A line that has ended stays with the first one of its group that goes on, or is one of
 * its own kind. */
static void split(const struct merge_line *lines, size_t n, struct groups *g, size_t depth)
{
    struct groups next = *g;
    for (size_t i = 0; i < n; i++) {
        size_t first = i;
        for (size_t j = 0; j < i && first == i; j++) {
            if (go_together(lines, g, i, j, depth))
                first = j;
        }
        next.of[i] = first == i ? i : next.of[first];
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n && lines[i].n <= depth; j++) {
            bool first_ended = j < i && lines[j].n <= depth;
            if (g->of[i] == g->of[j] && (lines[j].n > depth || first_ended)) {
                next.of[i] = next.of[j];
                break;
            }
        }
    }
    *g = next;
}

static size_t longest(const struct merge_line *lines, size_t n)
{
    size_t most = 0;
    for (size_t i = 0; i < n; i++)
        most = lines[i].n > most ? lines[i].n : most;
    return most;
}

/* Whether another line of i's group says something else at depth. */
static bool parts(const struct merge_line *lines, size_t n, const struct groups *g, size_t i, size_t depth)
{
    for (size_t j = 0; j < n && lines[i].n > depth; j++) {
        if (g->of[j] == g->of[i] && lines[j].n > depth && lines[j].tokens[depth] != lines[i].tokens[depth])
            return true;
    }
    return false;
}

void merge_judge(const struct merge_line *lines, size_t n, const int32_t *right, size_t n_right,
                 struct merge_trust *trust)
{
    struct groups g;
    one_group(&g, n);
    for (size_t depth = 0; depth < n_right; depth++) {
        for (size_t i = 0; i < n; i++) {
            if (merge_common(lines[i].tokens, lines[i].n, right, depth) < depth || !parts(lines, n, &g, i, depth))
                continue;
            trust[i].right = trust[i].right * TRUST_FADE + (lines[i].tokens[depth] == right[depth]);
            trust[i].hoped = trust[i].hoped * TRUST_FADE + lines[i].chance[depth];
        }
        split(lines, n, &g, depth);
    }
}

/* The chance of line i's token at depth: the highest that one has who says so. */
static double said(const struct merge_line *lines, size_t n, const struct groups *g, size_t i, size_t depth,
                   bool trusted)
{
    double best = 0;
    for (size_t j = 0; j < n; j++) {
        double c = lines[j].n > depth ? lines[j].chance[depth] * (trusted ? lines[j].trust : 1) : 0;
        if ((j == i || go_together(lines, g, i, j, depth)) && c > best)
            best = c;
    }
    return best;
}

void merge_chances(struct merge_line *lines, size_t n)
{
    struct groups g;
    size_t end = longest(lines, n);
    one_group(&g, n);
    for (size_t depth = 0; depth < end && n > 1; depth++) {
        double together[MERGE_LINES];
        struct groups next = g;
        split(lines, n, &next, depth);
        for (size_t i = 0; i < n; i++) {
            if (lines[i].n <= depth)
                continue;
            bool apart = parts(lines, n, &g, i, depth);
            together[i] = said(lines, n, &g, i, depth, apart);
            double all = 0;
            for (size_t j = 0; j < n && apart; j++) {
                /* each different token of the group once: by the first line that says it */
                if (lines[j].n > depth && g.of[j] == g.of[i] && next.of[j] == j)
                    all += said(lines, n, &g, j, depth, true);
            }
            if (all > 1)
                together[i] /= all;
        }
        for (size_t i = 0; i < n; i++) {
            if (lines[i].n > depth)
                lines[i].chance[depth] = together[i];
        }
        g = next;
    }
}

size_t merge_depth(const struct merge_line *lines, size_t n, bool go_on, size_t most)
{
    struct groups g;
    size_t end = go_on ? most : longest(lines, n), tokens = 0;
    one_group(&g, n);
    for (size_t depth = 0; depth < end; depth++) {
        split(lines, n, &g, depth);
        for (size_t i = 0; i < n; i++)
            tokens += g.of[i] == i && (go_on || lines[i].n > depth);
        if (tokens > most)
            return depth;
    }
    return end;
}

/* How much of b the chosen ones have already. */
static size_t had(const struct merge_branch *of, const struct merge_branch *b, const size_t *chosen, size_t n)
{
    size_t most = 0;
    for (size_t i = 0; i < n; i++) {
        const struct merge_branch *c = &of[chosen[i]];
        size_t same = c->at == b->at ? merge_common(b->tokens, b->n, c->tokens, c->n) : 0;
        most = same > most ? same : most;
    }
    return most;
}

static double worth(const struct governor *g, const struct merge_branch *b, size_t from, size_t pass)
{
    double reach = b->reach;
    for (size_t i = 0; i < from; i++)
        reach *= b->chance[i];
    return governor_branch_worth(g, reach, b->chance + from, b->n - from, pass);
}

size_t merge_choose(const struct governor *g, const struct merge_branch *of, size_t n, size_t pass, size_t most,
                    size_t *out)
{
    size_t chosen = 0;
    for (size_t place = 0; place < most; place++) {
        double best = 0;
        size_t which = n;
        for (size_t i = 0; i < n; i++) {
            size_t from = had(of, &of[i], out, chosen);
            double w = from == of[i].n ? 0 : g != NULL ? worth(g, &of[i], from, pass) : 1;
            if (w > best) {
                best = w;
                which = i;
            }
        }
        if (which == n)
            break;
        out[chosen++] = which;
    }
    return chosen;
}
