#include "ui/dialog.h"

#include <stdlib.h>

#include "base/mem.h"

enum {
    FRAME_ROWS = 2,
    FRAME_COLS = 4, /* with the margin */
    MARGIN = 4,     /* of a large screen that stays in sight on each side */
    LARGE_COLS = 60,
    LARGE_ROWS = 20,
    WIDEST = 110,
};

uint64_t dialog_open(struct ui *ui, struct dialog *d, const char *title)
{
    static uint64_t number;
    d->number = ++number;
    d->title = xstrdup(title);
    d->below = ui->dialog;
    ui->dialog = d;
    ui_redraw(ui);
    return d->number;
}

static bool unlink_dialog(struct ui *ui, const struct dialog *d)
{
    for (struct dialog **at = &ui->dialog; *at != NULL; at = &(*at)->below) {
        if (*at == d) {
            *at = d->below;
            ui_redraw(ui);
            return true;
        }
    }
    return false;
}

static void destroy(struct dialog *d)
{
    free(d->title);
    d->ops->destroy(d);
}

bool dialog_close(struct ui *ui, uint64_t number)
{
    struct dialog *d = ui->dialog;
    while (d != NULL && d->number != number)
        d = d->below;
    if (d == NULL)
        return false;
    unlink_dialog(ui, d);
    destroy(d);
    return true;
}

static void end(struct ui *ui, struct dialog *d, enum dialog_outcome how)
{
    if (how == DIALOG_STAYS || !unlink_dialog(ui, d))
        return;
    if (how == DIALOG_TAKEN && d->ops->taken != NULL)
        d->ops->taken(ui, d);
    else if (how == DIALOG_LEFT && d->ops->left != NULL)
        d->ops->left(ui, d);
    destroy(d);
}

void dialog_key(struct ui *ui, int key)
{
    struct dialog *d = ui->dialog;
    end(ui, d, d->ops->key(ui, d, key));
}

void dialog_picture(struct ui *ui)
{
    for (struct dialog *d = ui->dialog, *below; d != NULL; d = below) {
        below = d->below;
        if (d->ops->picture != NULL)
            end(ui, d, d->ops->picture(ui, d));
    }
}

void dialog_finish(struct ui *ui)
{
    while (ui->dialog != NULL)
        dialog_close(ui, ui->dialog->number);
}

void dialog_cursor(struct ui *ui, const struct view *v, int row, int col)
{
    if (row >= v->rows || col >= v->cols)
        return;
    ui->cursor_row = v->y + row;
    ui->cursor_col = v->x + col;
}

/* In the middle of the screen, as large as it likes to be; small screens it may fill. */
static void draw_one(struct ui *ui, struct dialog *d, const struct view *screen)
{
    int edge_rows = screen->rows >= LARGE_ROWS ? MARGIN / 2 : 0, edge_cols = screen->cols >= LARGE_COLS ? MARGIN : 0;
    int rows = screen->rows - FRAME_ROWS - 2 * edge_rows, cols = screen->cols - FRAME_COLS - 2 * edge_cols;
    if (cols > WIDEST)
        cols = WIDEST;
    if (rows < 1 || cols < 1)
        return;
    int want_rows = rows, want_cols = cols;
    d->ops->wants(ui, d, &want_rows, &want_cols);
    rows = want_rows < 1 ? 1 : want_rows < rows ? want_rows : rows;
    cols = want_cols < 1 ? 1 : want_cols < cols ? want_cols : cols;
    struct view frame = view_part(screen, (screen->rows - rows - FRAME_ROWS) / 2,
                                  (screen->cols - cols - FRAME_COLS) / 2, rows + FRAME_ROWS, cols + FRAME_COLS);
    struct view inside = view_frame(&frame, d->title);
    ui->cursor_row = ui->cursor_col = -1;
    d->ops->draw(ui, d, &inside);
}

static void draw_from(struct ui *ui, struct dialog *d, const struct view *screen)
{
    if (d == NULL)
        return;
    draw_from(ui, d->below, screen);
    draw_one(ui, d, screen);
}

void dialog_draw(struct ui *ui)
{
    struct view screen = ui_view(ui);
    draw_from(ui, ui->dialog, &screen);
}
