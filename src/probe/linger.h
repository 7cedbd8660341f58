/* Leaving a conversation without hurting who has not answered yet. */
#ifndef TIGHTWAD_PROBE_LINGER_H
#define TIGHTWAD_PROBE_LINGER_H

/* Keeps a copy of the connected socket open until the other side has answered or hung up, an hour at most, even beyond
 * the end of this process: a small process of its own holds it.  ggml's rpc-server needs that: it serves one client
 * after the other, and when it gets to a request whose client has gone, its reply raises SIGPIPE, which ends it.  The
 * caller closes its own copy.  Returns a descriptor, owned by the caller, that becomes readable (end of file) when it
 * is over; -1 when it could not be done. */
int linger_keep(int fd);

#endif
