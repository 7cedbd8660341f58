/* tightwad bench exact: how many answers are, byte for byte, what the target alone writes. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cause.h"
#include "base/mem.h"
#include "cmd/client.h"
#include "cmd/cmd.h"
#include "cmd/measure.h"
#include "cmd/prompts.h"

extern const struct cmd cmd_bench_exact;

static const struct cmd_option options[] = {
    {'p', "prompts", "FILE", "one prompt a line (- is stdin), instead of made-up ones"},
    {'n', "count", "N", "how many prompts are made up (20)"},
    {'m', "max-tokens", "N", "at most N tokens an answer (128)"},
    {'t', "temperatures", "LIST", "temperatures to ask at (0,0.7,1)"},
    {'s', "seed", "N", "first seed; each prompt has its own (1)"},
    {0, "stream-only", NULL, "leave out the answers in one piece"},
    {0, "json", NULL, "one JSON object on stdout instead of words"},
    {'u', "url", "URL", "another endpoint than the configured proxy"},
    {0},
};

enum { MAX_TEMPERATURES = 16, MAX_SHOWN = 10 };

struct exact {
    struct client client;
    struct prompts prompts;
    char *model, *exact, *direct;
    int64_t max_tokens, seed;
    double temperatures[MAX_TEMPERATURES];
    size_t n_temperatures;
    bool stream_only, json;
    size_t asked, identical, failed;
    int64_t tokens, by_drafter, by_target;
    json_t *differences; /* objects, for --json */
};

static int parse_temperatures(struct exact *x, const char *list, char **cause)
{
    const char *s = list != NULL ? list : "0,0.7,1";
    for (;;) {
        char *end;
        double t = strtod(s, &end);
        if (end == s || isnan(t) || t < 0 || t > 2 || (*end != ',' && *end != '\0') ||
            x->n_temperatures == MAX_TEMPERATURES)
            return cause_set(cause,
                             "--temperatures is \"%s\": at most %d numbers from 0 to 2 with commas between are wanted",
                             list, MAX_TEMPERATURES);
        x->temperatures[x->n_temperatures++] = t;
        if (*end == '\0')
            return 0;
        s = end + 1;
    }
}

static int ask(struct exact *x, const char *model, size_t prompt, double temperature, bool stream,
               struct client_answer *a, char **cause)
{
    json_t *messages = prompts_messages(NULL, x->prompts.list[prompt]);
    struct client_chat q = {.model = model,
                            .messages = messages,
                            .max_tokens = x->max_tokens,
                            .temperature = temperature,
                            .seed = (x->seed + (int64_t)prompt) & INT32_MAX,
                            .stream = stream};
    int rc = client_chat(&x->client, &q, a, cause);
    json_decref(messages);
    return rc;
}

static bool same(const struct client_answer *a, const struct client_answer *b)
{
    bool finish =
        (a->finish == NULL) == (b->finish == NULL) && (a->finish == NULL || strcmp(a->finish, b->finish) == 0);
    bool counts = a->completion_tokens == b->completion_tokens;
    return finish && counts && a->text.len == b->text.len && memcmp(a->text.data, b->text.data, a->text.len) == 0;
}

static void report(struct exact *x, size_t prompt, double temperature, bool stream, const struct client_answer *got,
                   const struct client_answer *want, const char *failure)
{
    size_t at = measure_common(got->text.data, got->text.len, want->text.data, want->text.len);
    json_array_append_new(x->differences,
                          json_pack("{s:s,s:f,s:I,s:b,s:I,s:s%,s:s%,s:s?}", "prompt", x->prompts.list[prompt],
                                    "temperature", temperature, "seed", (json_int_t)(x->seed + (int64_t)prompt),
                                    "stream", stream, "at_byte", (json_int_t)at, "proxy", got->text.data, got->text.len,
                                    "target", want->text.data, want->text.len, "failure", failure));
    if (x->json || json_array_size(x->differences) > MAX_SHOWN)
        return;
    printf("%s: \"%s\" at temperature %g, seed %" PRId64 ", %s\n", failure != NULL ? "failed" : "differs",
           x->prompts.list[prompt], temperature, x->seed + (int64_t)prompt, stream ? "streamed" : "in one piece");
    if (failure != NULL)
        printf("  %s\n", failure);
    else
        printf("  from byte %zu on\n  proxy:  …%.60s (%s, %" PRId64 " tokens)\n  target: …%.60s (%s, %" PRId64
               " tokens)\n",
               at, got->text.data + at, got->finish != NULL ? got->finish : "?", got->completion_tokens,
               want->text.data + at, want->finish != NULL ? want->finish : "?", want->completion_tokens);
}

/* The target's answer once, then the proxy's, streamed and in one piece, each compared with it. */
static void compare(struct exact *x, size_t prompt, double temperature)
{
    struct client_answer want, got;
    char *cause = NULL;
    bool broken = ask(x, x->direct, prompt, temperature, true, &want, &cause) != 0;
    for (int stream = 1; stream >= (x->stream_only ? 1 : 0); stream--) {
        x->asked++;
        if (broken) {
            x->failed++;
            struct client_answer none = {.text = {.data = (char *)""}};
            report(x, prompt, temperature, stream != 0, &none, &want, cause);
            continue;
        }
        if (ask(x, x->exact, prompt, temperature, stream != 0, &got, &cause) != 0) {
            x->failed++;
            report(x, prompt, temperature, stream != 0, &got, &want, cause);
        } else if (same(&got, &want)) {
            x->identical++;
        } else {
            report(x, prompt, temperature, stream != 0, &got, &want, NULL);
        }
        x->tokens += got.completion_tokens > 0 ? got.completion_tokens : 0;
        x->by_drafter += got.by_drafter > 0 ? got.by_drafter : 0;
        x->by_target += got.by_target > 0 ? got.by_target : 0;
        client_answer_finish(&got);
    }
    client_answer_finish(&want);
    free(cause);
}

