/* A step on the screen: header, body, what is typed, footer. */
#include <stdio.h>
#include <string.h>

#include "ui/text.h"
#include "ui/view.h"
#include "ui/wizard-internal.h"

enum { BODY_LEAST = 3 }; /* rows: on a very small screen the footer gives way to it */

static void draw_lines(const struct view *v, const struct page *p, size_t from)
{
    for (int row = 0; row < v->rows && from + (size_t)row < p->n_lines; row++) {
        const struct page_line *l = &p->line[from + (size_t)row];
        bool chosen = l->item >= 0 && l->item == p->chosen;
        if (chosen)
            view_field(v, row, 0, v->cols, false, THEME_SELECTED, "");
        for (size_t i = 0; i < l->n_pieces; i++)
            view_text(v, row, l->piece[i].column, chosen ? THEME_SELECTED : l->piece[i].role, l->piece[i].text);
    }
}

static void draw_header(const struct wizard *w, const struct view *v)
{
    char place[96];
    snprintf(place, sizeof(place), "step %d of %d: %s ", (int)w->step + 1, (int)STEPS, wizard_step_ops(w->step)->title);
    view_field(v, 0, 0, v->cols, true, THEME_HEADER, place);
    if (v->cols >= 70)
        view_text(v, 0, 0, THEME_HEADER, " Tightwad: the first run");
}

/* The end of the typed text that fits before the cursor. */
static const char *visible(const struct field *f, int columns, bool ascii)
{
    const char *s = f->text;
    while (text_columns(s, f->len - (size_t)(s - f->text), ascii) >= columns && s < f->text + f->at) {
        struct text_cell cell;
        text_first(s, f->len - (size_t)(s - f->text), ascii, &cell);
        s += cell.bytes;
    }
    return s;
}

/* A star for each byte. */
static void hide(struct field *f)
{
    memset(f->text, '*', f->len);
}

/* What is typed, in the last rows of v; the rows that are left for the body. */
static int draw_field(const struct wizard *w, const struct view *v, bool ascii, int *row, int *col)
{
    struct page p;
    page_init(&p, v->cols, ascii, PAGE_NO_ITEM);
    p.signs = v->theme->signs;
    if (w->complaint != NULL)
        page_mark(&p, THEME_BAD, "✗ ", THEME_TEXT, "%s", w->complaint);
    page_say(&p, THEME_BOLD, "%s:", w->label);
    int top = v->rows - (int)p.n_lines - 1;
    top = top < 0 ? 0 : top;
    struct view part = view_part(v, top, 0, v->rows - top, v->cols);
    view_clear(&part);
    draw_lines(&part, &p, 0);
    struct field typed = w->field;
    if (w->secret)
        hide(&typed);
    const char *s = visible(&typed, v->cols - 3, ascii);
    int last = v->rows - 1;
    view_field(v, last, 0, v->cols, false, THEME_INPUT, "");
    view_text(v, last, 0, THEME_INPUT, "> ");
    view_text(v, last, 2, THEME_INPUT, s);
    *row = v->y + last;
    *col = v->x + 2 + text_columns(s, typed.at - (size_t)(s - typed.text), ascii);
    page_finish(&p);
    return top;
}

static void draw_body(struct wizard *w, const struct view *v, bool ascii, int *row, int *col)
{
    struct page p;
    struct view lines = *v;
    page_init(&p, v->cols, ascii, w->over == OVER_NOTHING || w->over == OVER_FIELD ? w->chosen : PAGE_NO_ITEM);
    p.signs = v->theme->signs;
    wizard_body(w, &p);
    if (w->over == OVER_FIELD)
        lines = view_part(v, 0, 0, draw_field(w, v, ascii, row, col), v->cols);
    size_t from = page_scroll(&p, w->over == OVER_NOTHING ? w->from : 0, (size_t)lines.rows);
    if (w->over == OVER_NOTHING)
        w->from = from;
    draw_lines(&lines, &p, from);
    w->hidden = p.n_lines > from + (size_t)lines.rows ? p.n_lines - from - (size_t)lines.rows : 0;
    page_finish(&p);
}

void wizard_draw(struct wizard *w, const struct view *v, int *row, int *col)
{
    bool ascii = !v->theme->unicode;
    struct page footer;
    char more[64];
    *row = *col = -1;
    view_clear(v);
    page_init(&footer, v->cols - 2, ascii, PAGE_NO_ITEM);
    wizard_footer(w, &footer);
    int rows = (int)footer.n_lines, top = v->rows - rows - 1;
    if (top < 2 + BODY_LEAST)
        top = v->rows;
    draw_header(w, v);
    struct view body = view_part(v, 2, 1, top - 2, v->cols - 2);
    draw_body(w, &body, ascii, row, col);
    if (top < v->rows) {
        snprintf(more, sizeof(more), "%zu more line%s below", w->hidden, w->hidden == 1 ? "" : "s");
        view_rule(v, top, w->hidden > 0 ? more : "", false);
        struct view keys = view_part(v, top + 1, 1, rows, v->cols - 2);
        draw_lines(&keys, &footer, 0);
    }
    page_finish(&footer);
}
