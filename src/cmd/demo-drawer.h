/* A drawer of machines on this one: RPC workers, a target that is pooled over them and drafters, each behind an
 * emulated link of its own where one is wanted.  What `demo` shows and `bench pool` measures. */
#ifndef TIGHTWAD_CMD_DEMO_DRAWER_H
#define TIGHTWAD_CMD_DEMO_DRAWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cmd/bench-stack.h"

enum { DRAWER_WORKERS = 16, DRAWER_DRAFTERS = 8 };

struct drawer_link {
    bool given;
    double delay_ms;  /* one way */
    double rate_mbit; /* 10^6 bits a second, each way; 0: no limit */
};

struct drawer_opts {
    const char *target;     /* model file */
    char *const *drafters;  /* model files of those that are started here */
    const char *drafter_at; /* HOST:PORT of one that runs already, in place of them; NULL: none */
    size_t n_drafters;      /* with that one; at most DRAWER_DRAFTERS */
    size_t n_workers;
    char *const *workers;            /* HOST:PORT of those that run already; NULL: n_workers are started here */
    struct drawer_link link;         /* of each worker */
    struct drawer_link drafter_link; /* of each drafter */
    int draft_rate;                  /* tokens a second that a drafter is held to; 0: it is not */
    int ctx, slots, threads;         /* of each node; threads of the workers, too */
};

struct drawer {
    struct stack *stack;
    struct drawer_opts opts; /* what it points to is borrowed */
    char *node;              /* the program */
    struct stack_program *worker[DRAWER_WORKERS], *target, *drafter[DRAWER_DRAFTERS];
    char *worker_at[DRAWER_WORKERS], *drafter_at[DRAWER_DRAFTERS]; /* HOST:PORT, the link's where there is one */
};

/* "2" or "2,100": MS[,MBIT].  option: for the cause. */
int drawer_link_parse(struct drawer_link *link, const char *option, const char *text, char **cause);
/* "2 ms one way, 100 Mbit/s"; owned by the caller. */
char *drawer_link_text(const struct drawer_link *link);

/* What stands at address for the others: itself, or a link before it that is started here.  Owned by the caller, NULL
 * and a cause. */
char *drawer_front(struct stack *s, const struct drawer_link *link, const char *address, char **cause);

/* Workers, links and the drafters; the target comes with drawer_start_target, once or more often (a worker serves one
 * coordinator at a time).  0, or -1 and a cause.  Finish it in both cases; the programs end with the stack. */
int drawer_start(struct drawer *d, struct stack *s, const struct drawer_opts *opts, char **cause);
/* made: its command line, taken over, which listens at port of loopback; NULL: made here. */
int drawer_start_target(struct drawer *d, struct stack_argv *made, int port, char **cause);
void drawer_end_target(struct drawer *d);
void drawer_finish(struct drawer *d);

/* "small" of …/small.gguf.  Owned by the caller. */
char *drawer_model_name(const char *path);
/* "HOST:PORT,HOST:PORT": the workers as a coordinator is told them.  Owned by the caller. */
char *drawer_workers(const struct drawer *d);

#endif
