/* tightwad proxy start: the endpoint itself, until it is stopped. */
#include <string.h>

#include "cmd/cmd.h"
#include "cmd/serve.h"

extern const struct cmd cmd_proxy_start;

static const struct cmd_option options[] = {
    {0, "no-ui", NULL, "no dashboard: a line for each event, on stderr"},
    {0, "log-format", "FORMAT", "text, or json: one object a line"},
    {0, "daemon", NULL, "go to the background once it listens; the log goes to a file"},
    {0},
};

static int run(struct cmd_env *env, const struct cmd_args *args)
{
    const char *format = cmd_args_get(args, "log-format");
    if (format != NULL && strcmp(format, "text") != 0 && strcmp(format, "json") != 0)
        return cmd_usage_error("--log-format: %s is neither text nor json", format);
    bool ui = !cmd_args_has(args, "no-ui") && format == NULL;
    return serve(env, &(struct serve_opts){.ui = ui, .daemon = cmd_args_has(args, "daemon"), .log_format = format});
}

const struct cmd cmd_proxy_start = {
    .name = "start",
    .usage = "[--no-ui] [--log-format FORMAT] [--daemon]",
    .summary = "serve the OpenAI-compatible endpoint",
    .help =
        "On a terminal it opens the dashboard: ? helps, q ends it, and asks whether the engines stop or go on without "
        "a\n"
        "terminal.  Elsewhere, and with --no-ui, it prints a line with ✓ or ✗ for the drafter, the target and the\n"
        "address, then log lines until it is stopped by Ctrl-C, SIGTERM or `tightwad proxy stop`: the answers under\n"
        "way are finished first.  A service manager is told how it is (sd_notify).\n"
        "Where a pool is configured (`models:`), its programs are started and watched as well.\n"
        "An edit of the configuration file, or SIGHUP, takes over what is marked reloadable: adding a drafter needs "
        "no\n"
        "restart.\n\n"
        "  TIGHTWAD_TARGET_URL=http://big:8081 TIGHTWAD_DRAFT_URL=http://small:8081 tightwad proxy start",
    .options = options,
    .run = run,
};
