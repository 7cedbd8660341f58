/* What a pass of the model costs, found by measuring, and how sequences of different lengths are best put into one.
 *
 * llama.cpp computes a batch in steps: each takes sequences whose ids follow one another, as many tokens of each as the
 * shortest has left.  So every distinct length is a step of its own, and every gap between ids; and a step costs a trip
 * through all devices.  Over a network a trip costs more than some tokens that nobody needs: then short sequences are
 * padded at their end, and idle ones in a gap put in, and that is cut off again.  What stands before is not changed by
 * what stands behind. */
#ifndef TIGHTWAD_NODE_PASSES_H
#define TIGHTWAD_NODE_PASSES_H

#include <stdbool.h>
#include <stddef.h>

enum { PASS_BINS = 10 };

struct pass_cost {
    struct {
        double tokens, us; /* of recent passes of one step, by the number of their tokens */
        unsigned count;
    } bin[PASS_BINS];
    double first_us, token_us; /* a pass of n tokens in one step takes first_us + n * token_us; 0 until known */
    double step_us;            /* each step more; 0 until one was seen */
    unsigned padded;           /* passes in a row that padding kept from showing what a step costs */
    bool known;
};

/* A pass of so many steps and tokens took so long. */
void pass_cost_add(struct pass_cost *c, size_t steps, size_t tokens, double us);
/* What a step more costs, going by the passes of one where none of more was seen. */
double pass_cost_step(const struct pass_cost *c);

/* len[i]: tokens of sequence i in the pass, 0: none.  Returns the steps. */
size_t pass_steps(const size_t *len, size_t n);

/* All sequences as long as the longest, those between that have none put in.  *more: the tokens that this takes.
 * false: there is no room for it. */
bool pass_level(const size_t *len, const size_t *most, size_t n, size_t room, size_t *padded, size_t *more);

/* padded[i] >= len[i]: how long each sequence is best made, at most most[i] (0 and len 0: it may not be put in), with
 * at most room tokens in all.  Returns the steps that this saves, 0: padded is len. */
size_t pass_pad(struct pass_cost *c, const size_t *len, const size_t *most, size_t n, size_t room, size_t *padded);

#endif
