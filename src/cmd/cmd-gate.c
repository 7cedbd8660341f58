/* tightwad gate: the quality gate of the running instance, switched on and off. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cause.h"
#include "base/json.h"
#include "cmd/cockpit.h"
#include "cmd/instance.h"
#include "cmd/order.h"
#include "cmd/serve.h"
#include "cmd/show-modes.h"
#include "cmd/term.h"

extern const struct cmd cmd_gate;

enum { TIMEOUT_MS = 10000 };

static const char not_configured[] =
    "no quality gate is configured%s%s.  It wants agents, small models that write the answers; write into "
    "cluster.yaml:\n\n"
    "    quality_gate:\n"
    "      agents:\n"
    "        - url: http://HOST:PORT\n"
    "          name: laptop\n\n"
    "The target reviews what they write, or a server of its own (verifier: {url: …}); see configs/quality-gate.yaml.";

static const struct cmd_option start_options[] = {
    {'p', "port", "PORT", "the instance that listens on this port"},
    {0, "save", NULL, "write it to the configuration file too"},
    {0, "no-ui", NULL, "where no instance runs: start it in the background, as without a terminal"},
    {0},
};

static const struct cmd_option stop_options[] = {
    {'p', "port", "PORT", "the instance that listens on this port"},
    {0, "save", NULL, "write it to the configuration file too"},
    {0},
};

static const struct cmd_option status_options[] = {
    {'p', "port", "PORT", "the instance that listens on this port"},
    {0, "json", NULL, "the gate's part of the snapshot as JSON"},
    {0},
};

/* What the running instance says of its gate, new reference; the exit code where it has none. */
static int ask(struct client *c, json_t **gate)
{
    char *cause = NULL;
    json_t *status = client_get(c, "/v1/tightwad/status", NULL, TIMEOUT_MS, &cause);
    if (status == NULL)
        return cmd_fail_cause(cause);
    const char *config = json_text(status, "config");
    *gate = json_incref(json_object_get(status, "gate"));
    int rc = json_is_object(*gate)
                 ? CMD_OK
                 : cmd_fail(not_configured, config[0] != '\0' ? " in " : "", config[0] != '\0' ? config : "");
    json_decref(status);
    return rc;
}

static int turn(struct client *c, const struct cmd_args *args, bool on)
{
    json_t *gate = NULL;
    int rc = ask(c, &gate);
    json_decref(gate);
    if (rc != CMD_OK)
        return rc;
    char *cause = NULL;
    json_t *request =
        json_pack("{s:s, s:b, s:b}", "command", "gate", "on", on, "save", cmd_args_has(args, "save") ? 1 : 0);
    json_t *reply = client_get(c, "/v1/tightwad/command", request, TIMEOUT_MS, &cause);
    json_decref(request);
    if (reply == NULL)
        return cmd_fail_cause(cause);
    json_decref(reply);
    if (on)
        printf("the quality gate is on: what it answers is approximate; NAME@exact stays exact\n");
    else
        printf("the quality gate is off: NAME@gate is served exactly; `tightwad gate start` turns it on again\n");
    return CMD_OK;
}

/* As `tightwad start` does, with the gate on. */
static int start_instance(struct cmd_env *env, const struct cmd_args *args)
{
    struct config *cfg = cmd_load_config(env, true);
    if (cfg == NULL)
        return CMD_FAILED;
    bool save = cmd_args_has(args, "save") && cfg->path != NULL;
    char *cause = NULL;
    int rc = CMD_OK;
    if (!cfg->gate.configured)
        rc = cmd_fail(not_configured, cfg->path != NULL ? " in " : "", cfg->path != NULL ? cfg->path : "");
    else if (save && config_file_set(cfg->path, "quality_gate.enabled", "true", &cause) != 0)
        rc = cmd_fail("%s: %s", cfg->path, cause);
    free(cause);
    config_destroy(cfg);
    if (rc != CMD_OK)
        return rc;
    bool ui = !cmd_args_has(args, "no-ui") && cockpit_possible();
    return serve(env, &(struct serve_opts){.ui = ui, .daemon = !ui, .gate = true});
}

static int run_start(struct cmd_env *env, const struct cmd_args *args)
{
    struct client c = {0};
    char *cause = NULL;
    int64_t port = 0;
    if (cmd_args_int(args, "port", 1, 65535, &port, &cause) != 0)
        return cmd_fail_cause(cause), CMD_USAGE;
    if (instance_find(&c, env, (int)port, &cause) != 0) {
        if (port != 0)
            return cmd_fail_cause(cause);
        free(cause);
        return start_instance(env, args);
    }
    int rc = turn(&c, args, true);
    client_finish(&c);
    return rc;
}

static int run_stop(struct cmd_env *env, const struct cmd_args *args)
{
    struct client c;
    int rc = order_connect(&c, env, args);
    if (rc != CMD_OK)
        return rc;
    rc = turn(&c, args, false);
    client_finish(&c);
    return rc;
}

static int run_status(struct cmd_env *env, const struct cmd_args *args)
{
    struct client c;
    json_t *gate = NULL;
    int rc = order_connect(&c, env, args);
    if (rc != CMD_OK)
        return rc;
    rc = ask(&c, &gate);
    if (rc == CMD_OK && cmd_args_has(args, "json")) {
        char *dump = json_dumps(gate, JSON_INDENT(2));
        puts(dump);
        free(dump);
    } else if (rc == CMD_OK) {
        show_gate(gate, term_colour(stdout));
    }
    json_decref(gate);
    client_finish(&c);
    return rc;
}

static const struct cmd cmd_gate_start = {
    .name = "start",
    .usage = "[--port PORT] [--save] [--no-ui]",
    .summary = "let the quality gate answer",
    .help =
        "In the running instance at once.  Where none runs it is started as `tightwad start` does, with the gate on.",
    .options = start_options,
    .run = run_start,
};

static const struct cmd cmd_gate_status = {
    .name = "status",
    .usage = "[--port PORT] [--json]",
    .summary = "what the gate has approved, corrected and rejected, and how its agents do",
    .options = status_options,
    .run = run_status,
};

static const struct cmd cmd_gate_stop = {
    .name = "stop",
    .usage = "[--port PORT] [--save]",
    .summary = "serve exactly what asked for the gate; the endpoint stays",
    .options = stop_options,
    .run = run_stop,
};

static const struct cmd *const subs[] = {&cmd_gate_start, &cmd_gate_status, &cmd_gate_stop, NULL};

const struct cmd cmd_gate = {
    .name = "gate",
    .usage = "start|status|stop",
    .summary = "the quality gate: small models write, the big one reviews (approximate)",
    .subs = subs,
};
