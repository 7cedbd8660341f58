/* tightwad chat: talk to the endpoint from the terminal and see who wrote each token. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cause.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "cmd/client.h"
#include "cmd/cmd.h"
#include "cmd/prompts.h"
#include "cmd/term.h"

extern const struct cmd cmd_chat;

enum { MAX_PROMPT = 8 * 1024 * 1024 };

static const struct cmd_option options[] = {
    {'d', "direct", NULL, "the target alone, without speculation"},
    {'m', "model", "NAME", "another model name (see GET /v1/models)"},
    {0, "system", "TEXT", "a system message before the first question"},
    {'n', "max-tokens", "N", "at most N tokens an answer"},
    {'t', "temperature", "T", "0 (always the same answer) to 2"},
    {'s', "seed", "N", "the same seed gives the same answer"},
    {0, "marks", NULL, "mark who wrote what by [brackets], also where colours can't be shown"},
    {'u', "url", "URL", "another endpoint than the configured proxy"},
    {0},
};

struct chat {
    struct client client;
    struct client_chat request;
    char *model;
    json_t *messages; /* the conversation so far */
    bool stats;
    struct event *sigint; /* caught while an answer runs; at the prompt it ends the program as usual.  NULL: never */
    struct paint paint;
};

static void on_text(void *arg, const char *text, size_t len, enum paint_who who)
{
    struct chat *c = arg;
    paint_add(&c->paint, text, len, who);
    fflush(stdout);
}

static void print_stats(const struct client_answer *a)
{
    bool colour = term_colour(stderr);
    int64_t n = a->completion_tokens;
    fprintf(stderr, "%s", term_escape(colour, TERM_DIM));
    if (n >= 0)
        fprintf(stderr, "%lld tokens in %.2f s", (long long)n, a->seconds);
    if (n > 0 && a->seconds > 0)
        fprintf(stderr, ", %.1f tokens/s", (double)n / a->seconds);
    if (a->by_drafter >= 0 && a->by_drafter + a->by_target > 0)
        fprintf(stderr, "; %lld of %lld drafted", (long long)a->by_drafter, (long long)(a->by_drafter + a->by_target));
    if (a->drafted > 0 && a->accepted >= 0)
        fprintf(stderr, ", acceptance %.0f %%", 100.0 * (double)a->accepted / (double)a->drafted);
    if (a->finish != NULL && strcmp(a->finish, "length") == 0)
        fprintf(stderr, "; cut off: no more tokens were allowed, or the context is full");
    fprintf(stderr, "%s\n", term_escape(colour, TERM_PLAIN));
}

/* One question and its answer.  0, or -1: the failure has been printed, and the question is forgotten. */
static int turn(struct chat *c, const char *prompt)
{
    struct client_answer a;
    char *cause = NULL;
    json_array_append_new(c->messages, json_pack("{s:s,s:s}", "role", "user", "content", prompt));
    c->request.messages = c->messages;
    if (c->sigint != NULL)
        event_add(c->sigint, NULL);
    int rc = client_chat(&c->client, &c->request, &a, &cause);
    if (c->sigint != NULL)
        event_del(c->sigint);
    paint_end(&c->paint);
    if (a.text.len > 0 && (a.text.data[a.text.len - 1] != '\n' || c->paint.mode != PAINT_PLAIN))
        putchar('\n');
    fflush(stdout);
    if (rc == 0) {
        if (c->stats)
            print_stats(&a);
        json_array_append_new(c->messages,
                              json_pack("{s:s,s:s%}", "role", "assistant", "content", a.text.data, a.text.len));
    } else if (c->client.interrupted) {
        fprintf(stderr, "(broken off)\n");
        json_array_remove(c->messages, json_array_size(c->messages) - 1);
    } else {
        cmd_fail("%s", cause);
        json_array_remove(c->messages, json_array_size(c->messages) - 1);
    }
    free(cause);
    client_answer_finish(&a);
    return rc;
}

static void forget(struct chat *c, const char *system)
{
    json_array_clear(c->messages);
    if (system != NULL)
        json_array_append_new(c->messages, json_pack("{s:s,s:s}", "role", "system", "content", system));
}

static int interactive(struct chat *c, const char *system)
{
    c->sigint = client_interrupt_event(&c->client);
    char *legend = paint_legend(c->paint.mode);
    fprintf(stderr, "%s at %s%s%s\n", c->model != NULL ? c->model : "the target", c->client.url,
            legend[0] != '\0' ? "    " : "", legend);
    fprintf(stderr, "/new forgets the conversation, Ctrl-C breaks an answer off, Ctrl-D leaves\n");
    free(legend);
    char *line = NULL;
    size_t size = 0;
    for (;;) {
        fputs("> ", stdout);
        fflush(stdout);
        ssize_t len = getline(&line, &size, stdin);
        if (len < 0)
            break;
        while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
            line[--len] = '\0';
        if (strcmp(line, "/new") == 0)
            forget(c, system);
        else if (strcmp(line, "/quit") == 0 || strcmp(line, "/exit") == 0)
            break;
        else if (line[0] == '/')
            fprintf(stderr, "/new and /quit are the words that start with a slash\n");
        else if (len > 0 && !utf8_valid(line, (size_t)len))
            fprintf(stderr, "that line is not valid UTF-8\n");
        else if (len > 0)
            turn(c, line);
    }
    putchar('\n');
    free(line);
    event_free(c->sigint);
    return CMD_OK;
}

