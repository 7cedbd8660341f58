/* A stock llama-server, for comparison: where it is and how it is started over the same workers. */
#ifndef TIGHTWAD_CMD_BENCH_LLAMA_H
#define TIGHTWAD_CMD_BENCH_LLAMA_H

#include <stddef.h>

#include "cmd/bench-stack.h"

struct bench_llama {
    const char *given;      /* program named by the user, NULL: $PATH's, or the private prefix's */
    struct stack_argv made; /* the command line but for drafting, taken over; n 0: made here */
    int port;               /* that it names */
    const char *target;     /* model files */
    const char *drafter;    /* NULL: it drafts nothing */
    const char *workers;    /* HOST:PORT,…; "": none */
    int ctx, threads;
    const char *draft_device; /* for the drafter: "none" is the CPU */
    int n_max;                /* tokens of a draft */
    int verify_slots;         /* it checks drafts of one token less than that for a proxy; 0: it does not */
    double p_min;             /* least probability of a drafted token */
};

/* The words that start it: 0 and *out filled, or -1 and a cause when there is none. */
int bench_llama_find(const char *given, struct stack_argv *out, char **cause);

/* Starts it and waits until it has loaded.  NULL and a cause. */
struct stack_program *bench_llama_start(struct stack *s, struct bench_llama *l, char **cause);

#endif
