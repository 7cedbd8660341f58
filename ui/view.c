#include "ui/view.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ui/text.h"

enum { RUN = 256 }; /* cells handed to ncurses at once */

static bool holds(const struct view *v, int row, int col)
{
    return row >= 0 && row < v->rows && col >= 0 && col < v->cols;
}

struct view view_part(const struct view *v, int row, int col, int rows, int cols)
{
    struct view p = {.theme = v->theme, .y = v->y + row, .x = v->x + col};
    p.rows = row < 0 || row >= v->rows || rows < 0 ? 0 : rows < v->rows - row ? rows : v->rows - row;
    p.cols = col < 0 || col >= v->cols || cols < 0 ? 0 : cols < v->cols - col ? cols : v->cols - col;
    return p;
}

static void make_cell(const struct view *v, enum theme_role role, const struct text_cell *from, cchar_t *to)
{
    wchar_t text[TEXT_MARKS + 2] = {from->character};
    for (int i = 0; i < from->n_marks; i++)
        text[1 + i] = from->mark[i];
    if (setcchar(to, text, v->theme->attr[role], v->theme->pair[role], NULL) != OK)
        setcchar(to, L"?", v->theme->attr[role], v->theme->pair[role], NULL);
}

/* Puts n bytes of text into at most cols columns from col on.  Returns the columns used. */
static int put(const struct view *v, int row, int col, int cols, enum theme_role role, const char *s, size_t n)
{
    cchar_t run[RUN];
    struct text_cell cell;
    int used = 0, begun = 0, cells = 0;
    for (size_t at = 0; at < n; at += cell.bytes) {
        text_first(s + at, n - at, !v->theme->unicode, &cell);
        if (cell.character == L'\n')
            cell = (struct text_cell){.character = L' ', .columns = 1, .bytes = cell.bytes};
        if (cell.columns == 0)
            continue;
        if (used + cell.columns > cols)
            break;
        make_cell(v, role, &cell, &run[cells++]);
        used += cell.columns;
        if (cells == RUN) {
            mvadd_wchnstr(v->y + row, v->x + col + begun, run, cells);
            begun = used;
            cells = 0;
        }
    }
    if (cells > 0)
        mvadd_wchnstr(v->y + row, v->x + col + begun, run, cells);
    return used;
}

static int blanks(const struct view *v, int row, int col, int cols, enum theme_role role)
{
    static const char many[] = "                                                                ";
    for (int left = cols; left > 0;) {
        int n = left < (int)sizeof(many) - 1 ? left : (int)sizeof(many) - 1;
        put(v, row, col + cols - left, n, role, many, (size_t)n);
        left -= n;
    }
    return col + cols;
}

/* Glyphs are one column wide and are not text from anywhere. */
static int put_glyph(const struct view *v, int row, int col, enum theme_role role, enum theme_glyph g, int times)
{
    const char *text = theme_glyph(v->theme, g);
    wchar_t wide[2] = {0};
    cchar_t cell;
    if (mbtowc(wide, text, strlen(text)) <= 0)
        wide[0] = L'?';
    setcchar(&cell, wide, v->theme->attr[role], v->theme->pair[role], NULL);
    for (int i = 0; i < times; i++)
        mvadd_wchnstr(v->y + row, v->x + col + i, &cell, 1);
    return col + times;
}

void view_clear(const struct view *v)
{
    for (int row = 0; row < v->rows; row++)
        blanks(v, row, 0, v->cols, THEME_TEXT);
}

void view_clear_from(const struct view *v, int row, int col)
{
    if (holds(v, row, col))
        blanks(v, row, col, v->cols - col, THEME_TEXT);
}

/* As much of the text as cols columns hold; where some is left, the last column says so. */
static int fit(const struct view *v, int row, int col, int cols, enum theme_role role, const char *text)
{
    size_t n = strlen(text);
    bool ascii = !v->theme->unicode;
    if (cols <= 0)
        return 0;
    if (text_columns(text, n, ascii) <= cols)
        return put(v, row, col, cols, role, text, n);
    int used = put(v, row, col, cols - 1, role, text, n);
    put_glyph(v, row, col + used, role, GLYPH_MORE, 1);
    return used + 1;
}

int view_text(const struct view *v, int row, int col, enum theme_role role, const char *text)
{
    return holds(v, row, col) ? col + fit(v, row, col, v->cols - col, role, text) : col;
}

int view_span(const struct view *v, int row, int col, enum theme_role role, const char *s, size_t n)
{
    return holds(v, row, col) ? col + put(v, row, col, v->cols - col, role, s, n) : col;
}

int view_printf(const struct view *v, int row, int col, enum theme_role role, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *text = xvasprintf(fmt, ap);
    va_end(ap);
    int end = view_text(v, row, col, role, text);
    free(text);
    return end;
}

