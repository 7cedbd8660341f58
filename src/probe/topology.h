/* The machine's own: processor, memory, names, and the graphics cards that its buses tell of. */
#ifndef TIGHTWAD_PROBE_TOPOLOGY_H
#define TIGHTWAD_PROBE_TOPOLOGY_H

#include "probe/machine.h"

/* Fills in name, os, arch, cpu and memory.  Adds every card of NVIDIA, AMD and Intel that hangs on a bus as a GPU: its
 * name and bus, and what the kernel tells of its memory, which for most is nothing; the vendors' tools know better.
 * Blocks for as long as hwloc looks around. */
void topology_probe(struct machine *m);

/* The name in a file in the manner of /etc/os-release; false: none there. */
bool topology_os_name(const char *text, char *name, size_t size);

#endif
