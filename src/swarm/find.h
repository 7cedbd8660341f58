/* Finds peers on the local network: multicast announcements (239.192.84.87, port 9192; time to live 1), each at most
 * one datagram.  What others announce is checked and bounded, and nothing is believed but "there may be a peer". */
#ifndef TIGHTWAD_SWARM_FIND_H
#define TIGHTWAD_SWARM_FIND_H

#include <stddef.h>

#include <event2/event.h>

struct find;

/* A peer has announced itself: numeric "HOST:PORT" (the host is the sender's), its process id, and the ids that it says
 * it has (first 16 hex digits each). */
typedef void find_peer_cb(void *arg, const char *address, const char *peer, const char *const *ids, size_t n_ids);

struct find_opts {
    const char *peer;      /* this process: its own announcements are skipped */
    const char *interface; /* address of the interface to use; NULL: all that are up and can multicast, and loopback */
    int port;              /* UDP; 0: 9192 */
};

/* NULL and a cause when there is no socket to be had (a port that is taken is shared). */
struct find *find_create(struct event_base *base, const struct find_opts *o, find_peer_cb *on_peer, void *arg,
                         char **cause);
void find_destroy(struct find *f); /* NULL is fine */
/* What this process gives out, and where (0: nothing is announced, it only listens).  Announced at once, when asked,
 * and twice a minute. */
void find_announce(struct find *f, int serving_port, const char *const *ids, size_t n_ids);
void find_ask(struct find *f); /* who is there? */

/* One datagram.  Pure: 0 and its parts, or -1 for what is none of ours or not well-formed. */
struct find_message {
    char peer[33];
    int port; /* 0 with ask: does not serve */
    int asks;
    char id[64][17];
    size_t n_ids;
};
int find_parse(struct find_message *m, const char *data, size_t len);
char *find_text(const struct find_message *m, size_t *len); /* at most 1400 bytes; owned by the caller */

#endif
