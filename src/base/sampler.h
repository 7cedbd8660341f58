/* The sampler: a pure function.  The token at position p depends on nothing but the logits at p, these parameters, the
 * seed, p, and the tokens before p on its path.  So whatever drafted, failed or was retried on the way, the text is the
 * same, and drafters that use the same seed draw the same noise.
 *
 * temperature 0: argmax, the lowest id on a tie.  Above 0: argmax over the kept candidates of logit / T + g, where g is
 * Gumbel noise -ln(-ln(u)) and u comes from a counter-based generator keyed by (seed, p, token id)
 * (Daliri, Musco, Suresh: drafter-invariant speculative decoding). */
#ifndef TIGHTWAD_BASE_SAMPLER_H
#define TIGHTWAD_BASE_SAMPLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

struct sampler_bias {
    int32_t token;
    float bias; /* added to the logit, -100..100 */
};

struct sampler_params {
    uint64_t seed;
    double temperature;        /* 0..2, 0: argmax */
    int32_t top_k;             /* 0: off */
    double top_p;              /* 0..1, 1: off */
    double min_p;              /* 0..1, 0: off */
    double repeat_penalty;     /* > 0, 1: off; over the last repeat_last_n tokens of prompt and output */
    int32_t repeat_last_n;     /* 0: off, -1: all */
    double frequency_penalty;  /* -2..2, over the output only */
    double presence_penalty;   /* -2..2, over the output only */
    struct sampler_bias *bias; /* owned, may be NULL */
    size_t n_bias;
};

struct sampler_pick {
    int32_t token;
    float margin; /* how far the winner's score lies above the second best's, in units of a logit; INFINITY if alone */
};

struct sampler_logprob {
    int32_t token;
    float logprob; /* natural logarithm of the softmax of the raw logits, before any parameter */
};

/* Defaults: temperature 1, everything else off, seed 0. */
void sampler_params_init(struct sampler_params *p);
void sampler_params_finish(struct sampler_params *p);
void sampler_params_copy(struct sampler_params *to, const struct sampler_params *from); /* to is not finished first */

/* The JSON form used on the wire between tightwad and its nodes; defaults are left out.  from_json rejects unknown
 * keys, wrong types and ranges with -1 and a cause. */
json_t *sampler_params_to_json(const struct sampler_params *p);
int sampler_params_from_json(struct sampler_params *p, const json_t *o, char **cause);

/* Scratch space for one thread.  n_vocab: tokens of the vocabulary. */
struct sampler *sampler_create(size_t n_vocab);
void sampler_destroy(struct sampler *s);

/* Draws the token at position n_path.  logits: n_vocab floats, not changed.  path: every token from position 0 on;
 * prompt_len of them are the prompt.  Tokens with a NaN logit are never drawn. */
struct sampler_pick sampler_pick(struct sampler *s, const struct sampler_params *p, const float *logits,
                                 const int32_t *path, size_t n_path, size_t prompt_len);

struct sampler_choice {
    int32_t token;
    float chance; /* 0..1 */
};

/* What comes nearest to being drawn at position n_path, best first: out[0] is pick, the token that sampler_pick draws
 * there from the same arguments.  chance estimates how likely a model much like this one, with the same noise, is to
 * draw that token: the softmax of logit + T * g over the tokens with the largest logits, which at temperature 0 is that
 * of the logits.  Returns how many of n were written, at least 1 (n >= 1). */
size_t sampler_choices(struct sampler *s, const struct sampler_params *p, const float *logits, const int32_t *path,
                       size_t n_path, size_t prompt_len, int32_t pick, struct sampler_choice *out, size_t n);

/* The logprob of token, and the n most likely ones, best first (lowest id on a tie), into top (n may be 0).
 * Returns how many were written. */
size_t sampler_logprobs(const float *logits, size_t n_vocab, int32_t token, float *logprob, struct sampler_logprob *top,
                        size_t n);

/* A seed for a request that brings none: 31 bits from the system, so that every JSON reader can hold it. */
uint64_t sampler_random_seed(void);

#endif
