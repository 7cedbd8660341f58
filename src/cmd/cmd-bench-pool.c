/* tightwad bench pool: a target that is pooled over workers, alone and with drafts, against stock llama-server. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cause.h"
#include "base/mem.h"
#include "cmd/bench-llama.h"
#include "cmd/bench-run.h"
#include "cmd/cmd.h"
#include "cmd/self.h"

extern const struct cmd cmd_bench_pool;

static const struct cmd_option options[] = {
    {0, "link", "MS[,MBIT]", "put an emulated link before each worker and the drafter: one-way delay, rate"},
    {0, "drafter-link", "MS[,MBIT]", "another one for the drafter"},
    {0, "drafter-rate", "N", "hold the drafter to N tokens a second"},
    {'w', "workers", "N", "how many workers are started (2); 0: the target is on this machine alone"},
    {0, "drafter", "MODEL", "the drafter's model: a demo model by its name, or a file (small)"},
    {0, "drafters", "MODELS", "several, with commas: each of them alone, and all together"},
    {0, "target", "MODEL", "the target's, likewise, instead of the configured pool's (target)"},
    {0, "ngram", NULL, "prompts that are to be repeated, and drafts from the text itself"},
    {'p', "prompts", "N|FILE", "how many of the built-in prompts, or one a line from a file (8)"},
    {'r', "runs", "N", "how often every row is measured, all rows in turn (3)"},
    {'m', "tokens", "N", "at most N tokens an answer (160)"},
    {0, "only", "ROWS", "these rows alone, by name or pattern, with commas: pool,auto,'stock*'"},
    {0, "llama-server", "PATH", "the stock server to compare with (else $PATH's); - for none"},
    {0, "json", NULL, "one JSON object on stdout instead of words"},
    {0},
};

static bool is_number(const char *text)
{
    return text[0] != '\0' && text[strspn(text, "0123456789")] == '\0';
}

static int choose_prompts(struct bench_setup *p, const struct cmd_args *args, char **cause)
{
    const char *given = cmd_args_get(args, "prompts");
    int64_t n = 8;
    if (given != NULL && !is_number(given))
        return prompts_load(&p->prompts, given, cause) == 0 ? CMD_OK : CMD_FAILED;
    if (cmd_args_int(args, "prompts", 1, cmd_args_has(args, "drafters") ? PROMPTS_MIXED : PROMPTS_LONG, &n, cause) != 0)
        return CMD_USAGE;
    if (cmd_args_has(args, "drafters"))
        prompts_mixed(&p->prompts, (size_t)n);
    else if (cmd_args_has(args, "ngram"))
        prompts_repeat(&p->prompts, (size_t)n, 1);
    else
        prompts_long(&p->prompts, (size_t)n);
    return CMD_OK;
}

/* A demo model by its short name, or a file. */
static char *find_model(const char *name, char **cause)
{
    if (strchr(name, '/') != NULL || strchr(name, '.') != NULL) {
        if (access(name, R_OK) == 0)
            return xstrdup(name);
        cause_set(cause, "the model %s cannot be read: %s", name, strerror(errno));
        return NULL;
    }
    char *file = xasprintf("%s.gguf", name), *path = self_demo_model(file, cause);
    free(file);
    return path;
}

/* What the numbers depend on besides the links. */
static char *machine(void)
{
    double load[1] = {0};
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    char name[128] = "CPU", line[512];
    FILE *f = fopen("/proc/cpuinfo", "re");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL && strcmp(name, "CPU") == 0) {
        if (strncmp(line, "model name", 10) == 0 && strchr(line, ':') != NULL)
            snprintf(name, sizeof(name), "%.*s", (int)strcspn(strchr(line, ':') + 2, "\n"), strchr(line, ':') + 2);
    }
    if (f != NULL)
        fclose(f);
    if (getloadavg(load, 1) != 1)
        load[0] = 0;
    return xasprintf("%ld x %s, load %.1f before%s", cpus, name, load[0],
                     load[0] > (double)cpus / 2 ? " (BUSY: the numbers are noisy)" : "");
}

static const char *base_name(const char *path)
{
    const char *slash = path != NULL ? strrchr(path, '/') : NULL;
    return slash != NULL ? slash + 1 : path != NULL ? path : "none";
}

/* "drafter small.gguf", "drafters numbers.gguf, words.gguf".  Owned by the caller. */
static char *drafters_text(const struct bench_setup *p)
{
    char *text = xstrdup(p->n_drafters > 1 ? "drafters" : "drafter");
    for (size_t i = 0; i < p->n_drafters; i++) {
        const char *who = p->config.server != NULL ? p->config.server->name : base_name(p->drafter[i]);
        char *longer = xasprintf("%s%s %s", text, i > 0 ? "," : "", who);
        free(text);
        text = longer;
    }
    return text;
}

