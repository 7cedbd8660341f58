#include "ui/page.h"

#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "base/buf.h"
#include "base/mem.h"
#include "ui/text.h"

enum {
    TEXT_MAX = 1 << 20, /* bytes of one paragraph */
    GAP = 2,            /* columns between those of a table */
    NARROW = 12,        /* a column that wraps is not made narrower than this while others can be */
    ITEM_INDENT = 2,
};

/* One character as it will be shown. */
struct glyph {
    char bytes[(1 + TEXT_MARKS) * 6 + 1];
    int width;
    enum theme_role role;
    bool newline;
};

struct run {
    struct glyph *g;
    size_t n, size;
};

/* How the signs in our own sentences are spelled in ASCII; those that the Linux console's font lacks come first. */
static const char *const spellings[][2] = {
    {"✓", "+"},    {"✗", "x"},  {"▸", ">"},  {"…", "..."}, {"–", "-"}, {"×", "x"}, {"→", "->"}, {"↑", "Up"},
    {"↓", "Down"}, {"≥", ">="}, {"≤", "<="}, {"·", "-"},   {"█", "#"}, {"░", "."}, {"└", "`"},  {"≈", "~"},
};
enum { SIGNS = 6 }; /* the first ones */

static char *spell(const char *text, size_t n)
{
    struct buf out;
    buf_init(&out, TEXT_MAX);
    while (*text != '\0') {
        size_t i = 0;
        while (i < n && strncmp(text, spellings[i][0], strlen(spellings[i][0])) != 0)
            i++;
        if (i < n) {
            buf_adds(&out, spellings[i][1]);
            text += strlen(spellings[i][0]);
        } else {
            buf_addc(&out, *text++);
        }
    }
    char *spelled = buf_steal(&out);
    buf_finish(&out);
    return spelled;
}

static void push(struct run *r, const struct text_cell *cell, enum theme_role role)
{
    if (r->n == r->size) {
        r->size = r->size == 0 ? 64 : 2 * r->size;
        r->g = xreallocarray(r->g, r->size, sizeof(*r->g));
    }
    struct glyph *g = &r->g[r->n++];
    *g = (struct glyph){.width = cell->columns, .role = role, .newline = cell->character == L'\n'};
    mbstate_t state = {0};
    size_t n = 0;
    for (int i = -1; i < cell->n_marks; i++) {
        size_t got = wcrtomb(g->bytes + n, i < 0 ? cell->character : cell->mark[i], &state);
        n += got != (size_t)-1 ? got : 0;
    }
    g->bytes[n] = '\0';
}

/* Appends the text; what stands between back ticks is to be typed. */
static void add_text(const struct page *p, struct run *r, const char *text, enum theme_role role)
{
    char *spelled = spell(text, p->ascii ? ARRAY_LEN(spellings) : p->signs ? 0 : SIGNS);
    size_t len = strlen(spelled);
    struct text_cell cell;
    bool typed = false;
    for (const char *s = spelled; len > 0; s += cell.bytes, len -= cell.bytes) {
        text_first(s, len, p->ascii, &cell);
        if (cell.character == L'`')
            typed = !typed;
        else
            push(r, &cell, typed ? THEME_KEY : role);
    }
    free(spelled);
}

static int run_width(const struct glyph *g, size_t n)
{
    int width = 0;
    for (size_t i = 0; i < n; i++)
        width += g[i].width;
    return width;
}

/* The widest of its lines. */
static int natural_width(const struct run *r)
{
    int widest = 0, width = 0;
    for (size_t i = 0; i < r->n; i++) {
        width = r->g[i].newline ? 0 : width + r->g[i].width;
        widest = width > widest ? width : widest;
    }
    return widest;
}

/* Takes one line of at most width columns from *at on: *n glyphs of it; *at goes on to the next line's first.  False
 * when nothing is left. */
static bool next_line(const struct run *r, int width, size_t *at, size_t *from, size_t *n)
{
    size_t i = *at, space = SIZE_MAX;
    int used = 0;
    if (i > r->n)
        return false;
    *from = i;
    for (; i < r->n && r->g[i].bytes[0] != '\n'; i++) {
        if (used + r->g[i].width > width)
            break;
        used += r->g[i].width;
        if (r->g[i].bytes[0] == ' ')
            space = i;
    }
    if (i == r->n || r->g[i].newline) {
        *n = i - *from;
        *at = i + 1; /* past the end: nothing is left then */
        return true;
    }
    if (r->g[i].bytes[0] == ' ') {
        space = i;
    } else if (space == SIZE_MAX) { /* a word wider than the line: broken where it must be */
        if (i == *from)
            i++;
        *n = i - *from;
        *at = i;
        return true;
    }
    *n = space - *from;
    *at = space + 1;
    return true;
}

