/* The swarms that run on this machine under this user: found by their sockets. */
#ifndef TIGHTWAD_CMD_SWARM_LOOK_H
#define TIGHTWAD_CMD_SWARM_LOOK_H

#include <stddef.h>

#include <jansson.h>

#include "swarm/view.h"

struct swarm_seen {
    long pid;
    struct swarm_view view;
    json_t *json; /* as it came, with "pid" */
};

/* Those that answer, by process id; *n may be 0.  Sockets of processes that are gone are removed.  Owned by the caller
 * (swarm_look_free). */
struct swarm_seen *swarm_look(size_t *n);
void swarm_look_free(struct swarm_seen *list, size_t n);

#endif
