/* The addresses of one scan and the ports to try at each, in the order in which they are tried. */
#ifndef TIGHTWAD_PROBE_SCAN_PLACE_H
#define TIGHTWAD_PROBE_SCAN_PLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "probe/machine.h"
#include "probe/scan-net.h"

struct scan_place {
    struct sockaddr_storage address; /* without a port */
    socklen_t len;
    char host[64];    /* as it is reached from here */
    int port;         /* the only one to try; 0: the usual ones */
    bool named, here; /* somebody named it; it is this machine */
    bool nobody;      /* the wire says that no machine has the address: what is left is not tried */
    size_t pass;      /* the element of scan_ports that comes next */
    int timeouts;     /* of connections so far */
    bool found;       /* m is in use */
    struct machine m;
};

struct scan_port {
    int port;
    enum service_kind likely;
    bool near; /* only on this machine and on those that are named */
};

extern const struct scan_port scan_ports[];
extern const size_t scan_n_ports;

struct scan_places {
    struct scan_place *list;
    size_t n, max;     /* places; most that nobody named */
    size_t left_out;   /* addresses over max */
    size_t next, pass; /* what comes next: a place, and an element of scan_ports */
    struct scan_local local;
};

/* max: addresses at most, beside those that are named.  Finds this machine's own networks. */
void scan_places_init(struct scan_places *p, size_t max);
/* The machines of the places as well. */
void scan_places_finish(struct scan_places *p);

/* An address, once, at any time; host: how it is reached from here, NULL: its text. */
void scan_places_add(struct scan_places *p, const struct sockaddr *address, socklen_t len, const char *host, int port,
                     bool named);
void scan_places_add_net(struct scan_places *p, const struct scan_net *net);
void scan_places_add_local(struct scan_places *p); /* the networks that this machine is in */

/* The first place that stands for the same machine: the same address, or both are here. */
size_t scan_places_machine(const struct scan_places *p, size_t place);

/* How many connections all that is there comes to. */
size_t scan_places_total(const struct scan_places *p);
/* The next one to try; all places have their first port tried before any has its second.  false: none is left.
 * *skipped: how many were passed over since the last call, because nobody is there. */
bool scan_places_next(struct scan_places *p, size_t *place, struct scan_port *port, size_t *skipped);

/* "NAME", "NAME:PORT", "[IPV6]:PORT", an IPv6 address → name (owned by the caller) and port (0: none named).  0, or -1
 * and a cause. */
int scan_host_parse(const char *text, char **name, int *port, char **cause);

#endif
