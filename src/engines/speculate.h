/* An answer in rounds: what speculate.c (its life), speculate-verify.c (passes, and tokens that come) and
 * speculate-step.c (what is done next) share.  Nothing else includes it. */
#ifndef TIGHTWAD_ENGINES_SPECULATE_H
#define TIGHTWAD_ENGINES_SPECULATE_H

#include "engines/engine.h"
#include "engines/path.h"
#include "engines/quote.h"
#include "engines/team.h"

enum spec_state {
    SPEC_RENDER,   /* the target turns the prompt into tokens */
    SPEC_DRAFT,    /* waiting for a draft; nothing else to do */
    SPEC_VERIFY,   /* the target checks a draft (an empty one while the prompt goes in) */
    SPEC_GENERATE, /* the target goes on alone, as a stream */
    SPEC_LOST,     /* the target is gone and waited for */
    SPEC_PAUSED,   /* the client reads too slowly: no new work is begun */
    SPEC_ENDED,
};

struct speculation {
    struct proxy_answer *a;
    enum spec_state state;
    struct backend_session *session; /* the target's */
    struct backend_call *call;       /* the target's: render, verify or generate */
    struct path path;
    size_t sent;            /* tokens of path that the target has seen: for deadlines */
    struct team *team;      /* the drafters; may be empty */
    struct quote *quote;    /* the text itself as a drafter; NULL: none is configured */
    bool quoted;            /* the draft under verification is a quote */
    struct event *patience; /* ends the waiting for a draft */
    bool impatient;         /* generating while a draft is still under way */
    bool chosen;            /* generating because it is faster than drafting */
    int64_t verdict_us;     /* when the newest tokens came; 0: none since the answer was (re)started */
    size_t n_draft;         /* tokens of the longest draft that is being checked */
    char drafter[64];       /* who wrote it */
    int64_t wait_us;        /* of the round: for its draft */
    double predicted_us;    /* of the round, from the verdict before to its own; 0 unknown */
    int64_t wait_start_us;
    uint64_t rounds;
};

/* speculate.c */
void spec_change_state(struct speculation *s, enum spec_state to);
void spec_await(struct speculation *s, const char *why);                /* the target is gone */
void spec_lose(struct speculation *s, const struct backend_status *st); /* a call to it failed */

/* speculate-verify.c */
/* Takes n tokens of the target, of which the first n_drafted were drafted.  True while the answer is open. */
bool spec_take(struct speculation *s, const struct backend_token *tokens, size_t n, size_t n_drafted);
void spec_finish(struct speculation *s);
/* tree NULL: nothing is checked, the target writes one token. */
void spec_verify(struct speculation *s, const struct backend_tree *tree);

/* speculate-step.c */
void spec_step(struct speculation *s);
bool spec_governed(const struct speculation *s);
/* Whether somebody can draft for the next round. */
bool spec_can_draft(struct speculation *s);
void spec_on_news(void *arg); /* a drafter has written something */
void spec_on_impatient(evutil_socket_t fd, short what, void *arg);

#endif
