#include "cmd/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <event2/event.h>

#include "api/api.h"
#include "api/control.h"
#include "base/cause.h"
#include "base/log.h"
#include "base/mem.h"
#include "cmd/examine.h"
#include "cmd/measure.h"
#include "cmd/self.h"
#include "cmd/term.h"
#include "engines/pool.h"
#include "engines/proxy.h"
#include "http/httpc.h"

enum {
    WATCH_MS = 1000,   /* how often the file is looked at */
    PATIENCE_MS = 300, /* a stop that takes longer says why */
    PROBE_MS = 15000,  /* the three lines are printed after this at the latest */
};

struct start {
    struct event_base *base;
    struct config *cfg;
    char *path; /* the configuration file in use, NULL: none */
    struct httpc *http;
    struct proxy *proxy;
    struct pool *pool; /* NULL: none is configured */
    struct api *api;
    struct examine *examine;
    struct proxy_listener listener;
    bool probed, shown, stopping, changed;
    int percent;      /* of a load, as last printed */
    struct stat seen; /* the file when it was last looked at */
    const char *log;  /* a daemon's log file, NULL: not a daemon */
    int ready_fd;     /* the starter of a daemon waits here; -1 */
    struct event *sigterm, *sigint, *sighup, *watch, *late, *patience;
};

static struct event *add_event(struct start *s, int fd, short what, event_callback_fn fn, int ms)
{
    struct event *ev = event_new(s->base, fd, what, fn, s);
    struct timeval tv = {ms / 1000, ms % 1000 * 1000};
    event_add(ev, ms > 0 ? &tv : NULL);
    return ev;
}

static void set_log(const struct config *c)
{
    enum log_level level;
    if (log_level_from_name(c->log_level, &level))
        log_set_level(level);
    log_set_json(strcmp(c->log_format, "json") == 0);
}

static int reload(void *arg, char **cause)
{
    struct start *s = arg;
    struct config_findings findings = {0};
    struct config *next = config_load(s->path, &findings);
    for (size_t i = 0; i < findings.n; i++)
        (findings.list[i].error ? log_error : log_warn)("%s: %s", findings.list[i].where, findings.list[i].text);
    size_t n = findings.n;
    config_findings_finish(&findings);
    if (next == NULL)
        return cause_set(cause, "the configuration has errors (%zu in the log): the old one stays in force", n);
    char *restart = config_restart_needed(s->cfg, next);
    if (restart != NULL)
        log_warn("%s: changes take effect at the next start", restart);
    free(restart);
    if (proxy_reload(s->proxy, next, cause) != 0) {
        config_destroy(next);
        return cause_prefix(cause, "the old configuration stays in force");
    }
    if (s->pool != NULL && config_target_is_pool(next))
        pool_reload(s->pool, next);
    api_reload(s->api, next);
    set_log(next);
    config_destroy(s->cfg);
    s->cfg = next;
    log_info("configuration loaded%s%s", s->path != NULL ? " from " : "", s->path != NULL ? s->path : "");
    return 0;
}

static void reload_or_say(struct start *s)
{
    char *cause = NULL;
    if (reload(s, &cause) != 0)
        log_error("%s", cause);
    free(cause);
}

static int examine(void *arg, const char *verb, struct command_call *call, char **cause)
{
    struct start *s = arg;
    return examine_start(s->examine, verb, call, cause);
}

static void on_drained(void *arg)
{
    struct start *s = arg;
    event_base_loopbreak(s->base);
}

static void on_patience(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
    log_info("stopping: the answers under way are finished first (a second Ctrl-C stops at once)");
}

static void stop(void *arg)
{
    struct start *s = arg;
    if (s->stopping)
        return;
    s->stopping = true;
    s->patience = add_event(s, -1, EV_TIMEOUT, on_patience, PATIENCE_MS);
    api_drain(s->api, on_drained, s);
}

