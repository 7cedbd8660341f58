/* A dialog that asks for a line. */
#ifndef TIGHTWAD_UI_PROMPT_H
#define TIGHTWAD_UI_PROMPT_H

#include "ui/dialog.h"
#include "ui/input.h"

struct prompt_opts {
    const char *title;
    const char *text;              /* what is wanted, above the line; copied */
    const char *initial;           /* NULL: empty */
    struct input_history *history; /* NULL none; what is taken is added */
    /* Whether the line can be taken: NULL, or what is wrong with it (static).  NULL: anything can. */
    const char *(*check)(const char *line);
    void (*taken)(struct ui *ui, const char *line);
    void (*changed)(struct ui *ui, const char *line); /* at each key; NULL: nobody asks */
    void (*left)(struct ui *ui, const char *initial); /* NULL: nothing happens */
};

/* opts: copied but for what it borrows. */
void prompt_open(struct ui *ui, const struct prompt_opts *opts);

#endif
