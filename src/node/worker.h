/* `tightwad worker`: lends this machine's devices to a pool.  A process that listens, lets in who may come in, and
 * keeps ggml's RPC server, its child, in order. */
#ifndef TIGHTWAD_NODE_WORKER_H
#define TIGHTWAD_NODE_WORKER_H

/* argv: what stands behind the verb.  Returns the exit status of the process: 0 after a signal, 1 failed, 2 the command
 * line is wrong. */
int worker_main(int argc, char **argv);

#endif
