#include "base/child.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cause.h"
#include "base/clock.h"
#include "base/mem.h"

enum {
    ATTEND_MS = 50,     /* between two looks whether a program has ended */
    PUT_DOWN_MS = 500,  /* how long a killed program is waited for */
    STDERR_KEPT = 4096, /* bytes */
};

/* A handler of the parent's would take a signal that the program is to get, and tell the parent's loop of it. */
static void forget_handlers(void)
{
    struct sigaction a;
    for (int i = 1; i < NSIG; i++) {
        if (sigaction(i, NULL, &a) == 0 && a.sa_handler != SIG_IGN)
            signal(i, SIG_DFL);
    }
    signal(SIGPIPE, SIG_DFL);
}

/* In the child, before the program, with all signals held back: nothing here may allocate much or fail silently. */
static void become(const char *const *argv, const char *const *env, int out, int err, pid_t parent)
{
    sigset_t none;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    forget_handlers();
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setpgid(0, 0); /* Ctrl-C goes to the parent alone, which ends its children in order */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(127);
    dup2(null, STDIN_FILENO);
    dup2(out >= 0 ? out : null, STDOUT_FILENO);
    dup2(err >= 0 ? err : null, STDERR_FILENO);
    for (; env != NULL && *env != NULL; env++) {
        if (strchr(*env, '=') != NULL)
            putenv((char *)*env);
        else
            unsetenv(*env);
    }
    execvp(argv[0], (char *const *)argv);
    dprintf(STDERR_FILENO, "%s cannot be started: %s\n", argv[0], strerror(errno));
    _exit(127);
}

int child_start(struct child *c, const char *name, const char *const *argv, const char *const *env, int out, int err,
                char **cause)
{
    sigset_t all, before;
    *c = (struct child){.name = name};
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t parent = getpid(), pid = fork();
    if (pid == 0)
        become(argv, env, out, err, parent);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (pid < 0)
        return cause_set(cause, "%s cannot be started: %s", name, strerror(errno));
    c->pid = pid;
    return 0;
}

void child_stop(struct child *c, int grace_ms)
{
    if (c->pid <= 0)
        return;
    int64_t until = clock_us() + (int64_t)grace_ms * 1000;
    kill(c->pid, SIGTERM);
    kill(c->pid, SIGCONT); /* a stopped one could not end */
    while (waitpid(c->pid, NULL, WNOHANG) == 0) {
        if (clock_us() > until) {
            kill(c->pid, SIGKILL);
            waitpid(c->pid, NULL, 0);
            break;
        }
        nanosleep(&(struct timespec){0, 5000000}, NULL);
    }
    c->pid = 0;
}

bool child_ended(struct child *c, char **how)
{
    int status;
    if (c->pid <= 0 || waitpid(c->pid, &status, WNOHANG) != c->pid)
        return false;
    if (WIFSIGNALED(status))
        *how = xasprintf("%s was ended by signal %d (%s)", c->name, WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        *how = xasprintf("%s ended with %d", c->name, WEXITSTATUS(status));
    c->pid = 0;
    c->well = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    return true;
}

/* Takes what has come; closes fd (-1 then) when the other side has. */
static void drain(int *fd, struct buf *b, bool *full)
{
    char part[4096];
    ssize_t n;
    while (*fd >= 0 && (n = read(*fd, part, sizeof(part))) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return;
        size_t room = b->max - b->len, take = (size_t)n < room ? (size_t)n : room;
        buf_add(b, part, take);
        if (take < (size_t)n) {
            *full = true;
            return;
        }
    }
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static bool stopped(const struct child_limits *l)
{
    return l->stop != NULL && atomic_load(l->stop);
}

/* Reads until the program has ended, writes too much, or time is over.  True: it has ended, and *status is set. */
static bool attend(struct child *c, int fds[2], struct buf *out, struct buf *err, const struct child_limits *l,
                   bool *too_long, int *status)
{
    int64_t until = clock_us() + (int64_t)l->timeout_ms * 1000;
    bool err_full = false, ended = false;
    while (!ended && !*too_long && !stopped(l)) {
        int64_t left = (until - clock_us()) / 1000;
        if (left <= 0)
            return false;
        /* Closing its output is how a program is seen to end at once; the look at the clock is for one that leaves
         * somebody behind who holds it open, and for one that closes it and goes on. */
        bool open = fds[0] >= 0 || fds[1] >= 0;
        struct pollfd p[2] = {{.fd = fds[0], .events = POLLIN}, {.fd = err_full ? -1 : fds[1], .events = POLLIN}};
        poll(p, 2, open ? (int)(left < ATTEND_MS ? left : ATTEND_MS) : 1);
        ended = waitpid(c->pid, status, WNOHANG) == c->pid;
        drain(&fds[0], out, too_long);
        if (!err_full)
            drain(&fds[1], err, &err_full);
    }
    return ended;
}

/* Ends it and all that it has started. */
static void put_down(pid_t pid)
{
    int64_t until = clock_us() + PUT_DOWN_MS * 1000;
    kill(-pid, SIGKILL);
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, WNOHANG) == 0 && clock_us() < until)
        nanosleep(&(struct timespec){0, 2000000}, NULL);
}

