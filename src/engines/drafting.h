/* One answer's use of one drafter.  The drafter writes ahead: while the target checks the first tokens of a draft, the
 * drafter goes on from there as if all of them were right.  What still continues the path when the verdict comes is the
 * next draft; what does not is dropped and the drafter starts anew. */
#ifndef TIGHTWAD_ENGINES_DRAFTING_H
#define TIGHTWAD_ENGINES_DRAFTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engines/engine.h"

struct drafting;

/* on_news is called on the loop when tokens have come, or a draft is over: there, or failed (the drafting may be gone
 * then: it belongs to the caller, who is told of a member that went down by its runner's member_changed). */
struct drafting *drafting_create(struct proxy_answer *a, struct member *m, size_t prompt_len, void (*on_news)(void *),
                                 void *arg);
void drafting_destroy(struct drafting *d); /* NULL is fine */

/* The drafter, and its name. */
struct member *drafting_member(const struct drafting *d);
const char *drafting_name(const struct drafting *d);
/* Whether a drafter can draft for an answer after a path of n_path tokens. */
bool drafting_possible(const struct member *m, const struct proxy_answer *a, size_t n_path);
bool drafting_usable(const struct drafting *d, size_t n_path); /* the same of the answer's own */

/* What the drafter has written that continues path: how many tokens, at most `most`, and where they and the drafter's
 * own probabilities of them (NAN unknown) are; both hold until tokens come.  Where the path has left the line a branch
 * may know it; else the drafter starts anew.  It drafts further where there is less than is worth having. */
size_t drafting_follow(struct drafting *d, const int32_t *path, size_t n_path, size_t most, const int32_t **tokens,
                       const float **probs);
/* The line of the newest drafting_follow, and its branches. */
const struct line *drafting_line(const struct drafting *d);
/* When the next token of the line is to be expected, microseconds from now; 0 unknown. */
double drafting_next_us(const struct drafting *d);
/* Whether something is there that continues path, or nothing is on its way any more. */
bool drafting_ready(const struct drafting *d, const int32_t *path, size_t n_path);
/* Whether more is on its way. */
bool drafting_busy(const struct drafting *d);
/* The first n tokens of what drafting_follow gave are being verified: a drafter that can't stream goes on behind what
 * it has written, up to `ahead` tokens beyond them. */
void drafting_sent(struct drafting *d, const int32_t *path, size_t n_path, size_t n, size_t ahead);
/* The target wrote n tokens, which end a path of n_path: text drafters need their text. */
void drafting_advance(struct drafting *d, size_t n_path, const struct backend_token *tokens, size_t n);

int64_t drafting_elapsed_us(const struct drafting *d);  /* of the newest draft, so far */
int64_t drafting_news_us(const struct drafting *d);     /* when it was asked or has last told something */
int64_t drafting_patience_us(const struct drafting *d); /* how long silence of it can be waited through */

#endif
