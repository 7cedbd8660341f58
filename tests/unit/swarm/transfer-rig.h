/* A transfer on a loop of its own, and peers for it that are honest or not, for its tests. */
#ifndef TIGHTWAD_TEST_TRANSFER_RIG_H
#define TIGHTWAD_TEST_TRANSFER_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/httpd.h"
#include "swarm/message.h"
#include "swarm/transfer.h"

enum { FAKES = 4, HELD = 64, STREAMS = 16, WAIT_S = 30, MIB = 1 << 20 };

/* What a peer does with requests for pieces. */
enum manner {
    HONEST,
    CORRUPT, /* one bit of each reply is wrong */
    LIAR,    /* says that it has all, and has nothing */
    SILENT,  /* takes requests and never answers */
    SHORT,   /* sends half of what it was asked for and hangs up */
    BUSY,    /* 429, twice; then honest */
    WHOLE,   /* does not know of ranges */
    SPOILER, /* wrong bytes, then no answer; asked from the front again, the right ones, then 429 for ever */
};

struct fake {
    struct rig *rig;
    struct httpd *server;
    enum manner manner;
    char address[SWARM_ADDRESS], id[SWARM_PEER_ID + 1];
    struct bits have;
    char *first; /* line instead of its hello */
    struct httpd_request *stream[STREAMS], *held[HELD];
    size_t n_held;
    const char *to;                  /* where its file lies: it redirects there */
    uint64_t expires;                /* when it has sent so many bytes, it answers 403 once; 0: never */
    unsigned asked, streams, fronts; /* fronts: requests from the first byte of a piece on */
    uint64_t sent;
};

struct rig {
    struct event_base *base;
    struct crew *crew;
    struct httpc *http;
    char dir[64];
    unsigned char *data;
    struct manifest *m;
    struct store *store;
    struct transfer *transfer;
    struct fake fake[FAKES];
    bool opened, done, ok;
    size_t peers_at_end; /* connected when it ended */
    char why[256];
    struct swarm_view_model model;
    struct swarm_view view;
};

/* A model of so many pieces of that size, and a store for it. */
struct rig *rig_start(size_t n_pieces, size_t piece_size);
void rig_finish(struct rig *r);

/* The i-th peer: it has all pieces. */
struct fake *fake_start(struct rig *r, size_t i, enum manner manner);
void say(struct fake *f, const char *line); /* on all its streams */

void on_transfer(void *arg, bool ok, const char *why); /* for a transfer that is not begun by this: */
void transfer_start(struct rig *r, int64_t limit);     /* limit: bytes a second, 0: none */
void look(struct rig *r);                              /* fills model and view */
/* What the transfer shows of the i-th peer, NULL: it does not know it. */
const struct swarm_view_peer *seen(struct rig *r, size_t i);

/* Runs the loop until the condition holds.  False: that took too long. */
bool run_until(struct rig *r, bool (*condition)(struct rig *r));
bool is_done(struct rig *r);
bool one_is_asked(struct rig *r); /* the first peer, for a piece */
void arrives(struct rig *r);      /* the transfer ends well, with the right bytes */
void arrives_soon(struct rig *r); /* likewise, before the silence of a peer is taken for what it is */

#endif
