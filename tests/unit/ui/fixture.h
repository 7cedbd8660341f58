/* What the tests of panes draw: a cluster with all of its parts, and a screen that goes nowhere. */
#ifndef TIGHTWAD_TESTS_UI_FIXTURE_H
#define TIGHTWAD_TESTS_UI_FIXTURE_H

#include <stdbool.h>

#include "ui/ui.h"

/* A target, two drafters, two machines with a card, a pool of two devices, requests, an answer, rounds and a log. */
void fixture_picture(struct feed_picture *p);
/* The same with everything wrong. */
void fixture_trouble(struct feed_picture *p);

/* The first with three drafters that draft together, consensus by majority and a gate of four agents. */
void fixture_modes(struct feed_picture *p);

/* The first with a swarm: one model that comes, one whose layers come and that waits, one that failed, two that are
 * given out; peers of every kind. */
void fixture_swarm(struct feed_picture *p);

/* Tests of text need characters beyond ASCII. */
void fixture_locale(void);

/* An ncurses screen that writes to `path`; ui->theme is what it would be on an xterm, in ASCII where ascii. */
struct fixture_screen {
    SCREEN *ncurses;
    FILE *out, *in;
};
void fixture_open(struct fixture_screen *s, struct ui *ui, const char *path, bool ascii);
void fixture_close(struct fixture_screen *s);
void fixture_resize(struct ui *ui, int rows, int cols);

/* A row of the screen as it stands, UTF-8, without the blanks at its end.  Owned by the caller. */
char *fixture_row(const struct ui *ui, int row);
/* The whole screen. */
char *fixture_text(const struct ui *ui);

#endif
