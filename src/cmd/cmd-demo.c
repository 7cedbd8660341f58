/* tightwad demo: the whole thing on one machine, with the project's own tiny models and no configuration. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "api/control.h"
#include "base/buf.h"
#include "base/cause.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/child.h"
#include "cmd/client.h"
#include "cmd/cmd.h"
#include "cmd/demo-show.h"
#include "cmd/self.h"
#include "cmd/term.h"

extern const struct cmd cmd_demo;
extern char **environ;

static const struct cmd_option options[] = {
    {0, "no-ui", NULL, "without the dashboard (this release has none yet)"},
    {0, "once", NULL, "end after the questions: 0 if every answer was the target's own"},
    {'p', "port", "PORT", "where the proxy listens (8088, or a free port if that is taken)"},
    {0},
};

enum {
    READY_MS = 60000, /* for a model to load on a slow machine */
    LOOK_MS = 500,    /* how often the children are looked at */
    GRACE_MS = 5000,
    DEFAULT_PORT = 8088,
    N_CHILDREN = 3,
};

enum part { TARGET, DRAFTER, PROXY };

struct demo {
    struct child child[N_CHILDREN];
    char *argv[N_CHILDREN][8]; /* owned, NULL-terminated */
    int port[N_CHILDREN];
    const char **env; /* for the children: this user's TIGHTWAD_* are not meant for the demo */
    char *dir, *config, *log;
    int log_fd;
    struct client client;
    struct event *sigint, *sigterm, *sighup, *look;
    bool stop;
    int exit_code;
};

static const char *const names[] = {"the target", "the drafter", "the proxy"};

static void on_signal(evutil_socket_t fd, short what, void *arg)
{
    struct demo *d = arg;
    (void)fd;
    (void)what;
    d->stop = true;
    d->client.interrupted = true;
    event_base_loopbreak(d->client.base);
}

/* The last lines of the children's log, for a failure. */
static void print_log(const struct demo *d)
{
    FILE *f = fopen(d->log, "re");
    char text[1500] = "";
    if (f == NULL)
        return;
    if (fseek(f, -(long)sizeof(text) + 1, SEEK_END) != 0)
        rewind(f);
    text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
    fclose(f);
    fprintf(stderr, "--- %s\n%s---\n", d->log, text);
}

static void make_env(struct demo *d)
{
    size_t n = 0;
    for (char **e = environ; *e != NULL; e++)
        n++;
    d->env = xcalloc(n + 1, sizeof(*d->env));
    n = 0;
    for (char **e = environ; *e != NULL; e++) {
        if (strncmp(*e, "TIGHTWAD_", 9) == 0)
            d->env[n++] = xstrndup(*e, strcspn(*e, "="));
    }
}

static int write_config(struct demo *d, char **cause)
{
    FILE *f = fopen(d->config, "we");
    if (f == NULL)
        return cause_set(cause, "%s cannot be written: %s", d->config, strerror(errno));
    fprintf(f,
            "# Written by `tightwad demo`; an edit takes effect at once, and the file goes with the demo.\n"
            "proxy:\n  host: 127.0.0.1\n  port: %d\n"
            "  governor: false  # so small a target is faster alone, and here drafting is what is shown\n"
            "  draft:\n    name: draft\n    url: http://127.0.0.1:%d\n    backend: node\n"
            "  target:\n    name: target\n    url: http://127.0.0.1:%d\n    backend: node\n",
            d->port[PROXY], d->port[DRAFTER], d->port[TARGET]);
    bool failed = ferror(f) != 0;
    if (fclose(f) != 0 || failed)
        return cause_set(cause, "%s cannot be written: %s", d->config, strerror(errno));
    return 0;
}

static int pick_ports(struct demo *d, int wanted, char **cause)
{
    d->port[PROXY] = child_free_port(wanted != 0 ? wanted : DEFAULT_PORT);
    if (d->port[PROXY] < 0 && wanted != 0)
        return cause_set(cause, "port %d is taken: choose another one, or leave --port out", wanted);
    if (d->port[PROXY] < 0) {
        d->port[PROXY] = child_free_port(0);
        printf("Port %d is taken: the demo uses %d.\n", DEFAULT_PORT, d->port[PROXY]);
    }
    do
        d->port[TARGET] = child_free_port(0);
    while (d->port[TARGET] == d->port[PROXY]);
    do
        d->port[DRAFTER] = child_free_port(0);
    while (d->port[DRAFTER] == d->port[PROXY] || d->port[DRAFTER] == d->port[TARGET]);
    return d->port[PROXY] < 0 || d->port[TARGET] < 0 || d->port[DRAFTER] < 0 ? cause_set(cause, "there is no free port")
                                                                             : 0;
}

