/* What peers say to each other (doc/swarm-protocol.md): parsed with every size, count and index checked against the
 * manifest before it is used.  Pure. */
#ifndef TIGHTWAD_SWARM_MESSAGE_H
#define TIGHTWAD_SWARM_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "swarm/bits.h"

enum {
    SWARM_PROTOCOL = 1,
    SWARM_PORT = 9192,
    SWARM_PEER_ID = 32,         /* hex digits: which process it is */
    SWARM_LINE_MAX = 64 * 1024, /* bytes of a line of the event stream */
    SWARM_MESSAGE_PEERS = 64,   /* addresses in one message */
    SWARM_ADDRESS = 64,
};

enum message_kind {
    MESSAGE_HELLO,    /* first of all: peer, have, fetching */
    MESSAGE_HAVE,     /* pieces that it has now */
    MESSAGE_FETCHING, /* pieces that it has begun to fetch */
    MESSAGE_DROPPED,  /* pieces that it fetches no more and does not have */
    MESSAGE_PEERS,    /* others in the swarm */
    MESSAGE_ALIVE,    /* nothing new */
    MESSAGE_BYE,      /* it leaves */
};

struct message {
    enum message_kind kind;
    char peer[SWARM_PEER_ID + 1]; /* HELLO */
    struct bits have;             /* HELLO */
    uint32_t *piece;              /* HELLO (fetching), HAVE, FETCHING, DROPPED: n_pieces indices below the manifest's */
    size_t n_pieces;
    char address[SWARM_MESSAGE_PEERS][SWARM_ADDRESS]; /* PEERS: "HOST:PORT", numeric, port > 0, all well-formed */
    size_t n_addresses;
};

/* One line of the stream of a swarm with so many pieces.  0 (finish it), or -1 and a cause.  Unknown keys are skipped;
 * a line that holds no known one is MESSAGE_ALIVE, so that later versions may say more. */
int message_parse(struct message *m, const char *line, size_t len, size_t n_pieces, char **cause);
void message_finish(struct message *m);

/* Lines to send, with their newline.  Owned by the caller. */
char *message_hello(const char *peer, const struct bits *have, const struct bits *fetching);
char *message_pieces(enum message_kind kind, const uint32_t *piece, size_t n); /* HAVE, FETCHING, DROPPED */
char *message_peers(const char (*address)[SWARM_ADDRESS], size_t n);
extern const char message_alive[], message_bye[];

/* "10.0.0.2:9192", "[fe80::1]:9192": numeric host, port 1..65535.  False: it is none.  out: normalised. */
bool message_address(const char *text, char out[SWARM_ADDRESS]);

#endif
