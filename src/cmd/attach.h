/* The dashboard on an instance that runs elsewhere: its event stream in, commands out. */
#ifndef TIGHTWAD_CMD_ATTACH_H
#define TIGHTWAD_CMD_ATTACH_H

#include <stdbool.h>

#include "cmd/client.h"

/* Shows the instance that c is connected to (its socket, or url and token) until the user detaches: that leaves it
 * running.  When it goes away the last picture stays, and it is looked for until it is back.  name: what it is called.
 * *stopped, if not NULL: whether it was told to stop.  Returns the exit code; messages have been printed. */
int attach_show(struct client *c, const char *name, bool *stopped);

#endif
