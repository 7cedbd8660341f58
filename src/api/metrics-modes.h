/* The metrics of consensus and of the quality gate. */
#ifndef TIGHTWAD_API_METRICS_MODES_H
#define TIGHTWAD_API_METRICS_MODES_H

#include <stdbool.h>

#include "base/buf.h"
#include "engines/snapshot.h"

/* Nothing for a mode that is not configured.  False when out is full. */
bool metrics_modes(struct buf *out, const struct snapshot *s);

#endif
