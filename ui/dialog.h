/* What stands above the panes: one dialog over another, the topmost takes the keys.  A kind of dialog is a struct that
 * begins with struct dialog, and a table of what it does. */
#ifndef TIGHTWAD_UI_DIALOG_H
#define TIGHTWAD_UI_DIALOG_H

#include <stdbool.h>
#include <stdint.h>

#include "ui/ui.h"
#include "ui/view.h"

enum dialog_outcome {
    DIALOG_STAYS,
    DIALOG_TAKEN, /* it has what it asked for: it is taken off the screen, and its `taken` is called */
    DIALOG_LEFT,  /* it is taken off the screen, and its `left` is called */
};

struct dialog_ops {
    enum dialog_outcome (*key)(struct ui *ui, struct dialog *d, int key);
    /* How much it would like on a screen with room for *rows by *cols inside its frame: at most as much. */
    void (*wants)(struct ui *ui, struct dialog *d, int *rows, int *cols);
    void (*draw)(struct ui *ui, struct dialog *d, const struct view *v); /* v is clear */
    /* A new picture has come; NULL: it does not care. */
    enum dialog_outcome (*picture)(struct ui *ui, struct dialog *d);
    /* Called when it is off the screen, and before destroy; may open others.  NULL: nothing happens. */
    void (*taken)(struct ui *ui, struct dialog *d);
    void (*left)(struct ui *ui, struct dialog *d);
    void (*destroy)(struct dialog *d); /* frees what it owns, and d; title and below are seen to by the caller */
};

struct dialog {
    const struct dialog_ops *ops;
    char *title;
    struct dialog *below;
    uint64_t number; /* unlike that of any other since the program began */
};

/* Puts d, which is owned by ui from now on, above what is there.  title: copied.  Returns its number. */
uint64_t dialog_open(struct ui *ui, struct dialog *d, const char *title);
/* Takes the dialog of that number off the screen and frees it, without a word to anybody; not from inside its own
 * functions.  False: it was gone already. */
bool dialog_close(struct ui *ui, uint64_t number);
/* A key for the topmost; there must be one. */
void dialog_key(struct ui *ui, int key);
void dialog_picture(struct ui *ui);
void dialog_finish(struct ui *ui); /* frees all of them */

/* Draws them above the panes; the cursor's place goes to ui->cursor_row and cursor_col. */
void dialog_draw(struct ui *ui);

/* Puts the cursor at a place of the view. */
void dialog_cursor(struct ui *ui, const struct view *v, int row, int col);

#endif
