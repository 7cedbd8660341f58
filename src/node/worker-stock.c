#include "node/worker-stock.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cause.h"
#include "base/log.h"
#include "base/mem.h"
#include "http/listen.h"

enum {
    PIPE_SIZE = 1 << 20,
    PIECES = 16,   /* moved in one direction before the other gets its turn */
    PROBE_MS = 50, /* between looks whether it listens */
    ANSWER_S = 30, /* a server that has said nothing to a client for so long hangs */
    ARGS_MAX = 12,
};

/* One direction. */
struct half {
    struct worker_stock *stock;
    int from, to, pipe[2];
    size_t held; /* bytes in the pipe */
    struct event *readable, *writable;
};

struct worker_stock {
    struct event_base *base;
    const struct worker_options *opts;
    const char *cache;
    const struct worker_server_events *events;
    void *arg;
    pid_t pid;
    int port;
    struct event *probe;  /* does it listen? */
    struct event *answer; /* until its first byte to a client */
    int client, server;   /* -1: no relay */
    struct half up, down;
};

char *worker_stock_cache(const char *dir)
{
    const char *slash = dir != NULL ? strrchr(dir, '/') : NULL;
    if (dir == NULL)
        return NULL;
    return slash != NULL && slash > dir && strcmp(slash, "/rpc") == 0 ? xstrdup(dir) : xasprintf("%s/rpc", dir);
}

static int connect_to(int port)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) != 0) {
        close(fd);
        fd = -1;
    }
    if (fd >= 0)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return fd;
}

static void probe_soon(struct worker_stock *s)
{
    event_add(s->probe, &(struct timeval){.tv_usec = PROBE_MS * 1000});
}

static void on_probe(evutil_socket_t none, short what, void *arg)
{
    struct worker_stock *s = arg;
    int fd = connect_to(s->port);
    if (fd < 0) {
        probe_soon(s);
        return;
    }
    close(fd);
    s->events->ready(s->arg);
}

static void half_finish(struct half *h)
{
    if (h->readable != NULL)
        event_free(h->readable);
    if (h->writable != NULL)
        event_free(h->writable);
    for (int i = 0; i < 2; i++) {
        if (h->pipe[i] >= 0)
            close(h->pipe[i]);
    }
    *h = (struct half){.stock = h->stock, .pipe = {-1, -1}};
}

static void end_relay(struct worker_stock *s)
{
    half_finish(&s->up);
    half_finish(&s->down);
    event_del(s->answer);
    if (s->client >= 0) {
        shutdown(s->client, SHUT_RDWR);
        close(s->client);
    }
    if (s->server >= 0)
        close(s->server);
    s->client = s->server = -1;
}

