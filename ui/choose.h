/* A dialog with a list: models, drafters, what to do. */
#ifndef TIGHTWAD_UI_CHOOSE_H
#define TIGHTWAD_UI_CHOOSE_H

#include <stdbool.h>

#include "ui/dialog.h"
#include "ui/menu.h"

struct choose;

/* The item of that index was taken.  The dialog is off the screen, and goes when this returns. */
typedef void choose_taken_cb(struct ui *ui, struct choose *c, size_t index);

struct choose {
    struct dialog dialog;
    struct menu menu;
    char *text; /* above the list, NULL none */
    choose_taken_cb *taken;
    void *data; /* of whoever opened it */
    void (*free_data)(void *data);
};

/* Opens one; the items are appended to its menu by the caller.  text: copied, NULL none.  filters: typing leaves only
 * the items that hold what was typed.  data: freed by free_data (NULL: it is not) with the dialog. */
struct choose *choose_open(struct ui *ui, const char *title, const char *text, bool filters, choose_taken_cb *taken,
                           void *data, void (*free_data)(void *data));

#endif
