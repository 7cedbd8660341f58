/* tightwad swap: another model in the place of the present one, while the endpoint serves. */
#include "cmd/order.h"

extern const struct cmd cmd_swap;

static const struct cmd_option options[] = {
    {'p', "port", "PORT", "the instance that listens on this port"},
    {0, "no-wait", NULL, "return as soon as the swap has begun"},
    {0},
};

static int run(struct cmd_env *env, const struct cmd_args *args)
{
    return order_run(env, args, "swap", args->words[0], order_follow);
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
