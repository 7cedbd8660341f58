/* Looks for what can work in a cluster: on this machine's loopback, in its private networks, on machines that are
 * named.
 *
 * Tried are the ports of Ollama (11434), llama-server (8080, 9931), nodes (8081), workers (50052) and agents (9191); on
 * this machine and on machines that are named also 8082 to 8084 and 50053 to 50055, where a second one would be.  What
 * takes a connection is asked what it is (probe/scan-ask.h).  A worker serves one client at a time, so it is only
 * connected to unless ask_workers is set. */
#ifndef TIGHTWAD_PROBE_SCAN_H
#define TIGHTWAD_PROBE_SCAN_H

#include <stdbool.h>
#include <stddef.h>

#include <event2/event.h>

#include "http/httpc.h"
#include "probe/machine.h"

struct scan;

enum { SCAN_ADDRESSES = 1024, SCAN_SOCKETS = 256, SCAN_CONNECT_MS = 400, SCAN_TIMEOUT_MS = 20000 };

/* All copied.  Zeroed: this machine and the private networks that it is in. */
struct scan_opts {
    const char *const *subnets; /* "192.168.7.0/24": tried as well, private or not */
    size_t n_subnets;
    const char *const *hosts; /* "NAME", "NAME:PORT" (that port alone), "[IPV6]:PORT": tried first */
    size_t n_hosts;
    bool no_loopback;        /* leave this machine out */
    bool no_local;           /* leave its networks out: only what is named.  `--subnet` and `--host` mean that */
    bool ask_workers;        /* those that may be free are asked for their memory; not while a pool may be using them */
    const char *agent_token; /* told to agents on the hosts that are named, and to nobody else */
    size_t addresses;        /* most that are tried; 0: SCAN_ADDRESSES */
    int sockets;             /* most at once; 0: SCAN_SOCKETS, or fewer where the process may not have so many */
    int connect_ms;          /* 0: SCAN_CONNECT_MS */
    int timeout_ms;          /* of all; 0: SCAN_TIMEOUT_MS */
};

/* done of total addresses with their ports are tried; found: what is known so far of a machine at which something was
 * just found, holds during the call; NULL: nothing new.  total grows while names are looked up. */
typedef void scan_progress_cb(size_t done, size_t total, const struct machine *found, void *arg);

struct scan_summary {
    size_t addresses, tried, open; /* addresses; ports tried; those that took a connection */
    size_t left_out;               /* addresses over the limit */
    bool timed_out;                /* what was found so far is all */
    char **note; /* what could not be done, a line each: "gpu-box: no machine of this name is known" */
    size_t n_notes;
    double seconds;
};

/* list: owned by the callee: machine_finish each, then free.  The machine at address "127.0.0.1" is this one (what is
 * found on its other addresses is there as well).  The summary holds during the call.  The scan is gone after it.
 * Never called before scan_start has returned. */
typedef void scan_done_cb(struct machine *list, size_t n, const struct scan_summary *s, void *arg);

/* progress may be NULL.  Never blocks.  NULL and a cause when a subnet or a host can't be read. */
struct scan *scan_start(struct event_base *base, struct httpc *http, const struct scan_opts *opts,
                        scan_progress_cb *progress, scan_done_cb *done, void *arg, char **cause);
void scan_cancel(struct scan *s); /* no callback comes any more; not inside one; NULL is fine */

#endif
