#include "node/worker-tidy.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

enum { NICE = 10 };

struct worker_tidy {
    struct event_base *base;
    char *dir;
    uint64_t max;
    void (*done)(const struct worker_cache_report *report, void *arg);
    void *arg;
    pid_t pid;
    int pipe;
    struct event *event;
    struct timespec begun; /* the folder's time of change when the running one began */
    struct timespec known; /* up to this time of change all is checked */
};

struct worker_tidy *worker_tidy_create(struct event_base *base, const char *dir, uint64_t max,
                                       void (*done)(const struct worker_cache_report *report, void *arg), void *arg)
{
    struct worker_tidy *t = xcalloc(1, sizeof(*t));
    *t = (struct worker_tidy){.base = base, .dir = xstrdup(dir), .max = max, .done = done, .arg = arg, .pipe = -1};
    return t;
}

static void finish_process(struct worker_tidy *t)
{
    if (t->event != NULL)
        event_free(t->event);
    t->event = NULL;
    if (t->pipe >= 0)
        close(t->pipe);
    t->pipe = -1;
    if (t->pid > 0)
        waitpid(t->pid, NULL, 0);
    t->pid = 0;
}

void worker_tidy_destroy(struct worker_tidy *t)
{
    if (t == NULL)
        return;
    if (t->pid > 0)
        kill(t->pid, SIGKILL);
    finish_process(t);
    free(t->dir);
    free(t);
}

static struct timespec changed(const struct worker_tidy *t)
{
    struct stat st;
    return stat(t->dir, &st) == 0 ? st.st_mtim : (struct timespec){0};
}

bool worker_tidy_wanted(const struct worker_tidy *t)
{
    struct timespec now = changed(t);
    return now.tv_sec != t->known.tv_sec || now.tv_nsec != t->known.tv_nsec;
}

bool worker_tidy_running(const struct worker_tidy *t)
{
    return t->pid > 0;
}

static void on_report(evutil_socket_t fd, short what, void *arg)
{
    struct worker_tidy *t = arg;
    struct worker_cache_report report = {0};
    bool whole = read(fd, &report, sizeof(report)) == sizeof(report);
    finish_process(t);
    if (!whole)
        log_warn("%s could not be checked", t->dir);
    else if (report.skipped == 0)
        t->known = t->begun;
    /* A process that could not do its work once will not the next time; clients must not wait for it for ever. */
    if (!whole)
        t->known = t->begun;
    t->done(&report, t->arg);
}

static void tidy(const struct worker_tidy *t, int skip_s, int to, pid_t parent)
{
    struct worker_cache_report report;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    setpgid(0, 0);
    (void)!nice(NICE);
    worker_cache_tidy(t->dir, t->max, skip_s, &report);
    _exit(write(to, &report, sizeof(report)) == sizeof(report) ? 0 : 1);
}

void worker_tidy_start(struct worker_tidy *t, int skip_s)
{
    int fds[2];
    pid_t parent = getpid();
    t->begun = changed(t);
    if (pipe2(fds, O_CLOEXEC) != 0) {
        log_warn("%s is not checked: %s", t->dir, strerror(errno));
        t->known = t->begun;
        return;
    }
    t->pid = fork();
    if (t->pid == 0) {
        /* The other ends of sockets that the parent closes must close. */
        dup2(fds[1], 3);
        close_range(4, ~0u, 0);
        tidy(t, skip_s, 3, parent);
    }
    close(fds[1]);
    t->pipe = fds[0];
    t->event = event_new(t->base, fds[0], EV_READ, on_report, t);
    event_add(t->event, NULL);
    if (t->pid < 0) {
        t->pid = 0;
        log_warn("%s is not checked: %s", t->dir, strerror(errno));
    }
}
