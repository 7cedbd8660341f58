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

static const struct demo_question exact_questions[] = {
    {"Tell me a story about a fox.", 0, 1},
    {"Explain speculative decoding.", 0, 1},
    {"Count from 7 to 23.", 0, 1},
    {"What is the capital of Norway?", 0, 1},
    {"Write a short story about an owl.", 0.7, 42},
};
const struct demo_script demo_exact_script = {exact_questions, ARRAY_LEN(exact_questions), "the pool and the drafter"};

/* Each drafter is at home in half of them. */
static const struct demo_question tree_questions[] = {
    {"Count from 7 to 23.", 0, 1},
    {"Tell me a story about a fox.", 0, 1},
    {"What is 17 + 25?", 0, 1},
    {"Count from 12 to 30.", 0, 1},
};
const struct demo_script demo_tree_script = {tree_questions, ARRAY_LEN(tree_questions), "the pool and both drafters"};

/* Asked first: connections, caches and the governor settle on them. */
static const struct demo_question warm_up[] = {
    {"Hello", 0, 1}, {"What is a pool?", 0, 1}, {"Count from 3 to 20.", 0, 1}, {"Tell me a story about a bear.", 0, 1}};

struct show {
    struct client *client;
    const struct demo_script *script;
    char *model, *direct;
    struct paint paint;
    bool colour;
    int64_t drafted, accepted, tokens;
    double with_s, without_s;
};

static void on_text(void *arg, const char *text, size_t len, enum paint_who who)
{
    struct paint *paint = arg;
    paint_add(paint, text, len, who);
    fflush(paint->to);
}

int demo_ask(struct client *c, const char *model, const struct demo_question *q, struct paint *paint,
             struct client_answer *a, char **cause)
{
    json_t *messages = prompts_messages(NULL, q->prompt);
    struct client_chat chat = {.model = model,
                               .messages = messages,
                               .max_tokens = MAX_TOKENS,
                               .temperature = q->temperature,
                               .seed = q->seed,
                               .stream = true,
                               .on_text = paint != NULL ? on_text : NULL,
                               .arg = paint};
    int rc = client_chat(c, &chat, a, cause);
    json_decref(messages);
    return rc;
}

double demo_rate(const struct client_answer *a)
{
    if (a->generation_tokens > 0)
        return (double)a->generation_tokens / a->generation_seconds;
    return a->completion_tokens > 0 && a->seconds > 0 ? (double)a->completion_tokens / a->seconds : NAN;
}

bool demo_same(const struct client_answer *a, const struct client_answer *b)
{
    return a->text.len == b->text.len && memcmp(a->text.data, b->text.data, a->text.len) == 0;
}

/* Asks the warm-up questions of the proxy, and the first of them of the target. */
static int settle(struct show *s, char **cause)
{
    int rc = 0;
    for (size_t i = 0; i <= ARRAY_LEN(warm_up) && rc == 0; i++) {
        bool direct = i == ARRAY_LEN(warm_up);
        struct client_answer a;
        rc = demo_ask(s->client, direct ? s->direct : s->model, &warm_up[direct ? 0 : i], NULL, &a, cause);
        client_answer_finish(&a);
    }
    return rc;
}

static void print_label(const struct show *s, const char *text)
{
    printf("%s%s%s\n", term_escape(s->colour, TERM_DIM), text, term_escape(s->colour, TERM_PLAIN));
    fflush(stdout);
}

/* One answer, shown as it comes. */
static int watch(struct show *s, size_t i, bool direct, bool visible, struct client_answer *a, char **cause)
{
    const struct demo_question *q = &s->script->questions[i];
    int rc = demo_ask(s->client, direct ? s->direct : s->model, q, visible ? &s->paint : NULL, a, cause);
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
           measure_format(x, sizeof(x), demo_rate(with)), measure_format(y, sizeof(y), demo_rate(without)),
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
    const struct demo_question *q = &s->script->questions[i];
    struct client_answer with = {0}, without = {0};
    printf("\n%s> %s%s", term_escape(s->colour, TERM_BOLD), q->prompt, term_escape(s->colour, TERM_PLAIN));
    if (q->temperature > 0)
        printf("  (temperature %g, seed %lld)", q->temperature, (long long)q->seed);
    printf("\n");
    if (i == 0)
        print_label(s, "the pool alone, a trip over the network for each token:");
    int rc = watch(s, i, true, i == 0, &without, cause);
    if (i == 0 && rc == 0) {
        char *label = xasprintf("%s, a trip for many tokens:", s->script->with);
        print_label(s, label);
        free(label);
    }
    if (rc == 0)
        rc = watch(s, i, false, true, &with, cause);
    if (rc == 0) {
        *same = demo_same(&with, &without);
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
    printf("tokens per second: %s by %s, %s by the pool alone (%.2f times), first words and all\n",
           measure_format(x, sizeof(x), with), s->script->with, measure_format(y, sizeof(y), without), with / without);
    bool all = same == s->script->n;
    printf("identical to the target alone: %s%s%s (%zu of %zu answers)\n",
           term_escape(s->colour, all ? TERM_GOOD : TERM_BAD), all ? "yes" : "no", term_escape(s->colour, TERM_PLAIN),
           same, s->script->n);
}

int demo_show(struct client *c, const struct demo_script *script, bool *identical, char **cause)
{
    struct show s = {.client = c, .script = script, .colour = term_colour(stdout)};
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
    for (size_t i = 0; i < script->n; i++) {
        bool one = false;
        rc = question(&s, i, &one, cause);
        if (rc != 0)
            goto out;
        same += one;
    }
    print_sum(&s, same);
    *identical = same == script->n;
out:
    fflush(stdout);
    free(s.model);
    free(s.direct);
    return rc;
}