static struct page_line *add_line(struct page *p, int item)
{
    p->line = xreallocarray(p->line, p->n_lines + 1, sizeof(*p->line));
    struct page_line *l = &p->line[p->n_lines++];
    *l = (struct page_line){.item = item};
    return l;
}

static void add_piece(struct page_line *l, int column, const struct glyph *g, size_t n)
{
    struct buf text;
    buf_init(&text, TEXT_MAX);
    for (size_t i = 0; i < n; i++)
        buf_adds(&text, g[i].bytes);
    l->piece = xreallocarray(l->piece, l->n_pieces + 1, sizeof(*l->piece));
    l->piece[l->n_pieces++] =
        (struct page_piece){.column = column, .width = run_width(g, n), .role = g[0].role, .text = buf_steal(&text)};
    buf_finish(&text);
}

/* Glyphs into a line, a piece for each run of one role. */
static void put(struct page_line *l, int column, const struct glyph *g, size_t n)
{
    while (n > 0) {
        size_t same = 1;
        while (same < n && g[same].role == g[0].role)
            same++;
        add_piece(l, column, g, same);
        column += run_width(g, same);
        g += same;
        n -= same;
    }
}

static void put_chosen(struct page *p, struct page_line *l)
{
    struct run mark = {0};
    add_text(p, &mark, "▸", THEME_BOLD);
    put(l, 0, mark.g, mark.n);
    free(mark.g);
}

static void add_paragraph(struct page *p, int item, enum theme_role mark_role, const char *mark, enum theme_role role,
                          const char *text)
{
    struct run head = {0}, body = {0};
    add_text(p, &head, mark, mark_role);
    add_text(p, &body, text, role);
    int indent = item >= 0 ? ITEM_INDENT : 0, hang = indent + run_width(head.g, head.n);
    size_t at = 0, from, n;
    for (bool first = true; next_line(&body, p->width - hang > 1 ? p->width - hang : 1, &at, &from, &n);
         first = false) {
        struct page_line *l = add_line(p, item);
        if (first && item >= 0 && item == p->chosen)
            put_chosen(p, l);
        if (first)
            put(l, indent, head.g, head.n);
        put(l, hang, body.g + from, n);
    }
    free(head.g);
    free(body.g);
}

void page_init(struct page *p, int width, bool ascii, int chosen)
{
    *p = (struct page){.width = width < 20 ? 20 : width, .ascii = ascii, .signs = !ascii, .chosen = chosen};
}

void page_finish(struct page *p)
{
    for (size_t i = 0; i < p->n_lines; i++) {
        for (size_t k = 0; k < p->line[i].n_pieces; k++)
            free(p->line[i].piece[k].text);
        free(p->line[i].piece);
    }
    free(p->line);
    *p = (struct page){0};
}

void page_say(struct page *p, enum theme_role role, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *text = xvasprintf(fmt, ap);
    va_end(ap);
    add_paragraph(p, PAGE_NO_ITEM, role, "", role, text);
    free(text);
}

void page_mark(struct page *p, enum theme_role mark_role, const char *mark, enum theme_role role, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *text = xvasprintf(fmt, ap);
    va_end(ap);
    add_paragraph(p, PAGE_NO_ITEM, mark_role, mark, role, text);
    free(text);
}

void page_item(struct page *p, int item, enum theme_role mark_role, const char *mark, enum theme_role role,
               const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *text = xvasprintf(fmt, ap);
    va_end(ap);
    add_paragraph(p, item, mark_role, mark, role, text);
    free(text);
}

/* Widths of the columns: as wide as they want to be; where that is too much, the widest that wraps gives first, down to
 * NARROW, then the widest of all. */
