/* tightwad bench pool: a target that is pooled over workers, alone and with drafts, against stock llama-server. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cause.h"
#include "base/mem.h"
#include "cmd/bench-llama.h"
#include "cmd/bench-pool.h"
#include "cmd/bench-stack.h"
#include "cmd/cmd.h"
#include "cmd/demo-drawer.h"
#include "cmd/measure.h"
#include "cmd/prompts.h"
#include "cmd/self.h"

extern const struct cmd cmd_bench_pool;

static const struct cmd_option options[] = {
    {0, "link", "MS[,MBIT]", "put an emulated link before each worker and the drafter: one-way delay, rate"},
    {0, "drafter-link", "MS[,MBIT]", "another one for the drafter"},
    {0, "drafter-rate", "N", "hold the drafter to N tokens a second"},
    {0, "drafter", "MODEL", "the drafter's model: a demo model by its name, or a file (small)"},
    {0, "target", "MODEL", "the target's, likewise (target)"},
    {0, "ngram", NULL, "prompts that are to be repeated, and drafts from the text itself"},
    {'p', "prompts", "N|FILE", "how many of the built-in prompts, or one a line from a file (8)"},
    {'r', "runs", "N", "how often every row is measured, all rows in turn (3)"},
    {'m', "tokens", "N", "at most N tokens an answer (160)"},
    {0, "only", "ROWS", "these rows alone, by name or pattern, with commas: pool,auto,'stock*'"},
    {0, "llama-server", "PATH", "the stock server to compare with (else $PATH's); - for none"},
    {0, "json", NULL, "one JSON object on stdout instead of words"},
    {0},
};

enum {
    N_WORKERS = 2,
    CTX = 512, /* what the demo models were trained with */
    SLOTS = 4,
    THREADS = 1,      /* a demo model is too small for two */
    WARM = 2,         /* prompts asked before a row without drafts is measured, */
    WARM_TOKENS = 24, /* and tokens of each */
    PROXY_MS = 30000,
    SETTLE_MS = 30,  /* for the last round's event to come */
    CHANGE_MS = 500, /* for a worker to let go of a coordinator that has ended, over its link */
    ATTEMPTS = 3,    /* to start a coordinator */
};

struct pool {
    struct bench_pool bench;
    struct stack stack;
    struct drawer drawer;
    struct prompts prompts;
    struct client_answer *want; /* one a prompt: the pool's own first answers */
    const char *llama;          /* as given; NULL: to be found */
    char *target, *drafter;
    struct drawer_link link, drafter_link;
    int64_t draft_rate, runs, tokens;
    bool has_stock;
    size_t done, all; /* rows, for the progress */
};

static int ask(struct pool *p, const char *prompt, int64_t max_tokens, struct client_answer *a, char **cause)
{
    json_t *messages = prompts_messages(NULL, prompt);
    struct client_chat q = {
        .messages = messages, .max_tokens = max_tokens, .temperature = 0, .seed = 1, .stream = true};
    int rc = client_chat(&p->stack.client, &q, a, cause);
    json_decref(messages);
    if (p->stack.stop && rc == 0)
        rc = cause_set(cause, "interrupted");
    return rc;
}

/* The first use of each length of a pass costs many trips over the network, and the governor learns from the first
 * rounds: a row with drafts answers all prompts once before it is measured. */
static int warm_up(struct pool *p, const struct bench_row *row, char **cause)
{
    bool drafts = row->source == BENCH_PROXY || row->k > 0;
    for (size_t i = 0; i < p->prompts.n && (drafts || i < WARM); i++) {
        struct client_answer a;
        int rc = ask(p, p->prompts.list[i], drafts ? p->tokens : WARM_TOKENS, &a, cause);
        client_answer_finish(&a);
        if (rc != 0)
            return -1;
    }
    return 0;
}

