/* The dashboard: a thread that owns the terminal, draws what the feed brings and hands keys on as orders. */
#ifndef TIGHTWAD_UI_DASHBOARD_H
#define TIGHTWAD_UI_DASHBOARD_H

#include <stdbool.h>

#include "ui/feed.h"

struct dashboard;

struct dashboard_opts {
    bool attached; /* --attach: the instance is another process, which quitting leaves alone */
};

/* Takes over the terminal and starts the thread.  The feed must live until dashboard_join.  When the user has decided
 * to end, feed_quit's hook is called; when the terminal is gone (hung up) as well, with stop = false.  NULL and a cause
 * where the terminal can't be used. */
struct dashboard *dashboard_start(struct feed *feed, const struct dashboard_opts *opts, char **cause);

/* Closes the feed and waits for the thread to restore the terminal and end; d is gone after that.  True: the terminal
 * has taken everything, and can be printed to.  False: it does not read (its settings are restored all the same):
 * printing to it would block.  Should the thread itself not answer for timeout_ms, it is given up, and the feed with
 * it: then *lost is set (NULL allowed), and the feed must not be destroyed. */
bool dashboard_join(struct dashboard *d, int timeout_ms, bool *lost);

#endif
