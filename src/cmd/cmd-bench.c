/* tightwad bench: the proxy against its target alone, on the same prompts, in turn. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "cmd/client.h"
#include "cmd/cmd.h"
#include "cmd/measure.h"
#include "cmd/prompts.h"
#include "config/compose.h"
#include "config/tree.h"

extern const struct cmd cmd_bench, cmd_bench_exact, cmd_bench_modes, cmd_bench_pool, cmd_bench_swarm;

static const struct cmd_option options[] = {
    {'p', "prompts", "FILE", "one prompt a line (- is stdin), instead of made-up ones"},
    {'k', "count", "N", "how many prompts are made up (8)"},
    {'n', "rounds", "N", "how often each prompt is asked, each time both ways (3)"},
    {'m', "max-tokens", "N", "at most N tokens an answer (128)"},
    {'t', "temperature", "T", "0 to 2 (0)"},
    {'s', "seed", "N", "seed of the answers and of the made-up prompts (1)"},
    {0, "json", NULL, "one JSON object on stdout instead of words"},
    {'u', "url", "URL", "another endpoint than the configured proxy"},
    {0},
};

enum way { PROXY, DIRECT, N_WAYS };
static const char *const way_names[] = {"proxy", "target alone"};

struct sample {
    double seconds, first_seconds, rate; /* rate: tokens per second over the whole answer */
    int64_t tokens;
};

struct bench {
    struct client client;
    struct prompts prompts;
    char *model, *exact, *direct;
    int64_t rounds, max_tokens, seed;
    double temperature;
    struct sample *samples[N_WAYS]; /* n_samples of each */
    size_t n_samples;
    size_t identical;
    int64_t drafted, accepted;
    double estimate[N_WAYS]; /* tokens/s that `tightwad init` noted in the configuration; NAN: none */
};

static int ask(struct bench *b, enum way way, const char *prompt, int64_t max_tokens, struct client_answer *a,
               char **cause)
{
    json_t *messages = prompts_messages(NULL, prompt);
    struct client_chat q = {.model = way == PROXY ? b->exact : b->direct,
                            .messages = messages,
                            .max_tokens = max_tokens,
                            .temperature = b->temperature,
                            .seed = b->seed,
                            .stream = true};
    int rc = client_chat(&b->client, &q, a, cause);
    json_decref(messages);
    return rc;
}

static void keep(struct bench *b, enum way way, const struct client_answer *a)
{
    b->samples[way][b->n_samples] = (struct sample){a->seconds, a->first_seconds, NAN, a->completion_tokens};
    if (a->completion_tokens > 0 && a->seconds > 0)
        b->samples[way][b->n_samples].rate = (double)a->completion_tokens / a->seconds;
    if (way == PROXY && a->drafted >= 0 && a->accepted >= 0) {
        b->drafted += a->drafted;
        b->accepted += a->accepted;
    }
}

/* One prompt both ways; which goes first alternates, so that a warm cache helps both alike. */
static int pair(struct bench *b, size_t prompt, int64_t round, char **cause)
{
    struct client_answer a[N_WAYS] = {0};
    enum way first = (prompt + (size_t)round) % 2 == 0 ? PROXY : DIRECT;
    int rc = ask(b, first, b->prompts.list[prompt], b->max_tokens, &a[first], cause);
    if (rc == 0)
        rc = ask(b, 1 - first, b->prompts.list[prompt], b->max_tokens, &a[1 - first], cause);
    if (rc == 0) {
        keep(b, PROXY, &a[PROXY]);
        keep(b, DIRECT, &a[DIRECT]);
        b->n_samples++;
        b->identical += a[PROXY].text.len == a[DIRECT].text.len &&
                        memcmp(a[PROXY].text.data, a[DIRECT].text.data, a[PROXY].text.len) == 0;
    }
    for (int i = 0; i < N_WAYS; i++)
        client_answer_finish(&a[i]);
    return rc;
}

static int measure(struct bench *b, char **cause)
{
    bool show = isatty(STDERR_FILENO);
    size_t all = b->prompts.n * (size_t)b->rounds;
    for (int i = 0; i < N_WAYS; i++)
        b->samples[i] = xcalloc(all, sizeof(*b->samples[i]));
    /* The first request after a start pays for connections and caches: it is not counted. */
    for (enum way w = PROXY; w < N_WAYS; w++) {
        struct client_answer warm;
        int rc = ask(b, w, b->prompts.list[0], 8, &warm, cause);
        client_answer_finish(&warm);
        if (rc != 0)
            return -1;
    }
    for (int64_t r = 0; r < b->rounds; r++) {
        for (size_t p = 0; p < b->prompts.n; p++) {
            if (show)
                fprintf(stderr, "\r%zu of %zu ", b->n_samples + 1, all);
            if (pair(b, p, r, cause) != 0) {
                if (show)
                    fputc('\n', stderr);
                return -1;
            }
        }
    }
    if (show)
        fprintf(stderr, "\r                    \r");
    return 0;
}

