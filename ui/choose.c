#include "ui/choose.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ui/text.h"

enum {
    GAP = 2,
    POINTER = 2,   /* columns of the mark before a row */
    NOTE_ROWS = 3, /* for more of what is chosen */
    LIST_LEAST = 3,
    TEXT_WIDE = 64, /* longer ones are broken into lines */
};

/* How the rows of the dialog are shared out. */
struct shares {
    int text, filter, list, note;
};

static bool has_notes(const struct menu *m)
{
    for (size_t i = 0; i < m->n; i++) {
        if (m->item[i].note != NULL)
            return true;
    }
    return false;
}

/* What the list can do without goes first: the note, then the text. */
static struct shares share(const struct ui *ui, const struct choose *c, int rows, int cols)
{
    bool ascii = !ui->theme.unicode;
    struct shares s = {.filter = c->menu.filters, .list = c->menu.n > 0 ? (int)c->menu.n : 1};
    s.text = c->text != NULL ? text_lines(c->text, strlen(c->text), cols, ascii) + 1 : 0;
    s.note = has_notes(&c->menu) ? NOTE_ROWS + 1 : 0;
    int over = s.text + s.filter + s.list + s.note - rows, can = s.list - LIST_LEAST;
    if (over > 0 && can > 0) {
        int less = over < can ? over : can;
        s.list -= less;
        over -= less;
    }
    if (over > 0) {
        over -= s.note;
        s.note = 0;
    }
    if (over > 0)
        s.text = s.text > over ? s.text - over : 0;
    return s;
}

static void choose_wants(struct ui *ui, struct dialog *d, int *rows, int *cols)
{
    const struct choose *c = (const struct choose *)d;
    bool ascii = !ui->theme.unicode;
    int column[MENU_CELLS], wide = 0;
    menu_columns(&c->menu, *cols - POINTER, ascii, column);
    for (size_t k = 0; k < MENU_CELLS; k++)
        wide += column[k] > 0 ? column[k] + (wide > 0 ? GAP : 0) : 0;
    wide += POINTER;
    int text = c->text != NULL ? text_columns(c->text, strlen(c->text), ascii) : 0;
    int least = has_notes(&c->menu) || c->menu.filters ? 64 : 24;
    if (text > TEXT_WIDE)
        text = TEXT_WIDE;
    wide = text > wide ? text : wide;
    wide = least > wide ? least : wide;
    *cols = wide < *cols ? wide : *cols;
    struct shares s = share(ui, c, *rows, *cols);
    *rows = s.text + s.filter + s.list + s.note;
}

static void draw_item(struct choose *c, const struct view *v, int row, size_t at, const int column[MENU_CELLS])
{
    const struct menu_item *i = &c->menu.item[c->menu.shown[at]];
    bool chosen = at == c->menu.chosen;
    enum theme_role role = chosen ? THEME_SELECTED : i->role;
    int col = POINTER;
    view_field(v, row, 0, v->cols, false, role, "");
    if (chosen)
        view_glyph(v, row, 0, role, GLYPH_POINTER, 1);
    for (size_t k = 0; k < MENU_CELLS; k++) {
        if (column[k] == 0)
            continue;
        view_field(v, row, col, column[k], false, role, i->cell[k] != NULL ? i->cell[k] : "");
        col += column[k] + GAP;
    }
}

static void choose_draw(struct ui *ui, struct dialog *d, const struct view *v)
{
    struct choose *c = (struct choose *)d;
    struct shares s = share(ui, c, v->rows, v->cols);
    int column[MENU_CELLS], row = 0;
    if (s.text > 0) {
        struct view text = view_part(v, 0, 0, s.text > 1 ? s.text - 1 : 1, v->cols);
        view_wrapped(&text, 0, THEME_TEXT, c->text);
        row = s.text;
    }
    if (s.filter > 0) {
        const struct field *f = &c->menu.filter;
        int col = view_text(v, row, 0, THEME_DIM, f->len > 0 ? "only: " : "type to filter ");
        view_text(v, row, col, THEME_INPUT, f->text);
        dialog_cursor(ui, v, row, col + text_columns(f->text, f->at, !ui->theme.unicode));
        row++;
    }
    menu_columns(&c->menu, v->cols - POINTER, !ui->theme.unicode, column);
    menu_scroll(&c->menu, (size_t)s.list);
    for (int i = 0; i < s.list && c->menu.top + (size_t)i < c->menu.n_shown; i++)
        draw_item(c, v, row + i, c->menu.top + (size_t)i, column);
    if (c->menu.n_shown == 0)
        view_text(v, row, POINTER, THEME_DIM, "nothing of that kind");
    row += s.list;
    long at = menu_item(&c->menu);
    if (s.note > 1 && at >= 0 && c->menu.item[at].note != NULL) {
        struct view note = view_part(v, row + 1, 0, s.note - 1, v->cols);
        view_wrapped(&note, 0, THEME_DIM, c->menu.item[at].note);
    }
}

static enum dialog_outcome choose_key(struct ui *ui, struct dialog *d, int key)
{
    struct choose *c = (struct choose *)d;
    struct shares s = share(ui, c, ui->rows, ui->cols);
    switch (menu_key(&c->menu, key, (size_t)s.list)) {
    case MENU_TAKEN:
        return DIALOG_TAKEN;
    case MENU_LEFT:
        return DIALOG_LEFT;
    default:
        return DIALOG_STAYS;
    }
}

static void choose_taken(struct ui *ui, struct dialog *d)
{
    struct choose *c = (struct choose *)d;
    c->taken(ui, c, (size_t)menu_item(&c->menu));
}

static void choose_destroy(struct dialog *d)
{
    struct choose *c = (struct choose *)d;
    menu_finish(&c->menu);
    if (c->free_data != NULL)
        c->free_data(c->data);
    free(c->text);
    free(c);
}

static const struct dialog_ops choose_ops = {
    .key = choose_key,
    .wants = choose_wants,
    .draw = choose_draw,
    .taken = choose_taken,
    .destroy = choose_destroy,
};

struct choose *choose_open(struct ui *ui, const char *title, const char *text, bool filters, choose_taken_cb *taken,
                           void *data, void (*free_data)(void *data))
{
    struct choose *c = xcalloc(1, sizeof(*c));
    *c = (struct choose){
        .dialog.ops = &choose_ops, .text = xstrdup(text), .taken = taken, .data = data, .free_data = free_data};
    menu_init(&c->menu, filters);
    dialog_open(ui, &c->dialog, title);
    return c;
}