int view_field(const struct view *v, int row, int col, int cols, bool right, enum theme_role role, const char *text)
{
    if (!holds(v, row, col))
        return col + cols;
    int room = cols < v->cols - col ? cols : v->cols - col,
        width = text_columns(text, strlen(text), !v->theme->unicode);
    int before = right && width < room ? room - width : 0;
    blanks(v, row, col, before, role);
    int used = before + fit(v, row, col + before, room - before, role, text);
    blanks(v, row, col + used, room - used, role);
    return col + cols;
}

int view_wrapped(const struct view *v, int row, enum theme_role role, const char *text)
{
    size_t n = strlen(text), at = 0;
    while (at < n && row < v->rows && v->cols > 0) {
        size_t len = text_line(text + at, n - at, v->cols, true, !v->theme->unicode);
        if (row + 1 == v->rows) /* the last line says where something is left */
            len = n - at;
        char *line = xstrndup(text + at, len);
        size_t end = strlen(line);
        while (end > 0 && (line[end - 1] == ' ' || line[end - 1] == '\n'))
            line[--end] = '\0';
        view_text(v, row++, 0, role, line);
        free(line);
        at += len;
    }
    return row;
}

int view_whole(const struct view *v, int row, enum theme_role role, const char *text)
{
    int lines = text_lines(text, strlen(text), v->cols, !v->theme->unicode);
    struct view part = view_part(v, row, 0, lines, v->cols);
    return lines > v->rows - row ? row : row + view_wrapped(&part, 0, role, text);
}

int view_glyph(const struct view *v, int row, int col, enum theme_role role, enum theme_glyph g, int times)
{
    if (!holds(v, row, col) || times <= 0)
        return col;
    return put_glyph(v, row, col, role, g, times < v->cols - col ? times : v->cols - col);
}

int view_sign(const struct view *v, int row, int col, enum theme_role role)
{
    enum theme_glyph g = role == THEME_GOOD   ? GLYPH_GOOD
                         : role == THEME_WARN ? GLYPH_WARN
                         : role == THEME_BAD  ? GLYPH_BAD
                                              : GLYPH_UNKNOWN;
    return view_glyph(v, row, col, role, g, 1);
}

int view_bar(const struct view *v, int row, int col, int cols, double share, enum theme_role role)
{
    int full = isnan(share) || share <= 0 ? 0 : share >= 1 ? cols : (int)(share * cols + 0.5);
    view_glyph(v, row, col, role, GLYPH_FULL, full);
    view_glyph(v, row, col + full, THEME_DIM, GLYPH_EMPTY, cols - full);
    return col + cols;
}

int view_rule(const struct view *v, int row, const char *title, bool focused)
{
    if (!holds(v, row, 0))
        return 0;
    put_glyph(v, row, 0, THEME_RULE, GLYPH_ACROSS, v->cols);
    if (title[0] == '\0' || v->cols < 8)
        return 0;
    struct view inner = view_part(v, row, 1, 1, v->cols - 2);
    char *text = xasprintf(" %s ", title);
    int end = 1 + view_text(&inner, 0, 0, focused ? THEME_FOCUS : THEME_TITLE, text);
    free(text);
    return end;
}

struct view view_frame(const struct view *v, const char *title)
{
    int right = v->cols - 1, low = v->rows - 1;
    if (right < 3 || low < 2)
        return view_part(v, 0, 0, 0, 0);
    view_clear(v);
    put_glyph(v, 0, 1, THEME_DIALOG, GLYPH_ACROSS, right - 1);
    put_glyph(v, low, 1, THEME_DIALOG, GLYPH_ACROSS, right - 1);
    for (int row = 1; row < low; row++) {
        put_glyph(v, row, 0, THEME_DIALOG, GLYPH_DOWN, 1);
        put_glyph(v, row, right, THEME_DIALOG, GLYPH_DOWN, 1);
    }
    put_glyph(v, 0, 0, THEME_DIALOG, GLYPH_CORNER_A, 1);
    put_glyph(v, 0, right, THEME_DIALOG, GLYPH_CORNER_B, 1);
    put_glyph(v, low, 0, THEME_DIALOG, GLYPH_CORNER_C, 1);
    put_glyph(v, low, right, THEME_DIALOG, GLYPH_CORNER_D, 1);
    struct view top = view_part(v, 0, 2, 1, v->cols - 4);
    char *text = xasprintf(" %s ", title);
    if (title[0] != '\0')
        view_text(&top, 0, 0, THEME_DIALOG, text);
    free(text);
    return view_part(v, 1, 2, v->rows - 2, v->cols - 4);
}
