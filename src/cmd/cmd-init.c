/* tightwad init: from what is there to a cluster.yaml. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/token.h"
#include "base/cause.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "cmd/cockpit.h"
#include "cmd/first-run.h"
#include "cmd/init-yes.h"
#include "cmd/self.h"
#include "cmd/survey.h"
#include "config/url.h"

extern const struct cmd cmd_init;

/* What the options say, and what they point to. */
struct given {
    struct init_ask ask;
    struct here_opts here;
    struct scan_opts scan;
    const char *subnets[SURVEY_NAMES], *hosts[SURVEY_NAMES + 2];
    const char *folder[1];
    char *server[2]; /* HOST:PORT of what is given by its url */
    char *subnet_text, *host_text, *target_url, *draft_url, *cloud_url, *node, *model, *token;
};

/* A url as the configuration has it; not given: NULL.  -1 and a cause. */
static int take_url(const struct cmd_args *args, const char *option, char **url, char **cause)
{
    const char *text = cmd_args_get(args, option);
    if (text == NULL)
        return 0;
    char *why = NULL, *longer = strstr(text, "://") == NULL ? xasprintf("http://%s", text) : xstrdup(text);
    *url = url_normalise(longer, &why);
    free(longer);
    if (*url == NULL)
        *cause = xasprintf("--%s: %s", option, why);
    free(why);
    return *url != NULL ? 0 : -1;
}

/* A folder is looked through; a file (or ollama:NAME) is the target. */
static int take_model_path(struct given *g, const char *path, char **cause)
{
    struct stat st;
    if (path == NULL)
        return 0;
    if (strncmp(path, "ollama:", 7) == 0) {
        g->model = xstrdup(path);
    } else if (stat(path, &st) != 0) {
        *cause = xasprintf("--model-path: there is no file or folder %s", path);
        return -1;
    } else if (S_ISDIR(st.st_mode)) {
        g->folder[0] = path;
        g->here.folders = g->folder;
        g->here.n_folders = 1;
    } else {
        g->model = realpath(path, NULL);
    }
    return 0;
}

/* What the answers are to promise. */
static int take_mode(struct advice_wish *w, const char *name, char **cause)
{
    for (int m = 0; name != NULL && m < ADVICE_MODES; m++) {
        if (strcmp(name, advice_mode_name((enum advice_mode)m)) == 0) {
            w->mode = (enum advice_mode)m;
            return 0;
        }
    }
    return name == NULL ? 0 : cause_set(cause, "--mode is exact, consensus or gate, not %s", name);
}

/* Servers that are given are asked what they are, whatever else is looked at; with both of them nothing else is. */
static void take_servers(struct given *g)
{
    const char *const urls[] = {g->target_url, g->draft_url};
    for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
        g->server[i] = urls[i] != NULL ? url_host_port(urls[i]) : NULL;
        if (g->server[i] != NULL)
            g->hosts[g->scan.n_hosts++] = g->server[i];
    }
    if (g->target_url != NULL && g->draft_url != NULL)
        g->scan.no_local = g->scan.no_loopback = true;
}

/* Workers are asked what they lend only where no configuration is in use: a pool of it might be using them. */
static bool is_first(const struct cmd_env *env)
{
    char *path = config_find(env->config);
    bool there = path != NULL && access(path, F_OK) == 0;
    free(path);
    return !there;
}

