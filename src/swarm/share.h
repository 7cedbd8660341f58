/* One model of which this machine has pieces, as the server gives it out: a complete file, or one that is on its way.
 * Whoever fills it (the library, a transfer) tells it what changes; the server's streams pass that on. */
#ifndef TIGHTWAD_SWARM_SHARE_H
#define TIGHTWAD_SWARM_SHARE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "swarm/bits.h"
#include "swarm/manifest.h"

enum share_change { SHARE_HAVE, SHARE_FETCHING, SHARE_DROPPED, SHARE_PEERS, SHARE_GONE };

struct share;
/* piece: of the first three; the share may not be destroyed inside it, nor told of another change of its pieces, but
 * watchers may leave (share_unwatch). */
typedef void share_watch_cb(void *arg, enum share_change what, size_t piece);
struct share_watch {
    share_watch_cb *fn;
    void *arg;
    struct share_watch *next; /* the list's */
};

enum { SHARE_PEERS_MAX = 64, SHARE_ADDRESS = 64 };

/* By what a change of a file is seen: each write to it sets its time of change.  Not its name or inode: the open file
 * stays the same one, whatever goes by its name. */
struct share_stamp {
    bool set; /* false: it may change, it is still being filled */
    int64_t size, mtime_ns;
};

struct share {
    struct manifest *manifest;                 /* kept */
    char *path;                                /* of the file, for messages; owned */
    int fd;                                    /* open for reading; owned.  Landing keeps it: the inode is the same */
    struct share_stamp stamp;                  /* of the file when `have` was found to be in it */
    struct bits have;                          /* verified pieces */
    struct bits fetching;                      /* being fetched from peers now: others rather ask for something else */
    char peer[SHARE_PEERS_MAX][SHARE_ADDRESS]; /* "HOST:PORT" of others in this swarm, for peer exchange */
    size_t n_peers;
    uint64_t sent; /* bytes of pieces given to peers */
    struct share_watch *watches;
    struct share_watch *next_watch; /* share.c's own: who is told next, while somebody is told */
};

/* Takes fd; keeps the manifest. */
struct share *share_create(struct manifest *m, const char *path, int fd);
/* Watchers hear SHARE_GONE and must not touch it afterwards.  NULL is fine. */
void share_destroy(struct share *s);
void share_watch(struct share *s, struct share_watch *w, share_watch_cb *fn, void *arg);
void share_unwatch(struct share *s, struct share_watch *w);

struct share_stamp share_stamp_of(const struct stat *st);
/* Whether the open file is another one than that stamp was made of; false where it is not set.  Asks the disk: for the
 * crew. */
bool share_stamp_differs(const struct share_stamp *stamp, int fd);

void share_set_have(struct share *s, size_t piece); /* also takes it out of fetching */
void share_set_fetching(struct share *s, size_t piece, bool on);
/* Another one in the swarm ("10.0.0.2:9192"); a full list lets its oldest go. */
void share_add_peer(struct share *s, const char *address);
void share_remove_peer(struct share *s, const char *address);

#endif
