/* tightwad config: is the file right, what is in force, what can be written. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "cmd/cmd.h"
#include "cmd/self.h"
#include "engines/pool-plan.h"

extern const struct cmd cmd_config;

/* extra_args are checked against what the coordinator's binary says of itself.  How many errors. */
static size_t check_extra_args(const struct config *c)
{
    struct pool_program program;
    char *cause = NULL, *node = NULL;
    size_t errors = 0;
    if (!config_has_pool(c) || c->pool.coordinator.extra_args.n == 0)
        return 0;
    if (!c->pool.binaries.coordinator)
        node = self_node(&cause);
    if ((!c->pool.binaries.coordinator && !node) || pool_program_find(c, node, &program, &cause) != 0) {
        fprintf(stderr, "warning: coordinator.extra_args could not be checked: %s\n", cause);
    } else {
        if (pool_argv_check_extra(c, program.help, &cause) != 0) {
            fprintf(stderr, "%s\n", cause);
            errors = 1;
        }
        pool_program_finish(&program);
    }
    free(cause);
    free(node);
    return errors;
}

static int run_check(struct cmd_env *env, const struct cmd_args *args)
{
    struct config_findings findings = {0};
    char *path = args->n_words > 0 ? xstrdup(args->words[0]) : config_find(env->config);
    const char *what = path ? path : "no file (defaults and the environment)";
    struct config *c = config_load(path, &findings);
    config_findings_print(&findings, stderr);
    size_t errors = 0;
    for (size_t i = 0; i < findings.n; i++)
        errors += findings.list[i].error;
    if (c && !c->proxy.target.url && !config_has_pool(c))
        fprintf(stderr, "%s: warning: no target is configured, so `proxy start` will not start\n",
                path ? path : "environment");
    if (c)
        errors += check_extra_args(c);
    if (errors == 0 && c)
        printf("%s: no errors\n", what);
    else
        printf("%s: %zu error%s\n", what, errors, errors == 1 ? "" : "s");
    int rc = c && errors == 0 ? CMD_OK : CMD_FAILED;
    config_destroy(c);
    config_findings_finish(&findings);
    free(path);
    return rc;
}

static int run_show(struct cmd_env *env, const struct cmd_args *args)
{
    struct config *c = cmd_load_config(env, false);
    if (!c)
        return CMD_FAILED;
    if (cmd_args_has(args, "json")) {
        json_t *j = config_show_json(c);
        json_dumpf(j, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(j);
    } else {
        config_show(c, stdout);
    }
    config_destroy(c);
    return CMD_OK;
}

static int run_reference(struct cmd_env *env, const struct cmd_args *args)
{
    (void)env;
    config_reference(stdout);
    return CMD_OK;
}

static const struct cmd config_check = {
    .name = "check",
    .usage = "[FILE]",
    .summary = "name every error of a configuration, with file and line",
    .help = "Without FILE it checks the one in use.  Variables of the environment (TIGHTWAD_…) are checked with it.\n"
            "Exit code 0: no errors; 1: there are some, or the file can't be read.",
    .max_words = 1,
    .run = run_check,
};

static const struct cmd config_reference_cmd = {
    .name = "reference",
    .usage = "",
    .summary = "print the page doc/configuration.md, made from the option table",
    .hidden = true,
    .run = run_reference,
};

static const struct cmd_option show_options[] = {
    {0, "json", NULL, "one JSON object instead of YAML"},
    {0},
};

static const struct cmd config_show_cmd = {
    .name = "show",
    .usage = "[--json]",
    .summary = "print the values in force and where each came from",
    .help = "The output is YAML that a file could hold; keys and tokens are shown as (set).\n"
            "In the JSON form, sizes are bytes and durations milliseconds.",
    .options = show_options,
    .run = run_show,
};

static const struct cmd *const subs[] = {&config_check, &config_reference_cmd, &config_show_cmd, NULL};

const struct cmd cmd_config = {
    .name = "config",
    .usage = "check|show",
    .summary = "check the configuration, or show what is in force",
    .help = "The file is found at -c FILE, $TIGHTWAD_CONFIG, ./tightwad.yaml, ./configs/cluster.yaml,\n"
            "~/.config/tightwad/cluster.yaml, /etc/tightwad/cluster.yaml; cluster.yaml(5) has its options.",
    .subs = subs,
};
