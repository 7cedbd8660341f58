/* The configured pool, for bench pool: its workers, its default model, who drafts, and the command lines that the
 * configuration comes to. */
#ifndef TIGHTWAD_CMD_BENCH_CONFIG_H
#define TIGHTWAD_CMD_BENCH_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "cmd/bench-stack.h"
#include "config/config.h"
#include "engines/pool-plan.h"

struct bench_config {
    struct config *cfg; /* owned; workers are changed to their links */
    const struct config_model *model;
    char *workers[CONFIG_RPC_MAX]; /* HOST:PORT, owned */
    size_t n_workers;
    char *target;                       /* the model's file */
    char *drafter;                      /* the drafter's file where the pool runs it; NULL */
    const struct config_server *server; /* the drafter where it runs already; NULL */
    int ctx;                            /* of the drafter, when it is run here */
    struct pool_facts facts;
};

/* cfg is taken over; it must have a pool.  Asks the workers, so nothing may use them.  -1 and a cause: an instance runs
 * that may, a worker is not there, a file is not, …  Finish it in every case. */
int bench_config_init(struct bench_config *c, struct config *cfg, char **cause);
void bench_config_finish(struct bench_config *c);

/* The workers are at these addresses from now on (n_workers), in the order of workers. */
int bench_config_move(struct bench_config *c, char *const *addresses, char **cause);

/* The coordinator's command line; what it wants in its environment is added to the stack's.  program: how it is
 * started, NULL-terminated; verify_slots: of a llama-server that checks drafts, else 0.  It listens at a free port of
 * loopback, *port.  -1 and a cause, also when the model does not fit. */
int bench_config_argv(struct bench_config *c, struct stack *s, const char *const *program, int verify_slots,
                      struct stack_argv *out, int *port, char **cause);

/* The device that llama-server keeps its draft model on: this machine's first GPU, or "none". */
const char *bench_config_draft_device(const struct bench_config *c);

#endif