/* Moves what there is.  False when the relay is over. */
static bool pump(struct half *h)
{
    for (int i = 0; i < PIECES; i++) {
        if (h->held == 0) {
            ssize_t n = splice(h->from, NULL, h->pipe[1], NULL, PIPE_SIZE, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
            if (n < 0 && errno == EAGAIN)
                return event_add(h->readable, NULL) == 0;
            if (n <= 0)
                return false;
            h->held = (size_t)n;
        }
        ssize_t n = splice(h->pipe[0], NULL, h->to, NULL, h->held, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        if (n < 0 && errno == EAGAIN)
            return event_add(h->writable, NULL) == 0;
        if (n <= 0)
            return false;
        h->held -= (size_t)n;
    }
    return event_add(h->held > 0 ? h->writable : h->readable, NULL) == 0;
}

static void on_half(evutil_socket_t fd, short what, void *arg)
{
    struct half *h = arg;
    struct worker_stock *s = h->stock;
    if (h == &s->down)
        event_del(s->answer);
    if (pump(h))
        return;
    end_relay(s);
    s->events->ready(s->arg);
}

static void on_silence(evutil_socket_t none, short what, void *arg)
{
    struct worker_stock *s = arg;
    log_warn("%s has not answered for %d s: it is started again", s->opts->stock, ANSWER_S);
    kill(s->pid, SIGKILL);
}

struct worker_stock *worker_stock_create(struct event_base *base, const struct worker_options *o, const char *cache,
                                         const struct worker_server_events *events, void *arg)
{
    struct worker_stock *s = xcalloc(1, sizeof(*s));
    *s = (struct worker_stock){.base = base,
                               .opts = o,
                               .cache = cache,
                               .events = events,
                               .arg = arg,
                               .client = -1,
                               .server = -1,
                               .up = {.stock = s, .pipe = {-1, -1}},
                               .down = {.stock = s, .pipe = {-1, -1}}};
    s->probe = evtimer_new(base, on_probe, s);
    s->answer = evtimer_new(base, on_silence, s);
    return s;
}

void worker_stock_destroy(struct worker_stock *s)
{
    if (s == NULL)
        return;
    worker_stock_close(s);
    event_free(s->probe);
    event_free(s->answer);
    free(s);
}

void worker_stock_close(struct worker_stock *s)
{
    if (s == NULL)
        return;
    event_del(s->probe);
    end_relay(s);
}

static void become(const struct worker_stock *s, pid_t parent)
{
    const char *argv[ARGS_MAX];
    char port[16], threads[16];
    size_t n = 0;
    sigset_t none;
    snprintf(port, sizeof(port), "%d", s->port);
    snprintf(threads, sizeof(threads), "%d", (int)worker_options_threads(s->opts));
    argv[n++] = s->opts->stock;
    argv[n++] = "-H";
    argv[n++] = "127.0.0.1";
    argv[n++] = "-p";
    argv[n++] = port;
    argv[n++] = "-t";
    argv[n++] = threads;
    if (s->opts->devices != NULL) {
        argv[n++] = "-d";
        argv[n++] = s->opts->devices;
    }
    if (s->cache != NULL) {
        char *folder = xstrdup(s->cache), *slash = strrchr(folder, '/');
        *slash = '\0';
        setenv("LLAMA_CACHE", folder, 1);
        argv[n++] = "-c";
    }
    argv[n] = NULL;
    setenv("GGML_CPU_TILED_MM", "0", 0); /* see node_model_init */
    setenv("GGML_NO_BACKTRACE", "1", 0);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    setpgid(0, 0); /* Ctrl-C goes to the parent alone */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
    dup2(STDERR_FILENO, STDOUT_FILENO);
    execvp(argv[0], (char *const *)argv);
    dprintf(STDERR_FILENO, "%s cannot be started: %s\n", argv[0], strerror(errno));
    _exit(127);
}

pid_t worker_stock_start(struct worker_stock *s, char **cause)
{
    int fd = listen_bind("127.0.0.1", 0, cause);
    pid_t parent = getpid();
    if (fd < 0)
        return -1;
    s->port = listen_port(fd);
    close(fd);
    s->pid = fork();
    if (s->pid == 0)
        become(s, parent);
    if (s->pid < 0)
        return cause_set(cause, "%s can't be started: %s", s->opts->stock, strerror(errno));
    probe_soon(s);
    return s->pid;
}

static bool half_init(struct half *h, int from, int to)
{
    struct event_base *base = h->stock->base;
    h->from = from;
    h->to = to;
    h->readable = event_new(base, from, EV_READ, on_half, h);
    h->writable = event_new(base, to, EV_WRITE, on_half, h);
    if (pipe2(h->pipe, O_CLOEXEC | O_NONBLOCK) != 0)
        return false;
    fcntl(h->pipe[1], F_SETPIPE_SZ, PIPE_SIZE);
    return event_add(h->readable, NULL) == 0;
}

void worker_stock_give(struct worker_stock *s, int fd)
{
    s->client = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    s->server = connect_to(s->port);
    if (s->client >= 0 && s->server >= 0 && half_init(&s->up, s->client, s->server) &&
        half_init(&s->down, s->server, s->client)) {
        evutil_make_socket_nonblocking(s->client);
        evutil_make_socket_nonblocking(s->server);
        event_add(s->answer, &(struct timeval){.tv_sec = ANSWER_S});
        return;
    }
    log_warn("no connection to %s: %s", s->opts->stock, strerror(errno));
    shutdown(fd, SHUT_RDWR);
    end_relay(s);
    probe_soon(s);
}
