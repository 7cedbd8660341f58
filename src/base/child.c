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

/* In the child, before the program: nothing here may allocate much or fail silently. */
static void become(const char *const *argv, const char *const *env, int out, int err, pid_t parent)
{
    sigset_t none;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
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
    *c = (struct child){.name = name};
    pid_t parent = getpid(), pid = fork();
    if (pid == 0)
        become(argv, env, out, err, parent);
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
    return true;
}

char *child_output(const char *const *argv, int timeout_ms, size_t max)
{
    struct child c;
    struct buf b;
    int64_t until = clock_us() + (int64_t)timeout_ms * 1000;
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0)
        return NULL;
    int failed = child_start(&c, argv[0], argv, NULL, fds[1], -1, NULL);
    close(fds[1]);
    if (failed != 0) {
        close(fds[0]);
        return NULL;
    }
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    buf_init(&b, max);
    bool whole = false;
    while (!whole && clock_us() < until) {
        char part[4096];
        struct pollfd p = {.fd = fds[0], .events = POLLIN};
        poll(&p, 1, (int)((until - clock_us()) / 1000) + 1);
        ssize_t n = read(fds[0], part, sizeof(part));
        if (n > 0 && !buf_add(&b, part, (size_t)n))
            break;
        whole = n == 0;
    }
    int status = -1;
    if (whole && waitpid(c.pid, &status, 0) == c.pid)
        c.pid = 0;
    child_stop(&c, 0);
    close(fds[0]);
    char *text = whole && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? buf_steal(&b) : NULL;
    buf_finish(&b);
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
