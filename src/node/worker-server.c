#include "node/worker-server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cause.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "node/worker-child.h"
#include "node/worker-stock.h"

enum { CHANNEL_FD = 3, STOP_MS = 1000 };

struct worker_server {
    struct event_base *base;
    const struct worker_options *opts;
    const char *cache;
    const struct worker_server_events *events;
    void *arg;
    pid_t pid;
    int channel;         /* to the built-in server; -1: none */
    struct event *words; /* on the channel */
    struct event *child; /* SIGCHLD */
    struct worker_stock *stock;
    char *failure; /* what the child said before it ended */
};

static void on_word(evutil_socket_t fd, short what, void *arg)
{
    struct worker_server *s = arg;
    char *packet = xmalloc(WORKER_WORD_MAX);
    ssize_t n = recv(fd, packet, WORKER_WORD_MAX - 1, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        event_del(s->words); /* SIGCHLD says how it ended */
    } else if (n > 0 && packet[0] == WORKER_READY) {
        s->events->ready(s->arg);
    } else if (n > 0 && packet[0] == WORKER_DEVICES) {
        json_t *list = json_parse_object(packet + 1, (size_t)n - 1, NULL);
        if (list != NULL)
            s->events->devices(list, s->arg);
        json_decref(list);
    } else if (n > 0 && packet[0] == WORKER_FAILED) {
        free(s->failure);
        s->failure = xstrndup(packet + 1, (size_t)n - 1);
    }
    free(packet);
}

static void close_channel(struct worker_server *s)
{
    if (s->words != NULL)
        event_free(s->words);
    s->words = NULL;
    if (s->channel >= 0)
        close(s->channel);
    s->channel = -1;
}

static void on_child(evutil_socket_t number, short what, void *arg)
{
    struct worker_server *s = arg;
    int status;
    if (s->pid <= 0 || waitpid(s->pid, &status, WNOHANG) != s->pid)
        return;
    s->pid = 0;
    /* Its last words may still be under way. */
    while (s->words != NULL && event_pending(s->words, EV_READ, NULL))
        on_word(s->channel, EV_READ, s);
    close_channel(s);
    worker_stock_close(s->stock);
    char *failure = s->failure, *why;
    s->failure = NULL;
    if (failure != NULL)
        why = xstrdup(failure);
    else if (WIFSIGNALED(status))
        why = xasprintf("was ended by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        why = xasprintf("ended with status %d", WEXITSTATUS(status));
    s->events->ended(why, failure != NULL, s->arg);
    free(why);
    free(failure);
}

struct worker_server *worker_server_create(struct event_base *base, const struct worker_options *o, const char *cache,
                                           const struct worker_server_events *events, void *arg)
{
    struct worker_server *s = xcalloc(1, sizeof(*s));
    *s = (struct worker_server){.base = base, .opts = o, .cache = cache, .events = events, .arg = arg, .channel = -1};
    s->child = evsignal_new(base, SIGCHLD, on_child, s);
    event_add(s->child, NULL);
    if (o->stock != NULL)
        s->stock = worker_stock_create(base, o, cache, events, arg);
    return s;
}

void worker_server_destroy(struct worker_server *s)
{
    if (s == NULL)
        return;
    if (s->pid > 0) {
        kill(s->pid, SIGTERM);
        kill(s->pid, SIGCONT); /* a stopped one could not end */
        for (int ms = 0; waitpid(s->pid, NULL, WNOHANG) == 0; ms += 5) {
            if (ms >= STOP_MS) {
                kill(s->pid, SIGKILL);
                waitpid(s->pid, NULL, 0);
                break;
            }
            nanosleep(&(struct timespec){0, 5000000}, NULL);
        }
    }
    close_channel(s);
    worker_stock_destroy(s->stock);
    event_free(s->child);
    free(s->failure);
    free(s);
}

/* In the child: nothing of the parent's stays open but stdin, stderr and the channel. */
static void become_child(const struct worker_server *s, int channel, pid_t parent)
{
    struct worker_child_options o = {
        .devices = s->opts->devices, .cache = s->cache, .threads = (size_t)worker_options_threads(s->opts)};
    static const int signals[] = {SIGTERM, SIGINT, SIGCHLD, SIGHUP};
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (size_t i = 0; i < ARRAY_LEN(signals); i++)
        signal(signals[i], SIG_DFL);
    setpgid(0, 0); /* Ctrl-C goes to the parent alone */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    /* What ggml prints is for people who run it by itself. */
    int out = s->opts->log_level == LOG_DEBUG ? dup(STDERR_FILENO) : open("/dev/null", O_WRONLY);
    dup2(out, STDOUT_FILENO);
    if (channel != CHANNEL_FD)
        dup2(channel, CHANNEL_FD);
    fcntl(CHANNEL_FD, F_SETFD, FD_CLOEXEC);
    close_range(CHANNEL_FD + 1, ~0u, 0);
    worker_child_run(&o, CHANNEL_FD);
}

static int start_built_in(struct worker_server *s, char **cause)
{
    int pair[2];
    pid_t parent = getpid();
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return cause_set(cause, "the RPC server can't be started: %s", strerror(errno));
    s->pid = fork();
    if (s->pid == 0)
        become_child(s, pair[1], parent);
    close(pair[1]);
    if (s->pid < 0) {
        s->pid = 0;
        close(pair[0]);
        return cause_set(cause, "the RPC server can't be started: %s", strerror(errno));
    }
    s->channel = pair[0];
    s->words = event_new(s->base, s->channel, EV_READ | EV_PERSIST, on_word, s);
    event_add(s->words, NULL);
    return 0;
}

int worker_server_start(struct worker_server *s, char **cause)
{
    if (s->stock == NULL)
        return start_built_in(s, cause);
    s->pid = worker_stock_start(s->stock, cause);
    if (s->pid > 0)
        return 0;
    s->pid = 0;
    return -1;
}

void worker_server_give(struct worker_server *s, int fd)
{
    if (s->stock != NULL) {
        worker_stock_give(s->stock, fd);
        return;
    }
    char word = 0;
    union {
        char space[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {.space = {0}};
    struct iovec iov = {.iov_base = &word, .iov_len = 1};
    struct msghdr msg = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof(control.space)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    /* A child that has just died is told by SIGCHLD. */
    if (s->channel >= 0 && sendmsg(s->channel, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) != 1)
        log_debug("a client can't be passed on: %s", strerror(errno));
}

void worker_server_kill(struct worker_server *s)
{
    if (s->pid > 0)
        kill(s->pid, SIGKILL);
}

pid_t worker_server_pid(const struct worker_server *s)
{
    return s->pid;
}
