/* From whom an agent is to fetch: what orders for models and for layers have in common. */
#ifndef TIGHTWAD_AGENT_FROM_H
#define TIGHTWAD_AGENT_FROM_H

#include <stddef.h>

#include <jansson.h>

enum { AGENT_PEERS_MAX = 64 };

struct agent_order_from {
    char *list[AGENT_PEERS_MAX]; /* addresses of peers, as they will be asked */
    size_t n;
    char *token; /* of the swarm; NULL: none */
};

/* "peers" and "token" of an order.  sender: who sent it, a numeric address, which ":PORT" means.  0, or -1 and a cause;
 * finish it either way. */
int agent_order_from_read(struct agent_order_from *from, const json_t *order, const char *sender, char **cause);
void agent_order_from_finish(struct agent_order_from *from);

#endif
