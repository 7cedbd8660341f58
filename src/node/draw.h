/* What each kind of job makes of the logits: how it begins, what is drawn at a position, when it is over.  For the
 * inference thread alone. */
#ifndef TIGHTWAD_NODE_DRAW_H
#define TIGHTWAD_NODE_DRAW_H

#include <stddef.h>

#include "node/scheduler.h"
#include "node/work.h"

/* Checks w and makes its tokens the path of its session.  Other than NODE_JOB_OK: it can't run; *message may be filled
 * (owned by the caller). */
enum node_job_status draw_begin(struct sched *s, struct node_work *w, char **message);

/* logits: those at position pos of w, the lowest one that w has not had yet.  Sets w->over when there is no more to do.
 */
void draw_token(struct sched *s, struct node_work *w, size_t pos, const float *logits);

#endif
