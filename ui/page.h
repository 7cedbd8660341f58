/* Text laid out for a width: paragraphs and tables become lines of pieces, each with its role in the theme.  Nothing is
 * ever cut: what is too wide goes on in the next line, in a table within its column.  Pure: no terminal is needed.
 *
 * Text in `back ticks` is something to type, and looks like a key (the ticks are not shown).  Where the page is for a
 * terminal without UTF-8, all beyond ASCII is spelled in ASCII. */
#ifndef TIGHTWAD_UI_PAGE_H
#define TIGHTWAD_UI_PAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "ui/theme.h"

struct page_piece {
    int column, width; /* in columns of the terminal */
    enum theme_role role;
    char *text;
};

struct page_line {
    struct page_piece *piece; /* from left to right, without overlap */
    size_t n_pieces;
    int item; /* the thing that can be chosen to which it belongs, -1 none */
};

enum { PAGE_NO_ITEM = -1 };

struct page {
    int width;
    bool ascii;
    bool signs; /* ✓, ✗ and the like are in the font; to be set after page_init where they are not */
    int chosen; /* item, PAGE_NO_ITEM none: its first line gets the mark ▸ */
    struct page_line *line;
    size_t n_lines;
};

/* width: columns, at least 20.  ascii: nothing but ASCII may be shown. */
void page_init(struct page *p, int width, bool ascii, int chosen);
void page_finish(struct page *p);

/* A paragraph; '\n' begins a new line, an empty text makes an empty one. */
void page_say(struct page *p, enum theme_role role, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* A paragraph that hangs behind its mark: "✓ text".  A mark of blanks indents. */
void page_mark(struct page *p, enum theme_role mark_role, const char *mark, enum theme_role role, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/* The same for something that can be chosen (item >= 0): indented by two, where the chosen one has its mark. */
void page_item(struct page *p, int item, enum theme_role mark_role, const char *mark, enum theme_role role,
               const char *fmt, ...) __attribute__((format(printf, 6, 7)));

struct page_column {
    const char *head; /* "" none */
    bool wraps;       /* it is made narrower first where room is short */
};

struct page_cell {
    const char *text; /* NULL: empty */
    enum theme_role role;
};

/* cell: n_rows rows of n_columns (at most PAGE_COLUMNS).  item: of each row, NULL: none of them can be chosen. */
enum { PAGE_COLUMNS = 12 };
void page_table(struct page *p, const struct page_column *column, size_t n_columns, const struct page_cell *cell,
                size_t n_rows, const int *item);

/* A bar of so many columns for a share (0..1): "████░░░░ 50 %". */
void page_bar(struct page *p, double share, int columns);

/* Which line stands at the top when height lines are shown: as near to from as lets the chosen item be seen (and what
 * stands above the first item, when that is chosen), and never so far down that room is wasted. */
size_t page_scroll(const struct page *p, size_t from, size_t height);

/* All text of a line with its blanks, as it looks; owned by the caller. */
char *page_line_text(const struct page_line *l);

#endif
