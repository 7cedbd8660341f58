/* Who is at the other end of a connection, and whether it may be served. */
#ifndef TIGHTWAD_HTTP_PEER_H
#define TIGHTWAD_HTTP_PEER_H

#include <stdbool.h>
#include <stddef.h>

struct sockaddr;

struct peer {
    char name[64];             /* address text or "unix" */
    bool local;                /* loopback or unix socket */
    bool here;                 /* of this machine: local, or from the address that it has come to */
    bool private;              /* local or in a private network (RFC 1918, ULA, link-local, 100.64/10) */
    unsigned char address[16]; /* IPv6, or IPv4 mapped into it; zeros for a unix socket */
};

/* An IPv4 address mapped into IPv6 counts as the IPv4 address. */
void peer_describe(struct peer *p, const struct sockaddr *sa);
/* p: who has connected, over fd.  A machine that speaks to an address of its own does so from that address: then p is
 * here, whatever the network is. */
void peer_meet(struct peer *p, int fd);

/* Networks that may connect. */
struct peer_list {
    struct peer_net *nets; /* owned */
    size_t n;
};

/* Adds "ADDRESS[/BITS],…" (IPv4 and IPv6, blanks around commas are fine) to l, which starts zeroed.  0, or -1 and a
 * cause that names the part that is wrong; l stays as it was then. */
int peer_list_add(struct peer_list *l, const char *text, char **cause);
void peer_list_finish(struct peer_list *l);
/* Whether the peer is in one of the networks; never for a unix socket or an empty list. */
bool peer_list_has(const struct peer_list *l, const struct peer *p);

/* Whether a request's Host ("HOST", "HOST:PORT", "[IPV6]:PORT", NULL: none was given) is an address or localhost.  A
 * web page can have a name of its own point to this machine, and the browser then asks for it by that name. */
bool peer_host_is_plain(const char *host);

#endif
