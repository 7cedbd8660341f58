/* tightwad load: the pool's model, loaded anew or for the first time. */
#include "cmd/order.h"

extern const struct cmd cmd_load;

static const struct cmd_option options[] = {
    {'p', "port", "PORT", "the instance that listens on this port"},
    {0, "no-wait", NULL, "return as soon as the load has begun"},
    {0},
};

static int follow(struct client *c, const char *model, const json_t *before)
{
    return order_follow(c, model != NULL ? model : json_string_value(json_object_get(before, "model")), before);
}

static int run(struct cmd_env *env, const struct cmd_args *args)
{
    return order_run(env, args, "load", args->n_words > 0 ? args->words[0] : NULL, follow);
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
