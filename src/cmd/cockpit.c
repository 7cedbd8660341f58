#include "cmd/cockpit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <termios.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "ui/dashboard.h"
#include "ui/feed.h"

enum { PATIENCE_MS = 1000 }; /* for the drawing thread: it does nothing that takes its time */

/* An order that is carried out. */
struct order {
    LIST_ENTRY(order) entry;
    struct cockpit *cockpit;
    uint64_t id;
    struct command_call *call;
};

struct cockpit {
    const struct engines *engines;
    struct feed *feed;
    struct dashboard *dashboard;
    struct event *ender; /* tells of the wish to end outside the feed's own callback */
    bool stop;
    cockpit_quit_cb *quit;
    void *arg;
    LIST_HEAD(, order) orders;
    int terminal; /* what standard error was; -1: it was left alone */
};

const char *cockpit_trouble(bool *terminal)
{
    const char *term = getenv("TERM");
    pid_t group = tcgetpgrp(STDIN_FILENO); /* with `&` the keyboard is somebody else's, and asking for it stops us */
    bool have = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    if (terminal != NULL)
        *terminal = have;
    return !have                              ? "standard input and output are no terminal"
           : term == NULL || *term == '\0'    ? "TERM is not set, so nothing is known of this terminal"
           : strcmp(term, "dumb") == 0        ? "TERM says \"dumb\": a terminal that can't move its cursor"
           : group >= 0 && group != getpgrp() ? "this runs in the background, where it has no terminal"
                                              : NULL;
}

bool cockpit_possible(void)
{
    return cockpit_trouble(NULL) == NULL;
}

bool cockpit_hung_up(void)
{
    struct termios t;
    struct pollfd p = {.fd = STDIN_FILENO};
    return (poll(&p, 1, 0) == 1 && (p.revents & POLLHUP) != 0) || (tcgetattr(STDIN_FILENO, &t) != 0 && errno == EIO);
}

/* ---- orders ---- */

static void on_carried_out(void *arg, json_t *reply, const char *why)
{
    struct order *o = arg;
    feed_answer(o->cockpit->feed, o->id, reply, why);
    LIST_REMOVE(o, entry);
    free(o);
}

static void on_order(void *arg, uint64_t id, json_t *request)
{
    struct cockpit *c = arg;
    struct order *o = xcalloc(1, sizeof(*o));
    *o = (struct order){.cockpit = c, .id = id};
    LIST_INSERT_HEAD(&c->orders, o, entry);
    struct command_call *call = command_run(c->engines, request, on_carried_out, o);
    if (call != NULL)
        o->call = call;
    json_decref(request);
}

static void on_quit(void *arg, bool stop)
{
    struct cockpit *c = arg;
    c->stop = stop;
    event_active(c->ender, EV_TIMEOUT, 0);
}

static void on_ender(evutil_socket_t fd, short what, void *arg)
{
    struct cockpit *c = arg;
    (void)fd;
    (void)what;
    c->quit(c->arg, c->stop);
}

/* ---- standard error ---- */

/* Whatever else writes there would spoil the picture. */
static int divert(const char *log)
{
    if (!isatty(STDERR_FILENO))
        return -1;
    int fd = log != NULL ? open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;
    if (fd < 0) /* a full disk, a file of another user's */
        fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    int terminal = fd < 0 ? -1 : fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    if (terminal >= 0)
        dup2(fd, STDERR_FILENO);
    else
        log_set_stderr(false);
    if (fd >= 0)
        close(fd);
    return terminal;
}

static void bring_back(int terminal, bool keep_log)
{
    if (terminal >= 0 && !keep_log)
        dup2(terminal, STDERR_FILENO);
    if (terminal >= 0)
        close(terminal);
    log_set_stderr(true);
}

/* ---- life ---- */

struct cockpit *cockpit_open(struct event_base *base, const struct engines *e, const char *log, cockpit_quit_cb *quit,
                             void *arg, char **cause)
{
    struct cockpit *c = xcalloc(1, sizeof(*c));
    *c = (struct cockpit){.engines = e, .quit = quit, .arg = arg};
    LIST_INIT(&c->orders);
    c->ender = event_new(base, -1, 0, on_ender, c);
    c->feed = feed_create(base, &(struct feed_hooks){.order = on_order, .quit = on_quit, .arg = c});
    feed_connection(c->feed, true, proxy_snapshot(e->proxy)->listen);
    cockpit_show(c, proxy_snapshot(e->proxy));
    c->terminal = divert(log);
    c->dashboard = dashboard_start(c->feed, &(struct dashboard_opts){.attached = false}, cause);
    if (c->dashboard != NULL)
        return c;
    bring_back(c->terminal, false);
    feed_destroy(c->feed);
    event_free(c->ender);
    free(c);
    return NULL;
}

void cockpit_show(struct cockpit *c, const struct snapshot *s)
{
    feed_publish(c->feed, s, proxy_live(c->engines->proxy));
}

bool cockpit_close(struct cockpit *c, bool keep_log)
{
    if (c == NULL)
        return true;
    bool lost = false, reads = dashboard_join(c->dashboard, PATIENCE_MS, &lost);
    for (struct order *o; (o = LIST_FIRST(&c->orders)) != NULL; free(o)) {
        command_cancel(o->call);
        LIST_REMOVE(o, entry);
    }
    if (!lost)
        feed_destroy(c->feed);
    event_free(c->ender);
    bring_back(c->terminal, keep_log || !reads);
    free(c);
    return reads;
}
