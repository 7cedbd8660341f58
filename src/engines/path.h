/* The tokens of an answer, prompt and output: what every runner that works on tokens has as its only truth. */
#ifndef TIGHTWAD_ENGINES_PATH_H
#define TIGHTWAD_ENGINES_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct proxy_answer;

/* All zero: empty. */
struct path {
    int32_t *tokens; /* owned: freed by who has the path */
    size_t n, size;
    size_t prompt_len; /* the first tokens, which are the prompt */
    size_t n_ctx;      /* tokens that it may reach, 0 unknown */
};

void path_push(struct path *p, int32_t token);
bool path_is_full(const struct path *p); /* the context ends here */
/* How many more tokens the answer may have: by max_tokens, and by the context. */
size_t path_room(const struct path *p, const struct proxy_answer *a);

/* The prompt's tokens are known: they are checked against the context and the vocabulary of the answer's target and are
 * the path from now on.  Settles max_tokens, makes a->text and tells the client.  False when the prompt can't be
 * served: the answer has failed then. */
bool path_begin(struct path *p, struct proxy_answer *a, const int32_t *tokens, size_t n);

#endif
