/* Who comes to a worker and who is served: connections are accepted, held until their first byte, and one at a time is
 * given to the RPC server.  What is not a client (a health probe, a scan, a peer from elsewhere) never gets there. */
#ifndef TIGHTWAD_NODE_WORKER_FRONT_H
#define TIGHTWAD_NODE_WORKER_FRONT_H

#include <stdint.h>

#include <event2/event.h>
#include <jansson.h>
#include <sys/types.h>

#include "node/worker-options.h"

struct worker_front;

/* Called on the loop. */
struct worker_front_events {
    /* The server waits for its first client.  devices: see WORKER_DEVICES in worker-child.h, NULL for a stock server.
     */
    void (*ready)(const json_t *devices, void *arg);
    /* The server ended before it was ever ready.  why: in words. */
    void (*failed)(const char *why, void *arg);
};

/* o and cache (the folder, NULL: none) are borrowed; cache_max: bytes, 0: no bound. */
struct worker_front *worker_front_create(struct event_base *base, const struct worker_options *o, const char *cache,
                                         uint64_t cache_max, const struct worker_front_events *events, void *arg);
/* Listens on fd (bound, taken in any case) and starts the server.  0, or -1 and a cause. */
int worker_front_start(struct worker_front *f, int fd, char **cause);
/* Ends the server and closes all connections; NULL is fine. */
void worker_front_destroy(struct worker_front *f);
pid_t worker_front_server_pid(const struct worker_front *f); /* 0: none runs */

#endif
