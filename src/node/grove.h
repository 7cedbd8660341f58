/* What a session has drafted, with the choices that it did not take: the line, which is the session's path, and
 * branches that leave it at uncertain positions.  So a request that goes on from a correction finds its draft begun.
 * For the inference thread alone; nothing here computes anything. */
#ifndef TIGHTWAD_NODE_GROVE_H
#define TIGHTWAD_NODE_GROVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/sampler.h"

struct session;
struct slot;

enum {
    GROVE_CHOICES = 10,  /* remembered of a position: the token drawn and the next best */
    GROVE_BRANCHES = 64, /* most branches of a session */
};

/* A drawn token: how likely it is right, and what else might be. */
struct drawn {
    float chance;
    struct sampler_choice other[GROVE_CHOICES - 1]; /* best first; token -1: none, or a branch has it already */
};

struct branch {
    int64_t id; /* > 0, of the session's own count */
    size_t at;  /* position of its first token */
    int32_t *tokens;
    struct drawn *drawn; /* of each token */
    size_t n, cap;
    double chance;     /* how likely what follows its last token is to be of use */
    size_t told;       /* tokens that the request at work has been told */
    bool closed;       /* its last token ends the generation, or the context */
    struct slot *slot; /* whose cache serves it, NULL: none now */
};

struct grove {
    struct drawn *drawn; /* of the line's positions start..start + n_drawn */
    size_t start, n_drawn, cap;
    size_t n_known; /* so much of the session's path array was drawn: what stands behind n_path comes again */
    struct branch *branch[GROVE_BRANCHES];
    size_t n_branches;
    int64_t next_id;
    double chance; /* how likely what follows the line is to be of use: the product of its tokens' from `from` on */
    size_t from;   /* positions from there on are not known to be right */
    size_t most;   /* branches */
    size_t depth;  /* tokens of a branch */
};

struct grove *grove_create(void);
void grove_destroy(struct grove *g); /* gives the slots back; NULL is fine */
/* Forgets everything but its count of ids. */
void grove_clear(struct grove *g);

/* The session's path becomes path[0:keep] + tokens; g->from, most and depth are those of the request.  Where it follows
 * a branch, that branch becomes the line, with its slot.  What was drafted beyond it stays known; branches that the new
 * path does not have any more, and those before `from`, are dropped.  The session has a grove. */
void grove_follow(struct session *s, size_t keep, const int32_t *tokens, size_t n);

/* The line has got a token (already in the path), with its choices (choice[0] is the token).  Branches open where
 * another choice is likely enough, as far as there may be so many. */
void grove_add(struct session *s, const struct sampler_choice *choice, size_t n);
/* The next token of the line that is known from before and not yet in the path.  false: there is none. */
bool grove_peek(const struct session *s, int32_t *token, float *chance);
/* It is in the path now. */
void grove_recall(struct session *s);

/* A branch has got a token. */
void grove_grow(struct branch *b, const struct sampler_choice *choice, size_t n);
/* The branches that can grow, most likely first.  Returns how many. */
size_t grove_growing(const struct session *s, struct branch *out[GROVE_BRANCHES]);

#endif