static void describe(struct bench_setup *p)
{
    char *link = drawer_link_text(&p->link), *drafter = drawer_link_text(&p->drafter_link), *where = machine();
    char *rate = p->draft_rate > 0 ? xasprintf(", held to %" PRId64 " tokens/s", p->draft_rate) : xstrdup("");
    bool emulated = p->link.given || p->drafter_link.given;
    int workers = p->config.cfg != NULL ? (int)p->config.n_workers : (int)p->workers;
    char *who = drafters_text(p);
    p->bench.n_prompts = p->prompts.n;
    char *over = workers > 0 ? xasprintf("over %d workers, %s each", workers, link) : xstrdup("on this machine alone");
    p->bench.conditions =
        xasprintf("%s: %s %s; %s: %s%s.\n%zu prompts, at most %" PRId64 " tokens, greedy, %" PRId64 " run%s.  %s.",
                  emulated ? "EMULATED LINK" : "No emulated link", base_name(p->target), over, who, drafter, rate,
                  p->prompts.n, p->tokens, p->runs, p->runs > 1 ? "s" : "", where);
    free(over);
    p->bench.settings =
        json_pack("{s:b,s:i,s:f,s:f,s:f,s:f,s:I,s:I,s:I,s:s,s:s,s:s}", "emulated_link", emulated, "workers", workers,
                  "link_ms", p->link.delay_ms, "link_mbit", p->link.rate_mbit, "drafter_link_ms",
                  p->drafter_link.delay_ms, "drafter_link_mbit", p->drafter_link.rate_mbit, "drafter_rate",
                  (json_int_t)p->draft_rate, "runs", (json_int_t)p->runs, "max_tokens", (json_int_t)p->tokens, "target",
                  base_name(p->target), "drafter", strchr(who, ' ') + 1, "machine", where);
    free(link);
    free(drafter);
    free(who);
    free(rate);
    free(where);
}

/* The models that are named, with commas; each is a row's name, so none stands there twice. */
static int find_drafters(struct bench_setup *p, const char *list, char **cause)
{
    for (const char *at = list; *at != '\0'; at += strcspn(at, ","), at += *at == ',') {
        if (p->n_drafters == DRAWER_DRAFTERS)
            return cause_set(cause, "--drafters: at most %d can be measured", DRAWER_DRAFTERS);
        char *name = xstrndup(at, strcspn(at, ",")), *path = find_model(name, cause);
        free(name);
        if (path == NULL)
            return -1;
        p->drafter[p->n_drafters] = path;
        p->name[p->n_drafters] = drawer_model_name(path);
        for (size_t i = 0; i < p->n_drafters; i++) {
            if (strcmp(p->name[i], p->name[p->n_drafters]) == 0)
                return cause_set(cause, "--drafters: %s is named twice", p->name[i]);
        }
        p->n_drafters++;
    }
    return p->n_drafters > 0 ? 0 : cause_set(cause, "no drafter is named: a model is wanted");
}

/* The configured pool's models, or those that were named, or the project's own. */
static int choose_models(struct bench_setup *p, struct cmd_env *env, const struct cmd_args *args, char **cause)
{
    const char *several = cmd_args_get(args, "drafters"), *one = cmd_args_get(args, "drafter");
    const char *target = cmd_args_get(args, "target");
    struct config *cfg = target == NULL ? cmd_load_config(env, false) : NULL;
    if (target == NULL && cfg == NULL)
        return CMD_FAILED;
    bool pooled = cfg != NULL && config_has_pool(cfg);
    if (pooled && bench_config_init(&p->config, cfg, cause) != 0)
        return CMD_FAILED;
    if (!pooled && cfg != NULL)
        config_destroy(cfg);
    p->target = pooled ? xstrdup(p->config.target) : find_model(target != NULL ? target : "target", cause);
    if (p->target == NULL)
        return CMD_FAILED;
    if (pooled && several == NULL && one == NULL) {
        p->drafter[0] = xstrdup(p->config.drafter);
        p->n_drafters = 1;
        return CMD_OK;
    }
    p->config.server = NULL;
    if (find_drafters(p, several != NULL ? several : one != NULL ? one : "small", cause) != 0)
        return CMD_FAILED;
    if (several == NULL && p->n_drafters > 1) {
        cause_set(cause, "--drafter is \"%s\": it names one; several are --drafters", one);
        return CMD_USAGE;
    }
    if (several != NULL && p->n_drafters < 2) {
        cause_set(cause, "--drafters is \"%s\": two or more are wanted, with commas (--drafter names one)", several);
        return CMD_USAGE;
    }
    return CMD_OK;
}

