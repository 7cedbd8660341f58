/* A TCP socket to listen on, with the words for what can be wrong with an address. */
#ifndef TIGHTWAD_HTTP_LISTEN_H
#define TIGHTWAD_HTTP_LISTEN_H

/* A socket that is bound (close-on-exec, blocking, not listening yet); port 0: any free one.  host: a name or an
 * address; IPv4 goes before IPv6.  -1 and a cause that says what would help. */
int listen_bind(const char *host, int port, char **cause);
/* The port that fd is bound to, -1 if none. */
int listen_port(int fd);
/* Fills cause for errno of a bind or listen that failed.  Returns -1. */
int listen_explain(const char *host, int port, char **cause);

#endif
