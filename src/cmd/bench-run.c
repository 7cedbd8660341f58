#include "cmd/bench-run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cause.h"
#include "base/mem.h"
#include "cmd/bench-llama.h"
#include "cmd/self.h"
#include "config/url.h"

enum {
    SLOTS = 4,
    THREADS = 1,      /* a demo model is too small for two */
    WARM = 2,         /* prompts asked before a row without drafts is measured, */
    WARM_TOKENS = 24, /* and tokens of each */
    PROXY_MS = 30000,
    SETTLE_MS = 30,   /* for the last round's event to come */
    CHANGE_MS = 500,  /* for a worker to let go of a coordinator that has ended, over its link */
    ATTEMPTS = 3,     /* to start a coordinator */
    VERIFY_SLOTS = 9, /* of a llama-server: drafts of 8 tokens, and one more */
};

static int ask(struct bench_setup *p, const char *prompt, int64_t max_tokens, struct client_answer *a, char **cause)
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
static int warm_up(struct bench_setup *p, const struct bench_row *row, char **cause)
{
    bool drafts = row->source == BENCH_PROXY || row->verifies || row->k > 0;
    for (size_t i = 0; i < p->prompts.n && (drafts || i < WARM); i++) {
        struct client_answer a;
        int rc = ask(p, p->prompts.list[i], drafts ? p->tokens : WARM_TOKENS, &a, cause);
        client_answer_finish(&a);
        if (rc != 0)
            return -1;
    }
    return 0;
}

/* Adds one answer to a run of a row. */
static void keep(struct bench_setup *p, struct bench_result *r, struct bench_run *run, size_t prompt,
                 struct client_answer *a)
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
    r->identical += a->finish == NULL || client_answer_same(a, want);
}

/* All prompts once, at the client's URL. */
static int measure_run(struct bench_setup *p, struct bench_result *r, char **cause)
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
static void take_status(struct bench_setup *p, struct bench_result *r)
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

