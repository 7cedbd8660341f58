/* tightwad bench modes: every way of answering that an endpoint has, on the same prompts, against its target alone. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cause.h"
#include "base/json.h"
#include "base/mem.h"
#include "cmd/bench-modes.h"
#include "cmd/client.h"
#include "cmd/cmd.h"
#include "cmd/prompts.h"

extern const struct cmd cmd_bench_modes;

static const struct cmd_option options[] = {
    {'k', "count", "N", "how many prompts: made up (20), or the first of the file (all)"},
    {'n', "rounds", "N", "how often each is asked in each mode (1)"},
    {'m', "max-tokens", "N", "at most N tokens an answer (160)"},
    {'t', "temperature", "T", "0 to 2 (0)"},
    {'s', "seed", "N", "seed of the answers and of the made-up prompts (1)"},
    {0, "only", "MODES", "these modes alone, with commas: exact,gate (the target alone is always one)"},
    {0, "json", NULL, "one JSON object on stdout instead of words"},
    {'u', "url", "URL", "another endpoint than the configured proxy"},
    {0},
};

enum {
    COUNT = 20,
    WARM = 2,         /* prompts asked before a mode is measured, */
    WARM_TOKENS = 24, /* and tokens of each */
    LOOKS = 20,       /* at the target's counters, until they stand still */
    ASK_MS = 10000,
};

/* What the target had done when the endpoint was looked at. */
struct mark {
    struct modes_work node, proxy;
};

struct bench {
    struct client client;
    struct client node; /* the target's own endpoint; base NULL: it is none of ours, or can't be reached */
    struct modes modes;
    struct prompts prompts;
    struct client_answer *want; /* one a prompt: the target's own first answers */
    int64_t rounds, max_tokens, seed;
    double temperature;
    bool show;
    size_t done; /* prompts asked, for the progress */
};

static int ask(struct bench *b, const struct modes_row *r, size_t prompt, int64_t max_tokens, struct client_answer *a,
               char **cause)
{
    json_t *messages = prompts_messages(NULL, b->prompts.list[prompt]);
    struct client_chat q = {.model = r->model,
                            .messages = messages,
                            .max_tokens = max_tokens,
                            .temperature = b->temperature,
                            .seed = (b->seed + (int64_t)prompt) & INT32_MAX,
                            .stream = true};
    int rc = client_chat(&b->client, &q, a, cause);
    json_decref(messages);
    return rc;
}

static int64_t number(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return json_is_number(v) ? (int64_t)json_number_value(v) : -1;
}

/* The proxy's own counters: -1 for what this mode's are not. */
static void look_at_proxy(const json_t *status, const char *mode, struct mark *out)
{
    const json_t *consensus = json_object_get(status, "consensus"), *gate = json_object_get(status, "gate");
    out->proxy = (struct modes_work){-1, -1, -1};
    if (strcmp(mode, "consensus") == 0)
        out->proxy.passes = number(consensus, "target_passes");
    if (strcmp(mode, "gate") == 0)
        out->proxy.written = number(gate, "target_tokens");
}

static void look_at_node(struct bench *b, struct mark *out)
{
    json_t *o = b->node.base != NULL ? client_get(&b->node, "/v1/node", NULL, ASK_MS, NULL) : NULL;
    const json_t *counters = json_object_get(o, "counters");
    out->node = (struct modes_work){number(counters, "decodes"), number(counters, "tokens"), -1};
    json_decref(o);
}

/* Waits until what the last answers left to be done (a check afterwards) is done: until the target stands still. */
static int settle(struct bench *b, const struct modes_row *r, struct mark *out, char **cause)
{
    look_at_node(b, out);
    for (int i = 0; i < LOOKS; i++) {
        int64_t passes = out->node.passes;
        json_t *status = client_settled(&b->client, cause);
        if (status == NULL)
            return -1;
        look_at_proxy(status, r->mode, out);
        json_decref(status);
        look_at_node(b, out);
        if (out->node.passes == passes)
            return 0;
    }
    return 0;
}

