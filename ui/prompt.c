#include "ui/prompt.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ui/text.h"

enum { WIDE = 64, ROWS_LEFT = 2 /* the line, and what is wrong with it */ };

struct prompt {
    struct dialog dialog;
    struct prompt_opts opts;
    char *text, *initial;
    struct input input;
    const char *wrong; /* with the line as it is, once it was to be taken; NULL nothing */
};

static enum dialog_outcome prompt_key(struct ui *ui, struct dialog *d, int key)
{
    struct prompt *p = (struct prompt *)d;
    const char *line = p->input.field.text;
    switch (input_key(&p->input, key)) {
    case INPUT_TAKEN:
        p->wrong = p->opts.check != NULL ? p->opts.check(line) : NULL;
        return p->wrong != NULL ? DIALOG_STAYS : DIALOG_TAKEN;
    case INPUT_LEFT:
        return DIALOG_LEFT;
    case INPUT_CHANGED:
        p->wrong = NULL;
        if (p->opts.changed != NULL)
            p->opts.changed(ui, line);
        return DIALOG_STAYS;
    default:
        return DIALOG_STAYS;
    }
}

static void prompt_wants(struct ui *ui, struct dialog *d, int *rows, int *cols)
{
    const struct prompt *p = (const struct prompt *)d;
    if (*cols > WIDE)
        *cols = WIDE;
    int want = text_lines(p->text, strlen(p->text), *cols, !ui->theme.unicode) + ROWS_LEFT;
    *rows = want < *rows ? want : *rows;
}

/* Bytes at the beginning that are left out so that the cursor is among the columns. */
static size_t skipped(const struct field *f, int cols, bool ascii)
{
    size_t from = 0;
    while (from < f->at && text_columns(f->text + from, f->at - from, ascii) >= cols) {
        struct text_cell cell;
        text_first(f->text + from, f->len - from, ascii, &cell);
        from += cell.bytes;
    }
    return from;
}

static void prompt_draw(struct ui *ui, struct dialog *d, const struct view *v)
{
    const struct prompt *p = (const struct prompt *)d;
    const struct field *f = &p->input.field;
    bool ascii = !ui->theme.unicode;
    struct view text = view_part(v, 0, 0, v->rows > ROWS_LEFT ? v->rows - ROWS_LEFT : 0, v->cols);
    int row = view_wrapped(&text, 0, THEME_TEXT, p->text);
    size_t from = skipped(f, v->cols, ascii);
    view_field(v, row, 0, v->cols, false, THEME_INPUT, f->text + from);
    dialog_cursor(ui, v, row, text_columns(f->text + from, f->at - from, ascii));
    if (p->wrong != NULL)
        view_text(v, row + 1, 0, THEME_BAD, p->wrong);
    else
        view_text(v, row + 1, 0, THEME_DIM, "Enter: take it   Esc: leave");
}

static void prompt_taken(struct ui *ui, struct dialog *d)
{
    struct prompt *p = (struct prompt *)d;
    if (p->opts.history != NULL)
        input_history_add(p->opts.history, p->input.field.text);
    p->opts.taken(ui, p->input.field.text);
}

static void prompt_left(struct ui *ui, struct dialog *d)
{
    const struct prompt *p = (const struct prompt *)d;
    if (p->opts.left != NULL)
        p->opts.left(ui, p->initial);
}

static void prompt_destroy(struct dialog *d)
{
    struct prompt *p = (struct prompt *)d;
    input_finish(&p->input);
    free(p->text);
    free(p->initial);
    free(p);
}

static const struct dialog_ops prompt_ops = {
    .key = prompt_key,
    .wants = prompt_wants,
    .draw = prompt_draw,
    .taken = prompt_taken,
    .left = prompt_left,
    .destroy = prompt_destroy,
};

void prompt_open(struct ui *ui, const struct prompt_opts *opts)
{
    struct prompt *p = xcalloc(1, sizeof(*p));
    p->dialog.ops = &prompt_ops;
    p->opts = *opts;
    p->text = xstrdup(opts->text);
    p->initial = xstrdup(opts->initial != NULL ? opts->initial : "");
    input_init(&p->input, p->initial, opts->history);
    dialog_open(ui, &p->dialog, opts->title);
}
