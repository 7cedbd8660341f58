#include "probe/rpc.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>

#include "base/clock.h"
#include "base/mem.h"
#include "probe/linger.h"
#include "probe/resolve.h"

enum { COMMAND_MEMORY = 11, COMMAND_HELLO = 14, COMMAND_COUNT = 15 };
enum { ENDPOINT_MAX = 280, OPEN_MAX = 64 };
enum { CAPS = 24, HELLO_REPLY = 4 + CAPS, HELLO_REPLY_OLD = 3, TEXT_MAX = 1024 };

enum step {
    STEP_RESOLVE,
    STEP_CONNECT,   /* to one address after the other */
    STEP_WAIT,      /* connected; a question of before is not answered yet */
    STEP_HELLO,     /* the reply is awaited */
    STEP_HELLO_OLD, /* the same, to the empty HELLO of old servers, on a connection of its own */
    STEP_COUNT,
    STEP_MEMORY, /* of device n_devices */
};

struct rpc_query {
    struct event_base *base;
    char *host;
    int port, protocol;
    bool connect_only;
    rpc_report_cb *cb;
    void *arg;
    enum step step;
    struct resolve *resolve;
    struct addrinfo *list, *at; /* addresses, and the one in use */
    struct bufferevent *link;
    struct event *deadline;
    struct event *answered; /* STEP_WAIT */
    int64_t connect_us;     /* when the connecting began */
    bool old;               /* the empty HELLO is tried */
    bool asked;             /* a reply is awaited */
    uint32_t devices;       /* as the server counts them */
    struct rpc_report report;
    char text[TEXT_MAX];
};

static void connect_next(struct rpc_query *q, int error);

static void query_free(struct rpc_query *q)
{
    resolve_cancel(q->resolve);
    if (q->link != NULL)
        bufferevent_free(q->link);
    if (q->list != NULL)
        freeaddrinfo(q->list);
    if (q->answered != NULL) {
        close(event_get_fd(q->answered));
        event_free(q->answered);
    }
    event_free(q->deadline);
    free(q->host);
    free(q);
}

/* ---- questions that no answer came to ---- */

/* One a server, for the whole process: another question would only stand in line behind it. */
static struct {
    char endpoint[ENDPOINT_MAX];
    int over; /* readable once it is answered */
} open_questions[OPEN_MAX];
static size_t n_open;
static pthread_mutex_t open_lock = PTHREAD_MUTEX_INITIALIZER;

static void endpoint_of(const struct rpc_query *q, char out[ENDPOINT_MAX])
{
    snprintf(out, ENDPOINT_MAX, "%.255s:%d", q->host, q->port);
}

/* A question that was put stays until it is answered, whoever goes on with what is known. */
static void leave(struct rpc_query *q)
{
    bool asked = q->asked && q->link != NULL;
    q->asked = false;
    if (!asked)
        return;
    int over = linger_keep(bufferevent_getfd(q->link));
    pthread_mutex_lock(&open_lock);
    if (over >= 0 && n_open < OPEN_MAX) {
        endpoint_of(q, open_questions[n_open].endpoint);
        open_questions[n_open++].over = over;
    } else if (over >= 0) {
        close(over);
    }
    pthread_mutex_unlock(&open_lock);
}

/* A descriptor that becomes readable when the question open at the same server is answered, owned by the caller; -1:
 * there is none any more. */
static int open_question(const struct rpc_query *q)
{
    char endpoint[ENDPOINT_MAX];
    int found = -1;
    endpoint_of(q, endpoint);
    pthread_mutex_lock(&open_lock);
    for (size_t i = n_open; i-- > 0;) {
        struct pollfd p = {.fd = open_questions[i].over, .events = POLLIN};
        if (poll(&p, 1, 0) > 0) {
            close(open_questions[i].over);
            open_questions[i] = open_questions[--n_open];
        } else if (strcmp(open_questions[i].endpoint, endpoint) == 0) {
            found = fcntl(open_questions[i].over, F_DUPFD_CLOEXEC, 3);
        }
    }
    pthread_mutex_unlock(&open_lock);
    return found;
}

