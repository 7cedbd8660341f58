/* tightwad demo: the whole thing on one machine, with the project's own tiny models and no configuration. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "api/control.h"
#include "base/cause.h"
#include "base/mem.h"
#include "cmd/attach.h"
#include "cmd/bench-stack.h"
#include "cmd/cmd.h"
#include "cmd/cockpit.h"
#include "cmd/demo-drawer.h"
#include "cmd/demo-modes.h"
#include "cmd/self.h"
#include "cmd/term.h"
#include "engines/pool.h"

extern const struct cmd cmd_demo;

static const struct cmd_option options[] = {
    {0, "mode", "MODE", "what it shows: exact (as without), tree, consensus, gate"},
    {0, "no-ui", NULL, "do not offer the dashboard"},
    {0, "once", NULL, "end after the questions: 0 if the mode did what it promises"},
    {'p', "port", "PORT", "where the proxy listens (8088, or a free port if that is taken)"},
    {0},
};

enum {
    READY_MS = 60000, /* for the pool to load on a slow machine */
    LOOK_MS = 500,    /* how often the children are looked at */
    DEFAULT_PORT = 8088,
    N_WORKERS = 2,
    CTX = 512,
    SLOTS = 4,
};

/* A fair home network's delay: long enough to be what decides the speed, short enough to load in seconds. */
static const struct drawer_link worker_link = {.given = true, .delay_ms = 4},
                                helper_link = {.given = true, .delay_ms = 2};

struct demo {
    struct stack stack;
    struct drawer drawer;
    struct stack_program *proxy; /* which runs the target's node, the pool's coordinator */
    const struct demo_mode *mode;
    char *target, *helper[DEMO_HELPERS]; /* model files */
    size_t n_helpers;
    int port, coordinator_port;
    char *config;
    struct event *look;
    bool once, no_ui;
    bool shown; /* the dashboard has the terminal */
    int exit_code;
};

/* The only drafter is called that. */
static const char *helper_name(const struct demo *d, size_t i)
{
    return d->n_helpers > 1 ? d->mode->helpers[i] : "drafter";
}

static char *helpers_text(const struct demo *d)
{
    char *list = xstrdup("");
    for (size_t i = 0; i < d->n_helpers; i++) {
        char *longer = xasprintf("%s    - {name: %s, url: 'http://%s', backend: node}\n", list, helper_name(d, i),
                                 d->drawer.drafter_at[i]);
        free(list);
        list = longer;
    }
    return list;
}

static char *config_text(const struct demo *d)
{
    const char *w1 = strrchr(d->drawer.worker_at[0], ':') + 1, *w2 = strrchr(d->drawer.worker_at[1], ':') + 1;
    const struct demo_mode *m = d->mode;
    char *helpers = helpers_text(d);
    char *text =
        xasprintf("# Written by `tightwad demo`; an edit takes effect at once, and the file goes with the demo.\n"
                  "proxy:\n  host: 127.0.0.1\n  port: %d\n%s%s%s"
                  "%s%s%s%s"
                  "coordinator:\n  host: 127.0.0.1\n  port: %d\n  backend: cpu\n  slots: %d\n  threads: 1\n"
                  "  extra_args: [--tensor-split, '1,1']  # so small a model would fit on one worker\n"
                  "workers:\n"
                  "  - {host: 127.0.0.1, name: worker 1, gpus: [{rpc_port: %s}]}\n"
                  "  - {host: 127.0.0.1, name: worker 2, gpus: [{rpc_port: %s}]}\n"
                  "models:\n  target: {path: '%s', ctx_size: %d%s}\n",
                  d->port, m->proxy, m->agents ? "" : "  drafters:\n", m->agents ? "" : helpers,
                  m->agents ? "quality_gate:\n" : "", m->agents ? m->gate : "", m->agents ? "  agents:\n" : "",
                  m->agents ? helpers : "", d->coordinator_port, SLOTS, w1, w2, d->target, CTX,
                  d->n_helpers == 1 ? ", draft: drafter" : "");
    free(helpers);
    return text;
}

