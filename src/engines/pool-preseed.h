/* Before a pooled model is loaded its workers' agents are asked to put its large tensors into the workers' caches, from
 * files of theirs or from the swarm: then they need not cross this machine's link.  Whatever does not come about costs
 * nothing but the attempt: ggml compares hashes and sends what is missing, as always. */
#ifndef TIGHTWAD_ENGINES_POOL_PRESEED_H
#define TIGHTWAD_ENGINES_POOL_PRESEED_H

#include <stdbool.h>
#include <stddef.h>

#include <event2/event.h>

#include "config/config.h"
#include "engines/pool-plan.h"
#include "http/httpc.h"
#include "swarm/manifest.h"
#include "swarm/needed.h"

/* What one RPC server gets. */
struct pool_share {
    char machine[64]; /* of the worker, for messages */
    char agent[256];  /* where its agent is: a name or an address */
    int agent_port;   /* 0: the usual one */
    int port;         /* of the RPC server */
    struct needed needed;
};

/* What is to be done before a start. */
struct pool_shares {
    char id[MANIFEST_ID + 1]; /* of the model; "" where nothing can be done, and then */
    char why[512];            /* why; "" where nothing is to be done either */
    char file[256];           /* the model's file name, for messages */
    struct pool_share share[CONFIG_RPC_MAX];
    size_t n;
};

/* The shares of the workers that have an agent (agents.hosts names their host).  Blocks a little: reads the head of the
 * model and its stored manifest. */
void pool_shares_make(struct pool_shares *out, const struct config *cfg, const struct pool_plan *plan);

struct pool_preseed;

/* Called once, from the loop, never before pool_preseed_start has returned; the work is gone after it.  note: in words
 * what was not done, "" when all of it was; borrowed. */
typedef void pool_preseed_cb(void *arg, const char *note);
/* NULL when there is nothing to do (s->n 0).  s is copied, cfg kept.  stall_ms: without a byte more for so long a
 * worker is given up; 0: 20 s. */
struct pool_preseed *pool_preseed_start(struct event_base *base, struct httpc *http, struct config *cfg,
                                        const struct pool_shares *s, int stall_ms, pool_preseed_cb *done, void *arg);
void pool_preseed_cancel(
    struct pool_preseed *p); /* the agents stop when nobody asks them; not inside done; NULL is fine */
/* How it goes: "w1 fetches 43 %, w2 is done". */
void pool_preseed_text(const struct pool_preseed *p, char *out, size_t size);

#endif
