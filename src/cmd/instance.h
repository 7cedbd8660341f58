/* A running proxy seen from the command line: found by its control socket. */
#ifndef TIGHTWAD_CMD_INSTANCE_H
#define TIGHTWAD_CMD_INSTANCE_H

#include "cmd/client.h"
#include "cmd/cmd.h"

/* The instance meant by the configuration's port (or --port, 0: not given); where nothing named one, the only one that
 * runs.  0 and *client connected to its control socket (finish it), or -1 and a cause that lists those that run. */
int instance_find(struct client *client, const struct cmd_env *env, int port, char **cause);

/* What the instance at the other end is called in messages.  Owned by the caller. */
char *instance_name(const struct client *c);

#endif
