/* Which piece to fetch next, from whom: pure, so that a simulation can run it in virtual time (tests/unit/swarm). */
#ifndef TIGHTWAD_SWARM_PICK_H
#define TIGHTWAD_SWARM_PICK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "swarm/bits.h"

enum pick_order {
    PICK_RAREST, /* fewest copies first, ties by chance; copies: peers that have it and peers that say they fetch it */
    PICK_RANDOM, /* any, by chance: for comparison */
};

/* What is known of the swarm, kept up as messages come. */
struct pick {
    size_t n; /* pieces */
    enum pick_order order;
    struct bits want; /* pieces that are to be had in the end (all, or those of some layers) */
    struct bits have; /* those that are here */
    uint16_t *copies; /* by piece: peers that have it */
    uint16_t *coming; /* by piece: peers that are fetching it, this one left out */
    uint16_t *asked;  /* by piece: peers that this one is fetching it from */
    uint64_t rng;
};

/* Nothing wanted, had or known yet; seed: of chance. */
void pick_init(struct pick *p, size_t n, enum pick_order order, uint64_t seed);
void pick_finish(struct pick *p);

/* A peer has a set of pieces more (+1) or, when it goes, less (-1); one piece; is fetching a piece.  What does not
 * exist is not counted, and no count goes below 0. */
void pick_count(struct pick *p, const struct bits *has, int by);
void pick_count_one(struct pick *p, size_t piece, int by);
void pick_count_coming(struct pick *p, size_t piece, int by);

/* The piece to ask a peer with `has` for: wanted, not had, not asked of anybody yet.  -1: it has none such. */
int64_t pick_next(struct pick *p, const struct bits *has);
/* Whether only pieces are left that are asked for already, or that nobody has: the end game, in which what is asked of
 * one peer may be asked of a second, and whoever is first wins. */
bool pick_ending(const struct pick *p);

bool pick_done(const struct pick *p);      /* all that is wanted is here */
size_t pick_missing(const struct pick *p); /* wanted and not here */
/* Copies of the piece of which fewest are about, as a number whose whole part is the fewest and whose fraction is the
 * share of pieces with more (as torrent clients show availability), among those that are wanted (none: NAN); this
 * machine's pieces count too. */
double pick_availability(const struct pick *p);

#endif
