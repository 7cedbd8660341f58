/* What a person orders a pool to do.  Each is checked against the state at once and carried out by the machine. */
#include <stdlib.h>
#include <string.h>

#include "base/cause.h"
#include "base/log.h"
#include "base/mem.h"
#include "engines/pool-internal.h"

/* The configured model of that name, or -1 and a cause with the nearest one. */
static int find_model(const struct pool *p, const char *name, char **cause)
{
    const char *names[CONFIG_MODELS_MAX];
    size_t n = p->cfg->pool.n_models;
    if (config_model_find(p->cfg, name) != NULL)
        return 0;
    for (size_t i = 0; i < n; i++)
        names[i] = p->cfg->pool.models[i].name;
    const char *near = config_nearest(name, names, n);
    if (near != NULL)
        return cause_set(cause, "no model %s is configured; did you mean %s?", name, near);
    char *list = xstrdup(names[0]);
    for (size_t i = 1; i < n; i++) {
        char *longer = xasprintf("%s, %s", list, names[i]);
        free(list);
        list = longer;
    }
    cause_set(cause, "no model %s is configured; there %s: %s", name, n == 1 ? "is" : "are", list);
    free(list);
    return -1;
}

/* Nothing serves: the model is started right away. */
static int start_now(struct pool *p, const char *model, char **cause)
{
    bool same = strcmp(model, p->model) == 0;
    uint32_t running = proxy_snapshot(p->proxy)->running;
    if (!same && running > 0)
        return cause_set(cause,
                         "%u answers wait for %s to come back, and another model could not go on with them: try again "
                         "when it is up, or stop the pool first",
                         (unsigned)running, p->model);
    p->wanted = true;
    p->attempts = 0;
    p->backoff_ms = 0;
    if (!same) {
        free(p->model);
        p->model = xstrdup(model);
        p->came_up = p->lost_before = false;
        proxy_pool_hold(p->proxy, model, NULL, NULL);
    }
    pool_begin(p);
    return 0;
}

static int replace_now(struct pool *p, const char *model, char **cause)
{
    if (p->next != NULL)
        return cause_set(cause, "%s is being loaded in the place of %s: one swap at a time", p->next, p->model);
    switch (p->state) {
    case POOL_UP:
        p->next = xstrdup(model);
        p->drained = false;
        p->swap_error[0] = '\0';
        pool_check_next(p);
        return 0;
    case POOL_STARTING:
        if (strcmp(model, p->model) == 0)
            return cause_set(cause, "%s is being loaded already", model);
        if (proxy_snapshot(p->proxy)->running > 0)
            return cause_set(cause, "answers wait for %s to come back: try again when it is up", p->model);
        p->next = xstrdup(model);
        proxy_pool_hold(p->proxy, model, NULL, NULL);
        pool_end_program(p, 1000);
        return 0;
    case POOL_DRAINING:
    case POOL_STOPPING:
        return cause_set(cause, "the pool is being stopped: try again in a moment");
    default:
        return start_now(p, model, cause);
    }
}

int pool_start(struct pool *p, const char *model, char **cause)
{
    if (model == NULL)
        model = p->model;
    if (find_model(p, model, cause) != 0)
        return -1;
    bool same = strcmp(model, p->model) == 0;
    if (p->state == POOL_UP || p->state == POOL_STARTING || p->state == POOL_DRAINING || p->state == POOL_STOPPING) {
        if (!same)
            return cause_set(cause, "%s runs already: `tightwad swap %s` replaces it", p->model, model);
        if (p->state == POOL_UP || p->state == POOL_STARTING)
            return 0;
        return cause_set(cause, "the pool is being stopped: try again in a moment");
    }
    return start_now(p, model, cause);
}

int pool_stop(struct pool *p, char **cause)
{
    free(p->next);
    p->next = NULL;
    p->wanted = false;
    switch (p->state) {
    case POOL_OFF:
        return cause_set(cause, "the pool does not run");
    case POOL_UP:
        p->drained = false;
        pool_drain(p);
        break;
    case POOL_STARTING:
        pool_end_program(p, 1000);
        break;
    case POOL_PREFLIGHT:
    case POOL_BACKOFF:
    case POOL_FAILED:
        pool_off(p);
        break;
    case POOL_DRAINING:
    case POOL_STOPPING: /* goes on, to another end */
        break;
    }
    log_info("the pool is stopped by a command");
    return 0;
}

int pool_swap(struct pool *p, const char *model, char **cause)
{
    if (find_model(p, model, cause) != 0)
        return -1;
    if (p->state == POOL_UP && p->next == NULL && strcmp(model, p->model) == 0)
        return cause_set(cause, "%s is loaded already (`tightwad load` loads it anew)", model);
    return replace_now(p, model, cause);
}

int pool_load(struct pool *p, const char *model, char **cause)
{
    if (model == NULL)
        model = p->model;
    return find_model(p, model, cause) != 0 ? -1 : replace_now(p, model, cause);
}
