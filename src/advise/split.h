/* Which device of a pool takes which layers of a model: a pure function of the devices' memory and the model's own
 * sizes.
 *
 * What it aims at, in this order: few machines (each RPC server that a pass goes through is a trip over the network,
 * paid for every pass), then this machine's GPUs before anyone else's, then few devices.  The output layer goes to a
 * GPU of this machine where there is one, because its result, a row of logits as long as the vocabulary for each token,
 * would have to cross the network otherwise.  The CPU is used only where there is no other device at all. */
#ifndef TIGHTWAD_ADVISE_SPLIT_H
#define TIGHTWAD_ADVISE_SPLIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "probe/layers.h"

enum split_kind { SPLIT_GPU, SPLIT_RPC, SPLIT_CPU };

/* A device that may be used.  Those of one RPC server stand together; strings are borrowed and outlive the plan. */
struct split_device {
    const char *name;     /* "7900 XTX" */
    const char *machine;  /* "gaming-pc"; "here" for this one */
    const char *endpoint; /* SPLIT_RPC: HOST:PORT of its server; else NULL */
    enum split_kind kind;
    uint64_t total; /* bytes */
    uint64_t free;  /* bytes that are free, or would be once the pool's own process is gone */
};

struct split_ask {
    uint64_t ctx;     /* tokens of one request */
    uint64_t slots;   /* requests at once, each with a cache of its own */
    uint64_t ubatch;  /* tokens computed at once */
    uint64_t outputs; /* tokens of a pass whose logits are wanted, at most */
    bool flash;       /* flash attention: no matrix of scores */
    bool whole;       /* sliding layers keep all of a request (a node, which must be able to take tokens back) */
    /* Shares given by the user, one for each device: all RPC servers in their order, then this machine's GPUs.  NULL:
     * decided here. */
    const double *shares;
    size_t n_shares;
};

/* One device in llama.cpp's order: RPC servers as --rpc names them, then this machine's GPUs as listed. */
struct split_part {
    size_t device;    /* index among those given */
    size_t first, n;  /* layers first … first + n - 1 */
    bool output;      /* the output layer as well */
    uint64_t weights; /* bytes */
    uint64_t kv;      /* bytes of cache and states */
    uint64_t compute; /* bytes, an estimate: see split_compute */
    uint64_t usable;  /* bytes that may be used: what is free less the reserve */
};

struct split_plan {
    bool fits;
    struct split_part *parts; /* devices that llama.cpp is given, some perhaps with no layer (n 0, output false) */
    size_t n_parts;
    size_t n_layers;
    size_t n_servers;     /* RPC servers that a pass goes through */
    uint64_t host;        /* bytes that stay in the process: the table of the tokens */
    uint64_t weights, kv; /* bytes in all */
    /* When it does not fit: */
    uint64_t missing;   /* bytes that find no place */
    uint64_t ctx_fits;  /* the largest context (for as many slots) that would; 0: none */
    uint64_t slots_fit; /* the most slots (of that context) that would; 0: not even one */
    char *reason;       /* a sentence or two: why it is split like this, or what is missing and what would help */
};

/* Part of a device's memory that is left alone: 192 MiB for the driver's own structures, and 4 % of it. */
uint64_t split_reserve(uint64_t total);

/* An estimate of what a device needs to compute, in bytes, after what llama.cpp was seen to reserve: the matrix of
 * attention scores (without flash attention) or the logits or the widest layer, whichever is largest, for they share
 * their place; the mask, and the width of the model six times over for each token.  With several devices llama.cpp
 * keeps four copies of the last two, so that passes can overlap. */
uint64_t split_compute(const struct layers *l, const struct split_ask *ask, bool output, bool several);

/* Devices: at most 256.  The plan is owned by the caller; fits says whether it is one. */
struct split_plan *split_make(const struct layers *l, const struct split_device *devices, size_t n,
                              const struct split_ask *ask);
void split_destroy(struct split_plan *p); /* NULL is fine */

/* "20,0,13" for --tensor-split: as many as there are parts.  llama.cpp gives layer i of n (and the output layer as
 * layer n) to the first device whose share, summed up with those before it, exceeds i / (n + 1) of the whole; whole
 * numbers that add up to n + 1 are met exactly.  Owned by the caller. */
char *split_shares(const struct split_plan *p);

/* A table for people, lines ended, at most 100 columns.  Owned by the caller. */
char *split_text(const struct split_plan *p, const struct split_device *devices);

#endif
