/* The drafters of one answer.  All that can draft do so at once, each by itself (drafting.h), and follow the path; for
 * each pass their drafts are put together (merge.h): one of them is the line, the others go along as branches from
 * where they leave it.  Whoever was right goes on from there, the others begin anew.
 *
 * With one drafter there is the line, and as branches its own second choices. */
#ifndef TIGHTWAD_ENGINES_TEAM_H
#define TIGHTWAD_ENGINES_TEAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engines/engine.h"

struct team;

/* on_news is called on the loop when one of the drafters has news: as in drafting_create. */
struct team *team_create(struct proxy_answer *a, void (*on_news)(void *), void *arg);
void team_destroy(struct team *t); /* NULL is fine */

/* Takes in who can draft now, and lets go of who can't or rests.  Whether there is anybody.  The first prompt_len
 * tokens of the path are the prompt. */
bool team_gather(struct team *t, size_t n_path, size_t prompt_len);
bool team_is_empty(const struct team *t);
/* Lets go of m where it is going or can't draft any more: true if it was one of them. */
bool team_drop(struct team *t, const struct member *m, bool going, size_t n_path);
/* The target wrote n tokens, which end a path of n_path. */
void team_advance(struct team *t, size_t n_path, const struct backend_token *tokens, size_t n);

/* All follow the path; what they have written that continues it is looked at: at most `most` tokens of each. */
void team_follow(struct team *t, const int32_t *path, size_t n_path, size_t most);
/* The line of the newest team_follow, of what is there; it holds until tokens come. */
const int32_t *team_line(const struct team *t, size_t *n);
/* How many tokens of it are worth verifying, and how many are expected to be right. */
size_t team_length(const struct team *t);
double team_hope(const struct team *t);
/* The branches to verify beside it; out has room for BACKEND_BRANCHES_MAX. */
size_t team_branches(struct team *t, struct backend_branch *out);
/* Whether more is on its way; whether it is worth waiting for, and for how long at most, since when: microseconds. */
bool team_busy(const struct team *t);
bool team_waits(struct team *t);
int64_t team_patience_us(const struct team *t, int64_t since_us);
/* That time is over: those who were waited for are late, and not waited for again until they have something.  Whether
 * nobody is left who is worth waiting for. */
bool team_expire(struct team *t, int64_t since_us);
/* Whether one of them has something that continues path, or has nothing on its way. */
bool team_ready(const struct team *t, const int32_t *path, size_t n_path);

/* The line's first n tokens and these branches are being verified. */
void team_sent(struct team *t, const int32_t *path, size_t n_path, size_t n, const struct backend_branch *branches,
               size_t n_branches);
/* The verdict: the target wrote n tokens where it had been sent a draft.  Counts for the records of all.  Returns the
 * name of the drafter who was right for longest. */
const char *team_result(struct team *t, const int32_t *right, size_t n);
/* Of the line. */
const char *team_name(const struct team *t);
double team_draft_ms(const struct team *t);

#endif
