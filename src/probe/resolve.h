/* Looking a host name or an address up without blocking the loop. */
#ifndef TIGHTWAD_PROBE_RESOLVE_H
#define TIGHTWAD_PROBE_RESOLVE_H

#include <netdb.h>

#include <event2/event.h>

struct resolve;

/* list: owned by the callee (freeaddrinfo), NULL with an error of getaddrinfo. */
typedef void resolve_cb(struct addrinfo *list, int error, void *arg);

/* The name of an address, NULL: it has none; holds during the call. */
typedef void resolve_name_cb(const char *name, void *arg);

/* Streams to host (a name or an address) and port.  The callback comes from the loop, once, later. */
struct resolve *resolve_start(struct event_base *base, const char *host, int port, resolve_cb *cb, void *arg);
/* The other way round. */
struct resolve *resolve_name_start(struct event_base *base, const struct sockaddr *address, socklen_t len,
                                   resolve_name_cb *cb, void *arg);
/* Before the callback only. A look-up that can't be stopped ends by itself and is forgotten. NULL is fine. */
void resolve_cancel(struct resolve *r);

#endif
