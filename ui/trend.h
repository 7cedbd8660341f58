/* A figure with its past: a label, what it is now, and the samples of the last minutes as a line.  What the panes with
 * graphs share. */
#ifndef TIGHTWAD_UI_TREND_H
#define TIGHTWAD_UI_TREND_H

#include "ui/history.h"
#include "ui/view.h"

enum { TREND_FIGURE = 7 }; /* columns of the figure */

struct trend {
    const char *label, *figure;
    int wide;                        /* columns of the label */
    const struct history *history;   /* that line belongs to */
    const struct history_line *line; /* NULL: no past is kept of it */
    double top;                      /* the scale's end; 0: it is found, and said where there are two rows */
};

/* `rows` high from `row` of v on, as wide as v. */
void trend_draw(const struct view *v, int row, int rows, const struct trend *t);

#endif
