/* What several drafters agree on: the three rules of consensus.  Pure; positions are counted from the end of the path
 * that all of them continue. */
#ifndef TIGHTWAD_ENGINES_VOTE_H
#define TIGHTWAD_ENGINES_VOTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    VOTE_WINDOW_MAX = 64, /* tokens that are voted on at once */
    VOTE_LEAST = 2,       /* fewer votes never do without the target */
};

/* A voter votes at the positions that its draft has a token for. */
enum vote_rule {
    VOTE_OFF,
    VOTE_STRICT,       /* all votes at the position are for one token; the target from the first position where not */
    VOTE_MAJORITY,     /* more than half of them are; who was outvoted once counts against to the window's end, for what
                          its draft goes on with continues another text */
    VOTE_ANY_DISAGREE, /* one vote for another token, anywhere in the window: the target checks the whole window */
};

/* What a voter drafted behind the path; n 0: it gave no answer and is no vote. */
struct vote_draft {
    const int32_t *tokens;
    size_t n;
};

struct vote_result {
    size_t agreed; /* so many tokens of line can go out without the target, at most the window */
    bool target;   /* fewer than the window: the target has to say what stands behind them */
    bool outvoted; /* somebody's draft does not continue the agreed tokens */
    /* The agreed tokens, and behind them what most of those who drafted the same until there go on with, the first
     * voter's where they are even: the best draft there is. */
    int32_t line[VOTE_WINDOW_MAX];
    size_t n_line; /* at most the window */
};

/* drafts: those of the n voters.  window: 1 … VOTE_WINDOW_MAX. */
void vote_count(enum vote_rule rule, const struct vote_draft *drafts, size_t n, size_t window, struct vote_result *out);

const char *vote_rule_name(enum vote_rule rule); /* "off", "strict", "majority", "any_disagree" */
/* False when there is none of that name. */
bool vote_rule_find(const char *name, enum vote_rule *rule);

#endif
