/* Which of this machine's addresses another one is talked to from. */
#ifndef TIGHTWAD_PROBE_ROUTE_H
#define TIGHTWAD_PROBE_ROUTE_H

#include <stdbool.h>

struct route {
    char from[64]; /* in numbers; what it sees this machine as, unless an address is translated on the way */
    bool here;     /* it is this very machine */
};

/* By the kernel's routes; nothing is sent.  Blocks while a name is looked up: not for a loop.  0, or -1 and a cause. */
int route_find(const char *host, struct route *r, char **cause);

#endif
