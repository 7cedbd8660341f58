/* What `bench swarm` measures: a model fetched from peers on this machine by the swarm, by aria2c and by rsync, in
 * turn. */
#ifndef TIGHTWAD_CMD_BENCH_SWARM_H
#define TIGHTWAD_CMD_BENCH_SWARM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

#include "cmd/bench-stack.h"
#include "cmd/demo-drawer.h"
#include "swarm/manifest.h"

enum { SWARM_BENCH_PEERS = 16, SWARM_BENCH_RUNS = 100 };

enum swarm_bench_row { BENCH_SWARM, BENCH_ARIA2C, BENCH_RSYNC, BENCH_SWARM_ROWS };

/* What one program took, in the kernel's own counts. */
struct swarm_bench_use {
    double cpu;     /* seconds, user and system */
    int64_t memory; /* bytes: the most that was resident (VmHWM); -1 unknown */
    double slowest; /* ms: the longest that a callback held its loop; NAN: it does not tell */
};

struct swarm_bench_run {
    double seconds; /* from the start of the program to its end */
    struct swarm_bench_use getter;
    double givers_cpu; /* seconds of all peers together; NAN: not the swarm's */
};

struct swarm_bench_result {
    bool there; /* the program is installed */
    struct swarm_bench_run run[SWARM_BENCH_RUNS];
    size_t n_runs;
    char *failure; /* why it could not be measured; NULL; owned */
};

struct swarm_bench {
    /* What is wanted. */
    const char *model; /* a file; NULL: one of `size` bytes is made */
    uint64_t size;
    size_t n_peers, runs;
    struct drawer_link link; /* before each peer */
    bool wanted[BENCH_SWARM_ROWS];

    /* What came of it. */
    struct stack stack;
    struct manifest *m;
    char *path, *dest; /* the model; the folder that it is fetched to */
    struct stack_program *peer[SWARM_BENCH_PEERS];
    char *at[SWARM_BENCH_PEERS], *daemon_at; /* HOST:PORT, the link's where there is one; of the rsync daemon */
    char *metalink, *empty;                  /* files: what aria2c is told; a configuration without anything */
    struct swarm_bench_use giver;            /* the worst of the peers; its cpu is not used */
    struct swarm_bench_result result[BENCH_SWARM_ROWS];
};

/* "swarm", "aria2c", "rsync": the program, and what --only calls it. */
const char *swarm_bench_name(enum swarm_bench_row row);

/* Makes what is to be measured and measures it.  0, or -1 and a cause: nothing could be measured.  A row that fails
 * says so in its result.  Finish it in every case. */
int swarm_bench_measure(struct swarm_bench *b, char **cause);
void swarm_bench_finish(struct swarm_bench *b);

double swarm_bench_seconds(const struct swarm_bench_result *r); /* median; NAN before the first run */
void swarm_bench_print(const struct swarm_bench *b, FILE *to);
json_t *swarm_bench_json(const struct swarm_bench *b); /* new reference */

#endif
