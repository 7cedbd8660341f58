/* The machine's own: processor, memory, names. */
#ifndef TIGHTWAD_PROBE_TOPOLOGY_H
#define TIGHTWAD_PROBE_TOPOLOGY_H

#include "probe/machine.h"

/* Fills in name, os, arch, cpu and memory.  Of hwloc it uses no devices: its back ends for those load the vendors' own
 * libraries or talk to a display, which is slow, can hang, and tells less than their tools and /sys do.  Blocks. */
void topology_probe(struct machine *m);

/* The name in a file in the manner of /etc/os-release; false: none there. */
bool topology_os_name(const char *text, char *name, size_t size);

#endif
