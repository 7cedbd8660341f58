#include "cmd/relay.h"

#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <event2/listener.h>

#include "base/cause.h"
#include "base/mem.h"

enum {
    READ_MAX = 65536,            /* bytes taken from a socket at a time */
    READ_MIN = 1500,             /* and at least, on a slow line */
    HELD_MAX = 32 * 1024 * 1024, /* bytes of one flow on their way: 10 Gbit/s times 25 ms */
    WRITE_CHUNKS = 64,           /* that one system call sends */
    BACKLOG = 128,
};

static const int64_t EARLY_NS = RELAY_EARLY_US * 1000LL;
static const int64_t UNIT_NS = 1000000;      /* a limited line takes about so much of a sender's bytes at a time */
static const int64_t AHEAD_NS = 2000000;     /* and is filled so far ahead; the rest stays with the senders */
static const int64_t PATIENCE_NS = 50000000; /* a receiver this late holds its sender up, as a full window does */

enum flow_end { FLOW_OPEN, FLOW_EOF, FLOW_RESET, FLOW_DONE };

struct chunk {
    struct chunk *next;
    int64_t due_ns;
    size_t len, sent;
    char data[];
};

/* One direction of one connection. */
struct flow {
    struct conn *conn;
    int64_t *line_free_ns; /* of the line it shares */
    int from, to;
    struct event *readable, *writable;
    struct chunk *head, *tail;
    size_t held;
    enum flow_end end;
    int64_t end_ns;    /* when the end is due on the other side */
    int64_t ready_ns;  /* nothing arrives earlier than the handshake would have let it, less the delay */
    int64_t resume_ns; /* when a full line is read for again; 0: not waiting for that */
    bool paused, blocked;
};

struct conn {
    struct relay *relay;
    struct conn *next;
    struct flow up, down;
    int fd[2]; /* the client's, the server's */
    bool connecting, dead;
};

