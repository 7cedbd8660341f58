#include "cmd/bench-config.h"

#include <stdlib.h>
#include <string.h>

#include "api/control.h"
#include "base/cause.h"
#include "base/mem.h"
#include "config/url.h"

enum {
    ASK_MS = 3500,
    HELP_MS = 10000,
    HELP_BYTES = 1 << 20,
};

static int check_idle(const struct config *cfg, char **cause)
{
    char *path = control_path((int)cfg->proxy.port);
    bool alive = control_alive(path);
    free(path);
    return alive ? cause_set(cause,
                             "an instance runs at port %d and may use the workers, which serve one coordinator "
                             "at a time: stop it first (`tightwad stop`)",
                             (int)cfg->proxy.port)
                 : 0;
}

/* models[].draft: another model, or a drafter of the proxy; without one, the first drafter that has a server. */
static int find_drafter(struct bench_config *c, char **cause)
{
    const char *name = c->model->draft;
    const struct config_model *model = name != NULL ? config_model_find(c->cfg, name) : NULL;
    if (model != NULL) {
        c->ctx = model->ctx_size > 0 ? (int)model->ctx_size : 0;
        c->drafter = pool_model_path(model, cause);
        return c->drafter != NULL ? 0 : -1;
    }
    for (size_t i = 0; i < c->cfg->proxy.n_drafters && c->server == NULL; i++) {
        const struct config_server *s = &c->cfg->proxy.drafters[i];
        if (s->url != NULL && (name == NULL || strcmp(s->name, name) == 0))
            c->server = s;
    }
    if (c->server != NULL && strncmp(c->server->url, "http://", 7) != 0)
        return cause_set(cause, "the drafter %s is at %s: only http:// can be measured", c->server->name,
                         c->server->url);
    return c->server != NULL ? 0
                             : cause_set(cause,
                                         "%s has no drafter that could be measured: `draft:` names another model "
                                         "or one of proxy.drafters",
                                         c->model->name);
}

/* Where nothing is said, the node has it off and llama-server on: both shall do the same arithmetic. */
static void settle_flash(struct bench_config *c)
{
    for (size_t i = 0; i < c->cfg->pool.n_models; i++) {
        if (c->cfg->pool.models[i].flash_attn == NULL)
            c->cfg->pool.models[i].flash_attn = xstrdup("off");
    }
}

int bench_config_init(struct bench_config *c, struct config *cfg, char **cause)
{
    size_t n_missing;
    *c = (struct bench_config){.cfg = cfg, .model = config_model_default(cfg)};
    settle_flash(c);
    if (check_idle(cfg, cause) != 0 || find_drafter(c, cause) != 0)
        return -1;
    c->target = pool_model_path(c->model, cause);
    if (c->target == NULL)
        return -1;
    pool_facts_ask(cfg, ASK_MS, false, NULL, &c->facts);
    char *trouble = pool_facts_trouble(&c->facts, &n_missing);
    if (n_missing > 0)
        cause_set(cause, "%s", trouble);
    free(trouble);
    for (size_t i = 0; i < c->facts.n_servers; i++)
        c->workers[c->n_workers++] = xstrdup(c->facts.servers[i].endpoint);
    return n_missing > 0 ? -1 : 0;
}

void bench_config_finish(struct bench_config *c)
{
    for (size_t i = 0; i < c->n_workers; i++)
        free(c->workers[i]);
    free(c->target);
    free(c->drafter);
    if (c->cfg != NULL)
        config_destroy(c->cfg);
    *c = (struct bench_config){0};
}

int bench_config_move(struct bench_config *c, char *const *addresses, char **cause)
{
    for (size_t i = 0; i < c->facts.n_servers; i++) {
        struct pool_server_fact *f = &c->facts.servers[i];
        struct config_worker *w = &c->cfg->pool.workers[f->worker];
        const char *colon = strrchr(addresses[i], ':');
        if (colon == NULL || strlen(addresses[i]) >= sizeof(f->endpoint))
            return cause_set(cause, "%s is no address", addresses[i]);
        free(w->host);
        w->host = xstrndup(addresses[i], (size_t)(colon - addresses[i]));
        w->gpus[f->gpu].rpc_port = atoi(colon + 1);
        strcpy(f->endpoint, addresses[i]);
    }
    return 0;
}

static char *ask_help(const char *const *program)
{
    const char *argv[16];
    size_t n = 0;
    for (; program[n] != NULL && n < ARRAY_LEN(argv) - 2; n++)
        argv[n] = program[n];
    argv[n++] = "--help";
    argv[n] = NULL;
    return child_output(argv, HELP_MS, HELP_BYTES);
}

static int plan_argv(struct bench_config *c, const char *const *program, const char *help, int verify_slots,
                     struct pool_argv *out, char **cause)
{
    enum pool_binary kind = pool_argv_kind(help);
    struct pool_plan *plan = pool_plan_make(c->cfg, c->model, kind, &c->facts, cause);
    if (plan == NULL)
        return -1;
    const struct pool_argv_ask ask = {.cfg = c->cfg,
                                      .model = c->model,
                                      .path = plan->path,
                                      .binary = kind,
                                      .program = program,
                                      .help = help,
                                      .plan = plan->split,
                                      .devices = plan->devices,
                                      .ctx = plan->ctx,
                                      .verify_slots = (size_t)verify_slots};
    int rc = plan->split->fits ? pool_argv_coordinator(&ask, out, cause) : cause_set(cause, "%s", plan->split->reason);
    pool_plan_destroy(plan);
    return rc;
}

int bench_config_argv(struct bench_config *c, struct stack *s, const char *const *program, int verify_slots,
                      struct stack_argv *out, int *port, char **cause)
{
    struct config_coordinator *at = &c->cfg->pool.coordinator;
    struct pool_argv made = {0};
    char *help = ask_help(program);
    if (help == NULL)
        return cause_set(cause, "%s does not answer --help", program[0]);
    free(at->host);
    at->host = xstrdup("127.0.0.1");
    at->port = *port = child_free_port(0);
    int rc = plan_argv(c, program, help, verify_slots, &made, cause);
    for (char **w = made.argv; rc == 0 && *w != NULL; w++)
        stack_arg(out, "%s", *w);
    for (char **e = made.env; rc == 0 && e != NULL && *e != NULL; e++)
        stack_set_env(s, *e);
    pool_argv_finish(&made);
    free(help);
    return rc;
}

const char *bench_config_draft_device(const struct bench_config *c)
{
    static const char *const names[][2] = {
        {"cuda", "CUDA0"}, {"hip", "ROCm0"}, {"vulkan", "Vulkan0"}, {"metal", "Metal"}};
    for (size_t i = 0; i < ARRAY_LEN(names) && c->cfg->pool.coordinator.n_gpus > 0; i++) {
        if (strcmp(c->cfg->pool.coordinator.backend, names[i][0]) == 0)
            return names[i][1];
    }
    return "none";
}
