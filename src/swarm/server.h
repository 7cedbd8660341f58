/* Gives out what this machine has: the HTTP side of the swarm (doc/swarm-protocol.md). */
#ifndef TIGHTWAD_SWARM_SERVER_H
#define TIGHTWAD_SWARM_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <event2/event.h>
#include <jansson.h>

#include "base/crew.h"
#include "swarm/share.h"

struct swarm_server;

struct swarm_server_opts {
    const char *host;  /* NULL: 127.0.0.1 */
    int port;          /* 0: any free one */
    bool any_port;     /* where the port is taken, any free one will do */
    const char *token; /* wanted from everybody; NULL: none */
    const char *
        allow; /* networks ("10.0.0.0/8,fd00::/8") that are served; NULL: loopback and private ones.  Loopback always */
    int64_t upload_limit; /* bytes a second of pieces to all together, 0: none */
    int upload_slots;     /* pieces given at once, 0: 8; who has the fewest under way comes next */
    const char *peer;     /* this process, SWARM_PEER_ID hex digits */
    const char *name;     /* what this machine is called */
};

/* Somebody (numeric "HOST:PORT" where it serves) has come to the swarm of that share: it may be asked as well. */
typedef void swarm_server_peer_cb(void *arg, struct share *share, const char *peer, const char *address);

/* NULL and a cause. */
struct swarm_server *swarm_server_create(struct event_base *base, struct crew *crew, const struct swarm_server_opts *o,
                                         swarm_server_peer_cb *on_peer, void *arg, char **cause);
void swarm_server_destroy(struct swarm_server *s); /* says goodbye to the streams; NULL is fine */
int swarm_server_port(const struct swarm_server *s);
void swarm_server_set_limits(struct swarm_server *s, int64_t upload_limit, int upload_slots);
bool swarm_server_allows(const struct swarm_server *s,
                         const char *address); /* by its networks: for peers to ask, too */

/* Both sides outlive each other by SHARE_GONE. */
void swarm_server_add(struct swarm_server *s, struct share *share);
void swarm_server_remove(struct swarm_server *s, struct share *share);

/* The file of that share is not what it was when it was verified: nothing more of it is sent.  The share may not be
 * removed inside it. */
typedef void swarm_server_changed_cb(void *arg, struct share *share);
void swarm_server_on_changed(struct swarm_server *s, swarm_server_changed_cb *fn, void *arg);

/* Also serves the same calls, and `GET /v1/swarm/view` (swarm_view as JSON, view.h) to this user on a unix socket. */
int swarm_server_listen_unix(struct swarm_server *s, const char *path, char **cause);
/* What that call answers with: new reference each time. */
void swarm_server_set_view(struct swarm_server *s, json_t *(*fn)(void *arg), void *arg);

struct swarm_server_counters {
    uint64_t sent;                      /* bytes of pieces, to all */
    uint32_t uploads, waiting, streams; /* pieces under way; requests that wait for a slot; event streams */
    uint64_t refused;                   /* requests of those who asked for too much */
    uint64_t slowest_us;                /* longest that one callback of this server has held the loop */
};
void swarm_server_counters(const struct swarm_server *s, struct swarm_server_counters *out);

#endif
