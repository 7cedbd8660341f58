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
#include "base/log-writer.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/notify.h"
#include "base/task.h"
#include "cmd/cockpit.h"
#include "cmd/examine.h"
#include "cmd/holder.h"
#include "cmd/self.h"
#include "cmd/serve-lines.h"
#include "engines/hosts.h"
#include "engines/pool.h"
#include "engines/proxy.h"
#include "engines/swarm-host.h"
#include "http/httpc.h"

enum {
    WATCH_MS = 1000,           /* how often the file is looked at */
    PATIENCE_MS = 300,         /* a stop that takes longer says why */
    LOG_MAX = 8 * 1024 * 1024, /* bytes of its file */
    PROBE_MS = 15000,          /* the three lines are printed after this at the latest */
};

struct start {
    struct event_base *base;
    struct config *cfg;
    char *path; /* the configuration file in use, NULL: none */
    struct httpc *http;
    struct proxy *proxy;
    struct pool *pool; /* NULL: none is configured */
    struct api *api;
    struct engines engines;
    struct examine *examine;
    struct notify *notify;
    struct hosts *hosts;
    struct swarm_host *swarm; /* NULL: it takes no part in one, */
    char *swarm_why;          /* or can't; NULL */
    struct cockpit *cockpit;  /* NULL: the dashboard is not open */
    int holder;               /* the line to the process that holds the terminal; -1 */
    struct proxy_listener listener;
    bool probed, shown, stopping, changed;
    unsigned told;          /* times that the holder was told to end */
    int percent;            /* of a load, as last printed */
    struct stat seen;       /* the file when it was last looked at */
    char *log;              /* the file that the log goes to without a terminal, NULL: there is no place for one */
    int ready_fd;           /* the starter of a daemon waits here; -1 */
    bool gate;              /* to be turned on */
    const char *log_format; /* overrules the configuration; NULL */
    struct event *sigterm, *sigint, *sighup, *watch, *late, *patience, *held, *closer;
};

/* ms: 0 without a time limit, -1: not added. */
static struct event *add_event(struct start *s, int fd, short what, event_callback_fn fn, int ms)
{
    struct event *ev = event_new(s->base, fd, what, fn, s);
    struct timeval tv = {ms / 1000, ms % 1000 * 1000};
    if (ms >= 0)
        event_add(ev, ms > 0 ? &tv : NULL);
    return ev;
}

static void set_log(const struct start *s, const struct config *c)
{
    enum log_level level;
    if (log_level_from_name(c->log_level, &level))
        log_set_level(level);
    log_set_json(strcmp(s->log_format != NULL ? s->log_format : c->log_format, "json") == 0);
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
    hosts_reload(s->hosts, next);
    if (s->swarm != NULL)
        swarm_host_reload(s->swarm, next);
    set_log(s, next);
    config_destroy(s->cfg);
    s->cfg = next;
    log_info("configuration loaded%s%s", s->path != NULL ? " from " : "", s->path != NULL ? s->path : "");
    return 0;
}

static void reload_or_say(struct start *s)
{
    char *cause = NULL;
    notify_reloading(s->notify);
    if (reload(s, &cause) != 0)
        log_error("%s", cause);
    free(cause);
    notify_ready(s->notify);
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

/* Outside the callbacks of the dashboard, which a command to stop comes through. */
static void on_closer(evutil_socket_t fd, short what, void *arg)
{
    struct start *s = arg;
    (void)fd;
    (void)what;
    cockpit_close(s->cockpit, cockpit_hung_up());
    s->cockpit = NULL;
}

static void stop(void *arg)
{
    struct start *s = arg;
    if (s->stopping)
        return;
    s->stopping = true;
    notify_stopping(s->notify);
    if (s->cockpit != NULL)
        event_active(s->closer, EV_TIMEOUT, 0);
    s->patience = add_event(s, -1, EV_TIMEOUT, on_patience, PATIENCE_MS);
    api_drain(s->api, on_drained, s);
}

/* ---- the terminal ---- */

/* stdin reads nothing from now on, and stdout goes where stderr does. */
static void drop_terminal(void)
{
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null >= 0)
        dup2(null, STDIN_FILENO);
    if (null > 2)
        close(null);
    fflush(stdout);
    dup2(STDERR_FILENO, STDOUT_FILENO);
}

