/* The endpoint and the engines as a process: proxy, pool and API on one loop, until they are stopped. */
#ifndef TIGHTWAD_CMD_SERVE_H
#define TIGHTWAD_CMD_SERVE_H

#include <stdbool.h>

#include "cmd/cmd.h"

struct serve_opts {
    /* With the dashboard, where there is a terminal: this process then forks and waits (cmd/holder.h), so it must have
     * no threads by now. */
    bool ui;
    /* In a process of its own in the background: serve returns once that listens and has told how drafters, target and
     * pool are. */
    bool daemon;
    bool gate;              /* the quality gate is on, whatever the configuration says of that */
    const char *log_format; /* "text", "json", NULL: as the configuration says */
};

/* Serves until it is stopped.  Returns the exit code; messages have been printed.  A daemon: CMD_FAILED where it could
 * not be started, or where its pool is not up (it stays, and tries again). */
int serve(struct cmd_env *env, const struct serve_opts *opts);

#endif
