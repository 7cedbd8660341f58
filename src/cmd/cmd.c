#include "cmd/cmd.h"

#include <ctype.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cause.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "cmd/cockpit.h"
#include "cmd/first-run.h"

extern const struct cmd cmd_agent;
extern const struct cmd cmd_attach;
extern const struct cmd cmd_bench;
extern const struct cmd cmd_chat;
extern const struct cmd cmd_config;
extern const struct cmd cmd_consensus;
extern const struct cmd cmd_demo;
extern const struct cmd cmd_distribute;
extern const struct cmd cmd_doctor;
extern const struct cmd cmd_gate;
extern const struct cmd cmd_init;
extern const struct cmd cmd_inspect;
extern const struct cmd cmd_load;
extern const struct cmd cmd_logs;
extern const struct cmd cmd_manifest;
extern const struct cmd cmd_node;
extern const struct cmd cmd_probe;
extern const struct cmd cmd_proxy;
extern const struct cmd cmd_reclaim;
extern const struct cmd cmd_relay;
extern const struct cmd cmd_start;
extern const struct cmd cmd_status;
extern const struct cmd cmd_stop;
extern const struct cmd cmd_swap;
extern const struct cmd cmd_swarm;
extern const struct cmd cmd_tune;
extern const struct cmd cmd_worker;

/* clang-format off */
const struct cmd *const cmd_table[] = {
    &cmd_agent,
    &cmd_attach,
    &cmd_bench,
    &cmd_chat,
    &cmd_config,
    &cmd_consensus,
    &cmd_demo,
    &cmd_distribute,
    &cmd_doctor,
    &cmd_gate,
    &cmd_init,
    &cmd_inspect,
    &cmd_load,
    &cmd_logs,
    &cmd_manifest,
    &cmd_node,
    &cmd_probe,
    &cmd_proxy,
    &cmd_reclaim,
    &cmd_relay,
    &cmd_start,
    &cmd_status,
    &cmd_stop,
    &cmd_swap,
    &cmd_swarm,
    &cmd_tune,
    &cmd_worker,
    NULL,
};
/* clang-format on */

static const struct cmd_option common_options[] = {
    {'c', "config", "FILE", "the configuration file (else the first found, see cluster.yaml(5))"},
    {'h', "help", NULL, "this text"},
    {0},
};

/* A cause may hold words of strangers, and lines: those stay, what a terminal would take for orders goes. */
static int complain(const char *fmt, va_list ap)
{
    char *text = xvasprintf(fmt, ap), *line = text;
    fprintf(stderr, "tightwad: ");
    for (bool more = true; more;) {
        size_t n = strcspn(line, "\n");
        char *clean = utf8_printable(line, n);
        more = line[n] == '\n';
        fprintf(stderr, "%s\n", clean);
        free(clean);
        line += n + more;
    }
    free(text);
    return CMD_FAILED;
}

int cmd_fail(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int rc = complain(fmt, ap);
    va_end(ap);
    return rc;
}

int cmd_usage_error(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    complain(fmt, ap);
    va_end(ap);
    return CMD_USAGE;
}

int cmd_fail_cause(char *cause)
{
    int rc = cmd_fail("%s", cause != NULL ? cause : "failed");
    free(cause);
    return rc;
}

struct config *cmd_load_config(const struct cmd_env *env, bool want_target)
{
    struct config_findings findings = {0};
    char *path = config_find(env->config);
    struct config *c = config_load(path, &findings);
    config_findings_print(&findings, stderr);
    config_findings_finish(&findings);
    if (c == NULL) {
        fprintf(stderr, "tightwad: nothing was started: the configuration has errors\n");
    } else if (want_target && c->proxy.target.url == NULL && !config_has_pool(c)) {
        fprintf(stderr,
                "tightwad: no target is configured%s%s.  Name one in cluster.yaml:\n\n"
                "    proxy:\n      target:\n        url: http://HOST:PORT\n\n"
                "or in TIGHTWAD_TARGET_URL, or try `tightwad demo`, which needs no configuration.\n",
                path != NULL ? " in " : " (no file was found)", path != NULL ? path : "");
        config_destroy(c);
        c = NULL;
    }
    free(path);
    return c;
}

static void print_verbs(const struct cmd *const *table, FILE *to)
{
    for (; *table != NULL; table++) {
        if (!(*table)->hidden)
            fprintf(to, "  %-9s %s\n", (*table)->name, (*table)->summary);
    }
}

