/* The metrics of the swarm. */
#ifndef TIGHTWAD_API_METRICS_SWARM_H
#define TIGHTWAD_API_METRICS_SWARM_H

#include <stdbool.h>

#include "base/buf.h"
#include "engines/snapshot.h"

/* Nothing where the swarm is off.  Of each model there is one series, of peers their number alone: addresses come and
 * go.  False when out is full. */
bool metrics_swarm(struct buf *out, const struct snapshot *s);

#endif
