#include "ui/notes.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { WIDE = 96, WIDE_LEAST = 20, HINT_ROWS = 2 };

struct notes {
    struct dialog dialog;
    notes_fill *fill;
    void *data;
    void (*free_data)(void *data);
    struct page page; /* as it was last laid out; width 0: not yet */
    int top, rows;    /* first line shown, lines shown */
};

static void lay_out(const struct ui *ui, struct notes *n, int cols)
{
    bool ascii = !ui->theme.unicode;
    if (cols < WIDE_LEAST)
        cols = WIDE_LEAST;
    if (n->page.width == cols && n->page.ascii == ascii)
        return;
    if (n->page.width != 0)
        page_finish(&n->page);
    page_init(&n->page, cols, ascii, PAGE_NO_ITEM);
    n->page.signs = ui->theme.signs;
    n->fill(ui, n->data, &n->page);
}

static int widest(const struct page *p)
{
    int most = 0;
    for (size_t i = 0; i < p->n_lines; i++) {
        const struct page_line *l = &p->line[i];
        if (l->n_pieces == 0)
            continue;
        const struct page_piece *last = &l->piece[l->n_pieces - 1];
        most = last->column + last->width > most ? last->column + last->width : most;
    }
    return most;
}

static void notes_wants(struct ui *ui, struct dialog *d, int *rows, int *cols)
{
    struct notes *n = (struct notes *)d;
    lay_out(ui, n, *cols < WIDE ? *cols : WIDE);
    int wide = widest(&n->page), high = (int)n->page.n_lines + HINT_ROWS;
    *cols = wide > WIDE_LEAST ? wide : WIDE_LEAST;
    *rows = high < *rows ? high : *rows;
}

static void scroll_to(struct notes *n, int top)
{
    int last = (int)n->page.n_lines - n->rows;
    n->top = top > last ? last : top;
    if (n->top < 0)
        n->top = 0;
}

static void notes_draw(struct ui *ui, struct dialog *d, const struct view *v)
{
    struct notes *n = (struct notes *)d;
    (void)ui;
    n->rows = v->rows > HINT_ROWS ? v->rows - HINT_ROWS : v->rows;
    scroll_to(n, n->top);
    for (int i = 0; i < n->rows && n->top + i < (int)n->page.n_lines; i++) {
        const struct page_line *l = &n->page.line[n->top + i];
        for (size_t k = 0; k < l->n_pieces; k++)
            view_text(v, i, l->piece[k].column, l->piece[k].role, l->piece[k].text);
    }
    int left = (int)n->page.n_lines - n->top - n->rows;
    if (v->rows > HINT_ROWS && (left > 0 || n->top > 0))
        view_printf(v, v->rows - 1, 0, THEME_DIM, "Up, Down: %d line%s more   Esc: leave", left > 0 ? left : 0,
                    left == 1 ? "" : "s");
    else if (v->rows > HINT_ROWS)
        view_text(v, v->rows - 1, 0, THEME_DIM, "Esc: leave");
}

static enum dialog_outcome notes_key(struct ui *ui, struct dialog *d, int key)
{
    struct notes *n = (struct notes *)d;
    int page = n->rows > 1 ? n->rows - 1 : 1;
    (void)ui;
    switch (key) {
    case KEY_UP:
        scroll_to(n, n->top - 1);
        return DIALOG_STAYS;
    case KEY_DOWN:
        scroll_to(n, n->top + 1);
        return DIALOG_STAYS;
    case KEY_PPAGE:
        scroll_to(n, n->top - page);
        return DIALOG_STAYS;
    case KEY_NPAGE:
    case ' ':
        scroll_to(n, n->top + page);
        return DIALOG_STAYS;
    case KEY_HOME:
        scroll_to(n, 0);
        return DIALOG_STAYS;
    case KEY_END:
        scroll_to(n, (int)n->page.n_lines);
        return DIALOG_STAYS;
    case '\r':
    case '\n':
    case KEY_ENTER:
    case SCREEN_ESCAPE:
    case SCREEN_CTRL_C:
    case 'q':
        return DIALOG_LEFT;
    default:
        return DIALOG_STAYS;
    }
}

static void notes_destroy(struct dialog *d)
{
    struct notes *n = (struct notes *)d;
    if (n->page.width != 0)
        page_finish(&n->page);
    if (n->free_data != NULL)
        n->free_data(n->data);
    free(n);
}

static const struct dialog_ops notes_ops = {
    .key = notes_key,
    .wants = notes_wants,
    .draw = notes_draw,
    .destroy = notes_destroy,
};

void notes_open(struct ui *ui, const char *title, notes_fill *fill, void *data, void (*free_data)(void *data))
{
    struct notes *n = xcalloc(1, sizeof(*n));
    *n = (struct notes){.dialog.ops = &notes_ops, .fill = fill, .data = data, .free_data = free_data};
    dialog_open(ui, &n->dialog, title);
}

static void fill_message(const struct ui *ui, const void *data, struct page *p)
{
    (void)ui;
    page_say(p, THEME_TEXT, "%s", (const char *)data);
}

void notes_message(struct ui *ui, const char *title, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *text = xvasprintf(fmt, ap);
    va_end(ap);
    notes_open(ui, title, fill_message, text, free);
}