/* What is wrong and what to do, for each state; a machine is called as the configuration calls it. */
static void say(struct rpc_query *q, const char *detail)
{
    const char *h = q->host;
    int p = q->port;
    switch (q->report.state) {
    case RPC_OK:
        break;
    case RPC_NO_NAME:
        snprintf(q->text, sizeof(q->text),
                 "%s: no machine of this name is known (%s): correct the host, or give its address", h, detail);
        break;
    case RPC_REFUSED:
        snprintf(
            q->text, sizeof(q->text),
            "%s:%d: nothing listens there: start `tightwad worker --listen 0.0.0.0:%d` on that machine, or correct "
            "rpc_port",
            h, p, p);
        break;
    case RPC_UNREACHABLE:
        snprintf(
            q->text, sizeof(q->text),
            "%s:%d: can't be reached (%s): is the machine on and in this network, and does its firewall let port %d "
            "in?",
            h, p, detail, p);
        break;
    case RPC_SILENT:
        snprintf(
            q->text, sizeof(q->text),
            "%s:%d: takes the connection but does not answer: it serves another client (one at a time is all it can), "
            "or its process is stopped, or it is no RPC server: end the other client, start the worker again, or "
            "correct rpc_port",
            h, p);
        break;
    case RPC_CLOSED:
        snprintf(q->text, sizeof(q->text),
                 "%s:%d: closes the connection: it serves another client, does not allow this machine (--allow of "
                 "`tightwad worker`), or is no RPC server; its own log says which",
                 h, p);
        break;
    case RPC_OTHER:
        snprintf(q->text, sizeof(q->text),
                 "%s:%d: is not an RPC server of llama.cpp (%s): correct rpc_port, or start `tightwad worker` there", h,
                 p, detail);
        break;
    case RPC_VERSION:
        snprintf(q->text, sizeof(q->text),
                 "%s:%d: speaks version %d.%d.%d of the RPC protocol, the coordinator here speaks %d: use the same "
                 "llama.cpp (or Tightwad) on both machines",
                 h, p, q->report.major, q->report.minor, q->report.patch, q->protocol);
        break;
    }
}

static void finish(struct rpc_query *q, enum rpc_state state, const char *detail)
{
    leave(q);
    q->report.state = state;
    q->report.text = q->text;
    say(q, detail);
    struct rpc_report r = q->report;
    q->cb(&r, q->arg);
    query_free(q);
}

static uint64_t number(const uint8_t *from, size_t bytes)
{
    uint64_t v = 0;
    for (size_t i = 0; i < bytes; i++)
        v |= (uint64_t)from[i] << (8 * i);
    return v;
}

/* A command with size bytes, of which the first four may be a number. */
static void command(struct rpc_query *q, uint8_t what, uint64_t size, uint32_t first)
{
    uint8_t out[1 + 8 + CAPS] = {what};
    for (size_t i = 0; i < 8; i++)
        out[1 + i] = (uint8_t)(size >> (8 * i));
    for (size_t i = 0; i < 4; i++)
        out[9 + i] = (uint8_t)(first >> (8 * i));
    bufferevent_write(q->link, out, 9 + (size_t)size);
    q->asked = true;
}

static void hello(struct rpc_query *q)
{
    q->step = q->old ? STEP_HELLO_OLD : STEP_HELLO;
    command(q, COMMAND_HELLO, q->old ? 0 : CAPS, 0);
}

/* A reply of a length that can't be: what speaks is something else. */
static void not_rpc(struct rpc_query *q)
{
    q->asked = false;
    struct evbuffer *in = bufferevent_get_input(q->link);
    char begin[8] = "";
    evbuffer_copyout(in, begin, sizeof(begin) - 1);
    bool http = strncmp(begin, "HTTP/", 5) == 0 || strncmp(begin, "<", 1) == 0;
    finish(q, RPC_OTHER, http ? "it speaks HTTP" : "its answer makes no sense");
}

static void take_hello(struct rpc_query *q, const uint8_t *reply)
{
    q->report.major = reply[0];
    q->report.minor = reply[1];
    q->report.patch = reply[2];
    if (q->report.major != q->protocol || q->step == STEP_HELLO_OLD) {
        finish(q, RPC_VERSION, "");
        return;
    }
    q->step = STEP_COUNT;
    command(q, COMMAND_COUNT, 0, 0);
}

static void take_memory(struct rpc_query *q, const uint8_t *reply)
{
    struct rpc_device *d = &q->report.devices[q->report.n_devices++];
    d->free = number(reply, 8);
    d->total = number(reply + 8, 8);
    if (q->report.n_devices == q->devices || q->report.n_devices == RPC_DEVICES_MAX)
        finish(q, RPC_OK, "");
    else
        command(q, COMMAND_MEMORY, 4, (uint32_t)q->report.n_devices);
}

static void on_read(struct bufferevent *link, void *arg)
{
    struct rpc_query *q = arg;
    struct evbuffer *in = bufferevent_get_input(link);
    uint8_t reply[8 + HELLO_REPLY];
    size_t want = q->step == STEP_HELLO       ? HELLO_REPLY
                  : q->step == STEP_HELLO_OLD ? HELLO_REPLY_OLD
                  : q->step == STEP_COUNT     ? 4
                                              : 16;
    ev_ssize_t have = evbuffer_copyout(in, reply, 8 + want);
    if (have < 8)
        return;
    if (number(reply, 8) != want || q->step == STEP_WAIT) {
        not_rpc(q);
        return;
    }
    if ((size_t)have < 8 + want)
        return;
    if (evbuffer_get_length(in) > 8 + want) {
        not_rpc(q); /* nobody asked for more */
        return;
    }
    evbuffer_drain(in, 8 + want);
    q->asked = false;
    switch (q->step) {
    case STEP_COUNT:
        q->devices = (uint32_t)number(reply + 8, 4);
        q->step = STEP_MEMORY;
        if (q->devices == 0)
            finish(q, RPC_OTHER, "it lends no device");
        else
            command(q, COMMAND_MEMORY, 4, 0);
        break;
    case STEP_MEMORY:
        take_memory(q, reply + 8);
        break;
    default:
        take_hello(q, reply + 8);
        break;
    }
}