static void divide(const struct page_column *column, size_t n, int room, int *width)
{
    int total = 0;
    for (size_t i = 0; i < n; i++)
        total += width[i];
    while (total > room) {
        size_t widest = n;
        for (size_t i = 0; i < n; i++) {
            if (column[i].wraps && width[i] > NARROW && (widest == n || width[i] > width[widest]))
                widest = i;
        }
        for (size_t i = 0; widest == n && i < n; i++) {
            bool most = true;
            for (size_t k = 0; k < n; k++)
                most = most && width[i] >= width[k];
            widest = most ? i : n;
        }
        if (width[widest] <= 1)
            return;
        width[widest]--;
        total--;
    }
}

/* A row of wrapped cells: as many lines as its tallest cell. */
static void add_row(struct page *p, const struct run *cell, size_t n, const int *width, int item, int indent)
{
    size_t at[PAGE_COLUMNS] = {0}, from, len;
    for (bool first = true;; first = false) {
        struct page_line *l = NULL;
        int column = indent;
        for (size_t c = 0; c < n; column += width[c++] + GAP) {
            if ((cell[c].n == 0 && !(first && c == 0)) || !next_line(&cell[c], width[c], &at[c], &from, &len))
                continue;
            if (l == NULL) {
                l = add_line(p, item);
                if (first && item >= 0 && item == p->chosen)
                    put_chosen(p, l);
            }
            put(l, column, cell[c].g + from, len);
        }
        if (l == NULL)
            return;
    }
}

void page_table(struct page *p, const struct page_column *column, size_t n_columns, const struct page_cell *cell,
                size_t n_rows, const int *item)
{
    int width[PAGE_COLUMNS] = {0}, indent = item != NULL ? ITEM_INDENT : 0;
    size_t n = n_columns < PAGE_COLUMNS ? n_columns : PAGE_COLUMNS;
    struct run *run = xcalloc((n_rows + 1) * n + 1, sizeof(*run));
    bool heads = false;
    for (size_t c = 0; c < n; c++) {
        add_text(p, &run[c], column[c].head, THEME_DIM);
        heads = heads || run[c].n > 0;
        for (size_t r = 0; r <= n_rows; r++) {
            const struct page_cell *from = r > 0 ? &cell[(r - 1) * n_columns + c] : NULL;
            struct run *to = &run[r * n + c];
            if (from != NULL && from->text != NULL)
                add_text(p, to, from->text, from->role);
            int wants = natural_width(to);
            width[c] = wants > width[c] ? wants : width[c];
        }
    }
    divide(column, n, p->width - indent - GAP * ((int)n - 1), width);
    for (size_t r = heads ? 0 : 1; r <= n_rows; r++)
        add_row(p, &run[r * n], n, width, r > 0 && item != NULL ? item[r - 1] : PAGE_NO_ITEM, indent);
    for (size_t i = 0; i < (n_rows + 1) * n; i++)
        free(run[i].g);
    free(run);
}

void page_bar(struct page *p, double share, int columns)
{
    share = isnan(share) || share < 0 ? 0 : share > 1 ? 1 : share;
    int room = columns < p->width - 6 ? columns : p->width - 6, full = (int)(share * room + 0.5);
    struct buf text;
    buf_init(&text, TEXT_MAX);
    for (int i = 0; i < room; i++)
        buf_adds(&text, i < full ? "█" : "░");
    page_say(p, THEME_TEXT, "%s %d %%", text.data, (int)(share * 100));
    buf_finish(&text);
}

size_t page_scroll(const struct page *p, size_t from, size_t height)
{
    size_t first = p->n_lines, last = 0, first_item = p->n_lines;
    for (size_t i = 0; i < p->n_lines; i++) {
        if (p->line[i].item < 0)
            continue;
        first_item = first_item < i ? first_item : i;
        if (p->line[i].item == p->chosen) {
            first = first < i ? first : i;
            last = i;
        }
    }
    if (p->n_lines <= height)
        return 0;
    if (first < p->n_lines) {
        if (last >= from + height)
            from = last + 1 - height;
        if (first < from)
            from = first;
        if (first == first_item && last < height)
            from = 0;
    }
    return from > p->n_lines - height ? p->n_lines - height : from;
}

char *page_line_text(const struct page_line *l)
{
    struct buf text;
    int column = 0;
    buf_init(&text, TEXT_MAX);
    for (size_t i = 0; i < l->n_pieces; i++) {
        for (; column < l->piece[i].column; column++)
            buf_addc(&text, ' ');
        buf_adds(&text, l->piece[i].text);
        column += l->piece[i].width;
    }
    char *line = buf_steal(&text);
    buf_finish(&text);
    return line;
}
