/* The process that does a worker's work: ggml's RPC server, in a child of the one that listens, so that a crash of it,
 * or a client that it hangs on, costs no more than this child.
 *
 * ggml's server makes a socket of its own and serves whoever it accepts there.  Here it gets its clients from the
 * parent instead: its accept() is answered by this program's (worker-accept.c), which waits for a connection that the
 * parent has accepted, looked at and passed on.  So nothing stands between client and server while they talk. */
#ifndef TIGHTWAD_NODE_WORKER_CHILD_H
#define TIGHTWAD_NODE_WORKER_CHILD_H

#include <stddef.h>

/* What the child says to the parent, a packet each; the first byte is the kind. */
enum worker_word {
    WORKER_DEVICES = 'd', /* JSON follows: {"protocol":"8.0.0","devices":[{name,description,type,total,free}]}, bytes */
    WORKER_FAILED = 'f',  /* text follows: why it can't serve; the child ends */
    WORKER_READY = 'r',   /* waits for a client; the one before is closed, its memory freed */
};
/* What the parent says: one byte (any) with a client's socket attached.  An end of the channel ends the child. */

enum { WORKER_WORD_MAX = 65536 };

struct worker_child_options {
    const char *devices; /* names with commas, as ggml lists them; NULL: the GPUs there are, else the CPU */
    const char *cache;   /* folder for large tensors; NULL: none */
    size_t threads;      /* of CPU devices */
};

/* In the child: loads ggml, says what it lends, and serves until the channel ends.  channel: a SOCK_SEQPACKET socket.
 */
void worker_child_run(const struct worker_child_options *o, int channel) __attribute__((noreturn));

#endif
