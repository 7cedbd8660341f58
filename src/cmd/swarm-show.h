/* How a swarm is doing, for people and for programs: in place on a terminal, in calm lines elsewhere, as JSON lines. */
#ifndef TIGHTWAD_CMD_SWARM_SHOW_H
#define TIGHTWAD_CMD_SWARM_SHOW_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

#include "swarm/view.h"

enum { SWARM_SHOW_MS = 250 }; /* between two calls of swarm_show_pull */

struct swarm_show {
    bool json, terminal, utf8, drawn;
    int columns;
    int64_t told_us; /* the last line; 0: none yet */
    enum swarm_state state;
    char why[256];
    double sent; /* bytes, when it was told last */
};

void swarm_show_init(struct swarm_show *s, bool json);
/* Before anything else is written: what was drawn in place goes. */
void swarm_show_clear(struct swarm_show *s);
/* A pull on its way. */
void swarm_show_pull(struct swarm_show *s, const struct swarm_view_model *m);
/* All that is given out. */
void swarm_show_given(struct swarm_show *s, const struct swarm_view *v);

/* {"event":NAME, …}, one line on stdout; fields is taken over and may be NULL. */
void swarm_show_event(const char *name, json_t *fields);

/* "112 MiB/s"; owned by the caller. */
char *swarm_show_rate(double bytes_a_second);
/* The map of pieces at so many columns, each from "nothing here" to "all here".  out: 3 bytes a column and one. */
void swarm_show_map(char *out, const struct swarm_view_model *m, int columns, bool utf8);

/* `swarm status` of one process, and the peers that it knows. */
void swarm_show_status(const struct swarm_view *v, long pid, FILE *to);
void swarm_show_peers(const struct swarm_view *v, FILE *to);

#endif
