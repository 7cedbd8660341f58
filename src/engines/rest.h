/* When one of several drafters rests: is not asked, because what it adds to the others is not worth the asking.  What
 * it adds are the tokens of a round that no other one had right.  Pure arithmetic.
 *
 * Where all of them share one machine a drafter that adds nothing takes time from those that do, and on any machine it
 * takes a place in the pass.  It is judged by the places where the others were wrong: while they are right nobody knows
 * what it is good for.  Now and then one that rests is tried again, the less often the longer nothing comes of it, and
 * at once when the others bring much less than they did. */
#ifndef TIGHTWAD_ENGINES_REST_H
#define TIGHTWAD_ENGINES_REST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of one drafter.  All zero: it is new. */
struct rest {
    bool resting;
    double gain, tokens, rounds; /* of the rounds that it was asked in, fading: what it alone had right; all tokens */
    uint64_t asked;              /* rounds since it was last judged */
    uint64_t missed, rescued;    /* of them, those in which the others were wrong somewhere; and it was right there */
    uint64_t slept, sleep;       /* tokens since it rests; until it is tried */
    double level, recent;        /* tokens a round: when it began to rest; of late */
};

/* A round of `tokens` tokens that it was asked in, of which it alone had `gain` right.  missed: the best of the others
 * was wrong somewhere. */
void rest_saw_round(struct rest *r, size_t gain, size_t tokens, bool missed);
/* Whether enough is known of it, and it is not worth asking. */
bool rest_is_due(const struct rest *r);
/* Of two that are due, whether a goes first. */
bool rest_before(const struct rest *a, const struct rest *b);
void rest_begin(struct rest *r);
/* A round of so many tokens has come without it: true when it is to be tried again. */
bool rest_slept(struct rest *r, size_t tokens);
/* It is asked again. */
void rest_end(struct rest *r);
/* Who is asked beside it has changed: what it adds has to be seen anew. */
void rest_doubt(struct rest *r);

#endif