static void on_stop_signal(evutil_socket_t fd, short what, void *arg)
{
    struct start *s = arg;
    (void)fd;
    (void)what;
    if (s->stopping)
        event_base_loopbreak(s->base);
    else
        stop(s);
}

static void on_hup(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    reload_or_say(arg);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* An edit is taken over when the file has been the same for one look: an editor may write it in pieces. */
static void on_watch(evutil_socket_t fd, short what, void *arg)
{
    struct start *s = arg;
    struct stat now;
    (void)fd;
    (void)what;
    if (stat(s->path, &now) != 0 || !S_ISREG(now.st_mode))
        return;
    if (!same_file(&now, &s->seen)) {
        s->seen = now;
        s->changed = true;
    } else if (s->changed) {
        s->changed = false;
        reload_or_say(s);
    }
}

static void print_line(FILE *to, bool good, const char *what, const char *text)
{
    bool colour = term_colour(to);
    fprintf(to, "%s%s%s %-9s %s\n", term_escape(colour, good ? TERM_GOOD : TERM_BAD), good ? "✓" : "✗",
            term_escape(colour, TERM_PLAIN), what, text);
}

static void print_backend(FILE *to, const struct snapshot_backend *b)
{
    bool target = b->role == ROLE_TARGET;
    char *text, ms[32];
    if (b->url[0] == '\0')
        text = xasprintf("%s (%s%s%s)", b->model, b->name, b->reason[0] != '\0' ? ": " : "", b->reason);
    else if (b->health == HEALTH_UP && b->reason[0] == '\0')
        text = xasprintf("%s at %s (%s, %s ms away)", b->model[0] != '\0' ? b->model : b->name, b->url,
                         b->version[0] != '\0' ? b->version : b->kind,
                         measure_format(ms, sizeof(ms), b->rtt_us >= 0 ? (double)b->rtt_us / 1000 : NAN));
    else if (b->health == HEALTH_UP)
        text = xasprintf("%s at %s: %s", b->model[0] != '\0' ? b->model : b->name, b->url, b->reason);
    else
        text = xasprintf(
            "%s: %s\n            %s", b->url, b->reason[0] != '\0' ? b->reason : "no answer yet",
            target ? "requests wait for it; start it, or correct proxy.target.url (`tightwad doctor` says more)"
                   : "the target answers alone until it is there (`tightwad doctor` says more)");
    print_line(to, b->health == HEALTH_UP && b->reason[0] == '\0', target ? "target" : "drafter", text);
    free(text);
}

/* A daemon's log goes to its file as soon as it listens; its terminal is let go when the lines have been printed, and
 * the starter is told. */
static void log_to_file(const struct start *s)
{
    int fd = open(s->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd >= 0)
        dup2(fd, STDERR_FILENO);
    if (fd > 2)
        close(fd);
}

static void leave_terminal(struct start *s, bool good)
{
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null >= 0)
        dup2(null, STDIN_FILENO);
    if (null > 2)
        close(null);
    dup2(STDERR_FILENO, STDOUT_FILENO);
    if (write(s->ready_fd, good ? "1" : "0", 1) != 1)
        log_warn("the starter has gone");
    close(s->ready_fd);
    s->ready_fd = -1;
}

static void print_pool(const struct snapshot_pool *p)
{
    bool up = strcmp(p->state, "up") == 0;
    char *text = up ? xasprintf("%s, loaded in %.1f s by %s", p->model, p->load_ms / 1000, p->server)
                    : xasprintf("%s: %s\n            it is tried again in a while, at an edit of the configuration, "
                                "and by `tightwad load`",
                                p->model, p->why);
    print_line(stdout, up, "pool", text);
    free(text);
}

