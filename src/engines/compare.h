/* Acceptance where the target can't verify: now and then the drafter continues the text so far, and what it drafted is
 * compared with what the target then wrote.  A measurement; the answer does not depend on it. */
#ifndef TIGHTWAD_ENGINES_COMPARE_H
#define TIGHTWAD_ENGINES_COMPARE_H

#include <stddef.h>

#include "engines/engine.h"

struct compare;

/* NULL when no drafter can be used for it (none up, or one that knows neither tokens nor the chat template). */
struct compare *compare_create(struct proxy_answer *a);
void compare_destroy(struct compare *c); /* NULL is fine */
struct member *compare_member(const struct compare *c);
/* The target's text so far; all of it, not what is new. */
void compare_text(struct compare *c, const char *text, size_t len);

#endif
