/* The ways of answering that `demo --mode` shows: what each wants to be started, and what it shows of it. */
#ifndef TIGHTWAD_CMD_DEMO_MODES_H
#define TIGHTWAD_CMD_DEMO_MODES_H

#include <stdbool.h>
#include <stddef.h>

#include "cmd/client.h"

enum { DEMO_HELPERS = 4 };

struct demo_mode {
    const char *name;
    const char *helpers[DEMO_HELPERS + 1]; /* demo models that draft or write, NULL at the end */
    bool agents;                           /* they write whole answers, and draft nothing */
    const char *proxy;                     /* further lines of the configuration's section proxy */
    const char *gate;                      /* its section quality_gate but for the agents; NULL: none */
    const char *promise;                   /* what --once ends with 0 for, in words */
    /* Prints what it has to show.  0 when all could be asked, *held whether the promise was kept; -1 and a cause. */
    int (*show)(struct client *c, bool *held, char **cause);
};

extern const struct demo_mode demo_modes[]; /* name NULL at the end; the first is the one without --mode */

/* NULL and a cause that names those there are. */
const struct demo_mode *demo_mode_find(const char *name, char **cause);

/* The show of one mode each, in a file of its own. */
int demo_show_consensus(struct client *c, bool *held, char **cause);
int demo_show_gate(struct client *c, bool *held, char **cause);

#endif