/* What the guide promises: a line for each drafter, the target and the address. */
static void show(struct start *s, const struct snapshot *snap)
{
    s->shown = true;
    if (snap->pool.configured)
        print_pool(&snap->pool);
    for (size_t i = 1; i < snap->n_backends; i++)
        print_backend(stdout, &snap->backend[i]);
    if (snap->n_backends <= 1)
        print_line(stdout, false, "drafter",
                   "none is configured: the target answers alone (name one under proxy.draft)");
    if (snap->n_backends > 0)
        print_backend(stdout, &snap->backend[0]);
    char *text = snap->speculating
                     ? xasprintf("%s/v1 (speculating; answers are the target's %s)", api_url(s->api), snap->exactness)
                     : xasprintf("%s/v1 (no speculation: %s)", api_url(s->api), snap->why_not);
    print_line(stdout, true, "listening", text);
    free(text);
    fflush(stdout);
    if (s->ready_fd >= 0)
        leave_terminal(s, !snap->pool.configured || strcmp(snap->pool.state, "up") == 0);
}

/* Whether there is something to say: it serves, or something is wrong. */
static bool pool_is_settled(const struct snapshot *snap)
{
    const struct snapshot_pool *p = &snap->pool;
    if (!p->configured || strcmp(p->state, "failed") == 0 || strcmp(p->state, "backoff") == 0)
        return true;
    return strcmp(p->state, "up") == 0 && snap->backend[0].health == HEALTH_UP;
}

/* A model of many gigabytes takes its time, and whoever sits there wants to know that it gets on. */
static void show_progress(struct start *s, const struct snapshot_pool *p)
{
    int percent = isnan(p->progress) ? 0 : (int)(p->progress * 100);
    if (!isatty(STDOUT_FILENO) || percent == s->percent)
        return;
    s->percent = percent;
    printf("\rloading %s: %d %%\033[K\r", p->model, percent);
    fflush(stdout);
}

static void on_tick(void *arg, const struct snapshot *snap)
{
    struct start *s = arg;
    if (s->shown)
        return;
    if (!pool_is_settled(snap))
        show_progress(s, &snap->pool);
    else if (s->probed)
        show(s, snap);
}

static void on_probed(void *arg)
{
    struct start *s = arg;
    s->probed = true; /* the next tick shows what was found */
}

static void on_late(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    on_probed(arg);
}

static void make_pool(struct start *s)
{
    char *cause = NULL, *node = self_node(&cause), *dir = control_dir();
    /* The programs' logs lie beside the control socket. */
    bool have_dir = control_dir_make(NULL) == 0;
    struct pool_opts opts = {
        .node = node, .node_cause = cause, .log_dir = have_dir ? dir : NULL, .port = (int)s->cfg->proxy.port};
    s->pool = pool_create(s->base, s->http, s->cfg, s->proxy, &opts);
    free(node);
    free(cause);
    free(dir);
}

static int begin(struct start *s, char **cause)
{
    s->base = event_base_new();
    s->http = httpc_create(s->base);
    s->proxy = proxy_create(s->base, s->http, s->cfg, cause);
    if (s->proxy == NULL)
        return -1;
    if (config_target_is_pool(s->cfg))
        make_pool(s);
    s->api = api_create(s->base, s->cfg, &(struct engines){.proxy = s->proxy, .pool = s->pool}, cause);
    if (s->api == NULL || (s->pool != NULL && pool_start(s->pool, NULL, cause) != 0))
        return -1;
    s->examine = examine_create(s->base, s->path);
    struct proxy_hooks hooks = {.reload = reload, .stop = stop, .examine = examine, .arg = s};
    proxy_set_hooks(s->proxy, &hooks);
    s->listener = (struct proxy_listener){.on_tick = on_tick, .arg = s};
    proxy_listen(s->proxy, &s->listener);
    proxy_when_probed(s->proxy, on_probed, s);
    s->sigterm = add_event(s, SIGTERM, EV_SIGNAL | EV_PERSIST, on_stop_signal, 0);
    s->sigint = add_event(s, SIGINT, EV_SIGNAL | EV_PERSIST, on_stop_signal, 0);
    s->sighup = add_event(s, SIGHUP, EV_SIGNAL | EV_PERSIST, on_hup, 0);
    s->late = add_event(s, -1, EV_TIMEOUT, on_late, PROBE_MS);
    if (s->path != NULL && stat(s->path, &s->seen) == 0 && S_ISREG(s->seen.st_mode))
        s->watch = add_event(s, -1, EV_TIMEOUT | EV_PERSIST, on_watch, WATCH_MS);
    return 0;
}

