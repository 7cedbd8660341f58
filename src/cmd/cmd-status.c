/* tightwad status: what the running instance does. */
#include "cmd/cmd.h"

extern const struct cmd cmd_status, cmd_proxy_status;

static const struct cmd_option options[] = {
    {'p', "port", "PORT", "the instance that listens on this port"},
    {0, "json", NULL, "the whole snapshot as JSON"},
    {0},
};

static int run(struct cmd_env *env, const struct cmd_args *args)
{
    return cmd_proxy_status.run(env, args);
}

const struct cmd cmd_status = {
    .name = "status",
    .usage = "[--port PORT] [--json]",
    .summary = "what the running instance does: its servers, the pool's devices, what is accepted",
    .options = options,
    .run = run,
};