static bool same(const struct client_answer *a, const struct client_answer *b)
{
    bool finish = a->finish != NULL && b->finish != NULL && strcmp(a->finish, b->finish) == 0;
    return finish && a->text.len == b->text.len && memcmp(a->text.data, b->text.data, a->text.len) == 0;
}

/* Adds one answer to a run of a row. */
static void keep(struct pool *p, struct bench_result *r, struct bench_run *run, size_t prompt, struct client_answer *a)
{
    struct client_answer *want = &p->want[prompt];
    struct bench_pool *b = &p->bench;
    if (a->generation_tokens > 0) {
        run->tokens += a->generation_tokens;
        run->seconds += a->generation_seconds;
    }
    r->completion += a->completion_tokens > 0 ? a->completion_tokens : 0;
    if (a->drafted > 0) {
        r->drafted += a->drafted;
        r->accepted += a->accepted;
    }
    if (a->completion_tokens > 0 && (b->n_tokens_min < 0 || a->completion_tokens < b->n_tokens_min))
        b->n_tokens_min = a->completion_tokens;
    if (want->finish == NULL && r == &b->results[0]) {
        *want = *a;
        *a = (struct client_answer){0};
    }
    r->answers++;
    r->identical += a->finish == NULL || same(a, want);
}

/* All prompts once, at the client's URL. */
static int measure_run(struct pool *p, struct bench_result *r, char **cause)
{
    struct bench_run run = {0};
    int rc = 0;
    for (size_t i = 0; i < p->prompts.n && rc == 0; i++) {
        struct client_answer a;
        rc = ask(p, p->prompts.list[i], p->tokens, &a, cause);
        if (rc == 0)
            keep(p, r, &run, i, &a);
        client_answer_finish(&a);
    }
    if (rc == 0 && run.tokens == 0)
        rc = cause_set(cause, "the answers are too short to be timed");
    if (rc == 0) {
        r->runs = xreallocarray(r->runs, r->n_runs + 1, sizeof(*r->runs));
        r->runs[r->n_runs++] = run;
    }
    return rc;
}

/* What the proxy says of itself in the end. */
static void take_status(struct pool *p, struct bench_result *r)
{
    json_t *status = client_get(&p->stack.client, "/v1/tightwad/status", NULL, 5000, NULL);
    const char *governor = json_string_value(json_object_get(status, "governor"));
    const json_t *error = json_object_get(status, "prediction_error");
    if (json_is_number(error))
        r->status_error = json_number_value(error);
    if (governor != NULL) {
        free(r->governor);
        r->governor = xstrdup(governor);
    }
    json_decref(status);
}

static int measure_at(struct pool *p, struct bench_result *r, const char *address, char **cause)
{
    struct client *c = &p->stack.client;
    struct bench_rounds *rounds = NULL;
    char *url = xasprintf("http://%s", address), *before = c->url;
    c->url = url;
    int rc = warm_up(p, r->row, cause);
    if (rc == 0 && r->row->source == BENCH_PROXY) {
        rounds = bench_rounds_start(c);
        stack_nap(&p->stack, SETTLE_MS);
    }
    if (rc == 0)
        rc = measure_run(p, r, cause);
    if (rounds != NULL && rc == 0) {
        struct bench_counts counts;
        stack_nap(&p->stack, SETTLE_MS);
        bench_rounds_take(rounds, &counts);
        bench_counts_add(&r->counts, &counts);
        bench_counts_finish(&counts);
        take_status(p, r);
    }
    bench_rounds_stop(rounds);
    c->url = before;
    free(url);
    return rc;
}

