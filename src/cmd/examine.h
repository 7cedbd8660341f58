/* Verbs of this program run as children of a running instance, for the commands `doctor` and `tune`: they take their
 * time and wait for others, which the loop must not. */
#ifndef TIGHTWAD_CMD_EXAMINE_H
#define TIGHTWAD_CMD_EXAMINE_H

#include <event2/event.h>

#include "engines/command.h"

struct examine;

/* config: path of the configuration file in use, NULL: none; copied. */
struct examine *examine_create(struct event_base *base, const char *config);
/* Ends the children and their calls.  NULL is fine. */
void examine_destroy(struct examine *e);

/* Runs `tightwad -c CONFIG VERB --json` and ends the call with the object that it prints, or with what went wrong.
 * Where that verb runs already its answer is taken.  0, or -1 and a cause; the call is the caller's then. */
int examine_start(struct examine *e, const char *verb, struct command_call *call, char **cause);

#endif
