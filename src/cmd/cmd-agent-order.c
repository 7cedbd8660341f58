/* tightwad agent list, log, start, stop: what is done from here with the agent of another machine. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "advise/fold.h"
#include "agent/token.h"
#include "base/cause.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "cmd/cmd.h"
#include "http/httpc.h"
#include "probe/agent-client.h"
#include "probe/scan-place.h"

extern const struct cmd cmd_agent_list;
extern const struct cmd cmd_agent_log;
extern const struct cmd cmd_agent_start;
extern const struct cmd cmd_agent_stop;

enum { SETTLE_MS = 1000 }; /* what can't start says so in this time */

/* One conversation with one agent. */
struct talk {
    struct event_base *base;
    struct httpc *http;
    struct agent_where at;
    char *host, *token;
    json_t *body; /* of the last answer, NULL: it failed, and that was said */
};

/* 0, or the exit code after saying what is wrong. */
static int talk_open(struct talk *k, const struct cmd_args *args)
{
    char *cause = NULL, *path = xstrdup(cmd_args_get(args, "token-file"));
    bool named = path != NULL;
    int rc = CMD_OK;
    *k = (struct talk){0};
    if (scan_host_parse(args->words[0], &k->host, &k->at.port, &cause) != 0) {
        rc = cmd_usage_error("agent: %s", cause);
    } else {
        if (!named && fold_is_loopback(k->host))
            path = agent_token_path(NULL); /* that of this machine's agent, for nobody else to see */
        k->token = path != NULL ? agent_token_read(path, &cause) : NULL;
        if (named && k->token == NULL)
            rc = cmd_fail("%s", cause);
    }
    free(cause);
    free(path);
    k->at.host = k->host;
    k->at.token = k->token;
    k->base = event_base_new();
    k->http = httpc_create(k->base);
    return rc;
}

static void talk_close(struct talk *k)
{
    json_decref(k->body);
    httpc_destroy(k->http);
    event_base_free(k->base);
    free(k->host);
    free(k->token);
}

static void on_answer(const struct agent_answer *a, void *arg)
{
    struct talk *k = arg;
    json_decref(k->body);
    k->body = a->ok ? json_incref((json_t *)a->body) : NULL;
    if (!a->ok)
        cmd_fail("%s%s", a->message, a->needs_token ? "; name a copy of that file with --token-file" : "");
    event_base_loopbreak(k->base);
}

/* ---- list ---- */

/* What another machine says must not steer the terminal. */
static void print_line(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static void print_line(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *text = xvasprintf(fmt, ap), *clean = utf8_printable(text, strlen(text));
    va_end(ap);
    printf("%s\n", clean);
    free(clean);
    free(text);
}

static void print_run(const json_t *o)
{
    const char *model = json_text(o, "model"), *ended = json_text(o, "ended"), *said = json_text(o, "said");
    print_line("%-20s %-7s %-9s %s:%lld%s%s", json_text(o, "name"), json_text(o, "program"), json_text(o, "state"),
               json_text(o, "host"), (long long)json_integer_value(json_object_get(o, "port")),
               *model != '\0' ? "  " : "", model);
    if (*ended != '\0')
        print_line("%-20s %s%s%s", "", ended, *said != '\0' ? ": " : "", said);
}

static int run_list(struct cmd_env *env, const struct cmd_args *args)
{
    struct talk k;
    int rc = talk_open(&k, args);
    (void)env;
    if (rc == CMD_OK) {
        agent_client_running(k.http, &k.at, on_answer, &k);
        event_base_dispatch(k.base);
        const json_t *list = json_object_get(k.body, "running");
        rc = k.body != NULL ? CMD_OK : CMD_FAILED;
        for (size_t i = 0; i < json_array_size(list); i++)
            print_run(json_array_get(list, i));
        if (k.body != NULL && json_array_size(list) == 0)
            printf("nothing was started there\n");
    }
    talk_close(&k);
    return rc;
}

/* ---- log ---- */

static const char *line_of(const json_t *list, size_t i)
{
    const char *s = json_string_value(json_array_get(list, i));
    return s != NULL ? s : "";
}

static int run_log(struct cmd_env *env, const struct cmd_args *args)
{
    struct talk k;
    char *cause = NULL;
    int64_t n = 50;
    int rc = talk_open(&k, args);
    (void)env;
    if (rc == CMD_OK && cmd_args_int(args, "lines", 1, 400, &n, &cause) != 0) {
        rc = cmd_usage_error("agent log: %s", cause);
        free(cause);
    }
    if (rc == CMD_OK) {
        agent_client_log(k.http, &k.at, args->words[1], (int)n, on_answer, &k);
        event_base_dispatch(k.base);
        const json_t *list = json_object_get(k.body, "lines");
        rc = k.body != NULL ? CMD_OK : CMD_FAILED;
        for (size_t i = 0; i < json_array_size(list); i++)
            print_line("%s", line_of(list, i));
    }
    talk_close(&k);
    return rc;
}

/* ---- start ---- */

/* 7, true, else a text. */
static json_t *value_of(const char *text)
{
    char *end;
    long long n = strtoll(text, &end, 10);
    if (*text != '\0' && *end == '\0')
        return json_integer(n);
    if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)
        return json_boolean(text[0] == 't');
    return json_string(text);
}

