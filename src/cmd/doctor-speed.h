/* How fast the servers are and how well they agree: a few short rounds made here, without a proxy. */
#ifndef TIGHTWAD_CMD_DOCTOR_SPEED_H
#define TIGHTWAD_CMD_DOCTOR_SPEED_H

#include <event2/event.h>

#include "backends/backend.h"
#include "cmd/doctor-judge.h"

/* Fills alone_ms, pass_ms and pass_more_ms; what can't be measured is left as it is. */
void doctor_speed_target(struct event_base *base, struct backend *target, struct doctor_server *out);
/* Fills drafted, accepted, compared, draft_ms and draft_fixed_ms. */
void doctor_speed_drafter(struct event_base *base, struct backend *target, struct backend *drafter,
                          struct doctor_server *out);

#endif
