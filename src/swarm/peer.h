/* A remote peer of one transfer: its stream, what it has, how fast it is, and its sins.  Used by transfer*.c alone. */
#ifndef TIGHTWAD_SWARM_PEER_H
#define TIGHTWAD_SWARM_PEER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "http/httpc.h"
#include "http/lines.h"
#include "swarm/bits.h"
#include "swarm/message.h"
#include "swarm/view.h"

struct transfer;
struct part;
struct fetch;

TAILQ_HEAD(fetch_list, fetch);

/* What is to become of a peer when the line that is being read has been dealt with. */
enum peer_verdict { PEER_FINE, PEER_DROP, PEER_BAN };

struct swarm_peer {
    TAILQ_ENTRY(swarm_peer) entry; /* in transfer->peers */
    struct transfer *transfer;
    uint32_t serial;             /* never used twice in a transfer */
    char address[SWARM_ADDRESS]; /* "HOST:PORT"; of a web server what fits of its URL */
    char *url;                   /* of the file on a web server; NULL: a peer */
    char *at;                    /* where that has redirected to; NULL: nowhere, or that did not work out */
    unsigned redirects;          /* on the way there */
    char id[SWARM_PEER_ID + 1];  /* "" before its hello */
    bool given;                  /* by the user */
    bool local;                  /* a loopback address */
    bool self;                   /* it turned out to be this process */
    enum swarm_peer_state state;
    char why[128]; /* "" nothing is wrong */

    struct httpc_call *stream;
    struct lines *lines;
    bool feeding; /* inside lines_feed */
    enum peer_verdict verdict;
    int64_t line_bytes; /* that its stream may still send now: bounds a flood */
    unsigned failures;  /* in a row */
    int64_t next_try_us, up_us;

    struct bits have, fetching;
    struct part *part; /* that it leads now */
    struct fetch_list fetches;
    unsigned n_fetches;
    unsigned most;         /* requests at once, as it has told (429) */
    int64_t rest_until_us; /* nothing is asked of it before */
    unsigned troubles;     /* requests in a row that came to nothing */

    double speed;     /* bytes a second while asked, NAN unknown */
    double down;      /* bytes a second, shown */
    uint64_t fetched; /* bytes */
    uint64_t counted; /* of them in the rates */
    int64_t rtt_us;   /* least time to the first byte of a reply, -1 unknown */
    unsigned corrupt; /* wrong pieces */
    unsigned lies;    /* pieces that it said to have and had not */
    unsigned stuck;   /* pieces that it held up while nobody else might send them */
    bool doubted;     /* had a part in a wrong piece with others: gets whole pieces alone, so that a liar is seen */
};

/* address: HOST:PORT; url: of a web server, else NULL. */
struct swarm_peer *swarm_peer_create(struct transfer *t, const char *address, const char *url, bool given);
void swarm_peer_destroy(struct swarm_peer *p); /* not inside a callback of its stream */

/* Opens its stream where it is time to. */
void swarm_peer_tick(struct swarm_peer *p, int64_t now);
/* The connection is given up for now, in words; tried again later. */
void swarm_peer_down(struct swarm_peer *p, const char *why);
void swarm_peer_ban(struct swarm_peer *p, const char *why);
/* It does not have that piece, whatever it said. */
void swarm_peer_lacks(struct swarm_peer *p, size_t piece);
/* Takes bytes that have come into account for its rates; seconds since last time. */
void swarm_peer_rate(struct swarm_peer *p, double seconds);

#endif
