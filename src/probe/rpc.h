/* Asks a ggml RPC server who it is: whether it is there, its protocol's version, its devices' memory.
 *
 * One server serves one client at a time, and a question that waits behind a client is never answered; so a server that
 * a pool uses may only be asked with `connect_only`.
 *
 * The wire, as ggml's ggml-rpc.cpp has it: a command is one byte, the length of what follows as 64 bits (little-endian)
 * and that; a reply is a length of 64 bits and that.  HELLO (14) must come first: 24 bytes of transport capabilities
 * (zero: plain TCP), answered by major, minor, patch, one byte of padding and the server's capabilities.  Servers
 * before protocol 4 take an empty one and answer with the three numbers alone.  DEVICE_COUNT (15) is empty, answered by
 * 32 bits; GET_DEVICE_MEMORY (11) has the device's number in 32 bits, answered by free and total bytes in 64 bits each.
 */
#ifndef TIGHTWAD_PROBE_RPC_H
#define TIGHTWAD_PROBE_RPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <event2/event.h>

enum { RPC_PROTOCOL = 8, RPC_DEVICES_MAX = 16, RPC_PORT = 50052 };

enum rpc_state {
    RPC_OK,
    RPC_NO_NAME,     /* the host name is not known */
    RPC_REFUSED,     /* nothing listens there */
    RPC_UNREACHABLE, /* no way there, or the deadline passed before a connection stood (a black hole) */
    RPC_SILENT,      /* it takes the connection and says nothing: it is stopped, or serves another client */
    RPC_CLOSED,      /* it closes the connection: this machine may not use it, or it serves another client */
    RPC_OTHER,       /* what it says is not this protocol */
    RPC_VERSION,     /* another version of the protocol than wanted */
};

struct rpc_device {
    uint64_t total, free; /* bytes */
};

struct rpc_report {
    enum rpc_state state;
    int major, minor, patch;                    /* -1: not known */
    struct rpc_device devices[RPC_DEVICES_MAX]; /* RPC_OK without connect_only */
    size_t n_devices;
    double connect_ms; /* how long a connection took: a round trip; < 0: none came about */
    const char *text;  /* what is wrong with HOST:PORT and what to do about it, a sentence; "" for RPC_OK */
};

struct rpc_ask {
    const char *host; /* a name or an address; copied */
    int port;
    int timeout_ms;    /* for all of it */
    bool connect_only; /* is anything listening there, nothing more */
    int protocol;      /* the major version wanted; 0: RPC_PROTOCOL */
};

struct rpc_query;

/* The report holds during the call; the query is gone after it.  Never called before rpc_query_start has returned. */
typedef void rpc_report_cb(const struct rpc_report *r, void *arg);

/* Never blocks: a name is looked up by a thread of its own.  Never NULL. */
struct rpc_query *rpc_query_start(struct event_base *base, const struct rpc_ask *ask, rpc_report_cb *cb, void *arg);
void rpc_query_cancel(struct rpc_query *q); /* no report comes; NULL is fine; not inside the callback */

#endif