/* What the proxy says of its own exactness; new reference, NULL where it does not say. */
static json_t *stated(struct exact *x)
{
    json_t *status = client_get(&x->client, "/v1/tightwad/status", NULL, 10000, NULL);
    json_t *o = json_object();
    static const char *const keys[] = {"exactness", "exactness_note", "speculating", "why_not"};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        json_t *v = json_object_get(status, keys[i]);
        if (v != NULL)
            json_object_set(o, keys[i], v);
    }
    json_decref(status);
    return o;
}

static void print_result(struct exact *x)
{
    json_t *said = stated(x);
    size_t spoken = (size_t)(x->by_drafter + x->by_target);
    if (x->json) {
        json_t *o = json_pack("{s:s,s:I,s:I,s:I,s:I,s:O,s:o}", "model", x->model, "answers", (json_int_t)x->asked,
                              "identical", (json_int_t)x->identical, "failed", (json_int_t)x->failed, "tokens",
                              (json_int_t)x->tokens, "differences", x->differences, "status", json_incref(said));
        json_object_set_new(o, "drafted_share",
                            spoken > 0 ? json_real((double)x->by_drafter / (double)spoken) : json_null());
        char *text = json_dumps(o, JSON_INDENT(2));
        puts(text);
        free(text);
        json_decref(o);
        json_decref(said);
        return;
    }
    size_t n = json_array_size(x->differences);
    if (n > MAX_SHOWN)
        printf("… and %zu more (--json has them all)\n", n - MAX_SHOWN);
    printf("%zu of %zu answers are byte for byte what %s alone writes", x->identical, x->asked, x->model);
    if (x->failed > 0)
        printf("; %zu could not be asked", x->failed);
    printf(".\n%" PRId64 " tokens", x->tokens);
    if (spoken > 0)
        printf(", %.0f %% of them drafted", 100.0 * (double)x->by_drafter / (double)spoken);
    printf(".\n");
    const char *why_not = json_string_value(json_object_get(said, "why_not"));
    if (why_not != NULL && why_not[0] != '\0')
        printf("Nothing was tested by this: speculation is off: %s\n", why_not);
    const char *exactness = json_string_value(json_object_get(said, "exactness"));
    const char *note = json_string_value(json_object_get(said, "exactness_note"));
    if (exactness != NULL && x->identical < x->asked)
        printf("The target promises: %s%s%s\n", exactness, note != NULL && note[0] != '\0' ? ": " : "",
               note != NULL ? note : "");
    json_decref(said);
}

static int prepare(struct exact *x, const struct cmd_args *args, char **cause)
{
    int64_t count = 20;
    x->max_tokens = 128;
    x->seed = 1;
    x->stream_only = cmd_args_has(args, "stream-only");
    x->json = cmd_args_has(args, "json");
    if (cmd_args_int(args, "count", 1, 10000, &count, cause) != 0 ||
        cmd_args_int(args, "max-tokens", 1, 1000000, &x->max_tokens, cause) != 0 ||
        cmd_args_int(args, "seed", 0, INT32_MAX, &x->seed, cause) != 0 ||
        parse_temperatures(x, cmd_args_get(args, "temperatures"), cause) != 0)
        return CMD_USAGE;
    const char *file = cmd_args_get(args, "prompts");
    if (file == NULL)
        prompts_make(&x->prompts, (size_t)count, (uint64_t)x->seed);
    else if (prompts_load(&x->prompts, file, cause) != 0)
        return CMD_FAILED;
    x->model = client_model(&x->client, cause);
    if (x->model == NULL)
        return CMD_FAILED;
    x->exact = xasprintf("%s@exact", x->model);
    x->direct = xasprintf("%s@target", x->model);
    return CMD_OK;
}

static void compare_all(struct exact *x)
{
    bool show = isatty(STDERR_FILENO);
    for (size_t p = 0; p < x->prompts.n; p++) {
        for (size_t t = 0; t < x->n_temperatures; t++) {
            if (show)
                fprintf(stderr, "\r%zu of %zu ", p * x->n_temperatures + t + 1, x->prompts.n * x->n_temperatures);
            compare(x, p, x->temperatures[t]);
        }
    }
    if (show)
        fprintf(stderr, "\r                    \r");
}

static int run(struct cmd_env *env, const struct cmd_args *args)
{
    struct config *cfg = cmd_load_config(env, false);
    if (cfg == NULL)
        return CMD_FAILED;
    struct exact x = {.differences = json_array()};
    char *cause = NULL;
    client_init(&x.client, cfg, cmd_args_get(args, "url"));
    int rc = prepare(&x, args, &cause);
    if (rc != CMD_OK) {
        cmd_fail_cause(cause);
    } else {
        compare_all(&x);
        print_result(&x);
        rc = x.asked > 0 && x.identical == x.asked ? CMD_OK : CMD_FAILED;
    }
    free(x.model);
    free(x.exact);
    free(x.direct);
    json_decref(x.differences);
    prompts_finish(&x.prompts);
    client_finish(&x.client);
    config_destroy(cfg);
    return rc;
}

const struct cmd cmd_bench_exact = {
    .name = "exact",
    .usage = "[options]",
    .summary = "count the answers that are byte-identical to the target alone",
    .help = "Asks each prompt at each temperature with one seed: NAME@target once, then NAME@exact streamed and in one "
            "piece.\n"
            "Text, finish reason and token count must be the same.  Ends with 0 if all were, else with 1 and what "
            "differs.\n\n"
            "  tightwad bench exact -n 200",
    .options = options,
    .run = run,
};