static int prepare(struct demo *d, int wanted_port, char **cause)
{
    static const char *const models[] = {"target.gguf", "draft.gguf"};
    char *node = self_node(cause);
    if (node == NULL)
        return -1;
    if (pick_ports(d, wanted_port, cause) != 0 || control_dir_make(cause) != 0) {
        free(node);
        return -1;
    }
    d->dir = control_dir();
    d->config = xasprintf("%s/demo-%d.yaml", d->dir, d->port[PROXY]);
    d->log = xasprintf("%s/demo-%d.log", d->dir, d->port[PROXY]);
    for (enum part p = TARGET; p <= DRAFTER; p++) {
        char *model = self_demo_model(models[p], cause);
        if (model == NULL) {
            free(node);
            return -1;
        }
        d->argv[p][0] = xstrdup(node);
        d->argv[p][1] = xstrdup("-m");
        d->argv[p][2] = model;
        d->argv[p][3] = xstrdup("--listen");
        d->argv[p][4] = xasprintf("127.0.0.1:%d", d->port[p]);
    }
    free(node);
    d->argv[PROXY][0] = self_program();
    static const char *const words[] = {"-c", NULL, "proxy", "start", "--no-ui"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        d->argv[PROXY][i + 1] = xstrdup(words[i] != NULL ? words[i] : d->config);
    d->log_fd = open(d->log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    if (d->log_fd < 0)
        return cause_set(cause, "%s cannot be written: %s", d->log, strerror(errno));
    make_env(d);
    return write_config(d, cause);
}

static int start_child(struct demo *d, enum part p, char **cause)
{
    return child_start(&d->child[p], names[p], (const char *const *)d->argv[p], d->env, d->log_fd, d->log_fd, cause);
}

/* Turns the loop for a moment, so that signals are seen. */
static void nap(struct demo *d, int ms)
{
    event_base_loopexit(d->client.base, &(struct timeval){ms / 1000, ms % 1000 * 1000});
    event_base_loop(d->client.base, EVLOOP_NO_EXIT_ON_EMPTY);
}

/* Until GET path at the child's port answers 200 and ready says so. */
static int wait_ready(struct demo *d, enum part p, const char *path, bool (*ready)(const json_t *), char **cause)
{
    char *base = xasprintf("http://127.0.0.1:%d", d->port[p]), *url = d->client.url, *how = NULL;
    int64_t until = clock_us() + READY_MS * 1000LL;
    int rc = -1;
    d->client.url = base;
    while (rc != 0 && !d->stop) {
        int status = 0;
        json_t *reply = NULL;
        if (client_ask(&d->client, path, NULL, 5000, &status, &reply, NULL) == 0 && status == 200 &&
            (ready == NULL || ready(reply)))
            rc = 0;
        json_decref(reply);
        if (rc == 0)
            break;
        if (child_ended(&d->child[p], &how)) {
            cause_set(cause, "%s", how);
            break;
        }
        if (clock_us() > until) {
            cause_set(cause, "%s is not ready after %d s", names[p], READY_MS / 1000);
            break;
        }
        nap(d, 30);
    }
    if (d->stop)
        cause_set(cause, "interrupted");
    free(how);
    d->client.url = url;
    free(base);
    return rc;
}

static bool speculates(const json_t *status)
{
    return json_is_true(json_object_get(status, "speculating"));
}

static void print_part(const char *what, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void print_part(const char *what, const char *fmt, ...)
{
    bool colour = term_colour(stdout);
    va_list ap;
    va_start(ap, fmt);
    char *text = xvasprintf(fmt, ap);
    va_end(ap);
    printf("%s✓%s %-9s %s\n", term_escape(colour, TERM_GOOD), term_escape(colour, TERM_PLAIN), what, text);
    fflush(stdout);
    free(text);
}

static int start_all(struct demo *d, char **cause)
{
    if (start_child(d, TARGET, cause) != 0 || start_child(d, DRAFTER, cause) != 0)
        return -1;
    if (wait_ready(d, DRAFTER, "/health", NULL, cause) != 0)
        return -1;
    print_part("drafter", "the tiny demo model `draft`, a node of its own at 127.0.0.1:%d", d->port[DRAFTER]);
    if (wait_ready(d, TARGET, "/health", NULL, cause) != 0)
        return -1;
    print_part("target", "the demo model `target`, 27 times as big, at 127.0.0.1:%d", d->port[TARGET]);
    if (start_child(d, PROXY, cause) != 0 || wait_ready(d, PROXY, "/v1/tightwad/status", speculates, cause) != 0)
        return -1;
    print_part("listening", "%s/v1, OpenAI-compatible", d->client.url);
    return 0;
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
    struct demo *d = arg;
    (void)fd;
    (void)what;
    for (enum part p = TARGET; p <= PROXY; p++) {
        char *how = NULL, *cause = NULL;
        if (!child_ended(&d->child[p], &how))
            continue;
        if (p == PROXY) {
            cmd_fail("%s: see %s", how, d->log);
            d->exit_code = CMD_FAILED;
            d->stop = true;
            event_base_loopbreak(d->client.base);
        } else {
            printf("\n(%s: it is started again)\n", how);
            fflush(stdout);
            if (start_child(d, p, &cause) != 0)
                cmd_fail("%s", cause);
        }
        free(how);
        free(cause);
    }
}

static void stay_up(struct demo *d)
{
    printf("\nThe demo stays up until Ctrl-C.  Another terminal can talk to it:\n"
           "  tightwad chat --url %s Tell me a story about a bear.\n"
           "  tightwad bench exact --url %s\n"
           "It is configured by %s (an edit takes effect at once), its log is %s.\n",
           d->client.url, d->client.url, d->config, d->log);
    fflush(stdout);
    while (!d->stop)
        event_base_loop(d->client.base, EVLOOP_ONCE);
}

static void finish(struct demo *d)
{
    for (int p = PROXY; p >= TARGET; p--)
        child_stop(&d->child[p], GRACE_MS);
    struct event *events[] = {d->sigint, d->sigterm, d->sighup, d->look};
    for (size_t i = 0; i < ARRAY_LEN(events); i++) {
        if (events[i] != NULL)
            event_free(events[i]);
    }
    client_finish(&d->client);
    for (enum part p = TARGET; p <= PROXY; p++) {
        for (char **a = d->argv[p]; *a != NULL; a++)
            free(*a);
    }
    for (size_t i = 0; d->env != NULL && d->env[i] != NULL; i++)
        free((char *)d->env[i]);
    free(d->env);
    if (d->log_fd >= 0)
        close(d->log_fd);
    if (d->config != NULL)
        unlink(d->config);
    if (d->log != NULL)
        unlink(d->log);
    free(d->dir);
    free(d->config);
    free(d->log);
}

static void run_demo(struct demo *d, bool once)
{
    char *cause = NULL;
    bool identical = false;
    char *url = xasprintf("http://127.0.0.1:%d", d->port[PROXY]);
    client_init(&d->client, NULL, url);
    free(url);
    d->sigint = evsignal_new(d->client.base, SIGINT, on_signal, d);
    d->sigterm = evsignal_new(d->client.base, SIGTERM, on_signal, d);
    d->sighup = evsignal_new(d->client.base, SIGHUP, on_signal, d);
    d->look = event_new(d->client.base, -1, EV_PERSIST, on_look, d);
    event_add(d->sigint, NULL);
    event_add(d->sigterm, NULL);
    event_add(d->sighup, NULL);
    int rc = start_all(d, &cause);
    event_add(d->look, &(struct timeval){0, LOOK_MS * 1000});
    if (rc == 0)
        rc = demo_show(&d->client, &identical, &cause);
    if (rc != 0) {
        if (!d->stop)
            print_log(d);
        cmd_fail("%s", cause);
        d->exit_code = CMD_FAILED;
    } else {
        d->exit_code = identical ? CMD_OK : CMD_FAILED;
        printf("\nTry it:\n  curl -s %s/v1/chat/completions -H 'Content-Type: application/json' \\\n"
               "    -d '{\"messages\":[{\"role\":\"user\",\"content\":\"What is 2 + 2?\"}]}'\n",
               d->client.url);
        if (!once)
            stay_up(d);
    }
    free(cause);
}

static int run(struct cmd_env *env, const struct cmd_args *args)
{
    struct demo d = {.log_fd = -1};
    char *cause = NULL;
    int64_t port = 0;
    (void)env;
    if (cmd_args_int(args, "port", 1, 65535, &port, &cause) != 0) {
        cmd_fail_cause(cause);
        return CMD_USAGE;
    }
    if (prepare(&d, (int)port, &cause) != 0)
        d.exit_code = cmd_fail_cause(cause);
    else
        run_demo(&d, cmd_args_has(args, "once"));
    finish(&d);
    return d.exit_code;
}

const struct cmd cmd_demo = {
    .name = "demo",
    .usage = "[--no-ui] [--once] [--port PORT]",
    .summary = "see it work here and now: two tiny models, one endpoint, no configuration",
    .help = "Starts the project's own tiny target and drafter as two nodes on free loopback ports and the proxy on "
            "8088, asks\n"
            "a few questions both ways, shows who wrote each token, how many drafted tokens were accepted, and whether "
            "each\n"
            "answer is byte for byte the target's own.  Then it stays up (but for --once).  Nothing is downloaded.",
    .options = options,
    .run = run,
};
