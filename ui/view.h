/* Drawing into a rectangle of the screen that nothing leaves.  All text goes through ui/text.h. */
#ifndef TIGHTWAD_UI_VIEW_H
#define TIGHTWAD_UI_VIEW_H

#include <stdbool.h>
#include <stddef.h>

#include "ui/theme.h"

struct view {
    const struct theme *theme;
    int y, x, rows, cols; /* on the screen */
};

/* The part of v at row, col of it, cut to v (rows or cols 0 where nothing is left). */
struct view view_part(const struct view *v, int row, int col, int rows, int cols);

void view_clear(const struct view *v);
/* Blanks from col to the end of the row. */
void view_clear_from(const struct view *v, int row, int col);

/* One line of text at row, col: as much as fits; where some does not, the last column says so.  Returns the column
 * behind it. */
int view_text(const struct view *v, int row, int col, enum theme_role role, const char *text);
int view_printf(const struct view *v, int row, int col, enum theme_role role, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
/* n bytes of text, as many as fit, without a sign where some do not.  Returns the column behind. */
int view_span(const struct view *v, int row, int col, enum theme_role role, const char *s, size_t n);
/* In exactly so many columns, the rest blank; right: flush to the right.  Returns the column behind it. */
int view_field(const struct view *v, int row, int col, int cols, bool right, enum theme_role role, const char *text);
/* Broken into lines from row on, at most as many as the view has.  Returns the row behind it. */
int view_wrapped(const struct view *v, int row, enum theme_role role, const char *text);
/* The same in whole, or not at all where the view has too few rows left. */
int view_whole(const struct view *v, int row, enum theme_role role, const char *text);

int view_glyph(const struct view *v, int row, int col, enum theme_role role, enum theme_glyph g, int times);
/* ✓, !, ✗ or – in its colour (role: THEME_GOOD, THEME_WARN, THEME_BAD, else unknown).  Returns the column behind. */
int view_sign(const struct view *v, int row, int col, enum theme_role role);
/* A bar of so many columns filled to a share of 0..1; NAN: nothing but its frame.  Returns the column behind it. */
int view_bar(const struct view *v, int row, int col, int cols, double share, enum theme_role role);
/* A line across with a title in it, "── machines ───".  Returns the column behind the title. */
int view_rule(const struct view *v, int row, const char *title, bool focused);
/* A frame around all of v with a title; the view inside it (one column of margin), cleared. */
struct view view_frame(const struct view *v, const char *title);

#endif
