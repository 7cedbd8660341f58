/* What a pool has and how a model is spread over it, found out before anything is started.  These functions block
 * (under the time-out) and may run on any thread. */
#ifndef TIGHTWAD_ENGINES_POOL_PLAN_H
#define TIGHTWAD_ENGINES_POOL_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "engines/pool-argv.h"
#include "probe/layers.h"
#include "probe/rpc.h"

/* What holds the pool together. */
struct pool_program {
    char *path;
    char *help; /* what it prints for --help */
    enum pool_binary kind;
};

/* binaries.coordinator, else the node at that path.  0, or -1 and a cause when it can't be run. */
int pool_program_find(const struct config *cfg, const char *node, struct pool_program *out, char **cause);
void pool_program_finish(struct pool_program *p);

/* One RPC server of the configuration. */
struct pool_server_fact {
    size_t worker, gpu; /* its place in the configuration */
    char endpoint[280]; /* HOST:PORT */
    enum rpc_state state;
    bool asked; /* what it lends is known from itself, now or (see pool_facts_ask) from before */
    struct rpc_device devices[RPC_DEVICES_MAX];
    size_t n_devices;
    double connect_ms; /* < 0: no connection came about */
    char text[600];    /* what is wrong, machine and fix; "" where nothing is */
};

struct pool_facts {
    struct pool_server_fact servers[CONFIG_RPC_MAX]; /* in the order of the configuration */
    size_t n_servers;
    uint64_t ram_total, ram_free; /* bytes of this machine; free: what programs could get */
};

/* Asks all RPC servers at once, for timeout_ms at most.  connect_only: a pool uses them, so they are only connected to;
 * what they lend is then taken from before (NULL: not known), which may also help for one that is busy.  out holds no
 * memory of its own. */
void pool_facts_ask(const struct config *cfg, int timeout_ms, bool connect_only, const struct pool_facts *before,
                    struct pool_facts *out);

/* Whether that server stands in cfg, which may have been edited since it was asked. */
bool pool_server_is_configured(const struct config *cfg, const struct pool_server_fact *f);

/* How many servers are not there, and which: "192.168.1.5:50052: can't be reached …; …".  Owned by the caller, NULL
 * when all are there. */
char *pool_facts_trouble(const struct pool_facts *f, size_t *n_missing);

/* A model on the pool's devices. */
struct pool_plan {
    struct layers *model;
    char *path; /* of its file */
    struct split_device *devices;
    size_t n_devices;
    struct split_plan *split; /* split->fits: it can be started */
    bool by_hand;             /* extra_args place the layers: the split is a guess, and is taken to fit */
    struct split_ask ask;
    int64_t ctx;         /* tokens of one request */
    size_t verify_slots; /* of a llama-server; 0: it does not verify */
    size_t n_missing;    /* servers that are left out since they are not there */
    /* The model's drafter, where that is one of the pool's models; path NULL: it is not. */
    char *draft_path;
    uint64_t draft_bytes; /* what it takes where it runs */
    int64_t draft_ctx;
    int draft_gpu; /* of the coordinator's GPUs; -1: the CPU */
};

/* The endpoints are borrowed from facts, names from cfg: both must outlive the plan.  NULL and a cause: the file can't
 * be read, or a device's memory is not known.  A plan that does not fit is a plan: split->reason says by how much and
 * what would help.  Servers that are not there are left out: whether that is allowed is for the caller to say. */
struct pool_plan *pool_plan_make(const struct config *cfg, const struct config_model *model, enum pool_binary binary,
                                 const struct pool_facts *facts, char **cause);
void pool_plan_destroy(struct pool_plan *p); /* NULL is fine */

char *pool_plan_text(const struct pool_plan *p, const struct config_model *model); /* for people; owned by the caller */
json_t *pool_plan_json(const struct pool_plan *p, const struct config_model *model); /* bytes; new reference */

/* The path of a model's file: ollama:NAME is looked up.  Owned by the caller; NULL and a cause. */
char *pool_model_path(const struct config_model *model, char **cause);

#endif
