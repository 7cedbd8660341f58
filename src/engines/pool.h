/* The pool: the programs that hold the configured model, run by this process.  It starts the coordinator's node (or a
 * stock llama-server) and the model's drafter, watches them, starts them again, and swaps models under load. */
#ifndef TIGHTWAD_ENGINES_POOL_H
#define TIGHTWAD_ENGINES_POOL_H

#include <stdbool.h>

#include <event2/event.h>
#include <jansson.h>

#include "config/config.h"
#include "engines/proxy.h"
#include "http/httpc.h"

struct pool;

struct pool_opts {
    const char *node;       /* path of tightwad-node, NULL: there is none */
    const char *node_cause; /* why not, in words */
    const char *log_dir;    /* for what the programs write; NULL: nowhere */
    int port;               /* of the proxy: part of the logs' names */
};

/* cfg must have a pool and is kept (config_keep); strings are copied.  Nothing is started before pool_start.  Attaches
 * itself to the proxy, which must outlive it. */
struct pool *pool_create(struct event_base *base, struct httpc *http, struct config *cfg, struct proxy *proxy,
                         const struct pool_opts *opts);
/* Ends the programs: SIGTERM, then SIGKILL after a few seconds.  Blocks for as long.  NULL is fine. */
void pool_destroy(struct pool *p);
/* The next start is done as cfg (kept) has it; what runs goes on. */
void pool_reload(struct pool *p, struct config *cfg);

/* Each returns at once: 0, or -1 and a cause when it can't be done; what comes of it is told by the snapshot. */
/* Starts the model (NULL: the one that is meant to run, at first the default).  What runs already stays. */
int pool_start(struct pool *p, const char *model, char **cause);
/* The answers under way are finished, then the programs are ended; requests fail until it is started again. */
int pool_stop(struct pool *p, char **cause);
/* Another model in the place of the present one: it is checked, the answers under way are finished on the old one,
 * those that come meanwhile wait for the new one.  Where the new one can't be had the old one comes back. */
int pool_swap(struct pool *p, const char *model, char **cause);
/* As pool_swap, also for the model that runs (NULL: that one): it is loaded anew, with all workers that are there. */
int pool_load(struct pool *p, const char *model, char **cause);
/* Gives the page cache of the model's file back. */
int pool_reclaim(struct pool *p, char **cause);

/* The models that it can load, as a list of objects: name, path, bytes (of the weights), ctx_size, fits (null where
 * that can't be told), missing (bytes that find no place), reason (in words), where (the devices that would hold it),
 * draft, resident, default, tokens_per_second (null: unknown) and rate: "measured" when it ran, or "estimate".  While a
 * model is loaded, what the workers have is taken from before that. */
typedef void pool_models_cb(void *arg, json_t *list, const char *why); /* list: the callee's; NULL: why there is none */
/* 0, and done is called later, once, from the loop or by pool_destroy; or -1 and a cause. */
int pool_models(struct pool *p, pool_models_cb *done, void *arg, char **cause);

/* Where the programs of the instance at port write to; drafter: the drafter's.  Owned by the caller. */
char *pool_log_path(const char *log_dir, int port, bool drafter);

#endif
