/* Columns of a list: which of them fit a width, and how wide they are.  Pure; the drawing is of cells. */
#ifndef TIGHTWAD_UI_TABLE_H
#define TIGHTWAD_UI_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "ui/view.h"

struct table_column {
    const char *head; /* static */
    int least;        /* columns of the screen that it needs */
    int most;         /* that it can use; less than least: least */
    int rank;         /* 0 stays longest; equal ranks: the left one */
    bool right;       /* flush to the right */
    int cols;         /* table_fit: what it gets, 0: it is left out */
};

/* One blank between columns.  Columns come in by rank as long as all fit; what room is left goes to those that can use
 * it, by rank. */
void table_fit(struct table_column *c, size_t n, int cols);

/* The heads, and a cell of a row; `i` counts all columns, those that are left out draw nothing. */
void table_heads(const struct view *v, int row, const struct table_column *c, size_t n);
void table_cell(const struct view *v, int row, const struct table_column *c, size_t i, enum theme_role role,
                const char *text);

/* Where column i begins. */
int table_at(const struct table_column *c, size_t i);

/* Makes the column wide enough for the text, up to `cap`: rather than cut what it says, it is left out. */
void table_widen(const struct view *v, struct table_column *c, const char *text, int cap);

#endif
