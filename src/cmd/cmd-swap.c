/* tightwad swap: another model in the place of the present one, while the endpoint serves. */
#include <stdlib.h>

#include "cmd/order.h"

extern const struct cmd cmd_swap;

static const struct cmd_option options[] = {
    {'p', "port", "PORT", "the instance that listens on this port"},
    {0, "no-wait", NULL, "return as soon as the swap has begun"},
    {0},
};

static int run(struct cmd_env *env, const struct cmd_args *args)
{
    struct client c;
    char *cause = NULL;
    int rc = order_connect(&c, env, args);
    if (rc != CMD_OK)
        return rc;
    json_t *before = order_pool(&c, &cause);
    if (before == NULL || order_send(&c, "swap", args->words[0], &cause) != 0)
        rc = cmd_fail_cause(cause);
    else if (!cmd_args_has(args, "no-wait"))
        rc = order_follow(&c, args->words[0], before);
    json_decref(before);
    client_finish(&c);
    return rc;
}

const struct cmd cmd_swap = {
    .name = "swap",
    .usage = "MODEL [--port PORT] [--no-wait]",
    .summary = "put another model of cluster.yaml in the place of the one that runs",
    .help = "The new model is checked first: its file, its place in the pool.  Then the answers under way are finished "
            "by the\n"
            "old one, and requests that come meanwhile wait for the new one (`max_queue` of them).  The workers keep "
            "running\n"
            "and keep their tensor cache.  A model that can't be loaded leaves the old one where it is, or brings it "
            "back.",
    .options = options,
    .min_words = 1,
    .max_words = 1,
    .run = run,
};
