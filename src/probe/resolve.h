/* Looking a host name up without blocking the loop. */
#ifndef TIGHTWAD_PROBE_RESOLVE_H
#define TIGHTWAD_PROBE_RESOLVE_H

#include <netdb.h>

#include <event2/event.h>

struct resolve;

/* list: owned by the callee (freeaddrinfo), NULL with an error of getaddrinfo. */
typedef void resolve_cb(struct addrinfo *list, int error, void *arg);

/* Streams to host (a name or an address) and port.  The callback comes from the loop, once, later. */
struct resolve *resolve_start(struct event_base *base, const char *host, int port, resolve_cb *cb, void *arg);
/* Before the callback only. A look-up that can't be stopped ends by itself and is forgotten. NULL is fine. */
void resolve_cancel(struct resolve *r);

#endif
