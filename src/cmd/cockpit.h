/* The dashboard over the engines of this process: its pictures, its orders, and the terminal while it has it. */
#ifndef TIGHTWAD_CMD_COCKPIT_H
#define TIGHTWAD_CMD_COCKPIT_H

#include <stdbool.h>

#include <event2/event.h>

#include "engines/command.h"
#include "engines/proxy.h"

struct cockpit;

/* The dashboard wants to end: stop: the engines too; else they go on, or the terminal is gone.  Called on the loop,
 * once; the cockpit may be closed in it. */
typedef void cockpit_quit_cb(void *arg, bool stop);

/* Whether there is a terminal that a dashboard can be shown on: standard input and output, TERM, and in the foreground.
 */
bool cockpit_possible(void);

/* Why there is none, in words; NULL: there is one.  *terminal (may be NULL): standard input and output are one, all
 * the same. */
const char *cockpit_trouble(bool *terminal);

/* Whether the terminal of standard input has hung up. */
bool cockpit_hung_up(void);

/* Opens it.  log: the file that standard error goes to meanwhile, if that is the terminal; NULL: nowhere.  What e names
 * must outlive it.  NULL and a cause, and nothing is changed, where the terminal can't be used. */
struct cockpit *cockpit_open(struct event_base *base, const struct engines *e, const char *log, cockpit_quit_cb *quit,
                             void *arg, char **cause);

/* At each tick. */
void cockpit_show(struct cockpit *c, const struct snapshot *s);

/* Restores the terminal.  keep_log: standard error stays the log file.  True: the terminal may be printed to.  NULL is
 * fine (and true). */
bool cockpit_close(struct cockpit *c, bool keep_log);

#endif