/* How the approximate modes are set up: what their rows depend on. */
static void describe_modes(struct bench *b, const json_t *status)
{
    const json_t *consensus = json_object_get(status, "consensus"), *gate = json_object_get(status, "gate");
    struct modes *m = &b->modes;
    bool of[2] = {false, false};
    for (size_t i = 0; i < m->n; i++) {
        of[0] = of[0] || (strcmp(m->row[i].mode, "consensus") == 0 && json_is_object(consensus));
        of[1] = of[1] || (strcmp(m->row[i].mode, "gate") == 0 && json_is_object(gate));
    }
    json_object_set_new(m->settings, "consensus_mode", of[0] ? json_string(json_text(consensus, "mode")) : json_null());
    json_object_set_new(m->settings, "gate_review", of[1] ? json_string(json_text(gate, "review")) : json_null());
    json_object_set_new(m->settings, "gate_routing", of[1] ? json_string(json_text(gate, "routing")) : json_null());
    char *vote = of[0] ? xasprintf("\nconsensus: %s", json_text(consensus, "mode")) : xstrdup("");
    char *review =
        of[1] ? xasprintf("%sgate: reviewed by %s, %zu agents, %s", of[0] ? "; " : "\n", json_text(gate, "review"),
                          json_array_size(json_object_get(gate, "agents")), json_text(gate, "routing"))
              : xstrdup("");
    char *all = xasprintf("%s%s%s", m->conditions, vote, review);
    free(m->conditions);
    m->conditions = all;
    free(vote);
    free(review);
}

/* The target's own endpoint where it is a node of ours that counts what is asked of it here: the address is the proxy's
 * way to it, which may lead elsewhere from this machine. */
static int find_node(struct bench *b, const struct config *cfg, char **cause)
{
    struct mark before, after;
    struct client_answer a;
    json_t *status = client_get(&b->client, "/v1/tightwad/status", NULL, ASK_MS, cause);
    const json_t *target = json_array_get(json_object_get(status, "backends"), 0);
    const char *kind = json_string_value(json_object_get(target, "kind"));
    const char *url = json_string_value(json_object_get(target, "url"));
    if (kind != NULL && url != NULL && strcmp(kind, "node") == 0) {
        client_init(&b->node, NULL, url);
        if (cfg->proxy.target.api_key != NULL)
            b->node.token = xstrdup(cfg->proxy.target.api_key);
    }
    int rc = status != NULL ? 0 : -1;
    if (rc == 0)
        describe_modes(b, status);
    json_decref(status);
    look_at_node(b, &before);
    if (rc == 0) {
        rc = ask(b, &b->modes.row[0], 0, WARM_TOKENS, &a, cause);
        look_at_node(b, &after);
        bool ours = before.node.passes >= 0 && after.node.passes > before.node.passes;
        if (b->node.base != NULL && (rc != 0 || !ours))
            client_finish(&b->node);
        client_answer_finish(&a);
    }
    return rc;
}

/* What one answer says; by: tokens of the run that the target wrote, -1 unknown. */
static void keep(struct bench *b, struct modes_row *r, size_t prompt, struct client_answer *a, int64_t *by)
{
    struct client_answer *want = &b->want[prompt];
    r->answers++;
    r->otherwise += a->mode[0] != '\0' && strcmp(a->mode, r->mode) != 0;
    *by = *by < 0 || a->by_target < 0 ? -1 : *by + a->by_target;
    if (b->prompts.answer != NULL && b->prompts.answer[prompt] != NULL) {
        r->known++;
        r->right += prompts_right(&b->prompts, prompt, a->text.data, a->text.len);
    }
    bool first = r == &b->modes.row[0] && want->finish == NULL && a->finish != NULL;
    r->identical += first || client_answer_same(a, want);
    if (first) {
        *want = *a;
        *a = (struct client_answer){0};
    }
}

