/* A list to choose from: rows of cells, one of them chosen; typing leaves only the rows that hold what was typed. Pure:
 * keys in, state out. */
#ifndef TIGHTWAD_UI_MENU_H
#define TIGHTWAD_UI_MENU_H

#include <stdbool.h>
#include <stddef.h>

#include "ui/field.h"
#include "ui/theme.h"

enum { MENU_CELLS = 5 };

struct menu_item {
    char *cell[MENU_CELLS]; /* NULL: empty */
    char *note;             /* more of it, shown below the list while it is chosen; NULL none */
    enum theme_role role;
    int hot; /* a letter that takes it at once, in lists that are not filtered; 0 none */
};

struct menu {
    struct menu_item *item;
    size_t n;
    size_t *shown; /* indices of the items that hold the filter, in order */
    size_t n_shown;
    size_t chosen; /* index in shown */
    size_t top;    /* index in shown of the first row that is drawn */
    bool filters;  /* letters filter; else they may be hot */
    struct field filter;
};

enum menu_result {
    MENU_IGNORED, /* not a key of a list */
    MENU_CHANGED,
    MENU_TAKEN, /* Enter, or a hot letter: see menu_item */
    MENU_LEFT,  /* Esc without a filter, or Ctrl-C */
};

/* filters: typing filters. */
void menu_init(struct menu *m, bool filters);
void menu_finish(struct menu *m);

/* Appends a row; its cells are set by menu_cell.  Holds until the next one is added. */
struct menu_item *menu_add(struct menu *m, enum theme_role role);
void menu_cell(struct menu_item *i, size_t cell, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void menu_note(struct menu_item *i, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Chooses the item of that index. */
void menu_choose(struct menu *m, size_t index);

/* page: rows that are drawn at once, for PgUp and PgDn. */
enum menu_result menu_key(struct menu *m, int key, size_t page);

/* The chosen item's index, or -1 where none is shown. */
long menu_item(const struct menu *m);

/* Moves top so that the chosen row is among the rows that are drawn, and no room is wasted. */
void menu_scroll(struct menu *m, size_t rows);

/* Columns of each cell in a list of so many columns, two apart: the first one is made narrower (to 8 at least) where
 * they do not fit, then the last ones are left out (0).  ascii: as text_columns has it. */
void menu_columns(const struct menu *m, int cols, bool ascii, int out[MENU_CELLS]);

#endif