enum column { RATE, FIRST, SECONDS };

static double column_median(const struct bench *b, enum way way, enum column c)
{
    double *v = xcalloc(b->n_samples, sizeof(*v));
    size_t n = 0;
    for (size_t i = 0; i < b->n_samples; i++) {
        const struct sample *s = &b->samples[way][i];
        double x = c == RATE ? s->rate : c == FIRST ? s->first_seconds * 1000 : s->seconds;
        if (!isnan(x))
            v[n++] = x;
    }
    double m = measure_median(v, n);
    free(v);
    return m;
}

/* The median over the pairs, so that long and short answers count alike. */
static double ratio(const struct bench *b)
{
    double *v = xcalloc(b->n_samples, sizeof(*v));
    size_t n = 0;
    for (size_t i = 0; i < b->n_samples; i++) {
        if (b->samples[PROXY][i].seconds > 0)
            v[n++] = b->samples[DIRECT][i].seconds / b->samples[PROXY][i].seconds;
    }
    double m = measure_median(v, n);
    free(v);
    return m;
}

static json_t *real(double v)
{
    return isnan(v) ? json_null() : json_real(v);
}

static void print_json(const struct bench *b)
{
    json_t *o = json_object();
    json_object_set_new(o, "model", json_string(b->model));
    json_object_set_new(o, "prompts", json_integer((json_int_t)b->prompts.n));
    json_object_set_new(o, "rounds", json_integer(b->rounds));
    json_object_set_new(o, "temperature", json_real(b->temperature));
    static const char *const keys[] = {"proxy", "target"};
    for (enum way w = PROXY; w < N_WAYS; w++) {
        json_t *part = json_object();
        int64_t tokens = 0;
        for (size_t i = 0; i < b->n_samples; i++)
            tokens += b->samples[w][i].tokens;
        json_object_set_new(part, "tokens_per_second", real(column_median(b, w, RATE)));
        json_object_set_new(part, "first_token_ms", real(column_median(b, w, FIRST)));
        json_object_set_new(part, "seconds", real(column_median(b, w, SECONDS)));
        json_object_set_new(part, "tokens", json_integer(tokens));
        json_object_set_new(part, "estimated_tokens_per_second", real(b->estimate[w]));
        json_object_set_new(o, keys[w], part);
    }
    json_object_set_new(o, "ratio", real(ratio(b)));
    json_object_set_new(o, "acceptance",
                        b->drafted > 0 ? json_real((double)b->accepted / (double)b->drafted) : json_null());
    json_object_set_new(o, "drafted", json_integer(b->drafted));
    json_object_set_new(o, "accepted", json_integer(b->accepted));
    json_object_set_new(o, "answers", json_integer((json_int_t)b->n_samples));
    json_object_set_new(o, "identical", json_integer((json_int_t)b->identical));
    char *text = json_dumps(o, JSON_INDENT(2));
    puts(text);
    free(text);
    json_decref(o);
}

/* What was expected before anything ran, beside what came of it. */
static void print_estimate(const struct bench *b)
{
    char x[32], y[32];
    bool begun = false;
    for (enum way w = PROXY; w < N_WAYS; w++) {
        if (isnan(b->estimate[w]))
            continue;
        printf("%s%s %s tokens/s (measured: %s times that)",
               begun ? ", " : "\nEstimated by `tightwad init`: ", way_names[w],
               measure_format(x, sizeof(x), b->estimate[w]),
               measure_format(y, sizeof(y), column_median(b, w, RATE) / b->estimate[w]));
        begun = true;
    }
    if (begun)
        printf(".\n");
}

