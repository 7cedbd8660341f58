/* The rounds of a proxy while it is measured, read from its event stream. */
#ifndef TIGHTWAD_CMD_BENCH_ROUNDS_H
#define TIGHTWAD_CMD_BENCH_ROUNDS_H

#include <stddef.h>
#include <stdint.h>

#include "cmd/client.h"

/* What they come to.  An answer's first round also reads the prompt: the times are those of the others. */
struct bench_counts {
    int64_t rounds, drafted, accepted, emitted; /* of all rounds */
    int64_t timed, timed_emitted;               /* rounds after an answer's first, and their tokens */
    double draft_ms, verify_ms, wait_ms;        /* sums over the timed rounds */
    double *errors;                             /* |took - expected| / took of each round that tells both; owned */
    size_t n_errors;
};
void bench_counts_add(struct bench_counts *to, const struct bench_counts *from);
void bench_counts_finish(struct bench_counts *c);

struct bench_rounds;

/* Reads from now on, whenever the client's loop turns.  The client must outlive it. */
struct bench_rounds *bench_rounds_start(struct client *c);
/* What has come since the start or the last call; *out is to be finished. */
void bench_rounds_take(struct bench_rounds *r, struct bench_counts *out);
void bench_rounds_stop(struct bench_rounds *r); /* NULL is fine */

#endif
