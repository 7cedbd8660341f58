/* The panes of the dashboard.  A new one is a file with a struct pane_ops, a name in enum pane_id, a row in the table
 * of panes.c and a place in the bands of layout.c. */
#ifndef TIGHTWAD_UI_PANE_H
#define TIGHTWAD_UI_PANE_H

#include <stdbool.h>
#include <stddef.h>

#include "ui/layout.h"
#include "ui/view.h"

struct ui;

struct pane_ops {
    const char *name; /* static, its title */
    int every_ms;     /* it is drawn from new pictures at most this often; 0: with each */
    bool grows;       /* it can use more rows than it wants */
    /* NULL: it always has something to show. */
    bool (*present)(const struct ui *ui);
    /* Lines that it would fill, without its title, in so many columns; at least 1. */
    int (*wants)(const struct ui *ui, int cols);
    /* More for the title, after the name; NULL none.  out is "" before. */
    void (*title)(const struct ui *ui, char *out, size_t size);
    /* Draws at the right of the title line, v being what the title leaves of it; NULL nothing. */
    void (*legend)(const struct ui *ui, const struct view *v);
    /* Draws into v, which is clear and does not hold the title line.  Called on the drawing thread only. */
    void (*draw)(struct ui *ui, const struct view *v);
};

extern const struct pane_ops *const pane_table[PANES]; /* by enum pane_id */

extern const struct pane_ops pane_machines, pane_speculation, pane_stream, pane_rounds, pane_gate, pane_consensus,
    pane_requests, pane_pool, pane_swarm, pane_log;

#endif
