/* Where everything stands: arithmetic on a struct, no terminal.
 *
 * From the top: a header line, lines with what is wrong (none where nothing is), bands of panes, a footer line.  A band
 * holds one to three panes side by side; which bands there are depends on the width.  Where the screen is too low for
 * all of them, bands give way from the least important one up; the pane with the focus stays. */
#ifndef TIGHTWAD_UI_LAYOUT_H
#define TIGHTWAD_UI_LAYOUT_H

#include <stdbool.h>

enum pane_id {
    PANE_MACHINES,
    PANE_SPECULATION,
    PANE_STREAM,
    PANE_ROUNDS,
    PANE_GATE,
    PANE_CONSENSUS,
    PANE_REQUESTS,
    PANE_POOL,
    PANE_SWARM,
    PANE_LOG,
    PANES
};

enum {
    LAYOUT_ROWS = 10, /* below this, or below LAYOUT_COLS, there is nothing but a line that says so */
    LAYOUT_COLS = 40,
    LAYOUT_NOTICES = 3, /* lines for what is wrong, at most */
};

struct layout_want {
    bool present; /* it has something to show */
    int rows;     /* lines that it would fill, without its title; at least 1 where present */
    bool grows;   /* it can use more than that */
};

struct layout_ask {
    int rows, cols; /* of the screen */
    int notices;    /* lines with what is wrong, 0..LAYOUT_NOTICES */
    struct layout_want want[PANES];
    enum pane_id focus;
    bool zoomed; /* the pane with the focus alone */
};

struct layout_box {
    int y, x, rows, cols; /* with the title line; rows 0: not shown */
};

struct layout {
    bool too_small;
    int rows, cols;
    struct layout_box header, notices, footer; /* notices.rows 0: none */
    struct layout_box pane[PANES];
    int separator[PANES]; /* column of the line to the left of the pane, -1 none */
};

/* Any rows and cols; nothing of it overlaps or leaves the screen. */
void layout_make(struct layout *out, const struct layout_ask *ask);

#endif
