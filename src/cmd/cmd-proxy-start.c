/* tightwad proxy start: the endpoint itself, until it is stopped. */
#include "cmd/cmd.h"
#include "cmd/serve.h"

extern const struct cmd cmd_proxy_start;

static const struct cmd_option options[] = {
    {0, "no-ui", NULL, "no dashboard, log lines only (this release has no dashboard yet)"},
    {0, "daemon", NULL, "go to the background once it listens; the log goes to a file"},
    {0},
};

static int run(struct cmd_env *env, const struct cmd_args *args)
{
    return cmd_args_has(args, "daemon") ? serve_daemon(env) : serve_here(env);
}

const struct cmd cmd_proxy_start = {
    .name = "start",
    .usage = "[--no-ui] [--daemon]",
    .summary = "serve the OpenAI-compatible endpoint",
    .help =
        "Prints a line with ✓ or ✗ for the drafter, the target and the address, then log lines until it is stopped by\n"
        "Ctrl-C, SIGTERM or `tightwad proxy stop`: the answers under way are finished first.\n"
        "Where a pool is configured (`models:`), its programs are started and watched as well.\n"
        "An edit of the configuration file, or SIGHUP, takes over what is marked reloadable: adding a drafter needs "
        "no\n"
        "restart.\n\n"
        "  TIGHTWAD_TARGET_URL=http://big:8081 TIGHTWAD_DRAFT_URL=http://small:8081 tightwad proxy start",
    .options = options,
    .run = run,
};