static char *read_stdin(char **cause)
{
    struct buf b;
    buf_init(&b, MAX_PROMPT);
    char part[4096];
    size_t n;
    while ((n = fread(part, 1, sizeof(part), stdin)) > 0) {
        if (!buf_add(&b, part, n)) {
            buf_finish(&b);
            cause_set(cause, "the prompt on stdin is over %d MiB", MAX_PROMPT / 1048576);
            return NULL;
        }
    }
    while (b.len > 0 && (b.data[b.len - 1] == '\n' || b.data[b.len - 1] == '\r'))
        b.data[--b.len] = '\0';
    if (b.len == 0 || !utf8_valid(b.data, b.len)) {
        cause_set(cause, b.len == 0 ? "there is no prompt: give one as an argument or on stdin"
                                    : "the prompt on stdin is not valid UTF-8");
        buf_finish(&b);
        return NULL;
    }
    char *text = buf_steal(&b);
    buf_finish(&b);
    return text;
}

static char *join(const struct cmd_args *args)
{
    struct buf b;
    buf_init(&b, MAX_PROMPT);
    for (size_t i = 0; i < args->n_words; i++)
        buf_printf(&b, "%s%s", i > 0 ? " " : "", args->words[i]);
    char *text = buf_steal(&b);
    buf_finish(&b);
    return text;
}

static int prepare(struct chat *c, const struct cmd_args *args, char **cause)
{
    struct client_chat *q = &c->request;
    *q = (struct client_chat){
        .max_tokens = -1, .temperature = NAN, .seed = -1, .stream = true, .on_text = on_text, .arg = c};
    if (cmd_args_int(args, "max-tokens", 1, 1000000, &q->max_tokens, cause) != 0 ||
        cmd_args_double(args, "temperature", 0, 2, &q->temperature, cause) != 0 ||
        cmd_args_int(args, "seed", 0, INT32_MAX, &q->seed, cause) != 0)
        return CMD_USAGE;
    const char *model = cmd_args_get(args, "model");
    if (model == NULL && !cmd_args_has(args, "direct"))
        return CMD_OK;
    char *name = model != NULL ? xstrdup(model) : client_model(&c->client, cause);
    if (name == NULL)
        return CMD_FAILED;
    c->model = cmd_args_has(args, "direct") ? xasprintf("%s@target", name) : xstrdup(name);
    free(name);
    q->model = c->model;
    return CMD_OK;
}

static int run(struct cmd_env *env, const struct cmd_args *args)
{
    struct config *cfg = cmd_load_config(env, false);
    if (cfg == NULL)
        return CMD_FAILED;
    struct chat c = {.messages = json_array()};
    client_init(&c.client, cfg, cmd_args_get(args, "url"));
    bool words = args->n_words > 0 && strcmp(args->words[0], "-") != 0;
    bool talk = !words && args->n_words == 0 && isatty(STDIN_FILENO);
    char *cause = NULL, *prompt = NULL;
    paint_init(&c.paint, stdout, paint_mode_for(stdout, cmd_args_has(args, "marks")));
    c.stats = isatty(STDERR_FILENO) && isatty(STDOUT_FILENO);
    forget(&c, cmd_args_get(args, "system"));
    int rc = prepare(&c, args, &cause);
    if (rc == CMD_OK && talk) {
        rc = interactive(&c, cmd_args_get(args, "system"));
    } else if (rc == CMD_OK) {
        prompt = words ? join(args) : read_stdin(&cause);
        rc = prompt != NULL && turn(&c, prompt) == 0 ? CMD_OK : CMD_FAILED;
    }
    if (cause != NULL)
        cmd_fail_cause(cause);
    free(prompt);
    free(c.model);
    json_decref(c.messages);
    client_finish(&c.client);
    config_destroy(cfg);
    return rc;
}

const struct cmd cmd_chat = {
    .name = "chat",
    .usage = "[options] [PROMPT …]",
    .summary = "talk to the endpoint; tokens are coloured by who wrote them",
    .help = "With a prompt it answers once; with none it talks (on a terminal) or reads the prompt from stdin.\n"
            "Green: drafted by the small model and accepted.  Yellow: written by the target itself.\n"
            "Where colours can't be shown a terminal gets [brackets] around the target's own text; a pipe gets plain "
            "text.\n\n"
            "  tightwad chat What is 17 + 25\n"
            "  tightwad chat --direct -t 0 < question.txt",
    .options = options,
    .max_words = 100000,
    .run = run,
};
