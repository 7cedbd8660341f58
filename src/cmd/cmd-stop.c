/* tightwad stop: the running instance, or its pool alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/order.h"

extern const struct cmd cmd_stop, cmd_proxy_stop;

static const struct cmd_option options[] = {
    {'p', "port", "PORT", "the instance that listens on this port"},
    {0, "pool", NULL, "the pool's programs alone: the endpoint stays, and says that its model is not there"},
    {0},
};

static int stop_pool(struct cmd_env *env, const struct cmd_args *args)
{
    struct client c;
    char *cause = NULL;
    int rc = order_connect(&c, env, args);
    if (rc != CMD_OK)
        return rc;
    if (order_send(&c, "pool-stop", NULL, &cause) != 0) {
        rc = cmd_fail_cause(cause);
    } else {
        bool off = false;
        while (!off) {
            json_t *pool = order_pool(&c, &cause);
            const char *state = json_string_value(json_object_get(pool, "state"));
            off = state == NULL || strcmp(state, "off") == 0;
            json_decref(pool);
            event_base_loopexit(c.base, &(struct timeval){0, 100000});
            event_base_loop(c.base, EVLOOP_NO_EXIT_ON_EMPTY);
        }
        if (cause != NULL)
            rc = cmd_fail_cause(cause);
        else
            printf("the pool is stopped; `tightwad start` starts it again\n");
    }
    client_finish(&c);
    return rc;
}

static int run(struct cmd_env *env, const struct cmd_args *args)
{
    return cmd_args_has(args, "pool") ? stop_pool(env, args) : cmd_proxy_stop.run(env, args);
}

const struct cmd cmd_stop = {
    .name = "stop",
    .usage = "[--port PORT] [--pool]",
    .summary = "end the running instance when the answers under way are finished",
    .help = "Its pool's programs end with it; workers on other machines stay.",
    .options = options,
    .run = run,
};
