/* Commands given to a running instance from the command line, and what comes of them. */
#ifndef TIGHTWAD_CMD_ORDER_H
#define TIGHTWAD_CMD_ORDER_H

#include <jansson.h>

#include "cmd/client.h"
#include "cmd/cmd.h"

/* The instance meant by --port or the configuration: CMD_OK and *c connected (client_finish it), else the exit code;
 * the message has been printed. */
int order_connect(struct client *c, struct cmd_env *env, const struct cmd_args *args);

/* {"command":NAME,"model":MODEL}; model NULL: without it.  0, or -1 and a cause. */
int order_send(struct client *c, const char *command, const char *model, char **cause);

/* What the pool says now: the "pool" of the status, new reference.  NULL and a cause, also where none is configured. */
json_t *order_pool(struct client *c, char **cause);

/* Follows a start, load or swap on the terminal until the pool is up with model (NULL: with any), or it has failed.
 * before: the pool as it was before the order.  Prints how it ended; returns the exit code. */
int order_follow(struct client *c, const char *model, const json_t *before);

/* What follows an order that was taken: model as it was sent (may be NULL), before: the pool as it was.  Returns the
 * exit code. */
typedef int order_then(struct client *c, const char *model, const json_t *before);

/* A verb that is one order: connects, sends, and unless --no-wait is given goes on with `then`.  Returns the exit code;
 * what went wrong has been printed. */
int order_run(struct cmd_env *env, const struct cmd_args *args, const char *command, const char *model,
              order_then *then);

#endif
