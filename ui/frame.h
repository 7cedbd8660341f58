/* One picture of the dashboard on stdscr: header, what is wrong, the panes that are due, footer, dialogs. */
#ifndef TIGHTWAD_UI_FRAME_H
#define TIGHTWAD_UI_FRAME_H

#include <stdbool.h>
#include <stdint.h>

struct ui;

/* Draws what has changed by now_us (clock_us); everything after ui_redraw, and where the layout is another one. */
void frame_draw(struct ui *ui, int64_t now_us);

/* When something has to be drawn without any news from outside: a pane that lags behind the picture, a notice that
 * ends.  INT64_MAX: nothing. */
int64_t frame_due(const struct ui *ui);

#endif
