/* Log probabilities of a given text, as /v1/completions returns them for echo: how an API without a verify of its own
 * can check a draft in one pass. */
#ifndef TIGHTWAD_BACKENDS_ECHO_H
#define TIGHTWAD_BACKENDS_ECHO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "http/httpc.h"

struct echo_top {
    int32_t id; /* -1: not told */
    double logprob;
};

enum { ECHO_TOP_MAX = 5 }; /* as many as APIs give */

struct echo_entry {
    int32_t id;                        /* -1: not told */
    double logprob;                    /* NAN for the first token */
    struct echo_top top[ECHO_TOP_MAX]; /* best first, equal ones by id */
    size_t n_top;
};

struct echo_answer {
    struct echo_entry *list; /* the prompt's tokens, then the one generated (which may be missing at the end) */
    size_t n;
    bool ids; /* ids were told for all tokens */
};

/* The request: model (NULL: none named), the tokens to look at, how many alternatives.  One more token is generated at
 * temperature 0.  Owned by the caller. */
char *echo_body(const char *model, const int32_t *tokens, size_t n, int top);

/* 0, or -1 when the reply has no log probabilities of all n_prompt tokens.  n_vocab: limit of ids, 0 unknown.  The
 * answer is to be finished in both cases. */
int echo_read(const struct httpc_result *r, size_t n_prompt, int32_t n_vocab, struct echo_answer *a);
/* The same from the "logprobs" of any completion or part of one; -1 when its lists do not go together. */
int echo_read_logprobs(const json_t *lp, int32_t n_vocab, struct echo_answer *a);
void echo_finish(struct echo_answer *a);

#endif