static char *proxy_config(const struct pool *p, const struct bench_row *row, int port)
{
    char k[16] = "auto";
    if (row->k > 0)
        snprintf(k, sizeof(k), "%d", row->k);
    char *drafter = (row->drafters & BENCH_MODEL) != 0
                        ? xasprintf("    - {name: drafter, url: 'http://%s', backend: node}\n", p->drawer.drafter_at)
                        : xstrdup("");
    char *text =
        xasprintf("proxy:\n  host: 127.0.0.1\n  port: %d\n  max_draft_tokens: %s\n  governor: %s\n"
                  "  draft_ahead: %s\n  draft_branches: %s\n  verify_branches: %s\n  drafters:\n%s%s"
                  "  target: {name: target, url: 'http://%s', backend: node}\n",
                  port, k, row->k > 0 ? "false" : "true", row->ahead ? "true" : "false",
                  row->branches ? "true" : "false", row->branches ? "auto" : "0", drafter,
                  (row->drafters & BENCH_NGRAM) != 0 ? "    - {type: ngram}\n" : "", p->drawer.target->address);
    free(drafter);
    return text;
}

static bool speculates(const json_t *status)
{
    return json_is_true(json_object_get(status, "speculating"));
}

static int measure_proxy(struct pool *p, struct bench_result *r, char **cause)
{
    int port = child_free_port(0), rc = -1;
    char *text = proxy_config(p, r->row, port), *self = self_program();
    char *path = stack_write(&p->stack, "cluster.yaml", text, cause);
    struct stack_argv a = {0};
    stack_arg(&a, "%s", self);
    stack_arg(&a, "-c");
    stack_arg(&a, "%s", path != NULL ? path : "");
    stack_arg(&a, "proxy");
    stack_arg(&a, "start");
    stack_arg(&a, "--no-ui");
    struct stack_program *proxy = path != NULL ? stack_start(&p->stack, "the proxy", &a, cause) : NULL;
    stack_argv_finish(&a);
    if (proxy != NULL) {
        proxy->address = xasprintf("127.0.0.1:%d", port);
        rc = stack_wait_http(&p->stack, proxy, "/v1/tightwad/status", speculates, PROXY_MS, cause);
        if (rc == 0)
            rc = measure_at(p, r, proxy->address, cause);
        stack_end(&p->stack, proxy);
    }
    free(path);
    free(text);
    free(self);
    return rc;
}

static int measure_stock(struct pool *p, struct bench_result *r, char **cause)
{
    char *workers = drawer_workers(&p->drawer);
    struct bench_llama l = {.given = p->llama,
                            .target = p->target,
                            .drafter = r->row->k > 0 ? p->drafter : NULL,
                            .workers = workers,
                            .ctx = CTX,
                            .threads = THREADS,
                            .n_max = r->row->k,
                            .p_min = r->row->p_min};
    struct stack_program *server = NULL;
    for (int i = 0; i < ATTEMPTS && server == NULL && !p->stack.stop; i++) {
        stack_nap(&p->stack, CHANGE_MS << i);
        server = bench_llama_start(&p->stack, &l, cause);
    }
    int rc = server != NULL ? measure_at(p, r, server->address, cause) : -1;
    stack_end(&p->stack, server);
    free(workers);
    return rc;
}

/* A row that fails is left out from then on; being interrupted, or a pool that fails alone, ends it all. */
static int measure_row(struct pool *p, struct bench_result *r, char **cause)
{
    char *why = NULL;
    int rc;
    if (!r->wanted || r->failure != NULL)
        return 0;
    p->done++;
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r%zu of %zu: %-40s", p->done, p->all, r->row->label);
    if (r->row->source == BENCH_NODE)
        rc = measure_at(p, r, p->drawer.target->address, &why);
    else
        rc = r->row->source == BENCH_PROXY ? measure_proxy(p, r, &why) : measure_stock(p, r, &why);
    if (rc == 0)
        return 0;
    if (p->stack.stop || r == &p->bench.results[0]) {
        cause_set(cause, "%s", why);
        free(why);
        return -1;
    }
    r->failure = why;
    return 0;
}

