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
/* The target drew a token behind the session's path that is not what the draft, or the branch that was taken, has
 * there: true where a branch has it that goes along with the path until there.  It then is the session's path and
 * w->taken. */
bool tree_turn(struct sched *s, struct node_work *w, int32_t token);

#endif
