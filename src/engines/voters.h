/* The drafters of one answer as voters: each drafts behind the path, and what they say is put to the vote together.  A
 * drafter that stays silent is no vote, and is not waited for again until it speaks by itself. */
#ifndef TIGHTWAD_ENGINES_VOTERS_H
#define TIGHTWAD_ENGINES_VOTERS_H

#include "engines/drafting.h"
#include "engines/proxy-internal.h"
#include "engines/vote.h"

struct voter {
    struct drafting *drafting;
    const int32_t *tokens; /* what it has to say behind the path, as of the newest voters_collect */
    size_t n;
    bool silent; /* was waited for in vain */
};

struct voters {
    struct proxy_answer *a;
    size_t prompt_len;
    void (*on_news)(void *arg);
    void *arg;
    struct voter list[PROXY_DRAFTERS];
    size_t n;
};

/* on_news as in drafting_create. */
void voters_init(struct voters *v, struct proxy_answer *a, size_t prompt_len, void (*on_news)(void *), void *arg);
void voters_finish(struct voters *v);

/* Takes in the drafters that can draft behind a path of n_path tokens and lets go of those that can't.  False when
 * there is none, nor any that may soon be able to. */
bool voters_muster(struct voters *v, size_t n_path);
/* Lets go of a drafter that is about to go. */
void voters_drop(struct voters *v, const struct member *m);

/* Asks each for up to `window` tokens behind path.  0: all have spoken or are not waited for; else how long to wait for
 * news, microseconds.  since_us: when it was first waited for this vote. */
int64_t voters_collect(struct voters *v, const int32_t *path, size_t n_path, size_t window, int64_t since_us);
/* Counts the votes that voters_collect has brought. */
void voters_vote(const struct voters *v, enum vote_rule rule, size_t window, struct vote_result *out);
/* The name of the first voter whose draft begins with n tokens of line, "" none. */
const char *voters_author(const struct voters *v, const int32_t *line, size_t n);

/* All write on behind path, of which the target says meanwhile how it goes on.  (What it says of the drafts is not put
 * on the drafters' records: it is asked only where they do not agree, and those who are right as a rule are not asked
 * about.) */
void voters_go_on(struct voters *v, const int32_t *path, size_t n_path, size_t window);
/* n tokens have been added to the path, which has n_path with them. */
void voters_advance(struct voters *v, size_t n_path, const struct backend_token *tokens, size_t n);

#endif
