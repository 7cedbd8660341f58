/* The inside of a transfer, for transfer*.c and peer.c alone. */
#ifndef TIGHTWAD_SWARM_TRANSFER_IMPL_H
#define TIGHTWAD_SWARM_TRANSFER_IMPL_H

#include "swarm/peer.h"
#include "swarm/transfer.h"

enum {
    BLOCK = 512 * 1024,                        /* bytes: what is written at once; the last of a piece is shorter */
    PART_BLOCKS = MANIFEST_PIECE_SIZE / BLOCK, /* of a piece, at most */
    PARTS_MAX = 48,                            /* pieces under way */
    FETCH_BLOCKS = 8,                          /* of a request: 4 MiB */
    FETCHES_MAX = 24,                          /* requests under way, of all peers */
    PEER_FETCHES = 4,                          /* and of one */
    PEERS_MAX = 64,                            /* known at a time */
    PEERS_UP = 32,                             /* connected at a time */
    WRITING_MAX = 16 << 20,                    /* bytes on their way to the disk; reading is held up above */
    RECEIVE = 128 * 1024,                      /* bytes read from a connection at once */
    TICK_MS = 100,
};

enum block_state {
    BLOCK_FREE,  /* nobody is asked */
    BLOCK_ASKED, /* of some peer, or of two */
    BLOCK_HERE,  /* came, and went to the store */
};

struct block {
    uint8_t state, askers;
    uint32_t sender; /* serial, once it is here */
};

/* A piece under way. */
struct part {
    TAILQ_ENTRY(part) entry; /* in transfer->parts */
    struct transfer *transfer;
    size_t piece;
    uint32_t serial; /* never used twice */
    uint64_t size;   /* bytes */
    unsigned n, n_free, n_here, n_written;
    unsigned n_fetches;      /* requests under way for it */
    struct swarm_peer *lead; /* who sends it from the front on; NULL: nobody now */
    bool alone;              /* all of it must come from one peer */
    bool checking;
    uint32_t led;     /* serial of the last that led it; 0 none has */
    int64_t moved_us; /* when the last block came, or another peer began to lead it */
    unsigned stuck;   /* times that it was taken from one who held it up */
    uint32_t shun;    /* serial of the peer that sent it wrong or went silent: others go first; 0 none */
    struct block block[PART_BLOCKS];
};

/* A request for some blocks of a part. */
struct fetch {
    TAILQ_ENTRY(fetch) entry; /* in peer->fetches */
    struct swarm_peer *peer;
    struct part *part;
    struct httpc_call *call;
    char *url;                /* that was asked; owned */
    unsigned redirects;       /* on the way there */
    unsigned first, n;        /* blocks */
    unsigned at;              /* the one that is coming, counted from first */
    unsigned given;           /* before it, given to the part */
    size_t len;               /* bytes of it that are here */
    char *data[FETCH_BLOCKS]; /* owned */
    int64_t start_us, heard_us;
    bool answering; /* a byte has come */
    bool giving;    /* blocks to the part, now */
    bool held;      /* not read from for now */
};

/* A write or a check that the store has under way. */
struct disk_job {
    TAILQ_ENTRY(disk_job) entry; /* in transfer->jobs */
    struct transfer *transfer;   /* NULL: it has gone */
    size_t piece, len;
    uint32_t part;
    unsigned block;
};

struct transfer {
    struct transfer_opts o; /* strings owned */
    transfer_done_cb *done;
    void *arg;
    struct share *share; /* the store's */
    struct share_watch watch;
    struct pick pick;
    uint32_t *coming_ms; /* by piece: when a peer first said that it fetches it, since the start; 0: none has */
    TAILQ_HEAD(, swarm_peer) peers;
    size_t n_peers;
    TAILQ_HEAD(, part) parts;
    size_t n_parts, n_fetches;
    TAILQ_HEAD(, disk_job) jobs;
    size_t writing;  /* bytes given to the store and not written */
    uint32_t serial; /* the last given to anything */
    struct event *tick;
    struct event *kick; /* asks peers and ends, from the loop */
    int64_t start_us, tick_us;
    double allowance; /* bytes that may be read now, with a download limit */
    bool over;        /* done was or will be called */
    bool ok;
    char *why;        /* of the end, or of what is waited for; owned */
    bool partial;     /* not all pieces are wanted */
    int64_t whole_us; /* when a web server turned out to give no parts of files; 0: none has */
    bool whole;       /* it has ended for that */
    bool full;        /* no room on the disk */
    int64_t full_until_us;
    uint64_t missing;                  /* bytes that are wanted and not here */
    uint64_t fetched, counted, wasted; /* bytes */
    double down;                       /* bytes a second */
};

void transfer_kick(struct transfer *t);                          /* looks for work soon */
void transfer_end(struct transfer *t, bool ok, const char *why); /* soon */

/* transfer-part.c */
uint64_t part_block_size(const struct part *part, unsigned block);
struct part *part_find(const struct transfer *t, size_t piece);
struct part *part_begin(struct transfer *t, size_t piece);
/* Whether the peer may send blocks of it; beside: together with others who send it now. */
bool part_allows(const struct part *part, const struct swarm_peer *p, bool beside);
void part_lead(struct part *part, struct swarm_peer *p);
void part_leave(struct part *part, struct swarm_peer *p);   /* p leads it no more */
void part_give_up(struct part *part, struct swarm_peer *p); /* likewise, and rather not again: it goes silent */
void part_ask(struct part *part, unsigned first, unsigned n);
void part_unask(struct part *part, unsigned first, unsigned n); /* those that have not come are free again */
/* A block has come; data is taken over. */
void part_put(struct part *part, unsigned block, char *data, struct swarm_peer *from);
void part_drop(struct part *part); /* forgets it and what is asked for it */
void part_tick(struct transfer *t);
void part_abandon_jobs(struct transfer *t);
/* The store has room again, perhaps: what could not be done is tried again. */
void part_retry(struct transfer *t);

/* transfer-fetch.c */
void fetch_start(struct swarm_peer *p, struct part *part, unsigned first, unsigned n);
void fetch_cancel(struct fetch *f); /* its blocks are free again; not inside its callbacks */
void fetch_cancel_part(struct part *part);
void fetch_cancel_needless(struct part *part); /* those all of whose blocks have come from others */
void fetch_go_on(struct transfer *t);          /* reads on where it was held up, if it is no more */
void fetch_tick(struct transfer *t, int64_t now);
bool fetch_held_up(const struct transfer *t);

/* transfer-choose.c */
void transfer_ask(struct transfer *t, int64_t now);

/* transfer.c */
bool transfer_may_ask(const struct transfer *t, const struct swarm_peer *from, const char *address);

#endif
