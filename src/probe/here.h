/* This machine, probed without blocking the loop: its parts are looked at side by side by threads of their own, each
 * with a deadline, and whatever is missing, broken or too slow becomes a note. */
#ifndef TIGHTWAD_PROBE_HERE_H
#define TIGHTWAD_PROBE_HERE_H

#include <stdbool.h>
#include <stddef.h>

#include <event2/event.h>

#include "probe/machine.h"

enum { HERE_TIMEOUT_MS = 15000 };

/* What is looked at. */
enum here_part {
    HERE_HARDWARE = 1, /* names, processor, memory, cards on the bus */
    HERE_NVIDIA = 2,
    HERE_AMD = 4,
    HERE_TOOLS = 8,   /* programs that serve models */
    HERE_MODELS = 16, /* models, and the disks that they lie on */
    HERE_ALL = 31
};

struct here_opts {
    unsigned parts;             /* HERE_… put together, 0: HERE_ALL */
    const char *const *folders; /* to look for models in beside the usual ones; copied */
    size_t n_folders;
    const char *node; /* the path of tightwad-node, NULL: looked for in $PATH; copied */
    int timeout_ms;   /* for all of it, 0: HERE_TIMEOUT_MS */
};

struct here;

/* m is the callee's, who finishes it (a copy of the struct holds what it points to).  The probe is gone after the call.
 * Never called before here_probe has returned. */
typedef void here_cb(struct machine *m, void *arg);

/* opts may be NULL.  Never NULL. */
struct here *here_probe(struct event_base *base, const struct here_opts *opts, here_cb *cb, void *arg);
/* Nothing is called any more; NULL is fine; not inside the callback.  Does not wait for anything. */
void here_cancel(struct here *h);

/* Leaves of the cards in m from element first on, which the bus tells of, only those that no tool has told of.  Cards
 * that have no memory but the machine's get that as theirs.  Pure. */
void here_settle_gpus(struct machine *m, size_t first);

#endif
