/* What a worker asks the kernel about the connections of its clients. */
#ifndef TIGHTWAD_NODE_WORKER_SOCKET_H
#define TIGHTWAD_NODE_WORKER_SOCKET_H

#include <stdbool.h>
#include <stdint.h>

/* Small messages go at once, and a peer that does not answer for 15 s is gone, whoever reads from the socket. */
void worker_socket_keep_watch(int fd);
/* The first byte that is there to be read, which it stays; -1: nothing yet, -2: the peer has closed. */
int worker_socket_first_byte(int fd);
/* Whether the peer owes an answer: what was sent, or a probe of whether it is there, is not acknowledged. */
bool worker_socket_is_suspect(int fd);
/* Bytes that came from the peer, and that it acknowledged, so far. */
void worker_socket_count(int fd, uint64_t *in, uint64_t *out);

#endif