static int measure_at(struct bench_setup *p, struct bench_result *r, const char *address, char **cause)
{
    struct client *c = &p->stack.client;
    struct bench_rounds *rounds = NULL;
    bool proxied = r->row->source == BENCH_PROXY || r->row->verifies;
    char *url = xasprintf("http://%s", address), *before = c->url;
    c->url = url;
    int rc = warm_up(p, r->row, cause);
    if (rc == 0 && proxied) {
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

/* One that runs already is asked as it is configured. */
static char *drafter_entry(const struct bench_setup *p, size_t i)
{
    const struct config_server *s = p->config.server;
    const char *backend = s != NULL ? s->backend : "node", *model = s != NULL ? s->model_name : NULL;
    const char *key = s != NULL ? s->api_key : NULL;
    return xasprintf("    - {name: '%s', url: 'http://%s', backend: %s%s%s%s%s%s%s}\n",
                     p->n_drafters > 1 ? p->name[i] : "drafter", p->drawer.drafter_at[i], backend,
                     model != NULL ? ", model_name: '" : "", model != NULL ? model : "", model != NULL ? "'" : "",
                     key != NULL ? ", api_key: '" : "", key != NULL ? key : "", key != NULL ? "'" : "");
}

/* Those that draft in this row. */
static char *drafter_entries(const struct bench_setup *p, const struct bench_row *row)
{
    char *list = xstrdup("");
    for (size_t i = 0; (row->drafters & BENCH_MODEL) != 0 && i < p->n_drafters; i++) {
        if (row->alone != 0 && row->alone != i + 1)
            continue;
        char *entry = drafter_entry(p, i), *longer = xasprintf("%s%s", list, entry);
        free(entry);
        free(list);
        list = longer;
    }
    return list;
}

static char *proxy_config(const struct bench_setup *p, const struct bench_row *row, const struct stack_program *target,
                          int port)
{
    char k[16] = "auto";
    if (row->k > 0)
        snprintf(k, sizeof(k), "%d", row->k);
    char *drafter = drafter_entries(p, row);
    char *text = xasprintf("proxy:\n  host: 127.0.0.1\n  port: %d\n  max_draft_tokens: %s\n  governor: %s\n"
                           "  draft_ahead: %s\n  draft_branches: %s\n  verify_branches: %s\n  drafters:\n%s%s"
                           "  target: {name: target, url: 'http://%s', backend: %s}\n",
                           port, k, row->k > 0 ? "false" : "true", row->ahead ? "true" : "false",
                           row->branches ? "true" : "false", row->branches ? "auto" : "0", drafter,
                           (row->drafters & BENCH_NGRAM) != 0 ? "    - {type: ngram}\n" : "", target->address,
                           row->verifies ? "llamacpp" : "node");
    free(drafter);
    return text;
}

static bool speculates(const json_t *status)
{
    return json_is_true(json_object_get(status, "speculating"));
}

static int measure_proxy(struct bench_setup *p, struct bench_result *r, const struct stack_program *target,
                         char **cause)
{
    int port = child_free_port(0), rc = -1;
    char *text = proxy_config(p, r->row, target, port), *self = self_program();
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

static struct stack_program *start_stock(struct bench_setup *p, const struct bench_row *row, char **cause)
{
    char *workers = drawer_workers(&p->drawer);
    bool configured = p->config.cfg != NULL;
    struct bench_llama l = {.given = p->llama,
                            .target = p->target,
                            .drafter = row->k > 0 ? p->drafter[0] : NULL,
                            .workers = workers,
                            .ctx = BENCH_CTX,
                            .threads = THREADS,
                            .draft_device = configured ? bench_config_draft_device(&p->config) : "none",
                            .n_max = row->k,
                            .verify_slots = row->verifies ? VERIFY_SLOTS : 0,
                            .p_min = row->p_min};
    struct stack_argv program = {0};
    struct stack_program *server = NULL;
    int rc = 0;
    if (configured) {
        rc = bench_llama_find(p->llama, &program, cause);
        if (rc == 0)
            rc = bench_config_argv(&p->config, &p->stack, (const char *const *)program.list, l.verify_slots, &l.made,
                                   &l.port, cause);
        stack_argv_finish(&program);
    }
    if (rc == 0)
        server = bench_llama_start(&p->stack, &l, cause);
    stack_argv_finish(&l.made);
    free(workers);
    return server;
}

static int measure_stock(struct bench_setup *p, struct bench_result *r, char **cause)
{
    struct stack_program *server = NULL;
    for (int i = 0; i < ATTEMPTS && server == NULL && !p->stack.stop; i++) {
        stack_nap(&p->stack, CHANGE_MS << i);
        server = start_stock(p, r->row, cause);
    }
    int rc = -1;
    if (server != NULL && r->row->verifies)
        rc = measure_proxy(p, r, server, cause);
    else if (server != NULL)
        rc = measure_at(p, r, server->address, cause);
    stack_end(&p->stack, server);
    return rc;
}

/* A row that fails is left out from then on; being interrupted, or a pool that fails alone, ends it all. */
static int measure_row(struct bench_setup *p, struct bench_result *r, char **cause)
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
        rc = r->row->source == BENCH_PROXY ? measure_proxy(p, r, p->drawer.target, &why) : measure_stock(p, r, &why);
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

static int start_target(struct bench_setup *p, char **cause)
{
    const char *const program[] = {p->drawer.node, NULL};
    struct stack_argv made = {0};
    int port = 0;
    if (p->config.cfg == NULL)
        return drawer_start_target(&p->drawer, NULL, 0, cause);
    if (bench_config_argv(&p->config, &p->stack, program, 0, &made, &port, cause) != 0)
        return -1;
    return drawer_start_target(&p->drawer, &made, port, cause);
}

/* A worker serves one coordinator at a time: first ours with every row that it serves, then the stock ones. */
static int measure_round(struct bench_setup *p, char **cause)
{
    int rc = -1;
    for (int i = 0; i < ATTEMPTS && rc != 0 && !p->stack.stop; i++) {
        stack_nap(&p->stack, CHANGE_MS << i);
        rc = start_target(p, cause);
    }
    for (size_t i = 0; i < p->bench.n_rows && rc == 0; i++) {
        if (p->bench.rows[i].source != BENCH_STOCK)
            rc = measure_row(p, &p->bench.results[i], cause);
    }
    drawer_end_target(&p->drawer);
    for (size_t i = 0; i < p->bench.n_rows && rc == 0; i++) {
        if (p->bench.rows[i].source == BENCH_STOCK)
            rc = measure_row(p, &p->bench.results[i], cause);
    }
    return rc;
}

static int start_drawer(struct bench_setup *p, char **cause)
{
    struct bench_config *c = &p->config;
    char *drafter_at = c->server != NULL ? url_host_port(c->server->url) : NULL;
    struct drawer_opts o = {.target = p->target,
                            .drafters = p->drafter,
                            .n_drafters = p->n_drafters,
                            .drafter_at = drafter_at,
                            .n_workers = c->cfg != NULL ? c->n_workers : (size_t)p->workers,
                            .workers = c->cfg != NULL ? c->workers : NULL,
                            .link = p->link,
                            .drafter_link = p->drafter_link,
                            .draft_rate = (int)p->draft_rate,
                            .ctx = c->cfg != NULL ? c->ctx : BENCH_CTX,
                            .slots = SLOTS,
                            .threads = c->cfg != NULL ? 0 : THREADS};
    int rc = drawer_start(&p->drawer, &p->stack, &o, cause);
    free(drafter_at);
    if (rc == 0 && c->cfg != NULL)
        rc = bench_config_move(c, p->drawer.worker_at, cause);
    return rc;
}

int bench_run(struct bench_setup *p, char **cause)
{
    if (stack_init(&p->stack, cause) != 0 || start_drawer(p, cause) != 0)
        return -1;
    p->want = xcalloc(p->prompts.n, sizeof(*p->want));
    for (size_t i = 0; i < p->bench.n_rows; i++)
        p->all += p->bench.results[i].wanted ? (size_t)p->runs : 0;
    int rc = 0;
    for (int64_t run = 0; run < p->runs && rc == 0; run++)
        rc = measure_round(p, cause);
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r%60s\r", "");
    return rc;
}

void bench_setup_finish(struct bench_setup *p)
{
    for (size_t i = 0; p->want != NULL && i < p->prompts.n; i++)
        client_answer_finish(&p->want[i]);
    free(p->want);
    drawer_finish(&p->drawer);
    if (p->stack.client.base != NULL)
        stack_finish(&p->stack);
    bench_config_finish(&p->config);
    bench_pool_finish(&p->bench);
    prompts_finish(&p->prompts);
    free(p->target);
    for (size_t i = 0; i < DRAWER_DRAFTERS; i++) {
        free(p->drafter[i]);
        free(p->name[i]);
    }
    *p = (struct bench_setup){0};
}
