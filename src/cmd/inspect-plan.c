#include "cmd/inspect-plan.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "cmd/self.h"
#include "engines/pool-plan.h"

enum { ASK_MS = 3500 };

/* What the command line would be, or what is wrong with it.  Owned by the caller. */
static char *command_line(const struct config *c, const struct config_model *m, const struct pool_plan *p,
                          const struct pool_program *program)
{
    const char *const start[] = {program->path, NULL};
    const struct pool_argv_ask ask = {.cfg = c,
                                      .model = m,
                                      .path = p->path,
                                      .binary = program->kind,
                                      .program = start,
                                      .help = program->help,
                                      .plan = p->split,
                                      .devices = p->devices,
                                      .ctx = p->ctx,
                                      .verify_slots = p->verify_slots};
    struct pool_argv a;
    char *cause = NULL;
    if (pool_argv_coordinator(&ask, &a, &cause) != 0)
        return cause;
    char *text = pool_argv_text(&a);
    pool_argv_finish(&a);
    return text;
}

static const struct config_model *pick_model(const struct config *c, const char *name)
{
    const struct config_model *m = name != NULL ? config_model_find(c, name) : config_model_default(c);
    if (m != NULL)
        return m;
    if (name == NULL) {
        cmd_fail(
            "no pool is configured: `models` in cluster.yaml names what it can load (configs/pool.yaml is an example)");
        return NULL;
    }
    const char *names[CONFIG_MODELS_MAX];
    for (size_t i = 0; i < c->pool.n_models; i++)
        names[i] = c->pool.models[i].name;
    const char *near = config_nearest(name, names, c->pool.n_models);
    cmd_fail("%s is not one of the configuration's models%s%s%s", name, near != NULL ? "; did you mean " : "",
             near != NULL ? near : "", near != NULL ? "?" : "");
    return NULL;
}

static int show(const struct config *c, const struct config_model *m, const struct pool_program *program, bool json)
{
    struct pool_facts facts;
    char *cause = NULL;
    size_t n_missing = 0;
    pool_facts_ask(c, ASK_MS, false, NULL, &facts);
    char *trouble = pool_facts_trouble(&facts, &n_missing);
    struct pool_plan *p = pool_plan_make(c, m, program->kind, &facts, &cause);
    if (trouble != NULL)
        fprintf(stderr, "tightwad: %s\n", trouble);
    free(trouble);
    if (p == NULL)
        return cmd_fail_cause(cause);
    char *line = command_line(c, m, p, program);
    if (json) {
        json_t *j = pool_plan_json(p, m);
        json_object_set_new(j, "command", json_string(line));
        json_dumpf(j, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(j);
    } else {
        char *text = pool_plan_text(p, m);
        printf("%s", text);
        if (p->split->fits)
            printf("\nIt would be started as\n  %s\n", line);
        free(text);
    }
    bool good = p->split->fits && n_missing == 0;
    free(line);
    pool_plan_destroy(p);
    return good ? CMD_OK : CMD_FAILED;
}

int inspect_plan(struct cmd_env *env, const char *model, bool json)
{
    struct config *c = cmd_load_config(env, false);
    if (c == NULL)
        return CMD_FAILED;
    const struct config_model *m = pick_model(c, model);
    struct pool_program program = {0};
    char *cause = NULL, *node = NULL;
    int rc = CMD_FAILED;
    if (m != NULL && c->pool.binaries.coordinator == NULL)
        node = self_node(&cause);
    if (m != NULL && (c->pool.binaries.coordinator != NULL || node != NULL) &&
        pool_program_find(c, node, &program, &cause) == 0) {
        rc = pool_argv_check_extra(c, program.help, &cause) == 0 ? show(c, m, &program, json) : CMD_FAILED;
        pool_program_finish(&program);
    }
    if (cause != NULL)
        rc = cmd_fail_cause(cause);
    free(node);
    config_destroy(c);
    return rc;
}