struct relay {
    struct event_base *base;
    struct evconnlistener *listener;
    struct sockaddr_storage to;
    socklen_t to_len;
    int64_t delay_ns;
    double ns_per_byte; /* 0: no limit */
    size_t read_max;
    int64_t up_free_ns, down_free_ns;
    struct conn *conns; /* the dead ones as well, until they are reaped */
    int timer;
    int64_t armed_ns; /* what the timer is set to; INT64_MAX: it is not */
    struct event *tick, *reap;
    char scratch[READ_MAX];
};

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void conn_kill(struct conn *c, bool reset)
{
    struct flow *flows[] = {&c->up, &c->down};
    if (c->dead)
        return;
    c->dead = true;
    for (size_t i = 0; i < ARRAY_LEN(flows); i++) {
        event_free(flows[i]->readable);
        event_free(flows[i]->writable);
        for (struct chunk *k = flows[i]->head; k != NULL; k = flows[i]->head) {
            flows[i]->head = k->next;
            free(k);
        }
        if (reset)
            setsockopt(c->fd[i], SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
        close(c->fd[i]);
    }
    event_active(c->relay->reap, EV_TIMEOUT, 0);
}

static void on_reap(evutil_socket_t fd, short what, void *arg)
{
    struct relay *r = arg;
    for (struct conn **at = &r->conns; *at != NULL;) {
        struct conn *c = *at;
        if (c->dead) {
            *at = c->next;
            free(c);
        } else {
            at = &c->next;
        }
    }
    evconnlistener_enable(r->listener);
}

/* Sets the timer to what comes first: a chunk, an end, or a line that has room again. */
static void arm(struct relay *r)
{
    int64_t first = INT64_MAX;
    for (struct conn *c = r->conns; c != NULL; c = c->next) {
        for (struct flow *f = &c->up; !c->dead && f != NULL; f = f == &c->up ? &c->down : NULL) {
            int64_t due = f->head != NULL                              ? f->head->due_ns
                          : f->end == FLOW_EOF || f->end == FLOW_RESET ? f->end_ns
                                                                       : INT64_MAX;
            if (!f->blocked && due < first)
                first = due;
            if (f->resume_ns != 0 && f->resume_ns < first)
                first = f->resume_ns;
        }
    }
    if (first == r->armed_ns)
        return;
    r->armed_ns = first;
    int64_t at = first == INT64_MAX ? 0 : first - EARLY_NS > 1 ? first - EARLY_NS : 1;
    struct itimerspec when = {.it_value = {at / 1000000000, at % 1000000000}};
    timerfd_settime(r->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

/* Sends what is due.  False: the connection is gone. */
static bool flow_send(struct flow *f, int64_t now)
{
    while (f->head != NULL && f->head->due_ns <= now + EARLY_NS) {
        struct iovec part[WRITE_CHUNKS];
        int n = 0;
        for (struct chunk *k = f->head; k != NULL && n < WRITE_CHUNKS && k->due_ns <= now + EARLY_NS; k = k->next)
            part[n++] = (struct iovec){k->data + k->sent, k->len - k->sent};
        struct msghdr msg = {.msg_iov = part, .msg_iovlen = (size_t)n};
        ssize_t sent = sendmsg(f->to, &msg, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno != EAGAIN) {
            conn_kill(f->conn, true);
            return false;
        }
        if (sent < 0) {
            f->blocked = true;
            event_add(f->writable, NULL);
            return true;
        }
        f->held -= (size_t)sent;
        while (sent > 0) {
            struct chunk *k = f->head;
            size_t take = k->len - k->sent < (size_t)sent ? k->len - k->sent : (size_t)sent;
            k->sent += take;
            sent -= (ssize_t)take;
            if (k->sent < k->len)
                break;
            f->head = k->next;
            free(k);
        }
    }
    return true;
}

/* Sends what is due, passes an end on that is due, and lets the sender go on if it was held up.  False: the connection
 * is gone. */
static bool flow_run(struct flow *f, int64_t now)
{
    struct conn *c = f->conn;
    if (!f->blocked && !flow_send(f, now))
        return false;
    if (f->head == NULL && !f->blocked && f->end_ns <= now + EARLY_NS) {
        if (f->end == FLOW_RESET) {
            conn_kill(c, true);
            return false;
        }
        if (f->end == FLOW_EOF) {
            f->end = FLOW_DONE;
            shutdown(f->to, SHUT_WR);
        }
    }
    if (c->up.end == FLOW_DONE && c->down.end == FLOW_DONE) {
        conn_kill(c, false);
        return false;
    }
    if (f->resume_ns != 0 && f->resume_ns <= now + EARLY_NS)
        f->resume_ns = 0;
    if (f->paused && f->end == FLOW_OPEN && f->resume_ns == 0 && f->held < HELD_MAX && !f->blocked) {
        f->paused = false;
        event_add(f->readable, NULL);
    }
    return true;
}

static void pause_reading(struct flow *f)
{
    f->paused = true;
    event_del(f->readable);
}

/* When bytes that arrive now come out: after those before them on the line, at the line's rate, and the delay. */
static int64_t due(struct flow *f, size_t n, int64_t now)
{
    struct relay *r = f->conn->relay;
    int64_t start = now > f->ready_ns ? now : f->ready_ns;
    if (r->ns_per_byte > 0) {
        if (*f->line_free_ns > start)
            start = *f->line_free_ns;
        start += (int64_t)((double)n * r->ns_per_byte);
        *f->line_free_ns = start;
    }
    return start + r->delay_ns;
}

static void flow_take(struct flow *f, const char *data, size_t n, int64_t now)
{
    struct chunk *k = xmalloc(sizeof(*k) + n);
    *k = (struct chunk){.len = n, .due_ns = due(f, n, now)};
    memcpy(k->data, data, n);
    if (f->head != NULL)
        f->tail->next = k;
    else
        f->head = k;
    f->tail = k;
    f->held += n;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct flow *f = arg;
    struct relay *r = f->conn->relay;
    int64_t now = now_ns();
    if (f->held >= HELD_MAX || (f->blocked && f->head != NULL && now - f->head->due_ns > PATIENCE_NS)) {
        pause_reading(f);
        return;
    }
    if (r->ns_per_byte > 0 && *f->line_free_ns > now + AHEAD_NS) {
        f->resume_ns = *f->line_free_ns - AHEAD_NS / 2;
        pause_reading(f);
        arm(r);
        return;
    }
    ssize_t n = recv(f->from, r->scratch, r->read_max, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0) {
        flow_take(f, r->scratch, (size_t)n, now);
    } else {
        f->end = n == 0 ? FLOW_EOF : FLOW_RESET;
        f->end_ns = due(f, 0, now);
        event_del(f->readable);
    }
    flow_run(f, now);
    arm(r);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct flow *f = arg;
    struct conn *c = f->conn;
    int error = 0;
    socklen_t len = sizeof(error);
    event_del(f->writable);
    if (c->connecting && f == &c->up) {
        getsockopt(f->to, SOL_SOCKET, SO_ERROR, &error, &len);
        c->connecting = false;
        if (error != 0) {
            conn_kill(c, true);
            return;
        }
        event_add(c->down.readable, NULL);
    }
    f->blocked = false;
    flow_run(f, now_ns());
    arm(c->relay);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct relay *r = arg;
    uint64_t times;
    if (read(r->timer, &times, sizeof(times)) < 0)
        return;
    r->armed_ns = INT64_MAX;
    int64_t now = now_ns();
    for (struct conn *c = r->conns; c != NULL; c = c->next) {
        if (!c->dead && flow_run(&c->up, now))
            flow_run(&c->down, now);
    }
    arm(r);
}

static void flow_init(struct flow *f, struct conn *c, bool up)
{
    struct relay *r = c->relay;
    *f = (struct flow){.conn = c,
                       .line_free_ns = up ? &r->up_free_ns : &r->down_free_ns,
                       .from = c->fd[up ? 0 : 1],
                       .to = c->fd[up ? 1 : 0]};
    f->readable = event_new(r->base, f->from, EV_READ | EV_PERSIST, on_readable, f);
    f->writable = event_new(r->base, f->to, EV_WRITE | EV_PERSIST, on_writable, f);
    /* The client's bytes leave a round trip after its SYN; the server's, once the end of the handshake has come. */
    f->ready_ns = now_ns() + (up ? 2 : 3) * r->delay_ns;
}

static void on_accept(struct evconnlistener *l, evutil_socket_t client, struct sockaddr *sa, int len, void *arg)
{
    struct relay *r = arg;
    int on = 1, server = socket(r->to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (server < 0 || (connect(server, (struct sockaddr *)&r->to, r->to_len) != 0 && errno != EINPROGRESS)) {
        if (server >= 0)
            close(server);
        setsockopt(client, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
        close(client);
        return;
    }
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    struct conn *c = xcalloc(1, sizeof(*c));
    *c = (struct conn){.relay = r, .next = r->conns, .fd = {client, server}, .connecting = true};
    flow_init(&c->up, c, true);
    flow_init(&c->down, c, false);
    c->up.blocked = true; /* until it is connected */
    event_add(c->up.writable, NULL);
    event_add(c->up.readable, NULL);
    r->conns = c;
}

/* Out of descriptors: accepts again when a connection ends. */
static void on_accept_error(struct evconnlistener *l, void *arg)
{
    evconnlistener_disable(l);
}

static struct addrinfo *resolve(const char *host, int port, bool passive, char **cause)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = (passive ? AI_PASSIVE : 0) | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    char service[16];
    snprintf(service, sizeof(service), "%d", port);
    int error = getaddrinfo(host, service, &hints, &list);
    if (error != 0)
        cause_set(cause, "%s: %s", host, gai_strerror(error));
    return error != 0 ? NULL : list;
}

static int listen_on(struct relay *r, const char *host, int port, char **cause)
{
    struct addrinfo *ai = resolve(host, port, true, cause);
    struct sockaddr_storage sa;
    socklen_t len = sizeof(sa);
    if (ai == NULL)
        return -1;
    r->listener = evconnlistener_new_bind(r->base, on_accept, r,
                                          LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE, BACKLOG,
                                          ai->ai_addr, (int)ai->ai_addrlen);
    int error = errno;
    freeaddrinfo(ai);
    if (r->listener == NULL)
        return cause_set(cause, "port %d on %s cannot be listened on: %s", port, host, strerror(error));
    evconnlistener_set_error_cb(r->listener, on_accept_error);
    getsockname(evconnlistener_get_fd(r->listener), (struct sockaddr *)&sa, &len);
    return ntohs(sa.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&sa)->sin6_port
                                          : ((struct sockaddr_in *)&sa)->sin_port);
}

struct relay *relay_create(struct event_base *base, const struct relay_opts *o, int *port, char **cause)
{
    struct addrinfo *to = resolve(o->to_host, o->to_port, false, cause);
    if (to == NULL)
        return NULL;
    struct relay *r = xcalloc(1, sizeof(*r));
    *r = (struct relay){.base = base, .delay_ns = o->delay_us * 1000, .armed_ns = INT64_MAX, .read_max = READ_MAX};
    memcpy(&r->to, to->ai_addr, to->ai_addrlen);
    r->to_len = to->ai_addrlen;
    freeaddrinfo(to);
    if (o->rate_mbit > 0) {
        r->ns_per_byte = 8000.0 / o->rate_mbit;
        double unit = (double)UNIT_NS / r->ns_per_byte;
        r->read_max = unit < READ_MIN ? READ_MIN : unit < READ_MAX ? (size_t)unit : READ_MAX;
    }
    r->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    *port = r->timer >= 0 ? listen_on(r, o->listen_host, o->listen_port, cause)
                          : cause_set(cause, "no timer: %s", strerror(errno));
    if (*port < 0) {
        if (r->timer >= 0)
            close(r->timer);
        free(r);
        return NULL;
    }
    r->tick = event_new(base, r->timer, EV_READ | EV_PERSIST, on_tick, r);
    r->reap = event_new(base, -1, 0, on_reap, r);
    event_add(r->tick, NULL);
    return r;
}

void relay_destroy(struct relay *r)
{
    if (r == NULL)
        return;
    for (struct conn *c = r->conns; c != NULL; c = c->next)
        conn_kill(c, false);
    on_reap(-1, 0, r);
    evconnlistener_free(r->listener);
    event_free(r->tick);
    event_free(r->reap);
    close(r->timer);
    free(r);
}
