/* When one of several drafters rests: is not asked, because what it adds to the others is not worth the asking.  Pure
 * arithmetic.
 *
 * Where all of them share one machine a drafter that adds nothing takes time from those that do, and on any machine it
 * takes a place in the pass.  Each is judged by what it brings where the best of them is wrong: who brings little there
 * is left out, and if the answers then come much more slowly (it may have been the quicker one) asked again.  Now and
 * then one that rests is tried, the less often the longer nothing comes of it, and at once when the others bring much
 * less in a round than they did. */
#ifndef TIGHTWAD_ENGINES_REST_H
#define TIGHTWAD_ENGINES_REST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of one drafter.  All zero: it is new. */
struct rest {
    bool resting;
    bool best;             /* the others are measured by it */
    double right, all;     /* its tokens that could be judged, fading slowly: how good it is */
    uint64_t asked;        /* rounds that it was asked in since it was last judged */
    uint64_t missed;       /* of them, those in which the best one was wrong somewhere */
    uint64_t beaten;       /* of them, those in which the best one was right for longer */
    double tokens, gained; /* of them, all that they brought; what came of its being right where that one was not */
    unsigned grace;        /* how often it was missed: then more has to be seen of it before it rests again */
    uint64_t slept, sleep; /* tokens since it rests; until it is tried */
    bool proven;           /* resting: it is not missed */
    double level, recent;  /* tokens a round: when it began to rest; of late */
    double rate;           /* tokens over time when it began to rest */
};

/* Of n tokens of it so many were right. */
void rest_saw_tokens(struct rest *r, size_t n, size_t right);
double rest_quality(const struct rest *r); /* 0..1 */
/* A round of `tokens` tokens that it was asked in: it had `own` of them right, the best one `best`.  missed: that one
 * was wrong then, and this one had something to say, too. */
void rest_saw_round(struct rest *r, size_t tokens, size_t own, size_t best, bool missed);
/* Whether enough is known of it, and it is not worth asking. */
bool rest_is_due(const struct rest *r);
/* rate: tokens over time, of late. */
void rest_begin(struct rest *r, double rate);
/* A round of so many tokens has come without it: true when it is to be tried again. */
bool rest_slept(struct rest *r, size_t tokens, double rate);
/* It is asked again. */
void rest_end(struct rest *r);
/* Another one is the best: what it adds to that has to be seen anew. */
void rest_doubt(struct rest *r);

#endif