/* A worker serves one coordinator at a time: first ours with every row that it serves, then the stock ones. */
static int measure_round(struct pool *p, char **cause)
{
    int rc = -1;
    for (int i = 0; i < ATTEMPTS && rc != 0 && !p->stack.stop; i++) {
        stack_nap(&p->stack, CHANGE_MS << i);
        rc = drawer_start_target(&p->drawer, cause);
    }
    for (size_t i = 0; i < bench_row_count && rc == 0; i++) {
        if (bench_rows[i].source != BENCH_STOCK)
            rc = measure_row(p, &p->bench.results[i], cause);
    }
    drawer_end_target(&p->drawer);
    for (size_t i = 0; i < bench_row_count && rc == 0; i++) {
        if (bench_rows[i].source == BENCH_STOCK)
            rc = measure_row(p, &p->bench.results[i], cause);
    }
    return rc;
}

static int measure(struct pool *p, char **cause)
{
    struct drawer_opts o = {.target = p->target,
                            .drafter = p->drafter,
                            .n_workers = N_WORKERS,
                            .link = p->link,
                            .drafter_link = p->drafter_link,
                            .draft_rate = (int)p->draft_rate,
                            .ctx = CTX,
                            .slots = SLOTS,
                            .threads = THREADS};
    if (stack_init(&p->stack, cause) != 0 || drawer_start(&p->drawer, &p->stack, &o, cause) != 0)
        return -1;
    p->want = xcalloc(p->prompts.n, sizeof(*p->want));
    for (size_t i = 0; i < bench_row_count; i++)
        p->all += p->bench.results[i].wanted ? (size_t)p->runs : 0;
    int rc = 0;
    for (int64_t run = 0; run < p->runs && rc == 0; run++)
        rc = measure_round(p, cause);
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r%60s\r", "");
    return rc;
}

static bool is_number(const char *text)
{
    return text[0] != '\0' && text[strspn(text, "0123456789")] == '\0';
}

