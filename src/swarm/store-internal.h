/* Inside the store.  store.c: the loop's side, who may do what when; store-piece.c: a piece, on the crew; store-open.c:
 * what is there at the beginning, on the crew; store-local.c: sources on this machine; store-part.c: folder, lock and
 * landing; store-map.c: the map; store-io.c: the system calls. */
#ifndef TIGHTWAD_SWARM_STORE_INTERNAL_H
#define TIGHTWAD_SWARM_STORE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include <openssl/evp.h>

#include "swarm/store-map.h"
#include "swarm/store.h"

enum store_op_kind { OP_WRITE, OP_CHECK, OP_FORGET, OP_VERIFY, OP_COPY };

/* Something to be done with a piece, after what was asked for before. */
struct store_op {
    STAILQ_ENTRY(store_op) entry;
    enum store_op_kind kind;
    uint64_t at; /* OP_WRITE: in the piece; OP_COPY: in the source */
    void *data;  /* OP_WRITE: owned */
    size_t len;
    int source;     /* OP_COPY: of the source, which outlives it */
    store_cb *done; /* may be NULL */
    void *arg;
    /* How it went. */
    enum store_result result;
    char *why; /* owned; NULL: nothing to tell */
    bool had;  /* the piece is had since then */
};
STAILQ_HEAD(store_ops, store_op);

struct store_range {
    uint64_t from, to; /* bytes of the piece */
};

/* A piece with which something is going on.  queued, busy: the loop's; all else belongs to the job while busy. */
struct store_piece {
    size_t index;
    struct store_ops queued;
    bool busy;
    bool had;
    struct store_range *range; /* what is written: in order, never touching each other */
    size_t n_ranges;
    EVP_MD_CTX *hash; /* of its first `hashed` bytes; NULL before the first */
    uint64_t hashed;
    bool reserved; /* its blocks are taken from the file system */
    bool full;     /* a write met a full disk */
};

struct store_source {
    TAILQ_ENTRY(store_source) entry; /* in store->sources */
    struct store *store;
    struct store_match {
        size_t piece;
        uint64_t at; /* in the source, bytes */
    } * match;
    size_t n_matches, next, under_way;
    char *path;    /* that it was opened by; NULL: the file is somebody else's */
    uint64_t size; /* bytes that it is to have */
    int fd;
    enum store_result result;
    char *why;
    store_cb *done;
    void *arg;
};

/* A call for the store as a whole, and how it went. */
struct store_call {
    enum store_result result;
    char *why; /* owned; NULL: nothing to tell */
    store_cb *done;
    void *arg;
};

/* How opening goes. */
struct store_opening {
    struct store_call call;
    bool whole;           /* the complete file is there; else the .part is */
    bool foreign;         /* a .part with something in it and nothing that says whose it is */
    bool wrong;           /* the complete file is another one */
    int whole_fd;         /* of the complete file until the share has it, else -1 */
    struct bits check;    /* pieces to verify */
    size_t next;          /* piece to verify next */
    size_t under_way;     /* of them */
    struct bits good;     /* verified: for the map */
    struct manifest *old; /* of a .part that is to be replaced; NULL: none */
    struct bits old_had;
    int old_fd;     /* locked until it is replaced */
    bool replacing; /* what is filled is beside it, and goes with the store unless that is settled */
};

struct store {
    struct event_base *base;
    struct crew *crew;
    struct manifest *manifest; /* kept */
    struct bits want;
    char *dir, *path, *part, *part_new;    /* of the folder, the complete file, the .part, the one beside it */
    char *part_name, *map_name, *new_name; /* in the folder */
    int dir_fd, fd;                        /* fd: of what is filled, locked; -1: complete */
    struct store_map map;
    struct share *share;
    bool complete;
    bool unsound; /* not all of it could be put on the disk: it never lands in this process */
    struct store_opening opening;
    struct store_call settling;
    struct store_call landing;  /* done: NULL while none is under way */
    struct store_piece **piece; /* by index, NULL: nothing goes on */
    TAILQ_HEAD(, store_source) sources;
    uint64_t checked, to_check; /* bytes, while it is opened */

    atomic_llong room; /* bytes free as last seen, -1 unknown */
    int64_t room_us;   /* when that was asked for */
    bool room_asked;

    unsigned users; /* whoever opened it, and jobs */
    bool closed;    /* destroyed: only jobs are left, which do nothing any more */
    atomic_bool stop;
    pthread_mutex_t lock;
    pthread_cond_t idle;
    unsigned running; /* jobs on threads; under the lock */
};

/* The loop's.  Jobs of the store as a whole: work on the crew, done on the loop unless the store is destroyed. */
void store_run(struct store *s, void (*work)(void *arg), void (*done)(void *arg), void *arg);
/* Takes the op. */
void store_add_op(struct store *s, size_t piece, struct store_op *op);
struct store_op *store_op(enum store_op_kind kind, store_cb *done, void *arg);
/* What can be had by that manifest (of it only `had`, unless NULL) from a file whose descriptor is set before the
 * start; gone once done was called. */
struct store_source *store_source(struct store *s, const struct manifest *from, const struct bits *had, store_cb *done,
                                  void *arg, uint64_t *found);
void store_source_start(struct store_source *src);
void store_source_free(struct store_source *src);

/* The crew's. */
void store_piece_run(struct store *s, struct store_piece *p, struct store_op *op);
void store_piece_finish(struct store_piece *p); /* of either */
void store_open_begin(void *store);  /* folder, complete file or .part with its lock and map: fills opening */
void store_open_end(void *store);    /* the map is written, unless another manifest's .part is still there */
void store_open_settle(void *store); /* that one is replaced */
void store_look_room(void *store);

#endif