static int take(struct given *g, const struct cmd_args *args, char **cause)
{
    struct advice_wish *w = &g->ask.wish;
    advice_wish_init(w);
    g->node = self_node(NULL);
    g->here.node = g->node;
    g->subnet_text = survey_split(cmd_args_get(args, "subnet"), g->subnets, &g->scan.n_subnets);
    g->host_text = survey_split(cmd_args_get(args, "host"), g->hosts, &g->scan.n_hosts);
    g->scan.subnets = g->subnets;
    g->scan.hosts = g->hosts;
    g->scan.no_local = cmd_args_has(args, "local") || g->scan.n_subnets + g->scan.n_hosts > 0;
    g->ask.here = &g->here;
    g->ask.scan = &g->scan;
    if (cmd_args_has(args, "token-file")) {
        g->token = agent_token_read(cmd_args_get(args, "token-file"), cause);
        if (g->token == NULL)
            return -1;
        g->scan.agent_token = g->token;
    }
    if (take_url(args, "target-url", &g->target_url, cause) != 0 ||
        take_url(args, "draft-url", &g->draft_url, cause) != 0 ||
        take_url(args, "api-url", &g->cloud_url, cause) != 0 ||
        take_model_path(g, cmd_args_get(args, "model-path"), cause) != 0 ||
        take_mode(w, cmd_args_get(args, "mode"), cause) != 0)
        return -1;
    if (cmd_args_has(args, "local") && g->scan.n_subnets + g->scan.n_hosts > 0) {
        *cause = xstrdup("--local is this machine alone: leave --subnet and --host out");
        return -1;
    }
    w->target_url = g->target_url;
    w->draft_url = g->draft_url;
    w->target_name = cmd_args_has(args, "target-model") ? cmd_args_get(args, "target-model") : g->model;
    w->draft_name = cmd_args_get(args, "draft-model");
    w->cloud_url = g->cloud_url;
    w->cloud_model = cmd_args_get(args, "api-model");
    w->cloud_key = cmd_args_get(args, "api-key");
    w->no_node = g->node == NULL;
    take_servers(g);
    return 0;
}

static void finish(struct given *g)
{
    char *const texts[] = {g->subnet_text, g->host_text, g->target_url, g->draft_url, g->cloud_url,
                           g->node,        g->model,     g->server[0],  g->server[1], g->token};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        free(texts[i]);
}

static int run(struct cmd_env *env, const struct cmd_args *args)
{
    struct given g = {.subnet_text = NULL};
    char *cause = NULL;
    int rc;
    g.scan.ask_workers = is_first(env);
    if (take(&g, args, &cause) != 0) {
        rc = cmd_usage_error("init: %s", cause);
        free(cause);
    } else if (!cmd_args_has(args, "yes") && cockpit_possible()) {
        rc = first_run(env, &g.here, &g.ask.wish, &g.scan);
    } else if (!cmd_args_has(args, "yes")) {
        rc = cmd_usage_error("init: without a terminal there is nobody to ask: --yes takes what is advised");
    } else {
        rc = init_yes(env, &g.ask);
    }
    finish(&g);
    return rc;
}

static const struct cmd_option options[] = {
    {0, "api-key", "VARIABLE", "the variable of the environment that holds the API's key"},
    {0, "api-model", "NAME", "the model to ask the API for"},
    {0, "api-url", "URL", "an OpenAI-compatible API is to answer, and a model here drafts"},
    {0, "draft-model", "NAME", "this model drafts"},
    {0, "draft-url", "URL", "the drafter's server; with --target-url too, nothing is looked for"},
    {0, "host", "NAME[:PORT],…", "ask these machines, and no network unless --subnet names it"},
    {0, "local", NULL, "this machine alone"},
    {0, "mode", "MODE", "exact (what is taken without it), consensus or gate (both approximate)"},
    {0, "model-path", "PATH", "a folder to look for models in, or the file that is to be the target"},
    {0, "subnet", "CIDR,…", "scan these networks instead of the local ones: 192.168.7.0/24"},
    {0, "target-model", "NAME", "this model answers; one that is not there yet is named with how to fetch it"},
    {0, "target-url", "URL", "the target's server: http://192.168.1.20:8081"},
    {0, "token-file", "FILE", "the token of the agents on the machines that --host names"},
    {'y', "yes", NULL, "ask nothing: take what is advised"},
    {0},
};

const struct cmd cmd_init = {
    .name = "init",
    .usage = "[--yes] [options]",
    .summary = "look at what is there, and write a cluster.yaml for it",
    .help =
        "Probes this machine and the network, decides who answers, who drafts and who lends memory, says why, writes\n"
        "the configuration with comments, and tries it.  The file is the one given with -c, else the one in use, else\n"
        "cluster.yaml in $XDG_CONFIG_HOME/tightwad or ~/.config/tightwad; one that is there already is kept beside it "
        "as\n"
        "cluster.yaml.bak.  Exit code 0: written, and the target answers (or `tightwad start` will run it); 1: "
        "nothing\n"
        "was written, or the target does not answer yet.\n\n"
        "    tightwad init --yes\n"
        "    tightwad init --yes --local\n"
        "    tightwad init --yes --target-url http://big:8081 --draft-url http://old:11434 --draft-model qwen3:0.6b",
    .options = options,
    .run = run,
};