/* HOST PROGRAM [MODEL] [KEY=VALUE …]; what a key may be is the agent's to say.  NULL and a cause. */
static json_t *make_order(const struct cmd_args *args, char **cause)
{
    const char *name = cmd_args_get(args, "name");
    json_t *options = json_object();
    json_t *order = json_pack("{s:s, s:s*}", "program", args->words[1], "name", name);
    for (size_t i = 2; i < args->n_words; i++) {
        const char *word = args->words[i], *equals = strchr(word, '=');
        if (equals == NULL && i == 2) {
            json_object_set_new(order, "model", json_string(word));
            continue;
        }
        if (equals == NULL || equals == word) {
            cause_set(cause, "\"%s\": an option is written KEY=VALUE, such as port=8081", word);
            json_decref(options);
            json_decref(order);
            return NULL;
        }
        char *key = xstrndup(word, (size_t)(equals - word));
        json_object_set_new(options, key, value_of(equals + 1));
        free(key);
    }
    json_object_set_new(order, "options", options);
    return order;
}

static void on_settled(evutil_socket_t fd, short what, void *arg)
{
    struct talk *k = arg;
    (void)fd;
    (void)what;
    agent_client_running(k->http, &k->at, on_answer, k);
}

/* Looks once more a moment later: a program that can't start ends at once. */
static int look_again(struct talk *k, const char *name)
{
    struct timeval tv = {SETTLE_MS / 1000, SETTLE_MS % 1000 * 1000};
    event_base_once(k->base, -1, EV_TIMEOUT, on_settled, k, &tv);
    event_base_dispatch(k->base);
    const json_t *list = json_object_get(k->body, "running");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *o = json_array_get(list, i);
        if (strcmp(json_text(o, "name"), name) != 0)
            continue;
        print_run(o);
        return strcmp(json_text(o, "state"), "running") == 0 ? CMD_OK : CMD_FAILED;
    }
    return CMD_FAILED;
}

static int run_start(struct cmd_env *env, const struct cmd_args *args)
{
    struct talk k;
    char *cause = NULL;
    int rc = talk_open(&k, args);
    json_t *order = rc == CMD_OK ? make_order(args, &cause) : NULL;
    (void)env;
    if (rc == CMD_OK && order == NULL) {
        rc = cmd_usage_error("agent start: %s", cause);
        free(cause);
    }
    if (rc == CMD_OK) {
        agent_client_start(k.http, &k.at, order, on_answer, &k);
        event_base_dispatch(k.base);
        char *name = xstrdup(json_text(k.body, "name"));
        rc = k.body != NULL ? look_again(&k, name) : CMD_FAILED;
        free(name);
    }
    talk_close(&k);
    return rc;
}

/* ---- stop ---- */

static int run_stop(struct cmd_env *env, const struct cmd_args *args)
{
    struct talk k;
    int rc = talk_open(&k, args);
    (void)env;
    if (rc == CMD_OK) {
        agent_client_stop(k.http, &k.at, args->words[1], on_answer, &k);
        event_base_dispatch(k.base);
        rc = k.body != NULL ? CMD_OK : CMD_FAILED;
    }
    talk_close(&k);
    return rc;
}

#define TOKEN_OPTION                                                                                                   \
    {                                                                                                                  \
        't', "token-file", "FILE", "a copy of that agent's file with the token"                                        \
    }

static const struct cmd_option options[] = {TOKEN_OPTION, {0}};

static const struct cmd_option log_options[] = {
    {'n', "lines", "N", "the last N lines (50)"},
    TOKEN_OPTION,
    {0},
};

static const struct cmd_option start_options[] = {
    {'n', "name", "NAME", "what it is called from then on (the program and its port)"},
    TOKEN_OPTION,
    {0},
};

const struct cmd cmd_agent_list = {
    .name = "list",
    .usage = "HOST[:PORT] [--token-file FILE]",
    .summary = "what the agent of a machine has started",
    .options = options,
    .min_words = 1,
    .max_words = 1,
    .run = run_list,
};

const struct cmd cmd_agent_log = {
    .name = "log",
    .usage = "HOST[:PORT] NAME [--lines N] [--token-file FILE]",
    .summary = "what a program said that the agent of a machine has started",
    .options = log_options,
    .min_words = 2,
    .max_words = 2,
    .run = run_log,
};

const struct cmd cmd_agent_start = {
    .name = "start",
    .usage = "HOST[:PORT] node MODEL|worker [KEY=VALUE …] [--name NAME] [--token-file FILE]",
    .summary = "have the agent of a machine start a node or a worker there",
    .help = "MODEL is one that lies there, by its name or path (`tightwad probe --host HOST` shows them).  The keys "
            "stand in\n"
            "doc/agent-protocol.md; for all that is wrong the agent says what would be right.\n\n"
            "  tightwad agent start gpu-box node qwen3:8b port=8081 ctx=8192 slots=4\n"
            "  tightwad agent start old-xeon worker threads=16",
    .options = start_options,
    .min_words = 2,
    .max_words = 32,
    .run = run_start,
};

const struct cmd cmd_agent_stop = {
    .name = "stop",
    .usage = "HOST[:PORT] NAME [--token-file FILE]",
    .summary = "have the agent of a machine end what it has started under a name",
    .options = options,
    .min_words = 2,
    .max_words = 2,
    .run = run_stop,
};
