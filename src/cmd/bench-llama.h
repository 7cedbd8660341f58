/* A stock llama-server, for comparison: where it is and how it is started over the same workers. */
#ifndef TIGHTWAD_CMD_BENCH_LLAMA_H
#define TIGHTWAD_CMD_BENCH_LLAMA_H

#include <stddef.h>

#include "cmd/bench-stack.h"

struct bench_llama {
    const char *given;   /* program named by the user, NULL: the configuration's, $PATH's, or the private prefix's */
    const char *target;  /* model files */
    const char *drafter; /* NULL: it drafts nothing */
    const char *workers; /* HOST:PORT,… */
    int ctx, threads;
    int n_max;    /* tokens of a draft */
    double p_min; /* least probability of a drafted token */
};

/* 0 when there is one, or -1 and a cause. */
int bench_llama_check(const char *given, char **cause);

/* Starts it and waits until it has loaded.  NULL and a cause. */
struct stack_program *bench_llama_start(struct stack *s, const struct bench_llama *l, char **cause);

#endif
