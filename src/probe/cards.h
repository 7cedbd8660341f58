/* Graphics cards as the kernel lists them, for those that no vendor's tool tells of. */
#ifndef TIGHTWAD_PROBE_CARDS_H
#define TIGHTWAD_PROBE_CARDS_H

#include "probe/machine.h"

/* Adds every display controller of NVIDIA, AMD and Intel on the PCI bus: its name by the list of PCI IDs, where one is
 * installed, and its number where not; memory and utilisation where the driver tells them in /sys (amdgpu does), else
 * unknown.  root: what stands before /sys and /usr, "" but for tests. */
void cards_probe(struct machine *m, const char *root);

#endif
