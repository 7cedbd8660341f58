/* The rows of the command table that are about the swarm. */
#include <string.h>

#include "base/cause.h"
#include "engines/command-rows.h"
#include "engines/swarm-host.h"

static struct swarm_host *the_swarm(const struct engines *e, char **cause)
{
    if (e->swarm == NULL)
        cause_set(cause,
                  "this instance takes no part in a swarm: cluster.yaml wants swarm.enabled: true, and a restart");
    return e->swarm;
}

static const char *text_arg(const json_t *args, const char *key)
{
    return json_string_value(json_object_get(args, key));
}

json_t *command_swarm_pull(const struct engines *e, const json_t *args, char **cause)
{
    struct swarm_host *h = the_swarm(e, cause);
    if (h == NULL || swarm_host_pull(h, text_arg(args, "what"), text_arg(args, "peer"), cause) != 0)
        return NULL;
    return json_pack("{s:b}", "ok", 1);
}

json_t *command_swarm_cancel(const struct engines *e, const json_t *args, char **cause)
{
    struct swarm_host *h = the_swarm(e, cause);
    return h == NULL || swarm_host_cancel(h, text_arg(args, "what"), cause) != 0 ? NULL : json_pack("{s:b}", "ok", 1);
}

int command_swarm_share(const struct engines *e, const json_t *args, struct command_call *call, char **cause)
{
    struct swarm_host *h = the_swarm(e, cause);
    return h == NULL ? -1 : swarm_host_share(h, text_arg(args, "path"), call, cause);
}
