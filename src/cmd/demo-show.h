/* What the demo shows: a few questions asked both ways, and the sum of it. */
#ifndef TIGHTWAD_CMD_DEMO_SHOW_H
#define TIGHTWAD_CMD_DEMO_SHOW_H

#include <stdbool.h>

#include "cmd/client.h"

/* Prints the answers on stdout, who wrote each token told apart, and compares each with the target alone.  0 when all
 * were asked, *identical whether all were byte for byte the same; -1 and a cause when one could not be asked. */
int demo_show(struct client *c, bool *identical, char **cause);

#endif
