/* Answers by what the drafters agree on (consensus-run.c makes one; vote.h has the rules).  Approximate: what is
 * emitted without the target may be what it would not have written.  How often is measured (audit.h), and when it is
 * too often answers are exact again. */
#ifndef TIGHTWAD_ENGINES_CONSENSUS_H
#define TIGHTWAD_ENGINES_CONSENSUS_H

#include "engines/engine.h"
#include "engines/vote.h"

struct audit;
struct pieces;

/* The proxy's own state of it. */
struct consensus {
    enum vote_rule rule;
    bool suspended;        /* too many errors */
    char trouble[200];     /* why it is suspended */
    struct pieces *pieces; /* of the target's vocabulary */
    struct audit *left;    /* those that have outlived their answer */
    size_t n_left;
    unsigned era; /* rises each time that it is set: the counts begin anew */
    /* counts since the start, or since it was last set */
    uint64_t windows, skipped, accepted, fallback, target_passes;
    uint64_t audited, wrong, audited_tokens, wrong_tokens;
    double lately, lately_wrong; /* audited tokens and the wrong ones among them, of which the older count less */
};

enum {
    CONSENSUS_SURE = 200,    /* audited tokens before too many errors are held against it */
    CONSENSUS_LATELY = 4000, /* audited tokens after which older ones count half */
};

void consensus_init(struct consensus *c);
void consensus_finish(struct consensus *c); /* before the members go */
/* The target is about to go, no answer runs on it: what is still checked there is not checked any more. */
void consensus_target_replaced(struct consensus *c);
/* Whether an answer can be made so; otherwise it is made exactly. */
bool consensus_serves(const struct proxy_answer *a);
/* Whether answers that are under way should go on so. */
bool consensus_goes_on(const struct proxy *p);
/* Why it can't be used now, in words; "" when it can. */
void consensus_why_not(const struct proxy *p, char *out, size_t size);

/* A window was checked afterwards: how many tokens, and how many of them the target would not have drawn. */
void consensus_count_audit(struct proxy *p, size_t tokens, size_t wrong);
/* Whether window n of this request is to be checked: the same for the same numbers. */
bool consensus_wants_audit(const struct proxy *p, uint64_t request, uint64_t window);

/* What the target has written of an answer that was handed over to it is counted as its own. */
void consensus_answer_ended(const struct proxy_answer *a);

/* Its part of the picture. */
void consensus_fill(const struct proxy *p, struct snapshot_consensus *out);

extern const struct runner consensus_runner;

#endif
