/* A line that is asked for: typed, edited, fetched from what was typed before.  Pure: keys in, state out. */
#ifndef TIGHTWAD_UI_INPUT_H
#define TIGHTWAD_UI_INPUT_H

#include <stdbool.h>
#include <stddef.h>

#include "ui/field.h"

enum { INPUT_HISTORY = 32 };

/* The lines that were typed for one purpose, oldest first. */
struct input_history {
    char *line[INPUT_HISTORY];
    size_t n;
};

struct input {
    struct field field;
    struct input_history *history; /* borrowed, NULL none */
    size_t at;                     /* which of its lines is shown; n: none of them */
    char *own;                     /* what was typed before one of them was fetched */
};

enum input_result {
    INPUT_IGNORED, /* not a key of a line */
    INPUT_CHANGED,
    INPUT_TAKEN, /* Enter */
    INPUT_LEFT,  /* Esc, Ctrl-C */
};

/* text: what stands there at first.  input_finish frees what it remembers. */
void input_init(struct input *i, const char *text, struct input_history *history);
void input_finish(struct input *i);

/* Characters; arrows, Home, End, Ctrl-A, Ctrl-E, Backspace, Delete, Ctrl-U (all before the cursor goes), Ctrl-W (the
 * word before it); Up and Down fetch earlier lines. */
enum input_result input_key(struct input *i, int key);

/* Remembers a line: the last one again is not remembered twice, the oldest one goes when there are too many. */
void input_history_add(struct input_history *h, const char *line);
void input_history_finish(struct input_history *h);

#endif
