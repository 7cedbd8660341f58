/* The endpoint and the engines as a process: proxy, pool and API on one loop, until they are stopped. */
#ifndef TIGHTWAD_CMD_SERVE_H
#define TIGHTWAD_CMD_SERVE_H

#include "cmd/cmd.h"

/* Serves in this process.  Returns the exit code; messages have been printed. */
int serve_here(struct cmd_env *env);
/* Serves in a process of its own in the background: returns once it listens and has told how drafters, target and pool
 * are.  CMD_FAILED where it could not be started, or where its pool is not up (it stays, and tries again). */
int serve_daemon(struct cmd_env *env);

#endif
