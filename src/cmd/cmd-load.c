/* tightwad load: the pool's model, loaded anew or for the first time. */
#include <stdlib.h>

#include "cmd/order.h"

extern const struct cmd cmd_load;

static const struct cmd_option options[] = {
    {'p', "port", "PORT", "the instance that listens on this port"},
    {0, "no-wait", NULL, "return as soon as the load has begun"},
    {0},
};

static int run(struct cmd_env *env, const struct cmd_args *args)
{
    const char *model = args->n_words > 0 ? args->words[0] : NULL;
    struct client c;
    char *cause = NULL;
    int rc = order_connect(&c, env, args);
    if (rc != CMD_OK)
        return rc;
    json_t *before = order_pool(&c, &cause);
    if (before == NULL || order_send(&c, "load", model, &cause) != 0) {
        rc = cmd_fail_cause(cause);
    } else if (!cmd_args_has(args, "no-wait")) {
        const char *same = json_string_value(json_object_get(before, "model"));
        rc = order_follow(&c, model != NULL ? model : same, before);
    }
    json_decref(before);
    client_finish(&c);
    return rc;
}

const struct cmd cmd_load = {
    .name = "load",
    .usage = "[MODEL] [--port PORT] [--no-wait]",
    .summary = "load the pool's model anew, or another one",
    .help = "Without a MODEL the one that runs, or was meant to.  Tries again at once what had failed; takes workers "
            "that came\n"
            "back into the pool; begins with an edited configuration.  The answers under way are finished first.",
    .options = options,
    .max_words = 1,
    .run = run,
};
