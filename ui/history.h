/* What the sparklines show: a sample a second, kept by the drawing thread from the pictures that it takes. */
#ifndef TIGHTWAD_UI_HISTORY_H
#define TIGHTWAD_UI_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engines/snapshot.h"

enum {
    HISTORY_SAMPLES = 512, /* seconds: more than two for each column of the widest screen */
    HISTORY_MS = 1000,
};

/* The newest samples in a ring; NAN where nothing was known. */
struct history_line {
    float sample[HISTORY_SAMPLES];
};

struct history_drafter {
    char name[64];
    uint64_t drafted, accepted; /* at the last sample */
    struct history_line acceptance, tokens_per_second;
};

struct history {
    uint64_t n;        /* samples taken */
    int64_t uptime_ms; /* of the instance, when the last sample was due */
    uint64_t drafted, accepted;
    uint64_t agreed, voted; /* tokens of consensus without the target, and all of them */
    struct history_line acceptance, tokens_per_second;
    struct history_line without_target; /* share of the tokens of consensus */
    struct history_drafter drafter[SNAPSHOT_BACKENDS - 1];
    size_t n_drafters;
};

/* Takes a sample where a second has passed since the last one (by the uptime of the instance).  True: there is a new
 * one.  A drafter is followed by its name; an instance that was started anew begins a new count. */
bool history_take(struct history *h, const struct snapshot *s);

/* The newest samples of a line, at most n, oldest first, the last one at out[n - 1]; NAN before the first. */
void history_newest(const struct history *h, const struct history_line *line, float *out, size_t n);

/* Of that drafter; NULL: none of that name. */
const struct history_drafter *history_find(const struct history *h, const char *name);

#endif
