/* The token that an agent wants from whoever gives it orders: one line in a file that only its owner may read. */
#ifndef TIGHTWAD_AGENT_TOKEN_H
#define TIGHTWAD_AGENT_TOKEN_H

#include <stdbool.h>

/* $XDG_STATE_HOME/tightwad/agent-token, without that variable ~/.local/state/…; NULL and a cause where there is no
 * home. Owned by the caller. */
char *agent_token_path(char **cause);

/* The token in the file.  NULL and a cause, also when others may read the file.  Owned by the caller. */
char *agent_token_read(const char *path, char **cause);

/* The same; where there is no file one is made (mode 0600, the folder above it as well) with 256 random bits,
 * and *made is true. */
char *agent_token_load(const char *path, bool *made, char **cause);

#endif
