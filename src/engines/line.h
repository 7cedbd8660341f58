/* What a drafter has written that was not verified yet: the line, one guess at each position, and branches, each of
 * which replaces the line from one position on with another guess.  Pure data. */
#ifndef TIGHTWAD_ENGINES_LINE_H
#define TIGHTWAD_ENGINES_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LINE_BRANCHES = 32, LINE_BRANCH_TOKENS = 64 };

struct line_branch {
    int64_t id; /* the drafter's, for the line that it began on */
    size_t at;  /* position in the path of its first token */
    size_t n;
    int32_t tokens[LINE_BRANCH_TOKENS];
    float probs[LINE_BRANCH_TOKENS];
};

struct line {
    size_t base; /* position in the path of the first token: all before are known to be right */
    int32_t *tokens;
    float *probs; /* the drafter's own of each, NAN unknown */
    size_t n, size;
    struct line_branch *branch[LINE_BRANCHES]; /* allocated as needed, the first n_branches in use */
    size_t n_branches;
};

void line_init(struct line *l);
void line_finish(struct line *l);
void line_reset(struct line *l, size_t base); /* nothing is drafted yet behind a path of base tokens */
void line_add(struct line *l, int32_t token, float prob);
/* Token `index` of branch id, whose first token stands at position at of the path.  Ignored is what fits nowhere
 * (before the base, beyond the line's end, behind a token that is missing), and the newest branch where there are too
 * many. */
void line_add_branch(struct line *l, int64_t id, size_t at, size_t index, int32_t token, float prob);

enum line_match {
    LINE_GOES_ON,  /* the path is what the line said */
    LINE_BRANCHED, /* it is what a branch said: that is the line now */
    LINE_LOST,     /* neither: the line is empty now */
};

/* How much of what stands behind base in path the line says too. */
size_t line_same(const struct line *l, const int32_t *path, size_t n_path);
/* The path has grown to n_path tokens.  Afterwards base is n_path, and the line holds what continues the path; branches
 * that can't be reached any more are gone. */
enum line_match line_follow(struct line *l, const int32_t *path, size_t n_path);

#endif