static void finish(struct start *s)
{
    struct event *events[] = {s->sigterm, s->sigint, s->sighup, s->watch, s->late, s->patience};
    for (size_t i = 0; i < ARRAY_LEN(events); i++) {
        if (events[i] != NULL)
            event_free(events[i]);
    }
    api_destroy(s->api);
    examine_destroy(s->examine);
    if (s->proxy != NULL)
        proxy_unlisten(s->proxy, &s->listener);
    pool_destroy(s->pool);
    proxy_destroy(s->proxy);
    httpc_destroy(s->http);
    if (s->base != NULL)
        event_base_free(s->base);
    config_destroy(s->cfg);
    free(s->path);
}

static int serve(struct start *s)
{
    char *cause = NULL;
    int rc = CMD_OK;
    if (begin(s, &cause) != 0) {
        print_line(stderr, false, "listening", cause);
        free(cause);
        rc = CMD_FAILED;
    } else {
        if (s->log != NULL)
            log_to_file(s);
        log_info("tightwad " TIGHTWAD_VERSION " listens at %s%s%s", api_url(s->api),
                 s->path != NULL ? ", configured by " : "", s->path != NULL ? s->path : "");
        event_base_dispatch(s->base);
        log_info("stopped");
    }
    finish(s);
    return rc;
}

/* The starter of a daemon: 0 as soon as the child serves, else the child's exit code. */
static int wait_ready(int fd, const char *log, int port)
{
    char c;
    ssize_t n;
    while ((n = read(fd, &c, 1)) < 0 && errno == EINTR)
        ;
    if (n != 1)
        return CMD_FAILED; /* the child has said why */
    printf("started on port %d; the log is %s; `tightwad status` shows it, `tightwad stop` ends it\n", port, log);
    return c == '1' ? CMD_OK : CMD_FAILED;
}

static int daemonise(struct start *s)
{
    char *cause = NULL;
    if (control_dir_make(&cause) != 0) {
        finish(s);
        return cmd_fail_cause(cause);
    }
    char *dir = control_dir(), *log = xasprintf("%s/proxy-%d.log", dir, (int)s->cfg->proxy.port);
    int fds[2], rc = CMD_FAILED;
    free(dir);
    if (pipe2(fds, O_CLOEXEC) != 0) {
        cmd_fail("no pipe: %s", strerror(errno));
        finish(s);
        free(log);
        return CMD_FAILED;
    }
    pid_t pid = fork();
    if (pid == 0) {
        close(fds[0]);
        setsid();
        s->ready_fd = fds[1];
        s->log = log;
        exit(serve(s));
    }
    close(fds[1]);
    rc = pid > 0 ? wait_ready(fds[0], log, (int)s->cfg->proxy.port) : cmd_fail("no process: %s", strerror(errno));
    close(fds[0]);
    finish(s);
    free(log);
    return rc;
}

static int load(struct start *s, const struct cmd_env *env)
{
    *s = (struct start){.ready_fd = -1};
    s->cfg = cmd_load_config(env, true);
    if (s->cfg == NULL)
        return CMD_FAILED;
    s->path = xstrdup(s->cfg->path);
    set_log(s->cfg);
    return CMD_OK;
}

int serve_here(struct cmd_env *env)
{
    struct start s;
    return load(&s, env) != CMD_OK ? CMD_FAILED : serve(&s);
}

int serve_daemon(struct cmd_env *env)
{
    struct start s;
    return load(&s, env) != CMD_OK ? CMD_FAILED : daemonise(&s);
}
