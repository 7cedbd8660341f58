/* accept() as ggml's RPC server meets it in a worker. */
#ifndef TIGHTWAD_NODE_WORKER_ACCEPT_H
#define TIGHTWAD_NODE_WORKER_ACCEPT_H

/* From now on the first socket that something accepts on is taken for the RPC server's: nothing listens there any more,
 * and its clients are those that arrive as file descriptors on channel (worker-child.h); WORKER_READY is said each time
 * one is waited for.  The process ends when the channel does.  Other sockets are left alone. */
void worker_accept_from(int channel);

#endif
