/* The prompt of an answer, once its tokens are known: what every runner that works on tokens begins with. */
#ifndef TIGHTWAD_ENGINES_PROMPT_H
#define TIGHTWAD_ENGINES_PROMPT_H

#include "engines/engine.h"

/* Checks the prompt against the context (*n_ctx: tokens that a path may reach, 0 unknown) and the vocabulary of the
 * answer's target, settles max_tokens, makes a->text and tells the client.  False when the prompt can't be served: the
 * answer has failed then. */
bool prompt_take(struct proxy_answer *a, const int32_t *tokens, size_t n, size_t *n_ctx);

#endif
