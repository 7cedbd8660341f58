/* A stock rpc-server of llama.cpp as a worker's child, and the relay of bytes to it: it can't be handed a connection.
 */
#ifndef TIGHTWAD_NODE_WORKER_STOCK_H
#define TIGHTWAD_NODE_WORKER_STOCK_H

#include <event2/event.h>
#include <sys/types.h>

#include "node/worker-options.h"
#include "node/worker-server.h"

struct worker_stock;

/* As worker_server_create, whose part this is. */
struct worker_stock *worker_stock_create(struct event_base *base, const struct worker_options *o, const char *cache,
                                         const struct worker_server_events *events, void *arg);
void worker_stock_destroy(struct worker_stock *s); /* NULL is fine */
/* Starts the program on a free loopback port; ready is called once it listens.  Its pid, or -1 and a cause. */
pid_t worker_stock_start(struct worker_stock *s, char **cause);
/* Relays between fd, which stays the caller's, and the server; ready is called when that has ended. */
void worker_stock_give(struct worker_stock *s, int fd);
/* The process has ended: the relay ends too. */
void worker_stock_close(struct worker_stock *s); /* NULL is fine */

/* The folder in which a stock server keeps its tensors when it is told to use dir: it adds "rpc" to what $LLAMA_CACHE
 * says, so that is dir itself where dir ends so.  Owned by the caller; NULL in, NULL out. */
char *worker_stock_cache(const char *dir);

#endif
