#include "ui/table.h"

#include <string.h>

#include "ui/text.h"

enum { RANKS = 16 };

void table_fit(struct table_column *c, size_t n, int cols)
{
    int used = -1; /* no blank before the first */
    for (size_t i = 0; i < n; i++)
        c[i].cols = 0;
    for (int rank = 0; rank < RANKS; rank++) {
        for (size_t i = 0; i < n; i++) {
            if (c[i].rank != rank)
                continue;
            if (used + 1 + c[i].least > cols) {
                rank = RANKS; /* nor does what matters less */
                break;
            }
            c[i].cols = c[i].least;
            used += 1 + c[i].least;
        }
    }
    for (int rank = 0; rank < RANKS; rank++) {
        for (size_t i = 0; i < n; i++) {
            int more = c[i].most - c[i].cols, room = cols - used;
            if (c[i].rank != rank || c[i].cols == 0 || more <= 0)
                continue;
            more = more < room ? more : room;
            c[i].cols += more;
            used += more;
        }
    }
}

int table_at(const struct table_column *c, size_t i)
{
    int at = 0;
    for (size_t k = 0; k < i; k++)
        at += c[k].cols > 0 ? c[k].cols + 1 : 0;
    return at;
}

void table_cell(const struct view *v, int row, const struct table_column *c, size_t i, enum theme_role role,
                const char *text)
{
    if (c[i].cols > 0)
        view_field(v, row, table_at(c, i), c[i].cols, c[i].right, role, text);
}

void table_heads(const struct view *v, int row, const struct table_column *c, size_t n)
{
    for (size_t i = 0; i < n; i++)
        table_cell(v, row, c, i, THEME_DIM, c[i].head);
}

void table_widen(const struct view *v, struct table_column *c, const char *text, int cap)
{
    int width = text_columns(text, strlen(text), !v->theme->unicode), least = width < cap ? width : cap;
    if (width > c->most)
        c->most = width;
    if (least > c->least)
        c->least = least;
}
