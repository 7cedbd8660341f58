/* Are llama.cpp's RPC workers there?  ggml aborts the whole process on one that is not, so a plain TCP connect comes
 * first; nothing is said over it, for a worker serves one client at a time. */
#ifndef TIGHTWAD_NODE_RPC_PROBE_H
#define TIGHTWAD_NODE_RPC_PROBE_H

/* list: HOST:PORT,…  Blocks, at most timeout_ms each.  0, or -1 and a cause that names every one that can't be
 * reached. */
int rpc_probe(const char *list, int timeout_ms, char **cause);

#endif
