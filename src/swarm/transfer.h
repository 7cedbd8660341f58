/* One model on its way to this machine: its peers, what is asked of whom, and when it is done. */
#ifndef TIGHTWAD_SWARM_TRANSFER_H
#define TIGHTWAD_SWARM_TRANSFER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/crew.h"
#include "http/httpc.h"
#include "swarm/pick.h"
#include "swarm/server.h"
#include "swarm/store.h"
#include "swarm/view.h"

struct transfer;

struct transfer_opts {
    struct event_base *base;
    struct httpc *http;
    struct crew *crew;
    struct store *store;       /* opened; stays the caller's and outlives the transfer */
    struct manifest *manifest; /* kept */
    const struct bits *want;   /* NULL: all (copied) */
    const char *peer;          /* this process */
    int port;                  /* where this process serves, 0: nowhere others can reach */
    bool local_only;           /* peers on this machine can reach that, and no others */
    const char *token;         /* sent to peers; NULL: none */
    const struct swarm_server
        *server; /* its networks say which addresses from peer exchange may be asked; NULL: all private ones */
    int64_t download_limit; /* bytes a second, 0: none */
    uint64_t seed;          /* of chance */
};

/* The transfer goes on by itself until done is called, once: all that is wanted is had and checked (ok), or it can
 * never be (why); its peers can be seen for the last time then.  Want of peers or of room on the disk is no end:
 * transfer_fill tells of it, and it goes on when there are some.  A web server that gives no parts of files ends it
 * where nobody else has been there for a while and all is wanted: transfer_gives_whole. */
typedef void transfer_done_cb(void *arg, bool ok, const char *why);
struct transfer *transfer_create(const struct transfer_opts *o, transfer_done_cb *done, void *arg);
bool transfer_gives_whole(const struct transfer *t); /* it has ended since a web server has it, but whole alone */
void transfer_destroy(struct transfer *t);           /* not inside its callback; NULL is fine */

/* An address to try: "HOST:PORT".  given: by the user, so it is tried however often it fails. */
void transfer_add_peer(struct transfer *t, const char *address, bool given);
/* A plain web server that has the whole file at that URL, and no hashes: asked for ranges (RFC 9110), of lowest rank.
 */
void transfer_add_web(struct transfer *t, const char *url);

void transfer_set_limit(struct transfer *t, int64_t download_limit); /* bytes a second, 0: none */

/* Fills state, why, rates, eta, peers, availability, wasted, fetched, map …; and adds its peers to v->peer. */
void transfer_fill(const struct transfer *t, struct swarm_view_model *m, struct swarm_view *v);

#endif
