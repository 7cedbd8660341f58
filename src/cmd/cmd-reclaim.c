/* tightwad reclaim: the memory that the model's file takes in the page cache. */
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "cmd/order.h"

extern const struct cmd cmd_reclaim;

enum { WAIT_US = 60 * 1000 * 1000 };

static const struct cmd_option options[] = {
    {'p', "port", "PORT", "the instance that listens on this port"},
    {0, "no-wait", NULL, "return as soon as it has begun"},
    {0},
};

static json_int_t reclaims(const json_t *pool)
{
    return json_integer_value(json_object_get(pool, "reclaims"));
}

static int wait_done(struct client *c, const char *model, const json_t *before)
{
    (void)model;
    char *cause = NULL;
    int64_t until = clock_us() + WAIT_US;
    json_t *pool = NULL;
    do {
        json_decref(pool);
        event_base_loopexit(c->base, &(struct timeval){0, 100000});
        event_base_loop(c->base, EVLOOP_NO_EXIT_ON_EMPTY);
        pool = order_pool(c, &cause);
    } while (pool != NULL && reclaims(pool) == reclaims(before) && clock_us() < until);
    if (pool == NULL)
        return cmd_fail_cause(cause);
    bool done = reclaims(pool) != reclaims(before);
    printf("%s\n", done ? json_string_value(json_object_get(pool, "reclaim_note")) : "it goes on in the background");
    json_decref(pool);
    return CMD_OK;
}

static int run(struct cmd_env *env, const struct cmd_args *args)
{
    return order_run(env, args, "reclaim", NULL, wait_done);
}

const struct cmd cmd_reclaim = {
    .name = "reclaim",
    .usage = "[--port PORT] [--no-wait]",
    .summary = "give back the memory that the model's file takes in the page cache",
    .help = "For a model whose weights are on GPUs or other machines: the file was read once, and its pages are of no "
            "use any\n"
            "more.  Refused where this machine's CPU computes with them.  `ram_reclaim: auto` does it by itself where "
            "memory is\n"
            "short.",
    .options = options,
    .run = run,
};
