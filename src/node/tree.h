/* Branches of a draft to verify: each is a sequence of its own in an idle slot, kept in step with the session's by
 * being fed what it lacks in the same pass.  For the inference thread alone. */
#ifndef TIGHTWAD_NODE_TREE_H
#define TIGHTWAD_NODE_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node/scheduler.h"
#include "node/work.h"

/* The path of a work with that branch, in s->scratch. */
const int32_t *tree_path(struct sched *s, const struct node_work *w, const struct branch *b);
/* The copy of a cache that gives a slot more of path[0:n] than it has, where that is cheaper than computing it.
 * *missing: tokens to compute, afterwards or without it. */
bool tree_copy_pays(struct sched *s, const struct node_work *w, const struct slot *slot, const int32_t *path, size_t n,
                    size_t *missing);
/* Copies the cache of w's session into slot. */
void tree_copy(struct sched *s, const struct node_work *w, struct slot *slot);

/* Puts the branches of verifies into the pass whose own drafts are in it whole: those that find a slot. */
void tree_attach(struct sched *s);
/* The target drew a token in the place of draft[i] that is not the draft's: true where a branch has it, which then is
 * the session's path and w->taken. */
bool tree_turn(struct sched *s, struct node_work *w, size_t i, int32_t token);

#endif