void child_run(const char *const *argv, const struct child_limits *limits, struct child_result *r)
{
    static const char *const env[] = {"LC_ALL=C", NULL};
    struct child c = {0};
    struct buf out, err;
    int out_fds[2] = {-1, -1}, err_fds[2] = {-1, -1}, status = 0;
    bool too_long = false;
    *r = (struct child_result){.fate = CHILD_FAILED, .status = -1};
    buf_init(&out, limits->max);
    buf_init(&err, STDERR_KEPT);
    if (pipe2(out_fds, O_CLOEXEC | O_NONBLOCK) == 0 && pipe2(err_fds, O_CLOEXEC | O_NONBLOCK) == 0) {
        fcntl(out_fds[1], F_SETFL, 0); /* the program's own ends block as it expects */
        fcntl(err_fds[1], F_SETFL, 0);
        child_start(&c, argv[0], argv, env, out_fds[1], err_fds[1], NULL);
    }
    for (int i = 0; i < 2; i++) {
        int *fd = i == 0 ? &out_fds[1] : &err_fds[1];
        if (*fd >= 0)
            close(*fd);
    }
    if (c.pid > 0) {
        int fds[2] = {out_fds[0], err_fds[0]};
        if (attend(&c, fds, &out, &err, limits, &too_long, &status)) {
            r->fate = too_long ? CHILD_TOO_LONG : WIFEXITED(status) ? CHILD_ENDED : CHILD_KILLED;
            r->status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        } else {
            r->fate = too_long ? CHILD_TOO_LONG : CHILD_TOO_LATE;
            put_down(c.pid);
        }
        out_fds[0] = fds[0];
        err_fds[0] = fds[1];
    }
    if (out_fds[0] >= 0)
        close(out_fds[0]);
    if (err_fds[0] >= 0)
        close(err_fds[0]);
    r->out = buf_steal(&out);
    r->err = buf_steal(&err);
}

void child_result_finish(struct child_result *r)
{
    free(r->out);
    free(r->err);
    *r = (struct child_result){0};
}

char *child_output(const char *const *argv, int timeout_ms, size_t max)
{
    struct child_result r;
    child_run(argv, &(struct child_limits){.timeout_ms = timeout_ms, .max = max}, &r);
    char *text = NULL;
    if (r.fate == CHILD_ENDED && r.status == 0) {
        text = r.out;
        r.out = NULL;
    }
    child_result_finish(&r);
    return text;
}

int child_free_port(int wanted)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1, port = -1;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    if (fd < 0)
        return -1;
    a.sin_port = htons((uint16_t)wanted);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(fd, 1) == 0 &&
        getsockname(fd, (struct sockaddr *)&a, &len) == 0)
        port = ntohs(a.sin_port);
    close(fd);
    return port;
}
