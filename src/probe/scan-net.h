/* Which addresses a scan tries: networks, this machine's own addresses, who answers on the wire at all.  IPv4, in host
 * byte order. */
#ifndef TIGHTWAD_PROBE_SCAN_NET_H
#define TIGHTWAD_PROBE_SCAN_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The addresses that a machine may have in a network: without its own and its broadcast address where it has them. */
struct scan_net {
    uint32_t first, count;
};

/* "192.168.1.0/24"; bits of the host are ignored, an address without bits is a network of one.  0, or -1 and a cause
 * that says what would be right. */
int scan_net_parse(struct scan_net *net, const char *text, char **cause);
/* The network of an address with so many bits (0 to 32). */
struct scan_net scan_net_around(uint32_t address, int bits);
bool scan_net_has(const struct scan_net *net, uint32_t address);
/* RFC 1918, link-local and 100.64/10; loopback is none. */
bool scan_net_is_private(uint32_t address);

/* What this machine is connected to. */
struct scan_local {
    struct scan_net *nets; /* private ones on interfaces that are up; of a larger one the /24 around the own address */
    size_t n_nets;
    uint32_t *own; /* its own addresses, whatever they are; loopback is not among them */
    size_t n_own;
};

void scan_local_find(struct scan_local *l); /* finish it; it is empty where the system tells nothing */
void scan_local_finish(struct scan_local *l);
/* Loopback, or one of the own addresses. */
bool scan_local_is_here(const struct scan_local *l, uint32_t address);

/* The text of /proc/net/arp: whether it says that nobody answered to the address.  One that it does not name may be
 * anywhere. */
bool scan_arp_is_nobody(const char *table, uint32_t address);

#endif
