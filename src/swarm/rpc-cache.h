/* The folder in which ggml's RPC server keeps large tensors, filled from a model file: what is in it need not come
 * over the network when the model is loaded.
 *
 * Measured with ggml 0.7.0 (RPC protocol 8) against its own server and against `tightwad worker`: the program that
 * loads a model sends, for each tensor of more than RPC_CACHE_LEAST bytes, first its hash; a server that has a file of
 * that name takes the tensor from there.  The name is the FNV-1a 64 hash of the tensor's bytes as they lie in the GGUF
 * file (no padding) in 16 lower-case hex digits, and the file holds those bytes and nothing else.  Where another
 * release names them differently, nothing is found and everything is sent as before. */
#ifndef TIGHTWAD_SWARM_RPC_CACHE_H
#define TIGHTWAD_SWARM_RPC_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/crew.h"
#include "swarm/needed.h"

enum {
    RPC_CACHE_LEAST = 10 << 20, /* bytes: only larger tensors are kept */
    RPC_CACHE_NAME = 16,        /* hex digits */
};

struct rpc_cache_opts {
    const char *model;    /* the file, or a .part that has all pieces of these layers */
    const char *id;       /* of its manifest: hashes of its tensors are remembered under it; NULL: they are not */
    const char *folder;   /* made where it is missing */
    uint64_t max;         /* bytes that the server lets it hold; 0: no bound */
    struct needed needed; /* layers */
};

struct rpc_cache_result {
    bool ok;
    bool busy;        /* not ok, for another program fills the folder now */
    const char *why;  /* in words, "" when ok */
    size_t tensors;   /* that are kept of these layers */
    uint64_t bytes;   /* of them */
    uint64_t written; /* of them now; the rest was there */
};

struct rpc_cache;

/* The result holds during the call; the filling is gone after it. */
typedef void rpc_cache_cb(void *arg, const struct rpc_cache_result *r);
/* Tensors are written beside their name, to the disk, made read-only (as `tightwad worker` marks what is whole, so it
 * need not read them again) and renamed.  Two programs never fill one folder at once: the second gets an error.  All
 * copied; done is called once, never before this returns. */
struct rpc_cache *rpc_cache_fill(struct crew *crew, const struct rpc_cache_opts *o, rpc_cache_cb *done, void *arg);
void rpc_cache_progress(const struct rpc_cache *c, uint64_t *done,
                        uint64_t *total);   /* bytes; 0 of 0 before it is known */
void rpc_cache_cancel(struct rpc_cache *c); /* done is not called; ends soon; not inside done; NULL is fine */

#endif
