/* Slots: sequences of the KV cache.  What stands in the cache (n_kv tokens) and what a session's path is are two
 * things: rejected drafts stay in the cache until slot_prepare goes back to what both have in common.  Where the cache
 * cannot be cut (recurrent and hybrid models) it puts a saved state back, or starts from nothing; what is missing is
 * computed again by the passes to come. */
#ifndef TIGHTWAD_NODE_SLOTS_H
#define TIGHTWAD_NODE_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node/core.h"
#include "node/session.h"

struct branch;
struct llama_context;

enum { SLOT_SNAPSHOTS = 4 };

struct snapshot {
    size_t n; /* tokens that the state covers */
    size_t size;
    uint8_t *data;
};

struct slot {
    int32_t seq;
    int32_t *tokens; /* what the cache holds, n_ctx of room */
    size_t n_kv;
    struct snapshot snapshot[SLOT_SNAPSHOTS]; /* by n, ascending */
    size_t n_snapshots;
    struct session *owner;  /* NULL: free; its content still serves as a prefix */
    struct node_work *work; /* that runs in it */
    struct branch *branch;  /* that it serves while nobody else wants it, NULL: none */
    bool padded;            /* and more than it needs */
    bool in_pass;           /* it has tokens in the pass in the making */
    int64_t used_us;        /* when it last worked, 0: never */
};

struct slot_table {
    struct llama_context *ctx;
    enum node_rollback rollback;
    struct slot *slot;
    size_t n;
    size_t n_ctx;      /* tokens per slot */
    uint64_t restored; /* snapshots put back so far */
};

/* n slots of n_ctx tokens each, for the sequences 0..n-1 of ctx. */
void slot_table_init(struct slot_table *t, struct llama_context *ctx, size_t n, size_t n_ctx,
                     enum node_rollback rollback);
void slot_table_finish(struct slot_table *t);

/* How many tokens of path (n of them) would not have to be computed in this slot. */
size_t slot_reusable(const struct slot_table *t, const struct slot *s, const int32_t *path, size_t n);

/* Makes the cache a prefix of path[0:n]: afterwards n_kv <= n and the cache holds path[0:n_kv]. */
void slot_prepare(struct slot_table *t, struct slot *s, const int32_t *path, size_t n);

/* A pass has put these behind what was there. */
void slot_advance(struct slot *s, const int32_t *tokens, size_t n);

/* Saves the state as it is now, for models that need it; does nothing for others. */
void slot_save(struct slot_table *t, struct slot *s);

/* Empties the cache of this slot. */
void slot_clear(struct slot_table *t, struct slot *s);

/* A slot for a session without one, NULL when all have work.  *evicted: it was taken from a session that is open. */
struct slot *slot_take(struct slot_table *t, struct session *s, const int32_t *path, size_t n, bool *evicted);
void slot_release(struct slot *s); /* its owner is gone */

/* Whether nobody would miss it: without work, and its owner, if there is one, rests. */
bool slot_is_idle(const struct slot *s, int64_t now);
/* An idle slot is lent to a branch, and given back (NULL is fine).  Whoever takes it for a session takes it away. */
void slot_lend(struct slot *s, struct branch *b);
void slot_unlend(struct slot *s);
/* An idle slot is nobody's any more; its content stays. */
void slot_free(struct slot *s);
/* The session goes on in this slot (NULL: stays where it is), with its work; the one it had is free. */
void slot_swap(struct session *s, struct slot *to);
/* Makes the cache of `to` that of `from`.  For models that can truncate, and on one machine: over RPC it is dear. */
void slot_copy(struct slot_table *t, const struct slot *from, struct slot *to);

#endif
