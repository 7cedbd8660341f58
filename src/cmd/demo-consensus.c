/* demo --mode consensus: what three drafters agree on is taken without the target, by two rules, and exact requests
 * beside it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cause.h"
#include "base/mem.h"
#include "cmd/demo-modes.h"
#include "cmd/demo-show.h"
#include "cmd/measure.h"

static const struct demo_question questions[] = {
    {"Tell me a story about a fox.", 0, 1},
    {"What is the capital of Norway?", 0, 1},
    {"Explain speculative decoding.", 0, 1},
    {"What is 17 + 25?", 0, 1},
};
enum { N = ARRAY_LEN(questions) };

static const struct {
    const char *mode, *rule;
} rules[] = {{"strict", "all three agree"}, {"majority", "two of the three agree"}};

struct consensus_show {
    struct client *client;
    char *model, *approximate, *exact, *direct;
    struct client_answer want[N]; /* the target's own */
    struct paint paint;
    bool colour;
    size_t same;             /* of this rule's answers */
    int64_t tokens, unasked; /* of them, and those that the target did not write */
    double seconds, alone;
};

static int set_rule(struct consensus_show *s, const char *mode, char **cause)
{
    json_t *body = json_pack("{s:s,s:s}", "command", "consensus", "mode", mode);
    json_t *reply = client_get(s->client, "/v1/tightwad/command", body, 5000, cause);
    json_decref(body);
    json_decref(reply);
    return reply != NULL ? 0 : -1;
}

static int question(struct consensus_show *s, size_t i, char **cause)
{
    struct client_answer a;
    char x[32];
    printf("%s> %s%s\n", term_escape(s->colour, TERM_BOLD), questions[i].prompt, term_escape(s->colour, TERM_PLAIN));
    int rc = demo_ask(s->client, s->approximate, &questions[i], &s->paint, &a, cause);
    paint_end(&s->paint);
    if (rc == 0) {
        bool same = demo_same(&a, &s->want[i]);
        s->same += same;
        s->tokens += a.completion_tokens;
        s->unasked += a.by_drafter > 0 ? a.by_drafter : 0;
        s->seconds += a.seconds;
        printf("\n%s  %" PRId64 " tokens, %" PRId64 " of them by the drafters; %s tokens/s; %s%s\n",
               term_escape(s->colour, TERM_DIM), a.completion_tokens, a.by_drafter,
               measure_format(x, sizeof(x), demo_rate(&a)),
               same ? "what the target alone writes" : "NOT what the target alone writes",
               term_escape(s->colour, TERM_PLAIN));
        if (!same)
            printf("  the target alone writes: %s\n", s->want[i].text.data);
    }
    client_answer_finish(&a);
    return rc;
}

static void print_sum(const struct consensus_show *s, const char *mode)
{
    char x[32], y[32];
    printf("%s: %" PRId64 " of %" PRId64 " tokens without the target; %s tokens/s, the target alone %s; %zu of %d "
           "answers as the target writes them\n",
           mode, s->unasked, s->tokens, measure_format(x, sizeof(x), (double)s->tokens / s->seconds),
           measure_format(y, sizeof(y), s->alone), s->same, N);
}

/* What the proxy has found out by checking afterwards. */
static int print_audit(struct consensus_show *s, char **cause)
{
    json_t *status = client_settled(s->client, cause);
    const json_t *c = json_object_get(status, "consensus");
    const char *why = json_string_value(json_object_get(c, "why"));
    if (status != NULL)
        printf("consensus is approximate: of %lld windows %lld needed no target; %lld were checked afterwards, and "
               "%lld had a wrong token\n",
               (long long)json_number_value(json_object_get(c, "windows")),
               (long long)json_number_value(json_object_get(c, "skipped")),
               (long long)json_number_value(json_object_get(c, "audited")),
               (long long)json_number_value(json_object_get(c, "wrong")));
    if (why != NULL && why[0] != '\0')
        printf("it is not in use now: %s\n", why);
    json_decref(status);
    return status != NULL ? 0 : -1;
}

static int show_rule(struct consensus_show *s, size_t rule, char **cause)
{
    printf("\n%s%s: a token is taken without the target where %s%s\n", term_escape(s->colour, TERM_DIM),
           rules[rule].mode, rules[rule].rule, term_escape(s->colour, TERM_PLAIN));
    s->same = 0;
    s->tokens = s->unasked = 0;
    s->seconds = 0;
    int rc = set_rule(s, rules[rule].mode, cause);
    for (size_t i = 0; i < N && rc == 0; i++)
        rc = question(s, i, cause);
    if (rc == 0)
        print_sum(s, rules[rule].mode);
    return rc == 0 ? print_audit(s, cause) : rc; /* the next rule begins to count anew */
}

/* The target's own answers, before there is anything else to do. */
static int ask_target(struct consensus_show *s, char **cause)
{
    int64_t tokens = 0;
    double seconds = 0;
    int rc = 0;
    for (size_t i = 0; i < N && rc == 0; i++) {
        rc = demo_ask(s->client, s->direct, &questions[i], NULL, &s->want[i], cause);
        tokens += s->want[i].completion_tokens;
        seconds += s->want[i].seconds;
    }
    s->alone = (double)tokens / seconds;
    return rc;
}

static int ask_exact(struct consensus_show *s, bool *held, char **cause)
{
    size_t same = 0;
    int rc = 0;
    for (size_t i = 0; i < N && rc == 0; i++) {
        struct client_answer a;
        rc = demo_ask(s->client, s->exact, &questions[i], NULL, &a, cause);
        same += rc == 0 && demo_same(&a, &s->want[i]);
        client_answer_finish(&a);
    }
    *held = same == N;
    if (rc == 0)
        printf("\nexact requests beside it (%s): identical to the target alone: %s%s%s (%zu of %d answers)\n", s->exact,
               term_escape(s->colour, *held ? TERM_GOOD : TERM_BAD), *held ? "yes" : "no",
               term_escape(s->colour, TERM_PLAIN), same, N);
    return rc;
}

int demo_show_consensus(struct client *c, bool *held, char **cause)
{
    struct consensus_show s = {.client = c, .colour = term_colour(stdout)};
    s.model = client_model(c, cause);
    if (s.model == NULL)
        return -1;
    s.approximate = xasprintf("%s@consensus", s.model);
    s.exact = xasprintf("%s@exact", s.model);
    s.direct = xasprintf("%s@target", s.model);
    paint_init(&s.paint, stdout, paint_mode_for(stdout, true));
    char *legend = paint_legend(s.paint.mode);
    printf("\n%s\n", legend);
    free(legend);
    int rc = ask_target(&s, cause);
    for (size_t i = 0; i < ARRAY_LEN(rules) && rc == 0; i++)
        rc = show_rule(&s, i, cause);
    if (rc == 0)
        rc = set_rule(&s, rules[0].mode, cause); /* as it is configured */
    if (rc == 0)
        rc = ask_exact(&s, held, cause);
    for (size_t i = 0; i < N; i++)
        client_answer_finish(&s.want[i]);
    fflush(stdout);
    free(s.model);
    free(s.approximate);
    free(s.exact);
    free(s.direct);
    return rc;
}
