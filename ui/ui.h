/* The state of the drawing thread.  Nothing of it is touched by another thread; what comes from the loop and goes to it
 * passes through the feed. */
#ifndef TIGHTWAD_UI_UI_H
#define TIGHTWAD_UI_UI_H

#include <stdbool.h>
#include <stdint.h>

#include "ui/feed.h"
#include "ui/history.h"
#include "ui/layout.h"
#include "ui/screen.h"
#include "ui/theme.h"
#include "ui/view.h"

struct actions; /* ui/keys.h and what lies behind it */
struct dialog;

/* How the stream pane keeps its place in an answer that grows. */
struct ui_stream {
    uint64_t request; /* whose answer it shows */
    uint64_t top;     /* byte of the answer at which the page begins */
    uint64_t shown;   /* bytes of it that had come when it was drawn */
    int rows, cols;   /* for which that was found */
    int64_t next_us;  /* not drawn again before: text that comes faster than anybody reads is shown in larger steps */
};

struct ui {
    struct feed *feed;     /* not owned */
    struct screen *screen; /* NULL in tests that draw into a screen of their own */
    struct theme theme;
    bool attached; /* --attach: what is looked at belongs to another process */

    struct feed_picture picture; /* the newest taken */
    struct history history;

    int rows, cols; /* of the screen */
    struct layout layout;
    enum pane_id focus;
    bool zoomed;
    char filter[64];   /* requests and log: only lines that hold it; "" all of them */
    int scroll[PANES]; /* lines that a list is moved up by; drawing caps it */
    struct ui_stream stream;
    int64_t news_us;         /* clock_us of the newest picture that differs from the one before */
    int64_t drawn_us[PANES]; /* of each pane's last drawing */

    struct actions *actions;    /* keys' own; NULL at the start */
    struct dialog *dialog;      /* the topmost, NULL none; owned by keys */
    int cursor_row, cursor_col; /* where the cursor is to be seen, -1 nowhere; dialog_draw sets it */
    char notice[256];           /* what the last order came to, in the footer's place; "" none */
    enum theme_role notice_role;
    int64_t notice_until_us; /* clock_us */

    bool redraw; /* everything is to be drawn */
    bool ends;   /* the thread is to end */
};

/* Moves the focus to the next pane that has something to show (step 1 or -1), shown or not. */
void ui_focus_next(struct ui *ui, int step);
void ui_zoom(struct ui *ui);                     /* the focused pane alone, or all again */
void ui_scroll(struct ui *ui, int lines);        /* the focused pane's list; positive: towards older lines */
void ui_filter(struct ui *ui, const char *text); /* "" shows all again */
void ui_redraw(struct ui *ui);                   /* a dialog has come or gone: everything is drawn, at once */
/* A line in the footer's place for some seconds: what an order came to. */
void ui_notice(struct ui *ui, enum theme_role role, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The whole screen, for dialogs. */
struct view ui_view(const struct ui *ui);

#endif
