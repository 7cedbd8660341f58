/* A TCP relay that stands for a network link: everything that passes comes out later by a fixed delay, at a limited
 * rate if one is wanted, in order and unchanged.  For emulating a Wi-Fi or a slow LAN on one machine.
 *
 * Model of the link, for each direction: one line, shared by all connections of the relay, that carries one chunk after
 * the other at the rate, and then takes the delay.  A connection's first bytes pay the round trip of its TCP handshake
 * as well.  The delay is kept to some 50 µs on an idle machine; it is never short by more than RELAY_EARLY_US. */
#ifndef TIGHTWAD_CMD_RELAY_H
#define TIGHTWAD_CMD_RELAY_H

#include <stdint.h>

#include <event2/event.h>

enum { RELAY_EARLY_US = 30 };

struct relay_opts {
    const char *listen_host; /* an address of this machine or a name of it */
    int listen_port;         /* 0: any free one */
    const char *to_host;
    int to_port;
    int64_t delay_us; /* one way, each way */
    double rate_mbit; /* 10^6 bits a second, each way; 0: no limit */
};

struct relay;

/* Listens at once; the other side is connected to for each connection, when it comes.  base wants nothing special.
 * *port: where it listens.  NULL and a cause.  At most 32 MiB of each connection and direction are held; a sender whose
 * receiver does not read is held up. */
struct relay *relay_create(struct event_base *base, const struct relay_opts *opts, int *port, char **cause);
void relay_destroy(struct relay *relay); /* closes every connection; NULL is fine */

#endif