/* Whether this user's own instance can be reached by its control socket. */
static bool is_reachable(const struct start *s)
{
    char *path = control_path((int)s->cfg->proxy.port);
    bool alive = control_alive(path);
    free(path);
    return alive;
}

static void say_where_it_is(const struct start *s)
{
    printf("Tightwad goes on without this terminal, at %s/v1.  ", api_url(s->api));
    if (is_reachable(s))
        printf("`tightwad --attach` shows it again, `tightwad stop` ends it");
    else
        printf("`tightwad --attach %s` shows it again, `kill %ld` ends it", api_url(s->api), (long)getpid());
    printf("%s%s.\n", s->log != NULL ? "; its log is " : "; it has no log", s->log != NULL ? s->log : "");
}

/* The engines go on, and whoever sat at the terminal has it back. */
static void go_headless(struct start *s)
{
    bool reads = cockpit_close(s->cockpit, true);
    s->cockpit = NULL;
    if (reads && !cockpit_hung_up())
        say_where_it_is(s);
    drop_terminal();
    log_info("goes on without a terminal");
    if (s->holder >= 0) {
        event_free(s->held);
        s->held = NULL;
        holder_release(s->holder);
        s->holder = -1;
    }
}

static void hang_up(struct start *s)
{
    if (strcmp(s->cfg->ui_on_hangup, "headless") == 0) {
        go_headless(s);
        return;
    }
    log_warn("the terminal went away: stopping (with `ui.on_hangup: headless` the engines would go on)");
    stop(s);
}

