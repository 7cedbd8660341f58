#include "cmd/order.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cause.h"
#include "base/json.h"
#include "cmd/instance.h"

enum {
    TIMEOUT_MS = 10000,
    LOOK_MS = 150,
    LOOKS_STALE = 2, /* the snapshot may be a quarter of a second old */
};

int order_connect(struct client *c, struct cmd_env *env, const struct cmd_args *args)
{
    char *cause = NULL;
    int64_t port = 0;
    *c = (struct client){0};
    if (cmd_args_int(args, "port", 1, 65535, &port, &cause) != 0)
        return cmd_fail_cause(cause), CMD_USAGE;
    return instance_find(c, env, (int)port, &cause) == 0 ? CMD_OK : cmd_fail_cause(cause);
}

int order_send(struct client *c, const char *command, const char *model, char **cause)
{
    json_t *request = json_pack("{s:s, s:s*}", "command", command, "model", model);
    json_t *reply = client_get(c, "/v1/tightwad/command", request, TIMEOUT_MS, cause);
    json_decref(request);
    json_decref(reply);
    return reply != NULL ? 0 : -1;
}

json_t *order_pool(struct client *c, char **cause)
{
    json_t *status = client_get(c, "/v1/tightwad/status", NULL, TIMEOUT_MS, cause);
    json_t *pool = json_incref(json_object_get(status, "pool"));
    json_decref(status);
    if (json_is_object(pool))
        return pool;
    if (status != NULL)
        cause_set(cause, "the running instance has no pool: cluster.yaml wants an entry under models, and the target "
                         "must be the pool's coordinator");
    json_decref(pool);
    return NULL;
}

static bool is_state(const json_t *pool, const char *state)
{
    return strcmp(json_text(pool, "state"), state) == 0;
}

static void nap(struct client *c)
{
    event_base_loopexit(c->base, &(struct timeval){0, LOOK_MS * 1000});
    event_base_loop(c->base, EVLOOP_NO_EXIT_ON_EMPTY);
}

/* One line that is written over, on a terminal only. */
static void show(const json_t *pool)
{
    const json_t *progress = json_object_get(pool, "progress");
    const char *next = json_text(pool, "next");
    if (!isatty(STDERR_FILENO))
        return;
    if (json_is_number(progress))
        fprintf(stderr, "\r%s: loading, %.0f %%\033[K", json_text(pool, "model"), 100 * json_number_value(progress));
    else
        fprintf(stderr, "\r%s: %s\033[K", next[0] != '\0' ? next : json_text(pool, "model"),
                json_text(pool, "why")[0] != '\0' ? json_text(pool, "why") : json_text(pool, "state"));
    fflush(stderr);
}

static void clear(void)
{
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[K");
}

/* 1: it is done, -1: it has failed (with a cause), 0: under way. */
static int judge(const json_t *pool, const char *model, const json_t *before, char **cause)
{
    bool idle = json_text(pool, "next")[0] == '\0';
    bool right = model == NULL || strcmp(json_text(pool, "model"), model) == 0;
    bool more =
        json_integer_value(json_object_get(pool, "swaps")) > json_integer_value(json_object_get(before, "swaps"));
    if (idle && is_state(pool, "up") && json_text(pool, "swap_error")[0] != '\0')
        return cause_set(cause, "%s", json_text(pool, "swap_error"));
    if (idle && is_state(pool, "up") && right && (more || !is_state(before, "up") || model == NULL))
        return 1;
    if (idle && (is_state(pool, "failed") || is_state(pool, "backoff")))
        return cause_set(cause, "%s is not loaded: %s", json_text(pool, "model"), json_text(pool, "why"));
    if (is_state(pool, "off"))
        return cause_set(cause, "the pool was stopped meanwhile");
    return 0;
}

int order_follow(struct client *c, const char *model, const json_t *before)
{
    char *cause = NULL;
    int verdict = 0;
    for (int looks = 0; verdict == 0; looks++) {
        nap(c);
        json_t *pool = order_pool(c, &cause);
        if (pool == NULL)
            break;
        show(pool);
        verdict = looks < LOOKS_STALE ? 0 : judge(pool, model, before, &cause);
        if (verdict > 0) {
            clear();
            printf("%s is loaded, after %.1f s\n", json_text(pool, "model"),
                   json_number_value(json_object_get(pool, "load_ms")) / 1000);
        }
        json_decref(pool);
    }
    if (verdict > 0)
        return CMD_OK;
    clear();
    return cmd_fail_cause(cause);
}

int order_run(struct cmd_env *env, const struct cmd_args *args, const char *command, const char *model,
              order_then *then)
{
    struct client c;
    char *cause = NULL;
    int rc = order_connect(&c, env, args);
    if (rc != CMD_OK)
        return rc;
    json_t *before = order_pool(&c, &cause);
    if (before == NULL || order_send(&c, command, model, &cause) != 0)
        rc = cmd_fail_cause(cause);
    else if (!cmd_args_has(args, "no-wait"))
        rc = then(&c, model, before);
    json_decref(before);
    client_finish(&c);
    return rc;
}
