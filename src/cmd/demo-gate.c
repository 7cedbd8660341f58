/* demo --mode gate: small models write whole answers to questions with a known one, and the target reviews each. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cause.h"
#include "base/mem.h"
#include "cmd/demo-modes.h"
#include "cmd/demo-show.h"
#include "cmd/measure.h"
#include "cmd/prompts.h"
#include "cmd/self.h"

enum { QUESTIONS = 12 };

struct gate_show {
    struct client *client;
    char *gated, *direct;
    struct prompts prompts;
    struct paint paint;
    bool colour;
    size_t right, right_alone, approved, approved_wrong;
    int64_t tokens, tokens_alone;
    double seconds, seconds_alone;
};

static void print_verdict(const struct gate_show *s, const struct client_answer *a, bool right)
{
    const char *outcome = a->outcome[0] != '\0' ? a->outcome : "not reviewed";
    printf("\n%s  ", term_escape(s->colour, TERM_DIM));
    if (a->agent[0] != '\0')
        printf("%s wrote an answer, %s%s; ", a->agent, outcome,
               strcmp(outcome, "corrected") == 0  ? ": what the target agrees with stays, and it writes on"
               : strcmp(outcome, "rejected") == 0 ? ": the target answers itself"
                                                  : "");
    else
        printf("%s; ", outcome);
    printf("%s%s\n", right ? "right" : "WRONG", term_escape(s->colour, TERM_PLAIN));
}

static int question(struct gate_show *s, size_t i, char **cause)
{
    struct demo_question q = {.prompt = s->prompts.list[i], .temperature = 0, .seed = 1};
    struct client_answer a, alone = {0};
    printf("\n%s> %s%s\n", term_escape(s->colour, TERM_BOLD), q.prompt, term_escape(s->colour, TERM_PLAIN));
    int rc = demo_ask(s->client, s->gated, &q, &s->paint, &a, cause);
    paint_end(&s->paint);
    if (rc == 0)
        rc = demo_ask(s->client, s->direct, &q, NULL, &alone, cause);
    if (rc == 0) {
        bool right = prompts_right(&s->prompts, i, a.text.data, a.text.len);
        bool approved = strcmp(a.outcome, "approved") == 0;
        s->right += right;
        s->right_alone += prompts_right(&s->prompts, i, alone.text.data, alone.text.len);
        s->approved += approved;
        s->approved_wrong += approved && !right;
        s->tokens += a.completion_tokens;
        s->tokens_alone += alone.completion_tokens;
        s->seconds += a.seconds;
        s->seconds_alone += alone.seconds;
        print_verdict(s, &a, right);
    }
    client_answer_finish(&a);
    client_answer_finish(&alone);
    return rc;
}

static long long number(const json_t *o, const char *key)
{
    return (long long)json_number_value(json_object_get(o, key));
}

static int print_agents(struct gate_show *s, char **cause)
{
    json_t *status = client_settled(s->client, cause), *agent;
    const json_t *gate = json_object_get(status, "gate");
    size_t i;
    printf("\n");
    json_array_foreach(json_object_get(gate, "agents"), i, agent)
    {
        printf("%-9s %lld answers: %lld approved, %lld corrected, %lld rejected\n",
               json_string_value(json_object_get(agent, "name")), number(agent, "answers"), number(agent, "approved"),
               number(agent, "corrected"), number(agent, "rejected"));
    }
    if (gate != NULL)
        printf("the target reviewed by %s, and wrote %lld of %lld tokens\n",
               json_string_value(json_object_get(gate, "review")), number(gate, "target_tokens"),
               number(gate, "tokens"));
    json_decref(status);
    return status != NULL ? 0 : -1;
}

static void print_sum(const struct gate_show *s, bool held)
{
    char x[32], y[32];
    printf("tokens per second: %s by the gate, %s by the pool alone, one request at a time\n",
           measure_format(x, sizeof(x), (double)s->tokens / s->seconds),
           measure_format(y, sizeof(y), (double)s->tokens_alone / s->seconds_alone));
    printf("the gate is approximate: an approved answer is the agent's.  Right: %zu of %d, the target alone %zu; "
           "wrong ones approved: %s%zu%s of %zu\n",
           s->right, QUESTIONS, s->right_alone, term_escape(s->colour, held ? TERM_GOOD : TERM_BAD), s->approved_wrong,
           term_escape(s->colour, TERM_PLAIN), s->approved);
}

static int load(struct gate_show *s, char **cause)
{
    char *path = self_demo_model("questions.tsv", cause);
    int rc = path != NULL ? prompts_load(&s->prompts, path, cause) : -1;
    free(path);
    return rc;
}

int demo_show_gate(struct client *c, bool *held, char **cause)
{
    struct gate_show s = {.client = c, .colour = term_colour(stdout)};
    char *model = client_model(c, cause);
    int rc = model != NULL ? load(&s, cause) : -1;
    s.gated = xasprintf("%s@gate", model != NULL ? model : "");
    s.direct = xasprintf("%s@target", model != NULL ? model : "");
    paint_init(&s.paint, stdout, paint_mode_for(stdout, true));
    char *legend = paint_legend(s.paint.mode);
    if (rc == 0)
        printf("\n%s\n", legend);
    free(legend);
    for (size_t i = 0; i < QUESTIONS && rc == 0; i++)
        rc = question(&s, i * s.prompts.n / QUESTIONS, cause);
    if (rc == 0)
        rc = print_agents(&s, cause);
    *held = s.approved_wrong == 0 && s.right >= s.right_alone;
    if (rc == 0)
        print_sum(&s, *held);
    fflush(stdout);
    prompts_finish(&s.prompts);
    free(s.gated);
    free(s.direct);
    free(model);
    return rc;
}
