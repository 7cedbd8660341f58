/* Puts layers of a model into the cache of a worker on this machine, so that a pool can be started without sending
 * them: from a model file that lies here, or from the swarm. */
#ifndef TIGHTWAD_AGENT_PRESEED_H
#define TIGHTWAD_AGENT_PRESEED_H

#include <event2/event.h>
#include <jansson.h>

#include "agent/pulls.h"
#include "probe/machine.h"

struct preseeds;

enum {
    PRESEEDS_MAX = 8,     /* at once; those that have ended are remembered as long as there is room */
    PRESEED_LEASE_S = 15, /* one that nobody asks about for so long is ended */
};

/* pulls is borrowed and outlives it. */
struct preseeds *preseeds_create(struct event_base *base, struct agent_pulls *pulls);
/* What has been fetched and written stays.  NULL is fine. */
void preseeds_destroy(struct preseeds *p);

/* An order as doc/agent-protocol.md has it; another one for the same worker takes its place.  here: models of this
 * machine, which are looked through first.  sender: a numeric address, what peers without a host mean.  The work as
 * JSON (new reference); or NULL, a cause and the HTTP status that fits it. */
json_t *preseeds_start(struct preseeds *p, const json_t *order, const struct machine *here, const char *sender,
                       int *status, char **cause);
/* The work of that number, which is thereby kept up.  New reference; NULL: there is none. */
json_t *preseeds_json(struct preseeds *p, int number);

#endif