static void on_quit(void *arg, bool stops)
{
    struct start *s = arg;
    if (stops)
        stop(s);
    else if (cockpit_hung_up())
        hang_up(s);
    else
        go_headless(s);
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

/* A terminal that closes says so in this way, and whoever wants the configuration read again does, too. */
static void on_hup(evutil_socket_t fd, short what, void *arg)
{
    struct start *s = arg;
    (void)fd;
    (void)what;
    if (s->cockpit != NULL && cockpit_hung_up())
        hang_up(s);
    else if (!s->stopping)
        reload_or_say(s);
}

static void on_held(evutil_socket_t fd, short what, void *arg)
{
    struct start *s = arg;
    (void)what;
    switch (holder_read(fd)) {
    case HOLDER_TERM: /* who tells the whole group tells this process, too */
        if (s->told++ > 0)
            event_base_loopbreak(s->base);
        else
            stop(s);
        break;
    case HOLDER_HUP:
        on_hup(-1, 0, s);
        break;
    case HOLDER_GONE:
        event_del(s->held);
        if (s->cockpit != NULL && !s->stopping)
            hang_up(s);
        break;
    case HOLDER_NOTHING:
        break;
    }
}

/* Without a dashboard there are lines, as everywhere else. */
static void open_cockpit(struct start *s)
{
    char *cause = NULL;
    s->held = add_event(s, s->holder, EV_READ | EV_PERSIST, on_held, 0);
    s->cockpit = cockpit_open(s->base, &s->engines, s->log, on_quit, s, &cause);
    if (s->cockpit == NULL)
        log_warn("no dashboard: %s", cause);
    free(cause);
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
    log_writer_flush(PATIENCE_MS);
    drop_terminal();
    if (write(s->ready_fd, good ? "1" : "0", 1) != 1)
        log_warn("the starter has gone");
    close(s->ready_fd);
    s->ready_fd = -1;
}

static void show(struct start *s, const struct snapshot *snap)
{
    s->shown = true;
    serve_print_state(snap, api_url(s->api));
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

static void tell_manager(struct start *s, const struct snapshot *snap)
{
    const struct snapshot_pool *pool = &snap->pool;
    if (s->stopping)
        notify_status(s->notify, "finishes %u answers", snap->running);
    else if (pool->configured && !isnan(pool->progress))
        notify_status(s->notify, "loading %s, %d %%", pool->model, (int)(pool->progress * 100));
    else if (pool->configured && !pool->up)
        notify_status(s->notify, "%s: %s", pool->model, pool->why[0] != '\0' ? pool->why : pool->state);
    else
        notify_status(s->notify, "%s at %s: %s%s", snap->model, snap->listen,
                      snap->speculating ? "speculating" : "no speculation, ", snap->why_not);
}

static void on_tick(void *arg, const struct snapshot *snap)
{
    struct start *s = arg;
    tell_manager(s, snap);
    hosts_tick(s->hosts, s->cockpit != NULL || api_readers(s->api) > 0);
    if (s->cockpit != NULL)
        cockpit_show(s->cockpit, snap);
    if (s->shown || s->cockpit != NULL || s->stopping)
        return;
    if (!pool_is_settled(snap))
        s->percent = serve_print_progress(&snap->pool, s->percent);
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

static void fill(void *arg, struct snapshot *snap)
{
    struct start *s = arg;
    hosts_fill(s->hosts, snap);
    swarm_host_fill(s->swarm, &snap->swarm);
    if (s->swarm_why != NULL)
        snprintf(snap->swarm.why, sizeof(snap->swarm.why), "%s", s->swarm_why);
}

/* The endpoint serves all the same where the swarm's address can't be had. */
static void make_swarm(struct start *s)
{
    s->swarm = swarm_host_create(s->base, s->http, s->cfg, &s->swarm_why);
    if (s->swarm == NULL)
        log_error("no swarm: %s", s->swarm_why);
}

static int begin(struct start *s, char **cause)
{
    s->base = event_base_new();
    /* Before anybody can know that it is there. */
    s->sigterm = add_event(s, SIGTERM, EV_SIGNAL | EV_PERSIST, on_stop_signal, 0);
    s->sigint = add_event(s, SIGINT, EV_SIGNAL | EV_PERSIST, on_stop_signal, 0);
    s->sighup = add_event(s, SIGHUP, EV_SIGNAL | EV_PERSIST, on_hup, 0);
    s->http = httpc_create(s->base);
    s->proxy = proxy_create(s->base, s->http, s->cfg, cause);
    if (s->proxy == NULL || (s->gate && proxy_set_gate(s->proxy, true, cause) != 0))
        return -1;
    if (config_target_is_pool(s->cfg))
        make_pool(s);
    if (s->cfg->swarm.enabled)
        make_swarm(s);
    s->engines = (struct engines){.proxy = s->proxy, .pool = s->pool, .swarm = s->swarm};
    s->api = api_create(s->base, s->cfg, &s->engines, cause);
    if (s->api == NULL || (s->pool != NULL && pool_start(s->pool, NULL, cause) != 0))
        return -1;
    s->examine = examine_create(s->base, s->path);
    s->hosts = hosts_create(s->base, s->http, s->cfg, "");
    hosts_tick(s->hosts, false);
    proxy_set_filler(s->proxy, fill, s);
    struct proxy_hooks hooks = {.reload = reload, .stop = stop, .examine = examine, .arg = s};
    proxy_set_hooks(s->proxy, &hooks);
    s->listener = (struct proxy_listener){.on_tick = on_tick, .arg = s};
    proxy_listen(s->proxy, &s->listener);
    proxy_when_probed(s->proxy, on_probed, s);
    s->closer = add_event(s, -1, 0, on_closer, -1);
    s->late = add_event(s, -1, EV_TIMEOUT, on_late, PROBE_MS);
    if (s->path != NULL && stat(s->path, &s->seen) == 0 && S_ISREG(s->seen.st_mode))
        s->watch = add_event(s, -1, EV_TIMEOUT | EV_PERSIST, on_watch, WATCH_MS);
    return 0;
}

static void finish(struct start *s)
{
    struct event *events[] = {s->sigterm, s->sigint, s->sighup, s->watch, s->late, s->patience, s->held, s->closer};
    cockpit_close(s->cockpit, false);
    for (size_t i = 0; i < ARRAY_LEN(events); i++) {
        if (events[i] != NULL)
            event_free(events[i]);
    }
    notify_destroy(s->notify);
    api_destroy(s->api);
    examine_destroy(s->examine);
    if (s->proxy != NULL)
        proxy_unlisten(s->proxy, &s->listener);
    if (s->proxy != NULL)
        proxy_set_filler(s->proxy, NULL, NULL);
    hosts_destroy(s->hosts);
    pool_destroy(s->pool);
    swarm_host_destroy(s->swarm);
    proxy_destroy(s->proxy);
    httpc_destroy(s->http);
    if (s->base != NULL)
        event_base_free(s->base);
    config_destroy(s->cfg);
    free(s->path);
    free(s->log);
    free(s->swarm_why);
}

static int run(struct start *s)
{
    char *cause = NULL;
    int rc = CMD_OK;
    log_writer_turns_over(s->log, LOG_MAX);
    log_writer_start();
    if (begin(s, &cause) != 0) {
        if (s->api == NULL && is_reachable(s))
            cause_prefix(&cause,
                         "an instance of yours runs there (`tightwad --attach` shows it, `tightwad stop` ends it)");
        serve_print_line(stderr, false, "listening", cause);
        free(cause);
        rc = CMD_FAILED;
    } else {
        if (s->ready_fd >= 0)
            log_to_file(s);
        s->notify = notify_create(s->base);
        notify_ready(s->notify);
        if (s->holder >= 0)
            open_cockpit(s);
        log_info("tightwad " TIGHTWAD_VERSION " listens at %s%s%s", api_url(s->api),
                 s->path != NULL ? ", configured by " : "", s->path != NULL ? s->path : "");
        event_base_dispatch(s->base);
        log_info("stopped");
    }
    finish(s);
    if (log_writer_stop(PATIENCE_MS))
        log_writer_turns_over(NULL, 0);
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
    int fds[2], rc = CMD_FAILED;
    if (pipe2(fds, O_CLOEXEC) != 0) {
        cmd_fail("no pipe: %s", strerror(errno));
        finish(s);
        return CMD_FAILED;
    }
    pid_t pid = fork();
    if (pid == 0) {
        close(fds[0]);
        setsid();
        s->ready_fd = fds[1];
        exit(task_leave(run(s)));
    }
    close(fds[1]);
    rc = pid > 0 ? wait_ready(fds[0], s->log, (int)s->cfg->proxy.port) : cmd_fail("no process: %s", strerror(errno));
    close(fds[0]);
    finish(s);
    return rc;
}

static int load(struct start *s, const struct cmd_env *env, const struct serve_opts *opts, char **cause)
{
    *s = (struct start){.ready_fd = -1, .holder = -1, .log_format = opts->log_format, .gate = opts->gate};
    s->cfg = cmd_load_config(env, true);
    if (s->cfg == NULL)
        return CMD_FAILED;
    s->path = xstrdup(s->cfg->path);
    set_log(s, s->cfg);
    if (control_dir_make(cause) == 0)
        s->log = control_log_path((int)s->cfg->proxy.port);
    return CMD_OK;
}

int serve(struct cmd_env *env, const struct serve_opts *opts)
{
    struct start s;
    char *cause = NULL;
    int rc = load(&s, env, opts, &cause);
    if (rc == CMD_OK && opts->daemon && s.log == NULL) {
        finish(&s);
        return cmd_fail_cause(cause);
    }
    free(cause);
    if (rc != CMD_OK)
        return rc;
    if (opts->daemon)
        return daemonise(&s);
    if (opts->ui && cockpit_possible()) {
        s.holder = holder_fork(&rc);
        if (s.holder < 0 && rc >= 0) { /* the parent, when all is over */
            finish(&s);
            return rc;
        }
    }
    return run(&s);
}
