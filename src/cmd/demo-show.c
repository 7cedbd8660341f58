#include "cmd/demo-show.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cmd/measure.h"
#include "cmd/prompts.h"
#include "cmd/term.h"

enum { MAX_TOKENS = 160 };

/* The pool alone is watched on the first one, where it takes its time. */
static const struct {
    const char *prompt;
    double temperature;
    int64_t seed;
} questions[] = {
    {"Tell me a story about a fox.", 0, 1},
    {"Explain speculative decoding.", 0, 1},
    {"Count from 7 to 23.", 0, 1},
    {"What is the capital of Norway?", 0, 1},
    {"Write a short story about an owl.", 0.7, 42},
};

/* Asked first: connections, caches and the governor settle on them. */
static const char *const warm_up[] = {"What is a pool?", "Tell me a story about a bear."};

struct show {
    struct client *client;
    char *model, *direct;
    struct paint paint;
    bool colour;
    int64_t drafted, accepted, tokens;
    double with_s, without_s;
};

static void on_text(void *arg, const char *text, size_t len, enum paint_who who)
{
    struct show *s = arg;
    paint_add(&s->paint, text, len, who);
    fflush(stdout);
}

static int ask(struct show *s, size_t i, bool direct, bool visible, struct client_answer *a, char **cause)
{
    json_t *messages = prompts_messages(NULL, questions[i].prompt);
    struct client_chat q = {.model = direct ? s->direct : s->model,
                            .messages = messages,
                            .max_tokens = MAX_TOKENS,
                            .temperature = questions[i].temperature,
                            .seed = questions[i].seed,
                            .stream = true,
                            .on_text = visible ? on_text : NULL,
                            .arg = s};
    int rc = client_chat(s->client, &q, a, cause);
    json_decref(messages);
    return rc;
}

/* Asks the warm-up questions of the proxy, and a little of the target. */
static int settle(struct show *s, char **cause)
{
    int rc = 0;
    for (size_t i = 0; i <= ARRAY_LEN(warm_up) && rc == 0; i++) {
        bool direct = i == ARRAY_LEN(warm_up);
        json_t *messages = prompts_messages(NULL, warm_up[direct ? 0 : i]);
        struct client_chat q = {.model = direct ? s->direct : s->model,
                                .messages = messages,
                                .max_tokens = direct ? 4 : MAX_TOKENS,
                                .temperature = 0,
                                .seed = 1,
                                .stream = true};
        struct client_answer a;
        rc = client_chat(s->client, &q, &a, cause);
        client_answer_finish(&a);
        json_decref(messages);
    }
    return rc;
}

/* Of generation alone, from the first text on; of a short answer that came in one go, over all of it. */
static double rate(const struct client_answer *a)
{
    if (a->generation_tokens > 0)
        return (double)a->generation_tokens / a->generation_seconds;
    return a->completion_tokens > 0 && a->seconds > 0 ? (double)a->completion_tokens / a->seconds : NAN;
}

static void print_label(const struct show *s, const char *text)
{
    printf("%s%s%s\n", term_escape(s->colour, TERM_DIM), text, term_escape(s->colour, TERM_PLAIN));
    fflush(stdout);
}

/* One answer, shown as it comes. */
static int watch(struct show *s, size_t i, bool direct, bool visible, struct client_answer *a, char **cause)
{
    int rc = ask(s, i, direct, visible, a, cause);
    if (!visible)
        return rc;
    paint_end(&s->paint);
    printf("\n");
    return rc;
}

static void take(struct show *s, const struct client_answer *with, const struct client_answer *without, bool same)
{
    char x[32], y[32];
    printf("%s  %lld tokens, %lld of them drafted; %s tokens/s, the pool alone %s; %s%s\n",
           term_escape(s->colour, TERM_DIM), (long long)with->completion_tokens, (long long)with->by_drafter,
           measure_format(x, sizeof(x), rate(with)), measure_format(y, sizeof(y), rate(without)),
           same ? "identical" : "DIFFERENT", term_escape(s->colour, TERM_PLAIN));
    if (!same)
        printf("  the pool alone writes: %s\n", without->text.data);
    s->drafted += with->drafted > 0 ? with->drafted : 0;
    s->accepted += with->accepted > 0 ? with->accepted : 0;
    s->tokens += with->completion_tokens;
    s->with_s += with->seconds;
    s->without_s += without->seconds;
}

static int question(struct show *s, size_t i, bool *same, char **cause)
{
    struct client_answer with = {0}, without = {0};
    printf("\n%s> %s%s", term_escape(s->colour, TERM_BOLD), questions[i].prompt, term_escape(s->colour, TERM_PLAIN));
    if (questions[i].temperature > 0)
        printf("  (temperature %g, seed %lld)", questions[i].temperature, (long long)questions[i].seed);
    printf("\n");
    if (i == 0)
        print_label(s, "the pool alone, a trip over the network for each token:");
    int rc = watch(s, i, true, i == 0, &without, cause);
    if (i == 0 && rc == 0)
        print_label(s, "the pool and the drafter, a trip for many tokens:");
    if (rc == 0)
        rc = watch(s, i, false, true, &with, cause);
    if (rc == 0) {
        *same = with.text.len == without.text.len && memcmp(with.text.data, without.text.data, with.text.len) == 0;
        take(s, &with, &without, *same);
    }
    client_answer_finish(&with);
    client_answer_finish(&without);
    return rc;
}

static void print_sum(const struct show *s, size_t same)
{
    char x[32], y[32];
    double with = (double)s->tokens / s->with_s, without = (double)s->tokens / s->without_s;
    printf("\nacceptance: ");
    if (s->drafted > 0)
        printf("%.0f %% (%lld of %lld drafted tokens)\n", 100.0 * (double)s->accepted / (double)s->drafted,
               (long long)s->accepted, (long long)s->drafted);
    else
        printf("nothing was drafted\n");
    printf("tokens per second: %s with the drafter, %s by the pool alone (%.2f times), first words and all\n",
           measure_format(x, sizeof(x), with), measure_format(y, sizeof(y), without), with / without);
    bool all = same == ARRAY_LEN(questions);
    printf("identical to the target alone: %s%s%s (%zu of %zu answers)\n",
           term_escape(s->colour, all ? TERM_GOOD : TERM_BAD), all ? "yes" : "no", term_escape(s->colour, TERM_PLAIN),
           same, ARRAY_LEN(questions));
}

int demo_show(struct client *c, bool *identical, char **cause)
{
    struct show s = {.client = c, .colour = term_colour(stdout)};
    size_t same = 0;
    int rc = -1;
    s.model = client_model(c, cause);
    if (s.model == NULL)
        return -1;
    s.direct = xasprintf("%s@target", s.model);
    paint_init(&s.paint, stdout, paint_mode_for(stdout, true));
    char *legend = paint_legend(s.paint.mode);
    printf("\n%s\n", legend);
    free(legend);
    rc = settle(&s, cause);
    if (rc != 0)
        goto out;
    for (size_t i = 0; i < ARRAY_LEN(questions); i++) {
        bool one = false;
        rc = question(&s, i, &one, cause);
        if (rc != 0)
            goto out;
        same += one;
    }
    print_sum(&s, same);
    *identical = same == ARRAY_LEN(questions);
out:
    fflush(stdout);
    free(s.model);
    free(s.direct);
    return rc;
}
