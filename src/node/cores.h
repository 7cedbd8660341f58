/* How many threads are worth having here. */
#ifndef TIGHTWAD_NODE_CORES_H
#define TIGHTWAD_NODE_CORES_H

/* Physical cores that this process may run on, no more than a container's share of time allows; at least 1. */
int node_physical_cores(void);

#endif
