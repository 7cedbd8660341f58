/* tightwad swarm status: what the swarms of this machine give out and pull. */
#include <stdio.h>

#include "cmd/cmd.h"
#include "cmd/swarm-look.h"
#include "cmd/swarm-show.h"

extern const struct cmd cmd_swarm_status;

static const struct cmd_option options[] = {
    {0, "json", NULL, "one JSON object a line for each process"},
    {0},
};

static int run(struct cmd_env *env, const struct cmd_args *args)
{
    size_t n;
    struct swarm_seen *list = swarm_look(&n);
    (void)env;
    for (size_t i = 0; i < n; i++) {
        if (cmd_args_has(args, "json")) {
            json_dumpf(list[i].json, stdout, JSON_COMPACT);
            putchar('\n');
        } else {
            swarm_show_status(&list[i].view, list[i].pid, stdout);
        }
    }
    swarm_look_free(list, n);
    if (n > 0 || cmd_args_has(args, "json"))
        return CMD_OK;
    return cmd_fail("no swarm runs here under your name: `tightwad swarm seed MODEL` starts one");
}

const struct cmd cmd_swarm_status = {
    .name = "status",
    .usage = "[--json]",
    .summary = "what the swarms on this machine give out and pull",
    .help = "Those of `swarm seed` and `swarm pull`, of agents and of instances, as far as they are your own.",
    .options = options,
    .run = run,
};
