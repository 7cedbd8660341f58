/* What a start takes, and whether it can work: done before every start, on a thread, since files, names and machines
 * may be slow. */
#ifndef TIGHTWAD_ENGINES_POOL_CHECK_H
#define TIGHTWAD_ENGINES_POOL_CHECK_H

#include <stdbool.h>
#include <stddef.h>

#include "config/config.h"
#include "engines/snapshot.h"

/* How to start a model. */
struct pool_launch {
    char **argv, **env;             /* of the coordinator's program; NULL-terminated, owned */
    char **draft_argv, **draft_env; /* of the model's drafter; NULL: it has none of its own */
    char *url, *draft_url;          /* where they will listen */
    char *program;                  /* in words: "tightwad-node" */
    bool stock;                     /* a stock llama-server, not our node */
    char *path, *draft_path;        /* the models' files */
    bool maps_file;                 /* this machine's CPU computes with the mapped file */
    struct snapshot_device device[SNAPSHOT_DEVICES];
    size_t n_devices;
    size_t n_missing; /* workers that are left out since they are not there */
};

struct pool;

struct pool_check {
    struct pool *owner;
    /* asked */
    struct config *cfg; /* kept until the check is finished */
    char *model;        /* its name */
    char *node;         /* NULL: none, for the reason in node_cause */
    char *node_cause;
    bool serving;        /* a program serves from the workers and the port now: they are left alone */
    bool can_do_without; /* workers that are not there may be left out where the model fits without them */
    int draft_port;      /* of this machine, for the drafter */
    struct snapshot_device known[SNAPSHOT_DEVICES]; /* serving: what the workers said last */
    size_t n_known;
    /* found */
    bool ok;
    bool waits_for_worker;      /* not ok, and nothing but a worker is missing */
    char why[512];              /* each thing that is wrong: the machine, what, and the fix */
    struct pool_launch *launch; /* ok: the caller's, pool_launch_destroy */
};

/* Blocks; under 5 s. */
void pool_check_run(struct pool_check *c);
void pool_check_finish(struct pool_check *c);
void pool_launch_destroy(struct pool_launch *l); /* NULL is fine */

#endif
