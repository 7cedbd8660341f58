/* From tokens to the text of an answer: stop strings across token borders, UTF-8 that is never cut, max_tokens, the end
 * of generation.  The node's own endpoint and the proxy use this one piece, so both write the same bytes; how the
 * tokens are grouped when they arrive changes nothing of the text. */
#ifndef TIGHTWAD_BASE_ANSWER_H
#define TIGHTWAD_BASE_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum answer_finish {
    ANSWER_OPEN,   /* more tokens are wanted */
    ANSWER_STOP,   /* end of generation, or a stop string */
    ANSWER_LENGTH, /* max_tokens or the context is used up */
};

struct answer;

/* stops: n_stops non-empty strings, copied; the text ends before the first one found.  max_tokens: >= 0. */
struct answer *answer_create(const char *const *stops, size_t n_stops, int64_t max_tokens);
void answer_destroy(struct answer *a);

/* Gives one token: its bytes (may be part of a character), or end = true for an end-of-generation token, which adds no
 * text and counts as one completion token like any other.  With max_tokens 0 the answer is over at once.
 * Returns the state; once it is not ANSWER_OPEN further tokens are ignored. */
enum answer_finish answer_feed(struct answer *a, const char *piece, size_t len, bool end);

/* Ends an open answer for want of context or tokens (ANSWER_LENGTH). */
void answer_cut(struct answer *a);

/* Text that may be sent now: valid UTF-8, and no byte that could still turn out to belong to a stop string.  The
 * pointer holds until the next call on a; taking removes it.  After the end everything left is given (an incomplete
 * character as U+FFFD). *len may be 0. */
const char *answer_take(struct answer *a, size_t *len);

enum answer_finish answer_state(const struct answer *a);
const char *answer_finish_name(enum answer_finish f);         /* "stop", "length", NULL while open */
int64_t answer_tokens(const struct answer *a);                /* tokens taken into account, the end token included */
const char *answer_text(const struct answer *a, size_t *len); /* all text so far that was or may be sent */

#endif
