/* The hashes of a model's tensors, remembered under the id of its manifest (which says what every byte of it is):
 * gigabytes need not be read again to learn that they are in a cache.  A file of text, one a model, below
 * $XDG_CACHE_HOME/tightwad/rpc-names.  Everything here blocks; what can't be read or written is not remembered. */
#ifndef TIGHTWAD_SWARM_RPC_NAMES_H
#define TIGHTWAD_SWARM_RPC_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rpc_name {
    uint64_t offset, size, hash; /* bytes in the model file; FNV-1a 64 */
};

struct rpc_names {
    struct rpc_name *list;
    size_t n, size;
    bool changed;
};

void rpc_names_read(struct rpc_names *names, const char *id); /* 64 hex digits; none where there is no file */
bool rpc_names_find(const struct rpc_names *names, uint64_t offset, uint64_t size, uint64_t *hash);
void rpc_names_set(struct rpc_names *names, uint64_t offset, uint64_t size, uint64_t hash);
void rpc_names_write(const struct rpc_names *names, const char *id); /* where something has changed */
void rpc_names_finish(struct rpc_names *names);

#endif
