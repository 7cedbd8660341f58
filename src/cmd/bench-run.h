/* What `bench pool` is to measure, and the measuring: programs started, rows asked in turn, all ended again. */
#ifndef TIGHTWAD_CMD_BENCH_RUN_H
#define TIGHTWAD_CMD_BENCH_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cmd/bench-config.h"
#include "cmd/bench-pool.h"
#include "cmd/bench-stack.h"
#include "cmd/demo-drawer.h"
#include "cmd/prompts.h"

enum { BENCH_CTX = 512 }; /* of the project's own models */

struct bench_setup {
    struct bench_pool bench; /* its rows are chosen; filled */
    struct stack stack;
    struct drawer drawer;
    struct bench_config config; /* cfg NULL: the project's own models are measured, on workers of their own */
    struct prompts prompts;
    struct client_answer *want;     /* one a prompt: the pool's own first answers */
    const char *llama;              /* as given; NULL: to be found */
    char *target;                   /* model file */
    char *drafter[DRAWER_DRAFTERS]; /* model files; none: it runs somewhere already (config) */
    char *name[DRAWER_DRAFTERS];    /* of the drafters, in words; owned */
    size_t n_drafters;              /* with one that runs already */
    struct drawer_link link, drafter_link;
    int64_t workers; /* that are started, where none are configured; 0: the target is on this machine alone */
    int64_t draft_rate, runs, tokens;
    bool has_stock;   /* there is a llama-server */
    bool no_stock;    /* none is wanted */
    size_t done, all; /* rows, for the progress */
};

/* 0, or -1 and a cause: interrupted, or the pool itself can't be had.  A row that fails says so in its result.
 * Finish it in every case. */
int bench_run(struct bench_setup *p, char **cause);
void bench_setup_finish(struct bench_setup *p);

#endif
