/* The RPC server as a child process of the worker: started, given clients, ended, started again.  Two kinds: the
 * built-in one, which gets the very connection (worker-child.h), and a stock rpc-server, to which the bytes are
 * relayed. */
#ifndef TIGHTWAD_NODE_WORKER_SERVER_H
#define TIGHTWAD_NODE_WORKER_SERVER_H

#include <stdbool.h>

#include <event2/event.h>
#include <jansson.h>
#include <sys/types.h>

#include "node/worker-options.h"

struct worker_server;

/* Called on the loop, never from inside worker_server_*.  */
struct worker_server_events {
    /* What it lends, before the first ready: see WORKER_DEVICES; NULL for a stock server.  Borrowed. */
    void (*devices)(const json_t *what, void *arg);
    /* It waits for a client; what the last one had is freed. */
    void (*ready)(void *arg);
    /* The process has ended.  why: in words.  hopeless: it says itself that it can't serve. */
    void (*ended)(const char *why, bool hopeless, void *arg);
};

/* o and cache (the folder, NULL: none) are borrowed. */
struct worker_server *worker_server_create(struct event_base *base, const struct worker_options *o, const char *cache,
                                           const struct worker_server_events *events, void *arg);
/* Ends the process, with a word (SIGTERM) and a second of time. */
void worker_server_destroy(struct worker_server *s);
/* Starts the process; ready or ended follows.  0, or -1 and a cause. */
int worker_server_start(struct worker_server *s, char **cause);
/* After ready: gives it a client.  fd stays the caller's, who may shut it down to make the server let go. */
void worker_server_give(struct worker_server *s, int fd);
/* SIGKILL; ended follows. */
void worker_server_kill(struct worker_server *s);
pid_t worker_server_pid(const struct worker_server *s); /* 0: none runs */

#endif
