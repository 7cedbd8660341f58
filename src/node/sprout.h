/* The branches of drafts at work: which of them get a token in the next pass, in slots that nobody else needs, and what
 * becomes of it.  For the inference thread alone. */
#ifndef TIGHTWAD_NODE_SPROUT_H
#define TIGHTWAD_NODE_SPROUT_H

#include <stdbool.h>

#include "node/grove.h"
#include "node/scheduler.h"
#include "node/work.h"

/* Sets w->hold where the next pass goes without its line: because a branch is more likely to be of use, or because w
 * may not draft so fast.  Puts the tokens of branches into the pass. */
void sprout_plan(struct sched *s, struct node_work *w);
/* Whether a branch of w can still grow. */
bool sprout_alive(struct sched *s, const struct node_work *w);
/* The pass had this segment of a branch. */
void sprout_draw(struct sched *s, const struct segment *g);
/* Tells w's caller what it does not know yet of its branches. */
void sprout_tell(struct sched *s, struct node_work *w);
/* n tokens were drafted: at the rate set they take their time. */
void sprout_count(struct sched *s, const struct node_work *w, size_t n);

#endif
