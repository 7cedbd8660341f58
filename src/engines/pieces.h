/* The texts of a vocabulary's tokens as far as they are known: what the target's verify would give for each.  So what
 * the drafters agree on can be told without the target.  Filled by its verdicts, and by servers that tell texts. */
#ifndef TIGHTWAD_ENGINES_PIECES_H
#define TIGHTWAD_ENGINES_PIECES_H

#include "backends/backend.h"

struct pieces;

struct pieces *pieces_create(void);
void pieces_destroy(struct pieces *p); /* NULL is fine */

/* The server whose vocabulary is meant from here on; another vocabulary than before forgets all.  One whose size is not
 * known has no texts. */
void pieces_set(struct pieces *p, const struct backend_info *info);

enum piece_kind {
    PIECE_UNKNOWN,
    PIECE_TEXT,
    PIECE_END, /* it ends the generation, and has no text */
};
/* The text holds until pieces_set and pieces_destroy. */
enum piece_kind pieces_get(const struct pieces *p, int32_t token, const char **text, size_t *len);
/* What the server said of n tokens.  What is known already stays as it is.  Returns how many are new. */
size_t pieces_learn(struct pieces *p, const struct backend_token *tokens, size_t n);

#endif