static void print_help(FILE *to)
{
    fprintf(to,
            "Usage: tightwad [-c FILE] VERB …\n\n"
            "One OpenAI-compatible endpoint from many machines: a small model drafts, a big one checks, and the text\n"
            "is what the big one alone would have written.\n\nVerbs:\n");
    print_verbs(cmd_table, to);
    fprintf(to, "\nOptions:\n");
    cmd_options_print(common_options, to);
    fprintf(to, "      --attach [URL|SOCKET]  the dashboard on an instance that runs\n"
                "      --version              the version\n\n"
                "`tightwad VERB --help` tells more.  To see it work, with no configuration: tightwad demo\n");
}

static void print_verb_help(const char *path, const struct cmd *c, FILE *to)
{
    fprintf(to, "Usage: tightwad %s%s%s\n\n%c%s.\n", path, c->usage[0] != '\0' ? " " : "", c->usage,
            toupper((unsigned char)c->summary[0]), c->summary + 1);
    if (c->help != NULL)
        fprintf(to, "\n%s\n", c->help);
    if (c->subs != NULL) {
        fprintf(to, "\nVerbs:\n");
        print_verbs(c->subs, to);
    }
    fprintf(to, "\nOptions:\n");
    cmd_options_print(c->options, to);
    cmd_options_print(common_options, to);
}

static const struct cmd *find(const struct cmd *const *table, const char *name)
{
    for (; table != NULL && *table != NULL; table++) {
        if (strcmp((*table)->name, name) == 0)
            return *table;
    }
    return NULL;
}

static int unknown_verb(const struct cmd *const *table, const char *path, const char *word)
{
    size_t n = 0;
    const char *names[64];
    for (; *table != NULL && n < ARRAY_LEN(names); table++) {
        if (!(*table)->hidden)
            names[n++] = (*table)->name;
    }
    const char *space = path[0] != '\0' ? " " : "";
    char *prefix = xasprintf("tightwad %s%s", path, space);
    char *hint = cmd_did_you_mean(prefix, word, names, n);
    cmd_fail("there is no verb \"%s%s%s\"%s  `tightwad%s%s --help` lists them", path, space, word,
             hint[0] != '\0' ? hint : ";", path[0] != '\0' ? " " : "", path);
    free(prefix);
    free(hint);
    return CMD_USAGE;
}

/* The verb's own options and those that every verb has. */
static struct cmd_option *all_options(const struct cmd *c)
{
    size_t n = 0, k = 0;
    while (c->options != NULL && c->options[n].name != NULL)
        n++;
    struct cmd_option *all = xcalloc(n + ARRAY_LEN(common_options), sizeof(*all));
    for (; k < n; k++)
        all[k] = c->options[k];
    for (size_t i = 0; i < ARRAY_LEN(common_options); i++)
        all[k++] = common_options[i];
    return all;
}

static int run_parsed(struct cmd_env *env, const char *path, const struct cmd *c, int argc, char **argv)
{
    struct cmd_option *options = all_options(c);
    struct cmd_args args;
    char *cause = NULL;
    int rc;
    if (cmd_args_parse(&args, options, argc, argv, &cause) != 0) {
        rc = cmd_usage_error("%s: %s  (`tightwad %s --help` lists them)", path, cause, path);
        free(cause);
    } else if (cmd_args_has(&args, "help")) {
        print_verb_help(path, c, stdout);
        rc = CMD_OK;
    } else if (args.n_words > c->max_words) {
        rc = cmd_usage_error("%s: \"%s\" is one word too many\nUsage: tightwad %s %s", path, args.words[c->max_words],
                             path, c->usage);
    } else if (args.n_words < c->min_words) {
        rc = cmd_usage_error("%s: a word is missing\nUsage: tightwad %s %s", path, path, c->usage);
    } else {
        if (cmd_args_has(&args, "config"))
            env->config = cmd_args_get(&args, "config");
        rc = c->run(env, &args);
    }
    cmd_args_finish(&args);
    free(options);
    return rc;
}

static int run_raw(struct cmd_env *env, const struct cmd *c, int argc, char **argv)
{
    struct cmd_args args = {.words = (const char **)argv, .n_words = (size_t)argc};
    return c->run(env, &args);
}

