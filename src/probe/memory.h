/* How much memory there is, and how much of it programs may still take. */
#ifndef TIGHTWAD_PROBE_MEMORY_H
#define TIGHTWAD_PROBE_MEMORY_H

#include <stdint.h>

struct memory {
    int64_t total,
        available;   /* bytes, -1 unknown; what a control group (container, service) allows where that is less */
    int64_t machine; /* bytes that the machine has, whatever a control group allows, -1 unknown */
};

/* From /proc/meminfo and the memory controllers of control groups (versions 1 and 2) that this process lies in.  root:
 * what stands before /proc and /sys, "" but for tests. */
void memory_read(struct memory *m, const char *root);

#endif
