/* How a distribution goes: lines that are written over on a terminal, lines that are added elsewhere, JSON for
 * programs, and the table at its end. */
#ifndef TIGHTWAD_CMD_DISTRIBUTE_SHOW_H
#define TIGHTWAD_CMD_DISTRIBUTE_SHOW_H

#include <stdbool.h>
#include <stdint.h>

#include "cmd/distribute.h"

struct distribute_show {
    const struct distribute *d;
    bool json;
    bool live;       /* stderr is a terminal */
    size_t drawn;    /* lines that stand there */
    int64_t next_us; /* not before this */
    struct {
        enum distribute_state state;
        int tenths;
        char word[16];
    } told[DISTRIBUTE_TARGETS]; /* of each, where lines are added */
};

void distribute_show_init(struct distribute_show *s, const struct distribute *d, bool json);
/* distribute.changed, with the struct as its argument. */
void distribute_show_progress(void *arg);
/* What was drawn is gone; then the table, or the last object.  sent: bytes that this machine gave out, -1 unknown. */
void distribute_show_end(struct distribute_show *s, double seconds, int64_t sent);

#endif