static int choose_prompts(struct pool *p, const struct cmd_args *args, char **cause)
{
    const char *given = cmd_args_get(args, "prompts");
    int64_t n = 8;
    if (given != NULL && !is_number(given))
        return prompts_load(&p->prompts, given, cause) == 0 ? CMD_OK : CMD_FAILED;
    if (cmd_args_int(args, "prompts", 1, PROMPTS_LONG, &n, cause) != 0)
        return CMD_USAGE;
    if (cmd_args_has(args, "ngram"))
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

static void describe(struct pool *p)
{
    char *link = drawer_link_text(&p->link), *drafter = drawer_link_text(&p->drafter_link);
    char *rate = p->draft_rate > 0 ? xasprintf(", held to %" PRId64 " tokens/s", p->draft_rate) : xstrdup("");
    bool emulated = p->link.given || p->drafter_link.given;
    p->bench.n_prompts = p->prompts.n;
    p->bench.conditions = xasprintf(
        "%s: %d workers, %s each; drafter: %s%s.  %zu prompts, at most %" PRId64 " tokens, greedy, %" PRId64 " runs.",
        emulated ? "EMULATED LINK" : "This machine", N_WORKERS, link, drafter, rate, p->prompts.n, p->tokens, p->runs);
    p->bench.settings = json_pack(
        "{s:b,s:i,s:f,s:f,s:f,s:f,s:I,s:I,s:I,s:s,s:s}", "emulated_link", emulated, "workers", N_WORKERS, "link_ms",
        p->link.delay_ms, "link_mbit", p->link.rate_mbit, "drafter_link_ms", p->drafter_link.delay_ms,
        "drafter_link_mbit", p->drafter_link.rate_mbit, "drafter_rate", (json_int_t)p->draft_rate, "runs",
        (json_int_t)p->runs, "max_tokens", (json_int_t)p->tokens, "target", p->target, "drafter", p->drafter);
    free(link);
    free(drafter);
    free(rate);
}

static int prepare(struct pool *p, const struct cmd_args *args, char **cause)
{
    const char *own = cmd_args_get(args, "drafter-link"), *llama = cmd_args_get(args, "llama-server");
    const char *drafter = cmd_args_get(args, "drafter"), *target = cmd_args_get(args, "target");
    bool none = llama != NULL && strcmp(llama, "-") == 0;
    p->runs = 3;
    p->tokens = 160;
    p->llama = none ? NULL : llama;
    if (drawer_link_parse(&p->link, "link", cmd_args_get(args, "link"), cause) != 0 ||
        drawer_link_parse(&p->drafter_link, "drafter-link", own, cause) != 0 ||
        cmd_args_int(args, "drafter-rate", 1, 1000000, &p->draft_rate, cause) != 0 ||
        cmd_args_int(args, "runs", 1, 1000, &p->runs, cause) != 0 ||
        cmd_args_int(args, "tokens", 8, CTX, &p->tokens, cause) != 0)
        return CMD_USAGE;
    if (own == NULL)
        p->drafter_link = p->link;
    int rc = choose_prompts(p, args, cause);
    if (rc != CMD_OK)
        return rc;
    p->has_stock = !none && bench_llama_check(p->llama, llama != NULL ? cause : NULL) == 0;
    if (llama != NULL && !none && !p->has_stock)
        return CMD_FAILED;
    if (bench_pool_select(&p->bench, cmd_args_get(args, "only"), cmd_args_has(args, "ngram"), p->has_stock, cause) != 0)
        return CMD_USAGE;
    p->target = find_model(target != NULL ? target : "target", cause);
    p->drafter = p->target != NULL ? find_model(drafter != NULL ? drafter : "small", cause) : NULL;
    if (p->drafter == NULL)
        return CMD_FAILED;
    describe(p);
    return CMD_OK;
}

static int report(const struct pool *p, bool json)
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
        if (!p->has_stock)
            printf("No llama-server was measured: there is none in $PATH (--llama-server PATH names one).\n");
    }
    for (size_t i = 0; i < bench_row_count; i++) {
        const struct bench_result *r = &p->bench.results[i];
        if (r->failure != NULL || (r->identical < r->answers && r->row->source != BENCH_STOCK))
            rc = CMD_FAILED;
    }
    return rc;
}

static int run(struct cmd_env *env, const struct cmd_args *args)
{
    struct pool p = {0};
    char *cause = NULL;
    int rc = prepare(&p, args, &cause);
    if (rc == CMD_OK)
        rc = measure(&p, &cause) == 0 ? report(&p, cmd_args_has(args, "json")) : CMD_FAILED;
    if (cause != NULL)
        cmd_fail("%s", cause);
    free(cause);
    for (size_t i = 0; p.want != NULL && i < p.prompts.n; i++)
        client_answer_finish(&p.want[i]);
    free(p.want);
    drawer_finish(&p.drawer);
    if (p.stack.client.base != NULL)
        stack_finish(&p.stack);
    bench_pool_finish(&p.bench);
    prompts_finish(&p.prompts);
    free(p.target);
    free(p.drafter);
    return rc;
}

const struct cmd cmd_bench_pool = {
    .name = "pool",
    .usage = "[--link MS[,MBIT]] [options]",
    .summary = "measure speculation over a pool, against the pool alone and stock llama-server",
    .help = "Starts two workers, a target that is pooled over them and a drafter, all of it the project's own tiny "
            "models on this\n"
            "machine, and measures the target alone, with drafts of fixed and of governed length, ahead and not, and "
            "stock\n"
            "llama-server over the same workers.  --link puts a relay before each of them that delays what passes, "
            "which\n"
            "stands for a network.  Ends with 0 if every answer was the pool's own.\n\n"
            "  tightwad bench pool --link 2\n"
            "  tightwad bench pool --link 25 --drafter-link 5 --drafter-rate 100\n"
            "  tightwad bench pool --link 2 --ngram --drafter draft",
    .options = options,
    .run = run,
};