static int run_prompts(struct bench *b, struct modes_row *r, int64_t *by, char **cause)
{
    int64_t tokens = 0;
    double seconds = 0;
    size_t all = b->prompts.n * (size_t)b->rounds * b->modes.n;
    for (size_t i = 0; i < b->prompts.n; i++) {
        struct client_answer a;
        b->done++;
        if (b->show)
            fprintf(stderr, "\r%zu of %zu: %-12s", b->done, all, r->mode);
        int rc = ask(b, r, i, b->max_tokens, &a, cause);
        if (rc == 0) {
            tokens += a.completion_tokens > 0 ? a.completion_tokens : 0;
            seconds += a.seconds;
            keep(b, r, i, &a, by);
        }
        client_answer_finish(&a);
        if (rc != 0)
            return -1;
    }
    modes_add_run(r, tokens, seconds);
    return 0;
}

static int warm_up(struct bench *b, struct modes_row *r, char **cause)
{
    int rc = 0;
    for (size_t i = 0; i < WARM && i < b->prompts.n && rc == 0; i++) {
        struct client_answer a;
        rc = ask(b, r, i, WARM_TOKENS, &a, cause);
        client_answer_finish(&a);
    }
    return rc;
}

static int measure_row(struct bench *b, struct modes_row *r, char **cause)
{
    struct mark before, after;
    int64_t by = 0;
    if (warm_up(b, r, cause) != 0 || settle(b, r, &before, cause) != 0 || run_prompts(b, r, &by, cause) != 0 ||
        settle(b, r, &after, cause) != 0)
        return -1;
    r->counted = after.node.passes >= 0;
    if (strcmp(r->mode, "draft") == 0)
        by = 0;
    struct modes_work *from = r->counted ? &before.node : &before.proxy, *to = r->counted ? &after.node : &after.proxy;
    /* A gate's verdicts are written by the target and stand in no answer. */
    from->written = strcmp(r->mode, "gate") == 0 ? before.proxy.written : 0;
    to->written = strcmp(r->mode, "gate") == 0 ? after.proxy.written : by;
    /* Each pass of an exact answer adds one token of the target's own. */
    if (!r->counted && (strcmp(r->mode, "exact") == 0 || strcmp(r->mode, "target") == 0)) {
        from->passes = 0;
        to->passes = by;
    }
    modes_add_work(r, from, to);
    return 0;
}

/* All modes in turn, so that what else the machine does hits all alike. */
static int measure(struct bench *b, char **cause)
{
    b->want = xcalloc(b->prompts.n, sizeof(*b->want));
    for (int64_t run = 0; run < b->rounds; run++) {
        for (size_t i = 0; i < b->modes.n; i++) {
            struct modes_row *r = &b->modes.row[i];
            char *why = NULL;
            if (r->failure != NULL || measure_row(b, r, &why) == 0)
                continue;
            if (i == 0) {
                cause_set(cause, "%s", why);
                free(why);
                return -1;
            }
            r->failure = why;
        }
    }
    if (b->show)
        fprintf(stderr, "\r%40s\r", "");
    return 0;
}

static void describe(struct bench *b, const char *file)
{
    struct modes *m = &b->modes;
    size_t known = 0;
    for (size_t i = 0; b->prompts.answer != NULL && i < b->prompts.n; i++)
        known += b->prompts.answer[i] != NULL;
    const char *at = strchr(m->row[0].model, '@');
    char *name = xstrndup(m->row[0].model, (size_t)(at - m->row[0].model));
    char *from = file != NULL ? xasprintf(" of %s, %zu with a known answer", file, known) : xstrdup("");
    m->conditions = xasprintf("%s: %zu prompts%s, %" PRId64 " time%s, at most %" PRId64 " tokens, temperature %g", name,
                              b->prompts.n, from, b->rounds, b->rounds > 1 ? "s" : "", b->max_tokens, b->temperature);
    m->settings = json_pack("{s:s,s:I,s:I,s:I,s:I,s:f,s:I}", "name", name, "prompts", (json_int_t)b->prompts.n, "known",
                            (json_int_t)known, "rounds", (json_int_t)b->rounds, "max_tokens", (json_int_t)b->max_tokens,
                            "temperature", b->temperature, "seed", (json_int_t)b->seed);
    free(name);
    free(from);
}

