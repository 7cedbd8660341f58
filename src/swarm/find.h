/* Finds peers on the local network: multicast announcements (239.192.84.87, port 9192; time to live 1), each at most
 * one datagram.  What others announce is checked and bounded, and nothing is believed but "there may be a peer". */
#ifndef TIGHTWAD_SWARM_FIND_H
#define TIGHTWAD_SWARM_FIND_H

#include <stddef.h>

#include <event2/event.h>

struct find;

#define FIND_GROUP "239.192.84.87"

enum {
    FIND_PORT = 9192,
    FIND_PEER = 32,     /* hex digits of a peer's id */
    FIND_ID = 16,       /* hex digits of a model's id that are announced */
    FIND_IDS = 64,      /* of them in a datagram */
    FIND_IDS_MAX = 256, /* that one process announces, in several datagrams */
    FIND_BYTES = 1400,  /* of a datagram */
};

/* A peer has announced itself: numeric "HOST:PORT" (the host is the sender's), its process id, and the ids that it says
 * it has (first 16 hex digits each).  The same one comes again and again, and with several addresses where it can be
 * reached at several.  find_destroy is not called inside it. */
typedef void find_peer_cb(void *arg, const char *address, const char *peer, const char *const *ids, size_t n_ids);

struct find_opts {
    const char *peer;      /* this process, FIND_PEER hex digits: its own announcements are skipped */
    const char *interface; /* address of the interface to use; NULL: all that are up and can multicast, and loopback */
    const char *host;      /* where this process serves: it is announced on the interface with this address alone; NULL
                              or a wildcard (0.0.0.0, ::): on all */
    int port;              /* UDP; 0: FIND_PORT */
};

/* NULL and a cause when there is no socket to be had, or no interface with that address (a port that is taken is
 * shared). */
struct find *find_create(struct event_base *base, const struct find_opts *o, find_peer_cb *on_peer, void *arg,
                         char **cause);
void find_destroy(struct find *f); /* NULL is fine */
/* What this process gives out (at least FIND_ID hex digits each; copied), and where (0: nothing is announced, it only
 * listens).  Announced at once, when asked, and twice a minute; never more often than once a second. */
void find_announce(struct find *f, int serving_port, const char *const *ids, size_t n_ids);
void find_ask(struct find *f); /* who is there?  Asked twice, as datagrams get lost */

/* One datagram: {"tightwad":1,"peer":PEER,"port":9192,"ask":true,"ids":["0123456789abcdef"]}.  Pure: 0 and its parts,
 * or -1 for what is none of ours or not well-formed.  Unknown keys are skipped. */
struct find_message {
    char peer[FIND_PEER + 1];
    int port; /* 0 with ask: does not serve */
    int asks;
    char id[FIND_IDS][FIND_ID + 1];
    size_t n_ids;
};
int find_parse(struct find_message *m, const char *data, size_t len);
char *find_text(const struct find_message *m, size_t *len); /* at most FIND_BYTES; owned by the caller */

#endif