/* The coordinator's binary of the configuration, where that is a llama-server, is the one to compare with. */
static int choose_stock(struct bench_setup *p, const char *given, char **cause)
{
    struct stack_argv program = {0};
    if (given != NULL && strcmp(given, "-") == 0) {
        p->no_stock = true;
        return CMD_OK;
    }
    p->llama = given;
    if (p->llama == NULL && p->config.cfg != NULL)
        p->llama = p->config.cfg->pool.binaries.coordinator;
    p->has_stock = bench_llama_find(p->llama, &program, given != NULL ? cause : NULL) == 0;
    stack_argv_finish(&program);
    return given != NULL && !p->has_stock ? CMD_FAILED : CMD_OK;
}

static int prepare(struct bench_setup *p, struct cmd_env *env, const struct cmd_args *args, char **cause)
{
    const char *own = cmd_args_get(args, "drafter-link");
    p->workers = 2;
    p->runs = 3;
    p->tokens = 160;
    if (drawer_link_parse(&p->link, "link", cmd_args_get(args, "link"), cause) != 0 ||
        drawer_link_parse(&p->drafter_link, "drafter-link", own, cause) != 0 ||
        cmd_args_int(args, "drafter-rate", 1, 1000000, &p->draft_rate, cause) != 0 ||
        cmd_args_int(args, "workers", 0, DRAWER_WORKERS, &p->workers, cause) != 0 ||
        cmd_args_int(args, "runs", 1, 1000, &p->runs, cause) != 0 ||
        cmd_args_int(args, "tokens", 8, 100000, &p->tokens, cause) != 0)
        return CMD_USAGE;
    if (cmd_args_has(args, "drafters") && (cmd_args_has(args, "drafter") || cmd_args_has(args, "ngram"))) {
        cause_set(cause, "--drafters names them all, and goes neither with --drafter nor with --ngram");
        return CMD_USAGE;
    }
    if (own == NULL)
        p->drafter_link = p->link;
    int rc = choose_prompts(p, args, cause);
    if (rc == CMD_OK)
        rc = choose_models(p, env, args, cause);
    if (rc == CMD_OK)
        rc = choose_stock(p, cmd_args_get(args, "llama-server"), cause);
    if (rc != CMD_OK)
        return rc;
    struct bench_wish wish = {.only = cmd_args_get(args, "only"),
                              .repeats = cmd_args_has(args, "ngram"),
                              .stock = p->has_stock,
                              .stock_drafts = p->drafter[0] != NULL,
                              .drafters = p->name,
                              .n_drafters = p->n_drafters};
    if (bench_pool_select(&p->bench, &wish, cause) != 0)
        return CMD_USAGE;
    describe(p);
    return CMD_OK;
}

static int report(const struct bench_setup *p, bool json)
{
    int rc = CMD_OK;
    if (json) {
        json_t *o = bench_pool_json(&p->bench);
        char *text = json_dumps(o, JSON_INDENT(2));
        puts(text);
        free(text);
        json_decref(o);
    } else {
        bench_pool_print(&p->bench, stdout);
        if (!p->has_stock && !p->no_stock && !p->bench.several)
            printf("No llama-server was measured: there is none in $PATH (--llama-server PATH names one).\n");
    }
    for (size_t i = 0; i < p->bench.n_rows; i++) {
        const struct bench_result *r = &p->bench.results[i];
        if (r->failure != NULL || (r->identical < r->answers && r->row->source != BENCH_STOCK))
            rc = CMD_FAILED;
    }
    return rc;
}

static int run(struct cmd_env *env, const struct cmd_args *args)
{
    struct bench_setup p = {0};
    char *cause = NULL;
    int rc = prepare(&p, env, args, &cause);
    if (rc == CMD_OK)
        rc = bench_run(&p, &cause) == 0 ? report(&p, cmd_args_has(args, "json")) : CMD_FAILED;
    if (cause != NULL)
        cmd_fail("%s", cause);
    free(cause);
    bench_setup_finish(&p);
    return rc;
}

const struct cmd cmd_bench_pool = {
    .name = "pool",
    .usage = "[--link MS[,MBIT]] [options]",
    .summary = "measure speculation over a pool, against the pool alone and stock llama-server",
    .help =
        "Measures a target that is pooled over workers alone, with drafts of fixed and of governed length, ahead "
        "and not, and\n"
        "stock llama-server over the same workers: the configured pool (nothing may use its workers), or, where none "
        "is\n"
        "configured, the project's own tiny models over two workers on this machine.  --link puts a relay before each "
        "of them that delays what passes, "
        "which\n"
        "stands for a network.  Ends with 0 if every answer was the pool's own.\n\n"
        "  tightwad bench pool --link 2\n"
        "  tightwad bench pool --link 25 --drafter-link 5 --drafter-rate 100\n"
        "  tightwad bench pool --link 2 --ngram --drafter draft\n"
        "  tightwad bench pool --link 2 --drafters numbers,words",
    .options = options,
    .run = run,
};
