/* The shapes of passes that devices on other machines have seen.  The first pass of a shape (so many sequences, tokens
 * of each, logits, and cells of the cache) makes llama.cpp ask them about every tensor of a new size, some ten round
 * trips, once.  A draft's length changes from pass to pass: where some tokens too many cost less, a pass takes a shape
 * that was seen, until what that has cost would have paid for its own. */
#ifndef TIGHTWAD_NODE_SHAPES_H
#define TIGHTWAD_NODE_SHAPES_H

#include <stdbool.h>
#include <stddef.h>

#include "node/passes.h"

enum { SHAPES_MAX = 512 };

struct shape {
    size_t sequences, length; /* tokens of each */
    size_t outputs;           /* logits of all; 0 where no account is kept of them */
    size_t cells;             /* of the longest sequence, afterwards */
};

struct shape_record {
    struct shape shape; /* cells in steps of llama.cpp */
    bool seen;
    double paid_us; /* what was given for going without it */
};

struct shapes {
    struct shape_record record[SHAPES_MAX];
    size_t n;
    double new_us; /* what a new one costs, 0: not known */
};

/* The shape that a pass which needs `least` is best given: at least that long, with at least so many logits.  most:
 * what no sequence may be longer than. */
struct shape shapes_choose(struct shapes *t, const struct pass_cost *c, struct shape least, size_t most);
/* What a new shape costs, as far as it is known. */
double shapes_new_us(const struct shapes *t, const struct pass_cost *c);
/* A pass had this shape; extra_us: what it took beyond what its tokens take.  Returns whether the shape was new. */
bool shapes_add(struct shapes *t, struct shape shape, double extra_us);

#endif
