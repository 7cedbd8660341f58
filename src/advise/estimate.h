/* How many tokens a second, before anything has run: what `tightwad bench` is held against.
 *
 * Writing a token reads every weight that it passes through once, so decoding alone is bound by memory bandwidth:
 *
 *     seconds a token = ESTIMATE_FIXED + sum over devices of bytes read there / (bandwidth × ESTIMATE_SHARE) + trips
 *
 * The peak that a maker states is not reached: llama.cpp decodes at some 60 to 75 % of it on GPUs and CPUs alike.
 * Caches, sampling and the time to read a prompt are left out.
 *
 * With drafts of k tokens, each right with chance a, a round brings (1 - a^(k+1)) / (1 - a) tokens (Leviathan, Kalman,
 * Matias: Fast inference from transformers via speculative decoding) and takes, drafting and verifying in turn,
 *
 *     fixed + k × draft + pass + k × more
 *
 * where fixed is the trip to the drafter, draft the time of one drafted token, pass a verify without a draft with its
 * trip, and more what each token adds to it.  Drafting ahead hides the shorter of the two halves whenever the whole
 * draft and the token after it are right, which is the case in a^(k+1) of the rounds; preparing for corrections, which
 * hides it more often, is left out.  Seconds throughout; NAN in, NAN out. */
#ifndef TIGHTWAD_ADVISE_ESTIMATE_H
#define TIGHTWAD_ADVISE_ESTIMATE_H

#include <stddef.h>
#include <stdint.h>

#define ESTIMATE_SHARE 0.65
#define ESTIMATE_FIXED 1e-3 /* launching kernels, sampling, a small HTTP exchange: what bounds tiny models */

/* What one more token adds to a pass, as a share of it.  A GPU has computing to spare while it reads the weights; a CPU
 * has little, and of models that fit its caches a token in a batch costs what a single one does. */
#define ESTIMATE_MORE_GPU 0.02
#define ESTIMATE_MORE_CPU 0.7

enum { ESTIMATE_DRAFT_MAX = 32 }; /* longest draft that is considered */

/* A part of the model's weights, on a device. */
struct estimate_part {
    double bytes; /* read for each token */
    double gbps;  /* peak bandwidth, GB/s */
};

/* Seconds a token.  trips: seconds on the network for each pass. */
double estimate_token(const struct estimate_part *parts, size_t n, double trips);

struct estimate_round {
    double chance; /* a: of one drafted token to be right */
    double fixed, draft, pass, more;
};

/* Tokens that a round of k drafted ones brings. */
double estimate_tokens(double chance, int64_t k);
/* Tokens per second of rounds with k drafted tokens, drafting ahead; k = 0: the pass alone. */
double estimate_rate(const struct estimate_round *r, int64_t k);
/* The length from 1 to most with the highest rate, which goes to *rate where that is not NULL; 0 and NAN: unknown. */
int64_t estimate_best(const struct estimate_round *r, int64_t most, double *rate);

#endif