static int pick_port(struct demo *d, int wanted, char **cause)
{
    d->port = child_free_port(wanted != 0 ? wanted : DEFAULT_PORT);
    if (d->port < 0 && wanted != 0)
        return cause_set(cause, "port %d is taken: choose another one, or leave --port out", wanted);
    if (d->port < 0) {
        d->port = child_free_port(0);
        printf("Port %d is taken: the demo uses %d.\n", DEFAULT_PORT, d->port);
    }
    do
        d->coordinator_port = child_free_port(0);
    while (d->coordinator_port == d->port);
    return d->port < 0 || d->coordinator_port < 0 ? cause_set(cause, "there is no free port") : 0;
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

/* Whether every entry of the list is up. */
static bool all_up(const json_t *list)
{
    size_t i;
    json_t *one;
    json_array_foreach(list, i, one)
    {
        const char *health = json_string_value(json_object_get(one, "health"));
        if (health == NULL || strcmp(health, "up") != 0)
            return false;
    }
    return true;
}

/* The target and all that help it; with drafters, that they are of use. */
static bool is_ready(const json_t *status)
{
    const json_t *backends = json_object_get(status, "backends");
    const json_t *agents = json_object_get(json_object_get(status, "gate"), "agents");
    bool drafters = json_array_size(backends) > 1;
    return json_array_size(backends) > 0 && all_up(backends) && all_up(agents) &&
           (!drafters || json_is_true(json_object_get(status, "speculating")));
}

static int start_proxy(struct demo *d, char **cause)
{
    struct stack_argv a = {0};
    char *text = config_text(d), *self = self_program(), *name = xasprintf("demo-%d.yaml", d->port);
    d->config = stack_write(&d->stack, name, text, cause);
    const char *const words[] = {self, "-c", d->config, "proxy", "start", "--no-ui"};
    for (size_t i = 0; d->config != NULL && i < ARRAY_LEN(words); i++)
        stack_arg(&a, "%s", words[i]);
    if (d->config != NULL)
        d->proxy = stack_start(&d->stack, "the proxy", &a, cause);
    free(text);
    free(self);
    free(name);
    if (d->proxy == NULL)
        return -1;
    d->proxy->address = xasprintf("127.0.0.1:%d", d->port);
    return stack_wait_http(&d->stack, d->proxy, "/v1/tightwad/status", is_ready, READY_MS, cause);
}

/* "the tiny demo models `numbers` and `words`, nodes of their own, behind 2 ms one way each" */
static void print_helpers(const struct demo *d)
{
    const char *const *names = d->mode->helpers;
    char *list = xstrdup("");
    for (size_t i = 0; i < d->n_helpers; i++) {
        const char *before = i == 0 ? "" : i + 1 < d->n_helpers ? ", " : " and ";
        char *longer = xasprintf("%s%s`%s`", list, before, names[i]);
        free(list);
        list = longer;
    }
    bool one = d->n_helpers == 1;
    print_part(d->mode->agents ? "agents"
               : one           ? "drafter"
                               : "drafters",
               "the tiny demo model%s %s, %s, behind %g ms one way%s", one ? "" : "s", list,
               one ? "a node of its own" : "nodes of their own", helper_link.delay_ms, one ? "" : " each");
    free(list);
}

static int start_all(struct demo *d, char **cause)
{
    struct drawer_opts o = {.target = d->target,
                            .drafters = d->helper,
                            .n_drafters = d->n_helpers,
                            .n_workers = N_WORKERS,
                            .link = worker_link,
                            .drafter_link = helper_link,
                            .ctx = CTX,
                            .slots = SLOTS,
                            .threads = 1};
    if (drawer_start(&d->drawer, &d->stack, &o, cause) != 0)
        return -1;
    print_part("workers", "two on this machine, each behind an emulated link of %g ms one way", worker_link.delay_ms);
    print_helpers(d);
    if (start_proxy(d, cause) != 0)
        return -1;
    print_part("target", "the demo model `target`, %shalf of its layers on each worker",
               d->n_helpers == 1 ? "8 times as big, " : "");
    print_part("listening", "http://%s/v1, OpenAI-compatible", d->proxy->address);
    return 0;
}

/* The proxy has ended: by itself, or because it was told to stop, by a key of the dashboard or by `tightwad stop`. */
static void proxy_is_gone(struct demo *d, const char *how)
{
    char *tail = stack_tail(d->proxy);
    if (!d->proxy->child.well) {
        cmd_fail("%s; it printed:\n%s", how, tail);
        d->exit_code = CMD_FAILED;
    }
    d->stack.stop = true;
    event_base_loopbreak(d->stack.client.base);
    free(tail);
}

/* A worker, a link or the drafter that dies is started again, as on a real machine; the coordinator is the proxy's. */
static void on_look(evutil_socket_t fd, short what, void *arg)
{
    struct demo *d = arg;
    for (struct stack_program *p = d->stack.programs; p != NULL; p = p->next) {
        char *how = NULL, *cause = NULL;
        if (!child_ended(&p->child, &how))
            continue;
        if (p == d->proxy) {
            proxy_is_gone(d, how);
        } else {
            if (!d->shown) {
                printf("\n(%s: it is started again)\n", how);
                fflush(stdout);
            }
            if (stack_restart(&d->stack, p, &cause) != 0)
                cmd_fail("%s", cause);
        }
        free(how);
        free(cause);
    }
}

/* A line was typed: the dashboard is wanted. */
static void on_typed(evutil_socket_t fd, short what, void *arg)
{
    struct demo *d = arg;
    char line[256];
    ssize_t n = read(fd, line, sizeof(line));
    d->shown = n > 0;
    if (n <= 0)
        d->no_ui = true;
    event_base_loopbreak(d->stack.client.base);
}

/* Until the user has had enough: on a terminal, Enter opens the dashboard on the demo. */
static void wait_for_user(struct demo *d)
{
    bool offered = !d->no_ui && cockpit_possible();
    struct event *typed = offered ? event_new(d->stack.client.base, STDIN_FILENO, EV_READ, on_typed, d) : NULL;
    if (typed != NULL)
        event_add(typed, NULL);
    printf("%s\n", offered ? "Enter opens its dashboard, Ctrl-C ends the demo." : "The demo stays up until Ctrl-C.");
    fflush(stdout);
    while (!d->stack.stop && !d->shown && (typed == NULL || event_pending(typed, EV_READ, NULL)))
        event_base_loop(d->stack.client.base, EVLOOP_ONCE);
    if (typed != NULL)
        event_free(typed);
}

static void stay_up(struct demo *d)
{
    const char *url = d->stack.client.url;
    printf("\nWhile the demo is up, another terminal can talk to it, and watch it:\n"
           "  tightwad chat --url %s Tell me a story about a bear.\n"
           "  tightwad bench exact --url %s\n"
           "  tightwad --attach %s\n"
           "It is configured by %s (an edit takes effect at once), its log is %s.\n",
           url, url, url, d->config, d->proxy->log);
    while (!d->stack.stop) {
        bool stopped = false;
        wait_for_user(d);
        if (d->shown && attach_show(&d->stack.client, "the demo", &stopped) != CMD_OK)
            d->no_ui = true;
        d->shown = false;
        while (stopped && !d->stack.stop)
            event_base_loop(d->stack.client.base, EVLOOP_ONCE);
    }
}

static void show(struct demo *d, char **cause)
{
    struct client *c = &d->stack.client;
    bool held = false;
    free(c->url);
    c->url = xasprintf("http://%s", d->proxy->address);
    if (d->mode->show(c, &held, cause) != 0) {
        d->exit_code = CMD_FAILED;
        return;
    }
    d->exit_code = held ? CMD_OK : CMD_FAILED;
    if (!held)
        cmd_fail("the demo did not show what it should: %s", d->mode->promise);
    printf("\nTry it:\n  curl -s %s/v1/chat/completions -H 'Content-Type: application/json' \\\n"
           "    -d '{\"messages\":[{\"role\":\"user\",\"content\":\"What is 2 + 2?\"}]}'\n",
           c->url);
    if (!d->once)
        stay_up(d);
}

static int run_demo(struct demo *d, int port, char **cause)
{
    d->target = self_demo_model("target.gguf", cause);
    for (; d->target != NULL && d->mode->helpers[d->n_helpers] != NULL; d->n_helpers++) {
        char *file = xasprintf("%s.gguf", d->mode->helpers[d->n_helpers]);
        d->helper[d->n_helpers] = self_demo_model(file, cause);
        free(file);
        if (d->helper[d->n_helpers] == NULL)
            return -1;
    }
    if (d->target == NULL || pick_port(d, port, cause) != 0)
        return -1;
    if (stack_init(&d->stack, cause) != 0 || start_all(d, cause) != 0)
        return -1;
    d->look = event_new(d->stack.client.base, -1, EV_PERSIST, on_look, d);
    event_add(d->look, &(struct timeval){0, LOOK_MS * 1000});
    show(d, cause);
    return 0;
}

/* The logs of the coordinator, which the proxy leaves for its next start. */
static void remove_logs(const struct demo *d)
{
    char *dir = control_dir();
    for (int drafter = 0; d->proxy != NULL && drafter <= 1; drafter++) {
        char *path = pool_log_path(dir, d->port, drafter != 0);
        unlink(path);
        free(path);
    }
    free(dir);
}

static int run(struct cmd_env *env, const struct cmd_args *args)
{
    struct demo d = {.exit_code = CMD_OK};
    char *cause = NULL;
    int64_t port = 0;
    const char *mode = cmd_args_has(args, "mode") ? cmd_args_get(args, "mode") : demo_modes[0].name;
    d.mode = demo_mode_find(mode, &cause);
    if (d.mode == NULL || cmd_args_int(args, "port", 1, 65535, &port, &cause) != 0) {
        cmd_fail_cause(cause);
        return CMD_USAGE;
    }
    d.once = cmd_args_has(args, "once");
    d.no_ui = cmd_args_has(args, "no-ui");
    if (run_demo(&d, (int)port, &cause) != 0)
        d.exit_code = CMD_FAILED;
    if (cause != NULL)
        cmd_fail("%s", cause);
    free(cause);
    if (d.look != NULL)
        event_free(d.look);
    if (d.stack.client.base != NULL)
        stack_finish(&d.stack);
    remove_logs(&d);
    drawer_finish(&d.drawer);
    free(d.config);
    free(d.target);
    for (size_t i = 0; i < d.n_helpers; i++)
        free(d.helper[i]);
    return d.exit_code;
}

const struct cmd cmd_demo = {
    .name = "demo",
    .usage = "[--mode MODE] [--no-ui] [--once] [--port PORT]",
    .summary = "see it work here and now: a drawer of machines on this one, no configuration",
    .help = "Starts two workers, each behind an emulated network link, the project's own tiny target pooled over them, "
            "a drafter\n"
            "behind a link of its own, and the proxy on 8088.  Asks a few questions of the pool alone and with the "
            "drafter, and shows\n"
            "the speed of both, who wrote each token, how many drafted tokens were accepted, and whether each answer "
            "is byte for\n"
            "byte the target's own.  Then it stays up (but for --once), with its dashboard at hand.  Nothing is "
            "downloaded.\n\n"
            "--mode tree: two drafters that know half each; consensus: three drafters, and what they agree on needs no "
            "target;\n"
            "gate: four small models answer, and the target reviews.",
    .options = options,
    .run = run,
};