static void on_answered(evutil_socket_t fd, short what, void *arg)
{
    struct rpc_query *q = arg;
    (void)fd;
    (void)what;
    if (q->step == STEP_WAIT)
        hello(q);
}

static void connected(struct rpc_query *q)
{
    int one = 1;
    setsockopt(bufferevent_getfd(q->link), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (q->report.connect_ms < 0)
        q->report.connect_ms = (double)(clock_us() - q->connect_us) / 1000;
    if (q->connect_only) {
        finish(q, RPC_OK, "");
        return;
    }
    bufferevent_enable(q->link, EV_READ);
    int before = open_question(q);
    if (before < 0) {
        hello(q);
        return;
    }
    q->step = STEP_WAIT;
    q->answered = event_new(q->base, before, EV_READ, on_answered, q);
    event_add(q->answered, NULL);
}

/* The end of the connection while a reply was awaited. */
static void closed(struct rpc_query *q)
{
    q->asked = false;
    size_t left = evbuffer_get_length(bufferevent_get_input(q->link));
    if (left > 0) {
        not_rpc(q);
    } else if (q->step == STEP_HELLO) {
        /* A server of an older protocol hangs up on a HELLO with capabilities. */
        q->old = true;
        q->at = q->list;
        connect_next(q, 0);
    } else {
        finish(q, RPC_CLOSED, "");
    }
}

static void on_event(struct bufferevent *link, short what, void *arg)
{
    struct rpc_query *q = arg;
    (void)link;
    if (what & BEV_EVENT_CONNECTED) {
        connected(q);
    } else if (q->step == STEP_CONNECT) {
        int error = EVUTIL_SOCKET_ERROR();
        q->at = q->at->ai_next;
        connect_next(q, error != 0 ? error : ECONNREFUSED);
    } else {
        closed(q);
    }
}

/* Connects to q->at, or tells that no address is left; error: why the one before could not be. */
static void connect_next(struct rpc_query *q, int error)
{
    for (; q->at != NULL; q->at = q->at->ai_next) {
        if (q->link != NULL)
            bufferevent_free(q->link);
        q->step = STEP_CONNECT;
        q->link = bufferevent_socket_new(q->base, -1, BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
        bufferevent_setcb(q->link, on_read, NULL, on_event, q);
        q->connect_us = clock_us();
        if (bufferevent_socket_connect(q->link, q->at->ai_addr, (int)q->at->ai_addrlen) == 0)
            return;
        error = errno;
    }
    finish(q, error == ECONNREFUSED ? RPC_REFUSED : RPC_UNREACHABLE, strerror(error));
}

static void on_resolved(struct addrinfo *list, int error, void *arg)
{
    struct rpc_query *q = arg;
    q->resolve = NULL;
    q->list = q->at = list;
    if (list == NULL)
        finish(q, RPC_NO_NAME, gai_strerror(error));
    else
        connect_next(q, EHOSTUNREACH);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    struct rpc_query *q = arg;
    (void)fd;
    (void)what;
    if (q->step == STEP_RESOLVE)
        finish(q, RPC_NO_NAME, "the look-up takes too long");
    else if (q->step == STEP_CONNECT && !q->old)
        finish(q, RPC_UNREACHABLE, "no answer");
    else if (evbuffer_get_length(bufferevent_get_input(q->link)) > 0)
        finish(q, RPC_OTHER, "its answer stops half-way");
    else
        finish(q, RPC_SILENT, "");
}

struct rpc_query *rpc_query_start(struct event_base *base, const struct rpc_ask *ask, rpc_report_cb *cb, void *arg)
{
    struct rpc_query *q = xcalloc(1, sizeof(*q));
    struct timeval tv = {.tv_sec = ask->timeout_ms / 1000, .tv_usec = ask->timeout_ms % 1000 * 1000};
    q->base = base;
    q->host = xstrdup(ask->host);
    q->port = ask->port;
    q->protocol = ask->protocol > 0 ? ask->protocol : RPC_PROTOCOL;
    q->connect_only = ask->connect_only;
    q->cb = cb;
    q->arg = arg;
    q->report = (struct rpc_report){.major = -1, .minor = -1, .patch = -1, .connect_ms = -1};
    q->deadline = event_new(base, -1, 0, on_deadline, q);
    event_add(q->deadline, &tv);
    q->resolve = resolve_start(base, q->host, q->port, on_resolved, q);
    return q;
}

void rpc_query_cancel(struct rpc_query *q)
{
    if (q == NULL)
        return;
    leave(q);
    query_free(q);
}
