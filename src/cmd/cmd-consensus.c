/* tightwad consensus: how the drafters of the running instance vote, and how often they were wrong. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "cmd/order.h"
#include "cmd/show-modes.h"
#include "cmd/term.h"

extern const struct cmd cmd_consensus;

enum { TIMEOUT_MS = 10000 };

static const struct cmd_option options[] = {
    {'p', "port", "PORT", "the instance that listens on this port"},
    {0, "save", NULL, "with a MODE: write it to the configuration file too"},
    {0, "json", NULL, "without one: consensus's part of the snapshot as JSON"},
    {0},
};

static int set(struct client *c, const char *mode, bool save)
{
    char *cause = NULL;
    json_t *request = json_pack("{s:s, s:s, s:b}", "command", "consensus", "mode", mode, "save", save);
    json_t *reply = client_get(c, "/v1/tightwad/command", request, TIMEOUT_MS, &cause);
    json_decref(request);
    if (reply == NULL)
        return cmd_fail_cause(cause);
    json_decref(reply);
    if (strcmp(mode, "off") == 0)
        printf("consensus is off\n");
    else
        printf("consensus is %s: what it answers is approximate; NAME@exact stays exact\n", mode);
    return CMD_OK;
}

static int show(struct client *c, bool as_json)
{
    char *cause = NULL;
    json_t *status = client_get(c, "/v1/tightwad/status", NULL, TIMEOUT_MS, &cause);
    if (status == NULL)
        return cmd_fail_cause(cause);
    const json_t *consensus = json_object_get(status, "consensus");
    if (as_json) {
        char *dump = json_dumps(consensus, JSON_INDENT(2) | JSON_ENCODE_ANY);
        puts(dump);
        free(dump);
    } else if (json_is_object(consensus)) {
        show_consensus(consensus, term_colour(stdout));
    } else {
        printf("consensus is off: `tightwad consensus strict`, or proxy.consensus_mode in cluster.yaml, turns it on\n");
    }
    json_decref(status);
    return CMD_OK;
}

static int run(struct cmd_env *env, const struct cmd_args *args)
{
    struct client c;
    if (args->n_words > 0 && cmd_args_has(args, "json"))
        return cmd_usage_error("consensus: --json goes without a MODE");
    int rc = order_connect(&c, env, args);
    if (rc != CMD_OK)
        return rc;
    rc = args->n_words > 0 ? set(&c, args->words[0], cmd_args_has(args, "save")) : show(&c, cmd_args_has(args, "json"));
    client_finish(&c);
    return rc;
}

const struct cmd cmd_consensus = {
    .name = "consensus",
    .usage = "[MODE] [--port PORT] [--save] [--json]",
    .summary = "what drafters agree on goes out unchecked (approximate): switch it, or see how it does",
    .help = "MODE is off, strict (all drafters agree on a token), majority (more than half do) or any_disagree (one\n"
            "doubt sends the whole window to the target).  A MODE also lifts a suspension for too many errors.\n"
            "Without one it says how much was done without the target, and how often what was checked was wrong.",
    .options = options,
    .max_words = 1,
    .run = run,
};
