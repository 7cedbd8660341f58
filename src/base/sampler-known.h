/* The sampler where only the most likely tokens are known: a server tells the n best by the logarithm of their
 * probabilities, and the rest of the vocabulary lies below them.
 *
 * The noise of every token is known beforehand, so a draw can be proven: no token that was not told can win when its
 * noise and the most that its logit can be do not reach the winner's score.  Where that is not so, the draw says how
 * many tokens would have to be known.
 *
 * A proven draw is the sampler's own (sampler.h), with the log probabilities as logits.  Nothing but repeat_penalty
 * depends on where the zero of the logits lies; that one works on log probabilities here. */
#ifndef TIGHTWAD_BASE_SAMPLER_KNOWN_H
#define TIGHTWAD_BASE_SAMPLER_KNOWN_H

#include "base/sampler.h"

struct sampler_known {
    const struct sampler_logprob *top; /* more likely first; natural logarithms of softmax of the raw logits */
    size_t n;                          /* at least 1; n_vocab or more: nothing is unknown */
    size_t n_vocab;
};

struct sampler_draw {
    struct sampler_pick pick; /* proven or not: the best of what is known */
    bool proven;
    size_t ask; /* not proven: with so many known tokens it will be, or nearly so */
};

/* Draws the token at position n_path, arguments as of sampler_pick. */
struct sampler_draw sampler_pick_known(const struct sampler_params *p, const struct sampler_known *known,
                                       const int32_t *path, size_t n_path, size_t prompt_len);

#endif
