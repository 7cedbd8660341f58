/* What a start takes, and whether it can work: done before every start, on a thread, since files, names and machines
 * may be slow. */
#ifndef TIGHTWAD_ENGINES_POOL_CHECK_H
#define TIGHTWAD_ENGINES_POOL_CHECK_H

#include <stdbool.h>
#include <stddef.h>

#include "config/config.h"
#include "engines/pool-plan.h"
#include "engines/pool-preseed.h"
#include "engines/snapshot.h"

/* How to start a model. */
struct pool_launch {
    struct pool_argv run, draft; /* of the coordinator's program, and of the model's drafter (if drafts) */
    bool drafts;
    char *url, *draft_url; /* where they will listen */
    char *program;         /* in words: "tightwad-node" */
    bool stock;            /* a stock llama-server, not our node */
    char *path;            /* the model's file */
    int64_t bytes;         /* of its weights */
    char *line;            /* run as a shell would read it, without what restarts add */
    bool maps_file;        /* this machine's CPU computes with the mapped file */
    struct snapshot_device device[SNAPSHOT_DEVICES];
    size_t n_devices;
    size_t n_missing;          /* workers that are left out since they are not there */
    struct pool_shares shares; /* what workers may get before */
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
    /* given and found: as they were the last time (empty: not known), and as they are now */
    struct pool_program program;
    struct pool_facts facts;
    /* found */
    bool ok;
    bool worker_trouble;        /* not ok, because of workers */
    bool waits_for_worker;      /* not ok, and the model would fit if all workers were there */
    char why[1024];             /* each thing that is wrong: the machine, what, and the fix */
    struct pool_launch *launch; /* ok: the caller's, pool_launch_destroy */
};

/* Blocks; under 5 s. */
void pool_check_run(struct pool_check *c);
void pool_check_finish(struct pool_check *c);
void pool_launch_destroy(struct pool_launch *l); /* NULL is fine */

#endif