/* -c FILE in all its spellings at argv[*i]: 1 taken (and *i stands on its last word), 0 something else, -1 no value. */
static int take_config(struct cmd_env *env, int *i, int argc, char **argv)
{
    const char *s = argv[*i];
    if (strncmp(s, "--config=", 9) == 0) {
        env->config = s + 9;
        return 1;
    }
    if (strcmp(s, "-c") == 0 || strcmp(s, "--config") == 0) {
        if (*i + 1 >= argc)
            return -1;
        env->config = argv[++*i];
        return 1;
    }
    if (strncmp(s, "-c", 2) == 0 && s[2] != '\0' && strncmp(s, "--", 2) != 0) {
        env->config = s + 2;
        return 1;
    }
    return 0;
}

static bool is_help(const char *s)
{
    return strcmp(s, "--help") == 0 || strcmp(s, "-h") == 0;
}

static int run_verb(struct cmd_env *env, const char *path, const struct cmd *c, int argc, char **argv)
{
    if (c->raw)
        return run_raw(env, c, argc, argv);
    if (c->subs == NULL)
        return run_parsed(env, path, c, argc, argv);
    int i = 0;
    while (i < argc && take_config(env, &i, argc, argv) == 1)
        i++;
    const struct cmd *sub = i < argc ? find(c->subs, argv[i]) : NULL;
    if (sub != NULL) {
        char *longer = xasprintf("%s %s", path, sub->name);
        int rc = run_verb(env, longer, sub, argc - i - 1, argv + i + 1);
        free(longer);
        return rc;
    }
    bool word = i < argc && argv[i][0] != '-';
    if (c->run != NULL && !(word && c->max_words == 0))
        return run_parsed(env, path, c, argc, argv);
    if (i < argc && is_help(argv[i])) {
        print_verb_help(path, c, stdout);
        return CMD_OK;
    }
    if (word)
        return unknown_verb(c->subs, path, argv[i]);
    fprintf(stderr, "tightwad: %s wants one of:\n", path);
    print_verbs(c->subs, stderr);
    return CMD_USAGE;
}

int cmd_main(int argc, char **argv)
{
    struct cmd_env env = {0};
    int i = 1;
    signal(SIGPIPE, SIG_IGN);
    for (; i < argc && argv[i][0] == '-'; i++) {
        int taken = take_config(&env, &i, argc, argv);
        if (taken < 0)
            return cmd_usage_error("%s wants a file: %s FILE", argv[i], argv[i]);
        if (taken == 1)
            continue;
        if (is_help(argv[i])) {
            print_help(stdout);
            return CMD_OK;
        }
        if (strcmp(argv[i], "--attach") == 0)
            return run_verb(&env, "attach", &cmd_attach, argc - i - 1, argv + i + 1);
        if (strncmp(argv[i], "--attach=", 9) == 0) {
            argv[i] += 9;
            return run_verb(&env, "attach", &cmd_attach, argc - i, argv + i);
        }
        if (strcmp(argv[i], "--version") == 0 || strcmp(argv[i], "-V") == 0) {
            printf("tightwad " TIGHTWAD_VERSION "\n");
            return CMD_OK;
        }
        static const char *const names[] = {"attach", "config", "help", "version"};
        char *hint = cmd_did_you_mean("--", argv[i] + strspn(argv[i], "-"), names, ARRAY_LEN(names));
        int rc = cmd_usage_error("there is no option %s%s", argv[i], hint);
        free(hint);
        return rc;
    }
    bool terminal = false;
    const char *trouble = cockpit_trouble(&terminal);
    if (i == argc && trouble == NULL)
        return first_run_or_cluster(&env);
    if (i == argc && terminal)
        return cmd_fail("%s.  Without one: `tightwad init --yes`, then `tightwad proxy start --no-ui`", trouble);
    if (i == argc) {
        print_help(stdout);
        printf("\nOn a terminal `tightwad` alone sets a cluster up, and shows it from then on; without one: tightwad "
               "init --yes\n");
        return CMD_OK;
    }
    if (strcmp(argv[i], "help") == 0) { /* `help VERB` as other programs have it */
        const struct cmd *c = i + 1 < argc ? find(cmd_table, argv[i + 1]) : NULL;
        if (i + 1 < argc && c == NULL)
            return unknown_verb(cmd_table, "", argv[i + 1]);
        if (c != NULL && !c->raw)
            print_verb_help(c->name, c, stdout);
        else if (c == NULL)
            print_help(stdout);
        else
            return run_verb(&env, c->name, c, 1, (char *[]){"--help", NULL});
        return CMD_OK;
    }
    const struct cmd *c = find(cmd_table, argv[i]);
    return c != NULL ? run_verb(&env, c->name, c, argc - i - 1, argv + i + 1) : unknown_verb(cmd_table, "", argv[i]);
}
