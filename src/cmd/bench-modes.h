/* What `bench modes` measures: a row for each way of answering that an endpoint has, and what that comes to. */
#ifndef TIGHTWAD_CMD_BENCH_MODES_H
#define TIGHTWAD_CMD_BENCH_MODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

enum { MODES_ROWS = 5 };

/* What the target did.  Each -1: not known. */
struct modes_work {
    int64_t passes;  /* forward passes, over prompts too */
    int64_t read;    /* tokens in them: prompts, drafts, answers */
    int64_t written; /* tokens that it generated */
};

struct modes_row {
    const char *mode; /* what follows the @ */
    char *model;      /* NAME@mode; owned */
    char *failure;    /* why it could not be measured; NULL; owned */
    double *rates;    /* tokens a second of each run, n_runs; owned */
    size_t n_runs;
    int64_t tokens; /* of all answers */
    double seconds;
    struct modes_work work;
    bool counted; /* work was counted by the target's node, and not by the proxy */
    size_t answers, identical, known, right;
    size_t otherwise; /* answers that were served in another mode than this one */
};

struct modes {
    struct modes_row row[MODES_ROWS]; /* the first is the target alone */
    size_t n;
    char *conditions; /* in words; owned */
    json_t *settings; /* the same for --json; owned */
};

/* The rows for what GET /v1/models lists.  only: modes with commas between; NULL: all but draft.  0, or -1 and a cause:
 * the endpoint has no @target, or not what was asked for. */
int modes_choose(struct modes *m, const json_t *models, const char *only, char **cause);
void modes_finish(struct modes *m);

/* Adds a run: n tokens in so many seconds. */
void modes_add_run(struct modes_row *r, int64_t tokens, double seconds);
/* What the target did between two counts, added to a row; what one of them does not tell is unknown from then on. */
void modes_add_work(struct modes_row *r, const struct modes_work *before, const struct modes_work *after);

double modes_rate(const struct modes_row *r); /* tokens a second, median of the runs; NAN before the first */
/* Times the target alone: the median over the runs of (rate / the target's in the same run); NAN. */
double modes_ratio(const struct modes *m, const struct modes_row *r);

void modes_print(const struct modes *m, FILE *to);
json_t *modes_json(const struct modes *m); /* new reference */

#endif