static void print_words(const struct bench *b)
{
    char x[32], y[32], z[32];
    printf("%s: %zu prompts, %" PRId64 " times each, at most %" PRId64 " tokens, temperature %g\n\n", b->model,
           b->prompts.n, b->rounds, b->max_tokens, b->temperature);
    printf("medians         tokens/s   first text ms   seconds an answer\n");
    for (enum way w = PROXY; w < N_WAYS; w++) {
        printf("  %-12s %9s %15s %19s\n", way_names[w], measure_format(x, sizeof(x), column_median(b, w, RATE)),
               measure_format(y, sizeof(y), column_median(b, w, FIRST)),
               measure_format(z, sizeof(z), column_median(b, w, SECONDS)));
    }
    print_estimate(b);
    double r = ratio(b);
    printf("\nThe proxy is %s times as fast as the target alone%s.\n", measure_format(x, sizeof(x), r),
           r < 0.95 ? ": `tightwad doctor` says why" : "");
    if (b->drafted > 0)
        printf("Acceptance: %.1f %% of %" PRId64 " drafted tokens.\n", 100.0 * (double)b->accepted / (double)b->drafted,
               b->drafted);
    else
        printf("Nothing was drafted: speculation is off or does not pay (`tightwad proxy status` says why).\n");
    printf("Identical to the target alone: %zu of %zu answers.\n", b->identical, b->n_samples);
}

/* Only the configuration that the endpoint runs with says what was expected of it. */
static void read_estimate(struct bench *b, const char *path)
{
    struct buf text;
    char *cause = NULL;
    b->estimate[PROXY] = b->estimate[DIRECT] = NAN;
    if (path == NULL)
        return;
    if (file_read(path, TREE_BYTES_MAX, &text, &cause) == 0 &&
        !compose_estimate(text.data, text.len, &b->estimate[DIRECT], &b->estimate[PROXY]))
        b->estimate[PROXY] = b->estimate[DIRECT] = NAN;
    buf_finish(&text);
    free(cause);
}

static int prepare(struct bench *b, const struct cmd_args *args, char **cause)
{
    int64_t count = 8;
    b->rounds = 3;
    b->max_tokens = 128;
    b->seed = 1;
    if (cmd_args_int(args, "count", 1, 1000, &count, cause) != 0 ||
        cmd_args_int(args, "rounds", 1, 1000, &b->rounds, cause) != 0 ||
        cmd_args_int(args, "max-tokens", 1, 1000000, &b->max_tokens, cause) != 0 ||
        cmd_args_int(args, "seed", 0, INT32_MAX, &b->seed, cause) != 0 ||
        cmd_args_double(args, "temperature", 0, 2, &b->temperature, cause) != 0)
        return CMD_USAGE;
    const char *file = cmd_args_get(args, "prompts");
    if (file == NULL)
        prompts_make(&b->prompts, (size_t)count, (uint64_t)b->seed);
    else if (prompts_load(&b->prompts, file, cause) != 0)
        return CMD_FAILED;
    b->model = client_model(&b->client, cause);
    if (b->model == NULL)
        return CMD_FAILED;
    b->exact = xasprintf("%s@exact", b->model);
    b->direct = xasprintf("%s@target", b->model);
    return CMD_OK;
}

static int run(struct cmd_env *env, const struct cmd_args *args)
{
    struct config *cfg = cmd_load_config(env, false);
    if (cfg == NULL)
        return CMD_FAILED;
    struct bench b = {0};
    char *cause = NULL;
    client_init(&b.client, cfg, cmd_args_get(args, "url"));
    read_estimate(&b, cmd_args_has(args, "url") ? NULL : cfg->path);
    int rc = prepare(&b, args, &cause);
    if (rc == CMD_OK && measure(&b, &cause) != 0)
        rc = CMD_FAILED;
    if (rc != CMD_OK)
        cmd_fail_cause(cause);
    else if (cmd_args_has(args, "json"))
        print_json(&b);
    else
        print_words(&b);
    for (int i = 0; i < N_WAYS; i++)
        free(b.samples[i]);
    free(b.model);
    free(b.exact);
    free(b.direct);
    prompts_finish(&b.prompts);
    client_finish(&b.client);
    config_destroy(cfg);
    return rc;
}

static const struct cmd *const subs[] = {&cmd_bench_exact, &cmd_bench_modes, &cmd_bench_pool, &cmd_bench_swarm, NULL};

const struct cmd cmd_bench = {
    .name = "bench",
    .usage = "[options] | exact [options] | modes [FILE] [options] | pool [options] | swarm [options]",
    .summary = "measure the proxy against its target alone, on the same prompts, in turn",
    .help = "Asks a running proxy each prompt both ways (NAME@exact and NAME@target), in turn, and prints medians and "
            "their "
            "ratio.\n"
            "The ratio is the median over the pairs of (seconds of the target alone / seconds through the proxy).\n"
            "What `tightwad init` had estimated, and noted in the configuration, is shown beside it.\n\n"
            "  tightwad bench -n 5 --prompts questions.txt",
    .options = options,
    .subs = subs,
    .run = run,
};
