/* The first run: from bare machines to a running cluster, in seven steps.  It looks around, shows what it found and
 * who would do what, why, and with which models, writes cluster.yaml, and tries it.
 *
 * It owns the terminal and runs a loop of its own in the thread that calls it, before any engine exists.  Nothing is
 * written before the summary is accepted, and then all of it or nothing. */
#ifndef TIGHTWAD_UI_WIZARD_H
#define TIGHTWAD_UI_WIZARD_H

#include <event2/event.h>
#include <jansson.h>

#include "advise/advice.h"
#include "probe/here.h"
#include "probe/scan.h"

enum wizard_end {
    WIZARD_LEFT,      /* nothing was written */
    WIZARD_WRITTEN,   /* left after the file was written */
    WIZARD_DASHBOARD, /* written, and the dashboard is wanted */
    WIZARD_ENDED,     /* by a signal, or its terminal is gone; *signal_number */
};

/* How the written configuration does.  report: as `tightwad doctor --json` makes it, with "ok" null until it is
 * complete, and for a pool with "plan" (as `tightwad inspect --plan --json` makes it, null: it failed) and "plan_notes"
 * (a list of messages); NULL: the examination itself failed, and why.  Holds during the call; the last one has done
 * set. */
typedef void wizard_report_cb(void *arg, const json_t *report, bool done, const char *why);

struct wizard_check;

/* What stands above this layer. */
struct wizard_hooks {
    /* Starts examining what is written at path; never calls back from inside.  NULL and a cause when it can't be. */
    struct wizard_check *(*check)(struct event_base *base, const char *path, wizard_report_cb *report, void *arg,
                                  char **cause);
    void (*check_cancel)(struct wizard_check *c); /* no callback comes any more; NULL is fine; not inside one */
};

/* All borrowed. */
struct wizard_opts {
    const char *path;             /* the file to be written */
    const struct scan_opts *scan; /* where to look */
    const struct here_opts *here; /* how this machine is looked at */
    struct advice_wish wish;      /* what was given on the command line; its roles are NULL */
    const struct wizard_hooks *hooks;
};

/* Runs it.  0 with *end (and *signal_number when it is WIZARD_ENDED, 0: its terminal was closed), or -1 and a cause
 * where there is no terminal to run in.  The terminal is as it was before in every case. */
int wizard_run(const struct wizard_opts *opts, enum wizard_end *end, int *signal_number, char **cause);

#endif
