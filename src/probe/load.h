/* How much of this machine's cores works. */
#ifndef TIGHTWAD_PROBE_LOAD_H
#define TIGHTWAD_PROBE_LOAD_H

#include <stdint.h>

/* What was read last; zeroed: nothing. */
struct load {
    uint64_t busy, all; /* ticks of all cores since the start of the system */
};

/* The share of all cores, 0 to 1, that worked since the last call on l, by /proc/stat; NAN at the first one, within the
 * same tick, and where it can't be read.  root: what stands before /proc, "" but for tests. */
double load_read(struct load *l, const char *root);

#endif
