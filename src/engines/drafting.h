/* One answer's use of one drafter: asks for drafts, keeps the newest, and says which of it still continues the path. */
#ifndef TIGHTWAD_ENGINES_DRAFTING_H
#define TIGHTWAD_ENGINES_DRAFTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engines/engine.h"

struct drafting;

/* on_draft is called on the loop when a draft is over: there, or failed (the drafting may be gone then: it belongs to
 * the caller, who is told of a member that went down by its runner's member_changed). */
struct drafting *drafting_create(struct proxy_answer *a, struct member *m, size_t prompt_len, void (*on_draft)(void *),
                                 void *arg);
void drafting_destroy(struct drafting *d); /* NULL is fine */

struct member *drafting_member(const struct drafting *d);
const char *drafting_name(const struct drafting *d);
/* Whether its drafter can go on drafting after a path of n_path tokens. */
bool drafting_usable(const struct drafting *d, size_t n_path);

/* Begins a draft of at most n tokens after path.  Does nothing while one is under way. */
void drafting_begin(struct drafting *d, const int32_t *path, size_t n_path, size_t n);
/* Whether nothing is under way any more. */
bool drafting_over(const struct drafting *d);
/* What of the newest draft continues path: at most `most` tokens into *tokens (held by d until the next begin).  -1
 * when there is none for this path; 0 when the drafter has nothing to say here. */
long drafting_take(struct drafting *d, const int32_t *path, size_t n_path, size_t most, const int32_t **tokens);
/* How many tokens the last take gave, 0 after drafting_result. */
size_t drafting_sent(const struct drafting *d);
/* What became of them: counts for the record, and the depth of the next draft. */
void drafting_result(struct drafting *d, size_t accepted);
/* The target wrote n tokens, which end path: text drafters need their text. */
void drafting_advance(struct drafting *d, size_t n_path, const struct backend_token *tokens, size_t n);
/* How many tokens to ask for, given the cap in force. */
size_t drafting_depth(const struct drafting *d, size_t cap);

int64_t drafting_elapsed_us(const struct drafting *d);  /* of the newest draft */
int64_t drafting_patience_us(const struct drafting *d); /* how long waiting for a draft can pay */

#endif
