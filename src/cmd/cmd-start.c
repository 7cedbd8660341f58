/* tightwad start: the whole cluster from cluster.yaml, in the background. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/control.h"
#include "cmd/cockpit.h"
#include "cmd/order.h"
#include "cmd/serve.h"

extern const struct cmd cmd_start;

static const struct cmd_option options[] = {
    {0, "no-ui", NULL, "in the background, as without a terminal"},
    {0, "no-wait", NULL, "where an instance runs already: return as soon as its pool has begun to start"},
    {0},
};

/* 1: an instance listens at the configured port, 0: none, -1: no configuration (told).  *pool: it is to have one. */
static int is_running(const struct cmd_env *env, bool *pool)
{
    struct config *cfg = cmd_load_config(env, true);
    if (cfg == NULL)
        return -1;
    char *path = control_path((int)cfg->proxy.port);
    bool alive = control_alive(path);
    *pool = config_target_is_pool(cfg);
    free(path);
    config_destroy(cfg);
    return alive;
}

static const char runs_already[] = "it runs already; `tightwad --attach` shows it, `tightwad stop` ends it\n";

static int start_pool(struct cmd_env *env, const struct cmd_args *args)
{
    struct cmd_option port[] = {{'p', "port", "PORT", ""}, {0}};
    const char *none = NULL;
    struct cmd_args no_args = {.options = port, .values = &none};
    struct client c;
    char *cause = NULL;
    int rc = order_connect(&c, env, &no_args);
    if (rc != CMD_OK)
        return rc;
    json_t *before = order_pool(&c, &cause);
    const char *state = json_string_value(json_object_get(before, "state"));
    if (before == NULL || order_send(&c, "pool-start", NULL, &cause) != 0)
        rc = cmd_fail_cause(cause);
    else if (state != NULL && strcmp(state, "up") == 0)
        fputs(runs_already, stdout);
    else if (!cmd_args_has(args, "no-wait"))
        rc = order_follow(&c, NULL, before);
    json_decref(before);
    client_finish(&c);
    return rc;
}

static int run(struct cmd_env *env, const struct cmd_args *args)
{
    bool pool = false;
    int running = is_running(env, &pool);
    if (running < 0)
        return CMD_FAILED;
    if (running && !pool) {
        fputs(runs_already, stdout);
        return CMD_OK;
    }
    bool ui = !cmd_args_has(args, "no-ui") && cockpit_possible();
    return running ? start_pool(env, args) : serve(env, &(struct serve_opts){.ui = ui, .daemon = !ui});
}

const struct cmd cmd_start = {
    .name = "start",
    .usage = "[--no-ui] [--no-wait]",
    .summary = "start the cluster of cluster.yaml: the endpoint and the pool",
    .help = "On a terminal it opens the dashboard; whoever leaves that with q can leave the cluster running.\n"
            "Elsewhere, and with --no-ui, the cluster runs in the background: this returns when the model is loaded, "
            "or says\n"
            "what is in the way; the endpoint stays up and tries again then.\n"
            "Where an instance runs already its pool is started, if it was stopped.",
    .options = options,
    .run = run,
};
