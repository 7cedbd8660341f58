/* The command line and environment of a pool's processes: what a person would give them by hand.  Pure: the binary's
 * own
 * --help says which spelling it takes. */
#ifndef TIGHTWAD_ENGINES_POOL_ARGV_H
#define TIGHTWAD_ENGINES_POOL_ARGV_H

#include <stdbool.h>
#include <stddef.h>

#include "advise/split.h"
#include "config/config.h"

enum pool_binary { POOL_NODE, POOL_LLAMA_SERVER };

struct pool_argv {
    char **argv; /* NULL-terminated */
    char **env;  /* NAME=VALUE, NULL-terminated */
};

struct pool_argv_ask {
    const struct config *cfg;
    const struct config_model *model;
    const char *path; /* of its file; NULL: model->path */
    enum pool_binary binary;
    const char *const *program;    /* how it is started, NULL-terminated: its path, or a loader and what that wants */
    const char *help;              /* what it prints for --help; NULL: as today's have it */
    const struct split_plan *plan; /* who takes which layers */
    const struct split_device *devices;
    int64_t ctx;         /* tokens of one request */
    size_t verify_slots; /* llama-server: slots for verifying a draft (K + 1); 0: it shall not */
};

/* The coordinator.  0 and *out filled (pool_argv_finish), or -1 and a cause when extra_args has something that the
 * binary does not, with file:line. */
int pool_argv_coordinator(const struct pool_argv_ask *ask, struct pool_argv *out, char **cause);

/* The node that drafts beside the coordinator, at port of loopback: alone on one of the coordinator's GPUs (its place
 * in the configuration), or on the CPU (-1).  Of ask, plan, devices and verify_slots do not matter. */
void pool_argv_drafter(const struct pool_argv_ask *ask, int port, int gpu, struct pool_argv *out);

void pool_argv_finish(struct pool_argv *a);
/* As a shell would read it, environment first, with secrets left out.  Owned by the caller. */
char *pool_argv_text(const struct pool_argv *a);

/* Node or llama-server, by what it prints for --help. */
enum pool_binary pool_argv_kind(const char *help);

/* Whether the option ("--rpc") is one of those that help lists. */
bool pool_argv_has(const char *help, const char *option);

/* Every word of coordinator.extra_args that is an option must be one of the binary's.  -1 and a cause with file:line
 * and the nearest name. */
int pool_argv_check_extra(const struct config *cfg, const char *help, char **cause);

/* Whether coordinator.extra_args says itself which layers go to devices at all (--n-gpu-layers, --override-tensor and
 * their like): the plan is then no more than a guess. */
bool pool_argv_places(const struct config *cfg);

/* The shares that coordinator.extra_args gives itself (--tensor-split, -ts).  Returns how many, 0: none. */
size_t pool_argv_shares(const struct config *cfg, double *shares, size_t max);

#endif
