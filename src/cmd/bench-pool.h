/* What `bench pool` measures: its rows, what was measured of each, and what that comes to. */
#ifndef TIGHTWAD_CMD_BENCH_POOL_H
#define TIGHTWAD_CMD_BENCH_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

#include "cmd/bench-rounds.h"
#include "cmd/client.h"

enum bench_source {
    BENCH_NODE,  /* the pooled target's own endpoint */
    BENCH_PROXY, /* a proxy before it */
    BENCH_STOCK, /* a stock llama-server over the same workers */
};

struct bench_row {
    const char *name, *label;
    enum bench_source source;
    int k;         /* most tokens of a draft; PROXY: 0 is auto; STOCK: 0 is no draft */
    bool ahead;    /* PROXY: the drafter goes on while the target verifies */
    bool branches; /* PROXY: it prepares for corrections, and second choices are verified too */
    double p_min;  /* STOCK */
    bool verifies; /* STOCK: it is the target of a proxy, and checks drafts through its slots */
    enum { BENCH_MODEL = 1, BENCH_NGRAM = 2 } drafters;
    size_t alone; /* only this one of several drafters, from 1 on; 0: all together */
    bool repeats; /* measured on prompts that are to be repeated */
    bool usual;   /* and on the others */
};

struct bench_run {
    int64_t tokens; /* generated after the first text */
    double seconds;
};

/* The answers to one prompt are compared with the pool's first ones. */
struct bench_result {
    const struct bench_row *row;
    bool wanted;
    struct bench_run *runs; /* owned */
    size_t n_runs;
    struct bench_counts counts;            /* PROXY */
    int64_t drafted, accepted, completion; /* as the answers told; drafted 0: nothing was said */
    size_t answers, identical;
    double status_error; /* fading mean of the proxy's own, NAN */
    char *governor;      /* what it did in the end, in words; NULL */
    char *failure;       /* why it could not be measured; NULL */
};

struct bench_pool {
    struct bench_row *rows;       /* the first is the pool alone; owned */
    struct bench_result *results; /* one a row; owned */
    size_t n_rows;
    bool several; /* the rows are each drafter alone and all together */
    char **texts; /* names of rows that were made; owned */
    size_t n_texts;
    size_t n_prompts;
    int64_t n_tokens_min; /* of the shortest answer; -1 */
    char *conditions;     /* in words; owned */
    json_t *settings;     /* the same for --json; owned */
};

/* What is wanted of it. */
struct bench_wish {
    const char *only;      /* names or patterns with commas; NULL: all that suit */
    bool repeats;          /* prompts that are to be repeated */
    bool stock;            /* there is a llama-server, */
    bool stock_drafts;     /* and a model file for it to draft with */
    char *const *drafters; /* their names; two or more: rows for each alone, and for all together */
    size_t n_drafters;
};

/* The pool alone is always wanted.  0, or -1 and a cause; finish it in both cases. */
int bench_pool_select(struct bench_pool *b, const struct bench_wish *wish, char **cause);
void bench_pool_finish(struct bench_pool *b);

/* tokens a second: the median over the runs of (tokens / seconds); NAN before the first run. */
double bench_rate(const struct bench_result *r);
/* Tokens emitted / time in verify passes, a second: what the same passes would give if drafting took no time; NAN where
 * there were none. */
double bench_limit(const struct bench_result *r);
double bench_tokens_per_round(const struct bench_result *r); /* NAN: not told */
/* Drafted tokens that a round had verified, NAN: not told. */
double bench_verified_per_round(const struct bench_result *r);
double bench_acceptance(const struct bench_result *r);
/* Median of |took - expected| / took over the rounds; where rounds do not tell, the status' fading mean. */
double bench_error(const struct bench_result *r);
/* The fastest llama-server, NULL: none was measured. */
const struct bench_result *bench_best_stock(const struct bench_pool *b);
/* Of several drafters, the row of one alone with the most tokens a second, among those whose drafts are of governed
 * length (k 0) or of fixed length; NULL: none was measured. */
const struct bench_result *bench_best_alone(const struct bench_pool *b, bool governed);

void bench_pool_print(const struct bench_pool *b, FILE *to);
json_t *bench_pool_json(const struct bench_pool *b); /* new reference */

#endif
