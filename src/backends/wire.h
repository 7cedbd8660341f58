/* Tokens on the wire: lists of ids written fast, pieces and log probabilities read into struct backend_token. */
#ifndef TIGHTWAD_BACKENDS_WIRE_H
#define TIGHTWAD_BACKENDS_WIRE_H

#include "backends/backend.h"
#include "base/buf.h"

/* Appends "[1,2,3]". */
void wire_add_tokens(struct buf *b, const int32_t *tokens, size_t n);
void wire_add_int(struct buf *b, int64_t v);

/* Reads an array of ids, each 0 <= id < n_vocab (n_vocab 0: no limit known), at most max of them.  *out is owned by the
 * caller.  -1 and a cause; what names the list in it. */
int wire_get_tokens(const json_t *list, const char *what, int32_t n_vocab, size_t max, int32_t **out, size_t *n,
                    char **cause);

/* A growing list of tokens that owns their texts. */
struct wire_tokens {
    struct backend_token *list;
    size_t n, size;
    void **owned; /* what the tokens point into */
    size_t n_owned, size_owned;
};

void wire_tokens_init(struct wire_tokens *t);
void wire_tokens_finish(struct wire_tokens *t);
void wire_tokens_clear(struct wire_tokens *t);
/* Adds a token; piece: JSON string or array of bytes, or NULL.  logprob: a number, or
 * {"logprob":x,"top":[[id,x,piece]…]}, or NULL.  -1 and a cause. */
int wire_tokens_add(struct wire_tokens *t, int32_t id, const json_t *piece, bool end, const json_t *logprob,
                    int32_t n_vocab, char **cause);
/* Keeps p (from malloc) until the tokens are cleared. */
void *wire_tokens_own(struct wire_tokens *t, void *p);

#endif
