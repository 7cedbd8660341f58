#include "base/service.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cause.h"
#include "base/child.h"
#include "base/mem.h"

enum {
    LINE_MAX_BYTES = 1024, /* a longer line is cut in two */
    LINES_KEPT = 16,
    PIECE = 16 * 1024,
};

struct service {
    struct child child;
    char *name, *log;
    int64_t log_max, log_size;
    int log_fd;
    void (*on_exit)(void *arg, const char *how);
    void (*on_line)(void *arg, const char *line);
    void *arg;
    int out; /* where its output is read, -1: at its end */
    struct event *read, *died, *patience;
    char line[LINE_MAX_BYTES + 1];
    size_t n_line;
    char *kept[LINES_KEPT];
    size_t n_kept; /* ever */
};

/* ---- the log file ---- */

static void open_log(struct service *s)
{
    struct stat st;
    s->log_fd = open(s->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    s->log_size = s->log_fd >= 0 && fstat(s->log_fd, &st) == 0 ? st.st_size : 0;
}

static void turn_over(struct service *s)
{
    char *old = xasprintf("%s.1", s->log);
    close(s->log_fd);
    if (rename(s->log, old) != 0)
        unlink(s->log);
    free(old);
    open_log(s);
}

/* A full disk costs lines of the log and nothing else. */
static void write_log(struct service *s, const char *data, size_t n)
{
    if (s->log_fd < 0)
        return;
    if (s->log_max > 0 && s->log_size + (int64_t)n > s->log_max && s->log_size > 0)
        turn_over(s);
    while (n > 0 && s->log_fd >= 0) {
        ssize_t done = write(s->log_fd, data, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return;
        s->log_size += done;
        data += done;
        n -= (size_t)done;
    }
}

/* ---- its output ---- */

static void end_line(struct service *s)
{
    s->line[s->n_line] = '\0';
    char **slot = &s->kept[s->n_kept++ % LINES_KEPT];
    free(*slot);
    *slot = xstrdup(s->line);
    s->n_line = 0;
    if (s->on_line != NULL)
        s->on_line(s->arg, *slot);
}

static void take(struct service *s, const char *data, size_t n)
{
    write_log(s, data, n);
    for (size_t i = 0; i < n; i++) {
        if (data[i] == '\n' || s->n_line == LINE_MAX_BYTES)
            end_line(s);
        if (data[i] != '\n' && data[i] != '\r' && data[i] != '\0')
            s->line[s->n_line++] = data[i];
    }
}

/* Reads what there is.  False at the end of its output. */
static bool drain(struct service *s)
{
    char piece[PIECE];
    for (;;) {
        ssize_t n = read(s->out, piece, sizeof(piece));
        if (n > 0)
            take(s, piece, (size_t)n);
        else if (n < 0 && errno == EINTR)
            continue;
        else
            return n < 0 && errno == EAGAIN;
    }
}

static void close_output(struct service *s)
{
    if (s->out < 0)
        return;
    event_del(s->read);
    close(s->out);
    s->out = -1;
}

static void on_output(evutil_socket_t fd, short what, void *arg)
{
    struct service *s = arg;
    (void)fd;
    (void)what;
    if (!drain(s))
        close_output(s);
}

/* ---- its end ---- */

static void on_sigchld(evutil_socket_t fd, short what, void *arg)
{
    struct service *s = arg;
    char *how = NULL;
    (void)fd;
    (void)what;
    if (!child_ended(&s->child, &how))
        return;
    event_del(s->died);
    event_del(s->patience);
    if (s->out >= 0)
        drain(s); /* a grandchild may hold the pipe open: what is there now is all */
    close_output(s);
    if (s->n_line > 0)
        end_line(s);
    s->on_exit(s->arg, how);
    free(how);
}

static void on_patience(evutil_socket_t fd, short what, void *arg)
{
    struct service *s = arg;
    (void)fd;
    (void)what;
    if (s->child.pid > 0)
        kill(s->child.pid, SIGKILL);
}

struct service *service_start(struct event_base *base, const struct service_opts *opts, char **cause)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0) {
        cause_set(cause, "%s: no pipe for its output: %s", opts->name, strerror(errno));
        return NULL;
    }
    struct service *s = xcalloc(1, sizeof(*s));
    *s = (struct service){.name = xstrdup(opts->name),
                          .log = xstrdup(opts->log),
                          .log_max = opts->log_max,
                          .log_fd = -1,
                          .on_exit = opts->on_exit,
                          .on_line = opts->on_line,
                          .arg = opts->arg,
                          .out = fds[0]};
    if (s->log != NULL)
        open_log(s);
    fcntl(s->out, F_SETFL, O_NONBLOCK);
    /* Watched before it is there, so that no end is missed. */
    s->died = evsignal_new(base, SIGCHLD, on_sigchld, s);
    s->read = event_new(base, s->out, EV_READ | EV_PERSIST, on_output, s);
    s->patience = evtimer_new(base, on_patience, s);
    event_add(s->died, NULL);
    event_add(s->read, NULL);
    int failed = child_start(&s->child, s->name, opts->argv, opts->env, fds[1], fds[1], cause);
    close(fds[1]);
    if (failed != 0) {
        service_destroy(s);
        return NULL;
    }
    return s;
}

void service_stop(struct service *s, int grace_ms)
{
    if (s->child.pid <= 0)
        return;
    kill(s->child.pid, grace_ms > 0 ? SIGTERM : SIGKILL);
    kill(s->child.pid, SIGCONT); /* a stopped one could not end */
    if (grace_ms > 0)
        event_add(s->patience, &(struct timeval){grace_ms / 1000, grace_ms % 1000 * 1000});
}

void service_end(struct service *s, int grace_ms)
{
    if (s != NULL)
        child_stop(&s->child, grace_ms);
}

void service_destroy(struct service *s)
{
    if (s == NULL)
        return;
    child_stop(&s->child, 0);
    close_output(s);
    struct event *events[] = {s->read, s->died, s->patience};
    for (size_t i = 0; i < ARRAY_LEN(events); i++)
        event_free(events[i]);
    for (size_t i = 0; i < LINES_KEPT; i++)
        free(s->kept[i]);
    if (s->log_fd >= 0)
        close(s->log_fd);
    free(s->name);
    free(s->log);
    free(s);
}

pid_t service_pid(const struct service *s)
{
    return s->child.pid;
}

static bool tells_of_error(const char *line)
{
    static const char *const words[] = {"error", "fail", "abort", "cannot", "can't", "not enough", "unable"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (strcasestr(line, words[i]) != NULL)
            return true;
    }
    return false;
}

const char *service_last_words(struct service *s, bool any)
{
    size_t kept = s->n_kept < LINES_KEPT ? s->n_kept : LINES_KEPT;
    for (size_t i = 1; i <= kept; i++) {
        const char *line = s->kept[(s->n_kept - i) % LINES_KEPT];
        if (tells_of_error(line))
            return line;
    }
    return any && kept > 0 ? s->kept[(s->n_kept - 1) % LINES_KEPT] : "";
}