static int choose(struct bench *b, const struct cmd_args *args, char **cause)
{
    json_t *models = client_get(&b->client, "/v1/models", NULL, ASK_MS, cause);
    if (models == NULL)
        return CMD_FAILED;
    int rc = modes_choose(&b->modes, models, cmd_args_get(args, "only"), cause) == 0 ? CMD_OK : CMD_FAILED;
    json_decref(models);
    return rc;
}

static int prepare(struct bench *b, const struct cmd_args *args, char **cause)
{
    const char *file = args->n_words > 0 ? args->words[0] : NULL;
    int64_t count = file != NULL ? INT32_MAX : COUNT;
    b->rounds = 1;
    b->max_tokens = 160;
    b->seed = 1;
    if (cmd_args_int(args, "count", 1, 100000, &count, cause) != 0 ||
        cmd_args_int(args, "rounds", 1, 1000, &b->rounds, cause) != 0 ||
        cmd_args_int(args, "max-tokens", 1, 1000000, &b->max_tokens, cause) != 0 ||
        cmd_args_int(args, "seed", 0, INT32_MAX, &b->seed, cause) != 0 ||
        cmd_args_double(args, "temperature", 0, 2, &b->temperature, cause) != 0)
        return CMD_USAGE;
    if (file == NULL)
        prompts_make(&b->prompts, (size_t)count, (uint64_t)b->seed);
    else if (prompts_load(&b->prompts, file, cause) != 0)
        return CMD_FAILED;
    prompts_limit(&b->prompts, (size_t)count);
    int rc = choose(b, args, cause);
    if (rc == CMD_OK)
        describe(b, file);
    return rc;
}

static int report(const struct bench *b, bool json)
{
    int rc = CMD_OK;
    if (json) {
        json_t *o = modes_json(&b->modes);
        char *text = json_dumps(o, JSON_INDENT(2));
        puts(text);
        free(text);
        json_decref(o);
    } else {
        modes_print(&b->modes, stdout);
    }
    for (size_t i = 0; i < b->modes.n; i++) {
        if (b->modes.row[i].failure != NULL)
            rc = CMD_FAILED;
    }
    return rc;
}

static int run(struct cmd_env *env, const struct cmd_args *args)
{
    struct config *cfg = cmd_load_config(env, false);
    if (cfg == NULL)
        return CMD_FAILED;
    struct bench b = {.show = isatty(STDERR_FILENO)};
    char *cause = NULL;
    client_init(&b.client, cfg, cmd_args_get(args, "url"));
    int rc = prepare(&b, args, &cause);
    if (rc == CMD_OK && (find_node(&b, cfg, &cause) != 0 || measure(&b, &cause) != 0))
        rc = CMD_FAILED;
    if (rc == CMD_OK)
        rc = report(&b, cmd_args_has(args, "json"));
    else
        cmd_fail_cause(cause);
    for (size_t i = 0; b.want != NULL && i < b.prompts.n; i++)
        client_answer_finish(&b.want[i]);
    free(b.want);
    modes_finish(&b.modes);
    prompts_finish(&b.prompts);
    if (b.node.base != NULL)
        client_finish(&b.node);
    client_finish(&b.client);
    config_destroy(cfg);
    return rc;
}

const struct cmd cmd_bench_modes = {
    .name = "modes",
    .usage = "[FILE] [options]",
    .summary = "measure every mode of the proxy on the same prompts: speed, work of the target, answers",
    .help =
        "Asks a running proxy each prompt in each mode that it has (NAME@target, NAME@exact, NAME@consensus, "
        "NAME@gate), and prints\n"
        "tokens a second, what the target had to do, and how many answers are the target's own.\n"
        "FILE (- is stdin) has one prompt a line; behind a tab may stand its known answer, and the share right is "
        "shown "
        "as well.\n"
        "An answer that ends like a sentence is the whole text; another one stands somewhere in it as whole words.\n"
        "Other users of the proxy disturb the numbers.\n\n"
        "  tightwad bench modes questions.tsv --count 50",
    .options = options,
    .max_words = 1,
    .run = run,
};
