/* What a share of a model's layers needs of its file: which tensors a device that computes these layers gets from
 * llama.cpp, and which pieces hold them. */
#ifndef TIGHTWAD_SWARM_NEEDED_H
#define TIGHTWAD_SWARM_NEEDED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/crew.h"
#include "probe/gguf.h"
#include "swarm/bits.h"
#include "swarm/manifest.h"

struct needed {
    int first, last; /* layers, from 0, both included */
    bool output;     /* the output layer as well */
};

/* "3-7", "5", "3-7,output" or "output" alone (first 0, last -1).  0, or -1 and a cause. */
int needed_read(struct needed *n, const char *text, char **cause);

/* Whether the model has these layers.  0, or -1 and a cause. */
int needed_check(const struct gguf *g, const struct needed *n, char **cause);
/* Tensors of these layers; with the output those of the output layer, and the table of the tokens where that is the
 * output matrix as well.  The table as input stays with the program that holds the pool together. */
bool needed_tensor(const struct gguf *g, const struct gguf_tensor *t, const struct needed *n);
/* Adds the pieces that hold them, and those of the head, to want (m's pieces, initialised). */
void needed_pieces(const struct manifest *m, const struct gguf *g, const struct needed *n, struct bits *want);

/* The head of the file says where tensors lie, so it must be here first.  Adds its pieces to want as far as the
 * manifest tells them: the first piece, which is the head where pieces are cut at tensors. */
void needed_head(const struct manifest *m, struct bits *want);

struct needed_search;

/* more false: want (m's pieces, borrowed) is all that is needed.  more true: the head is longer than what is here, and
 * these pieces hold more of it.  want NULL: it can't be found, and why in words. */
typedef void needed_cb(void *arg, const struct bits *want, bool more, const char *why);
/* Reads the head of the file at path, of which the pieces in have are here, on the crew.  m is kept, the rest copied;
 * done is called once, never before this returns. */
struct needed_search *needed_find(struct crew *crew, struct manifest *m, const char *path, const struct bits *have,
                                  const struct needed *n, needed_cb *done, void *arg);
void needed_cancel(struct needed_search *s); /* done is not called; not inside it; NULL is fine */

#endif
