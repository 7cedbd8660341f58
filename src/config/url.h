/* The URL of a server. */
#ifndef TIGHTWAD_CONFIG_URL_H
#define TIGHTWAD_CONFIG_URL_H

#include <stdbool.h>

/* Checks scheme, host and port, and drops a slash or /v1 at the end.  Owned by the caller; NULL and a cause that says
 * what would be right. */
char *url_normalise(const char *text, char **cause);

/* host:port of a normalised URL (the scheme's port where none is written).  Owned by the caller. */
char *url_host_port(const char *url);

/* Of a normalised URL. */
bool url_has_port(const char *url);

#endif
