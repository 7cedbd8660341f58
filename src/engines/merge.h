/* The drafts of several drafters for one place of the path, put together into a tree: what they begin with alike is one
 * line, and where they part each goes its own way.  Pure arithmetic.
 *
 * A drafter's own word of how sure it is was learned where it knows its way, and holds nothing where it does not: one
 * that knows numbers is as sure of itself among words.  So where drafts part, what counts is also who was right at such
 * places lately in this answer, and since only one of them can be right their chances are at most 1 together. */
#ifndef TIGHTWAD_ENGINES_MERGE_H
#define TIGHTWAD_ENGINES_MERGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backends/backend.h"
#include "engines/governor.h"

enum { MERGE_LINES = 16 };

/* Who was right where drafts parted.  All zero: nothing is known. */
struct merge_trust {
    double right, hoped; /* times, and how sure it was of them; fading fast */
};

/* One drafter's draft. */
struct merge_line {
    const int32_t *tokens;
    size_t n;
    double *chance; /* of each token, given that those before it are right */
    double trust;   /* merge_trusted */
};

/* Tokens that take the place of the line's from `at` on, in the same pass. */
struct merge_branch {
    size_t line; /* whose it is */
    size_t at, n;
    const int32_t *tokens;
    const double *chance;
    double reach; /* the chance that the path comes there */
};

/* How much a drafter's word counts where drafts part, 0..1. */
double merge_trusted(const struct merge_trust *t);
/* The target wrote these tokens: what the lines say of them counts for or against each.  n lines, trust[i] is line i's.
 * chance: as each drafter has it by itself. */
void merge_judge(const struct merge_line *lines, size_t n, const int32_t *right, size_t n_right,
                 struct merge_trust *trust);

/* Turns the chances that each drafter has by itself into those that they have together. */
void merge_chances(struct merge_line *lines, size_t n);
/* The greatest depth at which the lines, cut to it, are a tree of at most `most` tokens.  go_on: one that ends is
 * thought to go on, with those who said the same so far. */
size_t merge_depth(const struct merge_line *lines, size_t n, bool go_on, size_t most);
/* How many tokens two drafts begin with alike. */
size_t merge_common(const int32_t *a, size_t n_a, const int32_t *b, size_t n_b);

/* Of n branches of one line those that are worth their place in a pass to which each adds `pass` tokens, best first:
 * their places in `of` into out, at most `most`.  What an earlier one has already is not worth anything again.
 * g NULL: all that have something to add, in their order. */
size_t merge_choose(const struct governor *g, const struct merge_branch *of, size_t n, size_t pass, size_t most,
                    size_t *out);

#endif
