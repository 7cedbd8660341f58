#include "node/worker-front.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/listener.h>

#include "base/cause.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "http/listen.h"
#include "http/peer.h"
#include "node/worker-server.h"
#include "node/worker-socket.h"
#include "node/worker-tidy.h"

enum {
    BACKLOG = 128,
    GUESTS_MAX = 64,
    SILENT_S = 30,    /* a connection that says nothing for so long is closed */
    START_S = 120,    /* for the server to get ready: drivers of GPUs take their time */
    LEAVE_S = 10,     /* for the server to let go of a client that is gone; */
    HURRY_S = 2,      /* when the next one waits */
    SUSPECT_MS = 250, /* between looks at a client that may be gone while another waits */
    TIDY_S = 10,      /* between looks at the cache while a client is served */
    FRESH_S = 3,      /* the server may still be writing to a file that was written to in this time */
    DELAY_MIN_MS = 100,
    DELAY_MAX_MS = 30000,
    LOG_BURST = 20,     /* refusals that get a line each, */
    LOG_EVERY_MS = 200, /* and then one in this time */
    VISIT_MS = 1000,    /* clients ask for a device's memory in connections of their own: not worth a line */
    VISIT_BYTES = 1 << 20,
    RPC_HELLO = 14, /* the first byte of every conversation */
};

enum state {
    STATE_STARTING, /* no server, or it is not ready */
    STATE_IDLE,     /* it waits for a client */
    STATE_BUSY,     /* it has one */
    STATE_LEAVING,  /* its client is gone, which it has not noticed yet */
};

struct guest {
    TAILQ_ENTRY(guest) entry;
    struct worker_front *front;
    int fd;
    bool waiting; /* has said something, and is served when the server is free */
    struct peer peer;
    char name[80]; /* address and port */
    struct event *event;
};

TAILQ_HEAD(guests, guest);

struct worker_front {
    struct event_base *base;
    const struct worker_options *opts;
    const struct worker_front_events *events;
    void *arg;
    struct worker_server *server;
    struct worker_tidy *tidy; /* NULL: no cache */
    struct evconnlistener *listener;
    enum state state;
    bool was_ready; /* once */
    json_t *devices;
    struct guests guests; /* connections that are not served, oldest first */
    size_t n_guests;
    struct guest *client; /* of STATE_BUSY and STATE_LEAVING; owned */
    int64_t client_since; /* clock_us */
    int watch;            /* an epoll that tells when the client's side of the connection ends */
    struct event *watch_event;
    bool hurried;           /* in STATE_LEAVING: somebody waits */
    struct event *deadline; /* of STATE_STARTING and STATE_LEAVING */
    struct event *restart;
    struct event *suspect;  /* somebody waits for a client that may be gone */
    struct event *announce; /* that a client is served, once that lasts */
    struct event *tidy_timer;
    int delay_ms;        /* before the next start */
    double refusals;     /* lately; one is forgotten every LOG_EVERY_MS */
    int64_t refusals_at; /* clock_us */
};

static void set_timer(struct event *e, int ms)
{
    event_add(e, &(struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000});
}

/* What happens too often gets a line now and then. */
static enum log_level refusal_level(struct worker_front *f)
{
    int64_t now = clock_us(), since = now - f->refusals_at;
    f->refusals -= (double)since / (LOG_EVERY_MS * 1000);
    if (f->refusals < 0)
        f->refusals = 0;
    f->refusals_at = now;
    if (f->refusals + 1 > LOG_BURST)
        return LOG_DEBUG;
    f->refusals++;
    return LOG_WARN;
}

static void guest_destroy(struct guest *g)
{
    if (g->event != NULL)
        event_free(g->event);
    close(g->fd);
    free(g);
}

static void guest_remove(struct guest *g)
{
    TAILQ_REMOVE(&g->front->guests, g, entry);
    g->front->n_guests--;
}

static void guest_refuse(struct guest *g, const char *why)
{
    if (refusal_level(g->front) == LOG_WARN)
        log_warn("refused %s: %s", g->name, why);
    guest_remove(g);
    guest_destroy(g);
}

static void refuse_busy(struct guest *g)
{
    struct worker_front *f = g->front;
    char *why = xasprintf("%s is being served, since %lld s (a worker serves one client at a time)", f->client->name,
                          (long long)((clock_us() - f->client_since) / 1000000));
    guest_refuse(g, why);
    free(why);
}

static void client_close(struct worker_front *f)
{
    uint64_t in, out;
    if (f->client == NULL)
        return;
    worker_socket_count(f->client->fd, &in, &out);
    int64_t us = clock_us() - f->client_since;
    char *text = xasprintf("%s has left after %.1f s: %.1f MiB came, %.1f MiB went", f->client->name, (double)us / 1e6,
                           (double)in / (1 << 20), (double)out / (1 << 20));
    if (us < VISIT_MS * 1000 && in < VISIT_BYTES)
        log_debug("%s", text);
    else
        log_info("%s", text);
    free(text);
    event_del(f->announce);
    event_del(f->watch_event);
    event_del(f->deadline);
    event_del(f->tidy_timer);
    epoll_ctl(f->watch, EPOLL_CTL_DEL, f->client->fd, NULL);
    shutdown(f->client->fd, SHUT_RDWR);
    guest_destroy(f->client);
    f->client = NULL;
}

static void serve(struct worker_front *f, struct guest *g)
{
    struct epoll_event ended = {.events = EPOLLRDHUP | EPOLLONESHOT};
    if (g->event != NULL)
        event_free(g->event);
    g->event = NULL;
    f->client = g;
    f->client_since = clock_us();
    f->state = STATE_BUSY;
    epoll_ctl(f->watch, EPOLL_CTL_ADD, g->fd, &ended);
    event_add(f->watch_event, NULL);
    if (f->tidy != NULL)
        set_timer(f->tidy_timer, TIDY_S * 1000);
    set_timer(f->announce, VISIT_MS);
    worker_server_give(f->server, g->fd);
}

static bool anyone_waits(const struct worker_front *f)
{
    const struct guest *g;
    TAILQ_FOREACH(g, &f->guests, entry)
    {
        if (g->waiting)
            return true;
    }
    return false;
}

/* The first who waits is served, when the server is free and all of the cache is checked; the others are refused. */
static void serve_next(struct worker_front *f)
{
    struct guest *g, *next;
    if (f->state != STATE_IDLE)
        return;
    if (f->tidy != NULL && worker_tidy_running(f->tidy))
        return;
    if (f->tidy != NULL && worker_tidy_wanted(f->tidy)) {
        worker_tidy_start(f->tidy, 0);
        return;
    }
    for (g = TAILQ_FIRST(&f->guests); g != NULL; g = next) {
        next = TAILQ_NEXT(g, entry);
        if (!g->waiting)
            continue;
        if (f->client != NULL) {
            refuse_busy(g);
            continue;
        }
        guest_remove(g);
        if (worker_socket_first_byte(g->fd) < 0)
            guest_destroy(g);
        else
            serve(f, g);
    }
}

static void on_suspect(evutil_socket_t none, short what, void *arg)
{
    struct worker_front *f = arg;
    struct guest *g, *next;
    if (f->state != STATE_BUSY)
        return;
    if (worker_socket_is_suspect(f->client->fd)) {
        set_timer(f->suspect, SUSPECT_MS);
        return;
    }
    for (g = TAILQ_FIRST(&f->guests); g != NULL; g = next) {
        next = TAILQ_NEXT(g, entry);
        if (g->waiting)
            refuse_busy(g);
    }
}

static void on_guest(evutil_socket_t fd, short what, void *arg)
{
    struct guest *g = arg;
    struct worker_front *f = g->front;
    int byte = what & EV_READ ? worker_socket_first_byte(fd) : -2;
    if (byte == -1) {
        event_add(g->event, &(struct timeval){.tv_sec = SILENT_S});
        return;
    }
    if (byte < 0) {
        guest_remove(g);
        guest_destroy(g);
        return;
    }
    if (byte != RPC_HELLO && f->opts->stock == NULL) {
        guest_refuse(g, "what it says is not ggml's RPC protocol");
        return;
    }
    g->waiting = true;
    if (f->state == STATE_LEAVING && !f->hurried) {
        f->hurried = true;
        set_timer(f->deadline, HURRY_S * 1000);
    }
    /* ggml closes a connection and makes the next at once; over a relay the new one may be there before the old one's
     * end.  So a client that is in order is given a moment to leave as well. */
    if (f->state == STATE_BUSY) {
        if (worker_socket_is_suspect(f->client->fd))
            log_info("%s waits: %s does not answer", g->name, f->client->name);
        set_timer(f->suspect, SUSPECT_MS);
    }
    serve_next(f);
}

static bool may_enter(const struct worker_options *o, const struct peer *p)
{
    return o->allow_text != NULL ? peer_list_has(&o->allow, p) : p->private;
}

/* Those that have closed go, or else the oldest that says nothing.  False when that is the newest. */
static bool make_room(struct worker_front *f, const struct guest *newest)
{
    struct guest *g, *next, *oldest = NULL;
    for (g = TAILQ_FIRST(&f->guests); g != NULL; g = next) {
        next = TAILQ_NEXT(g, entry);
        if (g->waiting) {
            continue;
        } else if (g != newest && worker_socket_first_byte(g->fd) == -2) {
            guest_remove(g);
            guest_destroy(g);
        } else if (oldest == NULL) {
            oldest = g;
        }
    }
    if (f->n_guests <= GUESTS_MAX)
        return true;
    bool is_newest = oldest == newest;
    guest_refuse(oldest, "too many connections");
    return !is_newest;
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *sa, int len, void *arg)
{
    struct worker_front *f = arg;
    struct guest *g = xcalloc(1, sizeof(*g));
    g->front = f;
    g->fd = (int)fd;
    peer_describe(&g->peer, sa);
    snprintf(g->name, sizeof(g->name), "%s port %d", g->peer.name,
             ntohs(sa->sa_family == AF_INET6 ? ((struct sockaddr_in6 *)sa)->sin6_port
                                             : ((struct sockaddr_in *)sa)->sin_port));
    TAILQ_INSERT_TAIL(&f->guests, g, entry);
    f->n_guests++;
    if (!may_enter(f->opts, &g->peer)) {
        guest_refuse(g, f->opts->allow_text != NULL ? "it is not in --allow"
                                                    : "it is in no private network, and nothing else is let in "
                                                      "without --allow");
        return;
    }
    if (f->n_guests > GUESTS_MAX && !make_room(f, g))
        return;
    worker_socket_keep_watch((int)fd);
    g->event = event_new(f->base, fd, EV_READ, on_guest, g);
    event_add(g->event, &(struct timeval){.tv_sec = SILENT_S});
}

static void on_client_gone(evutil_socket_t fd, short what, void *arg)
{
    struct worker_front *f = arg;
    if (f->state != STATE_BUSY)
        return;
    f->state = STATE_LEAVING;
    f->hurried = false;
    shutdown(f->client->fd, SHUT_RDWR);
    set_timer(f->deadline, (anyone_waits(f) ? HURRY_S : LEAVE_S) * 1000);
}

static void on_announce(evutil_socket_t none, short what, void *arg)
{
    const struct worker_front *f = arg;
    log_info("serving %s", f->client->name);
}

static void on_deadline(evutil_socket_t none, short what, void *arg)
{
    struct worker_front *f = arg;
    if (f->state == STATE_STARTING)
        log_warn("the RPC server does not get ready: it is started again");
    else
        log_warn("the RPC server does not let go of %s, which is gone: it is started again", f->client->name);
    worker_server_kill(f->server);
}

static void on_tidy_timer(evutil_socket_t none, short what, void *arg)
{
    struct worker_front *f = arg;
    if (!worker_tidy_running(f->tidy) && worker_tidy_wanted(f->tidy))
        worker_tidy_start(f->tidy, FRESH_S);
    set_timer(f->tidy_timer, TIDY_S * 1000);
}

static void on_tidied(const struct worker_cache_report *r, void *arg)
{
    struct worker_front *f = arg;
    if (r->bad > 0)
        log_warn("%llu tensor%s in the cache %s not whole: removed", (unsigned long long)r->bad, r->bad == 1 ? "" : "s",
                 r->bad == 1 ? "was" : "were");
    if (r->trimmed > 0)
        log_info("%llu tensor%s removed from the cache, which now has %.2f GiB", (unsigned long long)r->trimmed,
                 r->trimmed == 1 ? "" : "s", (double)r->bytes / (1 << 30));
    serve_next(f);
}

static void on_devices(const json_t *what, void *arg)
{
    struct worker_front *f = arg;
    json_decref(f->devices);
    f->devices = json_deep_copy(what);
}

static void on_ready(void *arg)
{
    struct worker_front *f = arg;
    client_close(f);
    event_del(f->deadline);
    f->state = STATE_IDLE;
    if (!f->was_ready) {
        f->was_ready = true;
        f->events->ready(f->devices, f->arg);
    }
    serve_next(f);
}

static void start_server(struct worker_front *f)
{
    char *cause = NULL;
    f->state = STATE_STARTING;
    set_timer(f->deadline, START_S * 1000);
    if (worker_server_start(f->server, &cause) == 0)
        return;
    log_error("%s", cause);
    free(cause);
    event_del(f->deadline);
    set_timer(f->restart, DELAY_MAX_MS);
}

static void on_restart(evutil_socket_t none, short what, void *arg)
{
    start_server(arg);
}

static void on_ended(const char *why, bool hopeless, void *arg)
{
    struct worker_front *f = arg;
    event_del(f->deadline);
    if (!f->was_ready) {
        char *text = hopeless ? xstrdup(why) : xasprintf("the RPC server %s", why);
        f->events->failed(text, f->arg);
        free(text);
        return;
    }
    /* One that does not even get ready is started again later and later. */
    f->delay_ms = f->state != STATE_STARTING ? 0 : f->delay_ms == 0 ? DELAY_MIN_MS : 2 * f->delay_ms;
    if (f->delay_ms > DELAY_MAX_MS)
        f->delay_ms = DELAY_MAX_MS;
    log_error("the RPC server %s%s%s%s: it is started again", hopeless ? "can't serve: " : "", why,
              f->client != NULL ? " while it served " : "", f->client != NULL ? f->client->name : "");
    client_close(f);
    f->state = STATE_STARTING;
    set_timer(f->restart, f->delay_ms);
}

struct worker_front *worker_front_create(struct event_base *base, const struct worker_options *o, const char *cache,
                                         uint64_t cache_max, const struct worker_front_events *events, void *arg)
{
    static const struct worker_server_events server_events = {
        .devices = on_devices, .ready = on_ready, .ended = on_ended};
    struct worker_front *f = xcalloc(1, sizeof(*f));
    *f = (struct worker_front){.base = base, .opts = o, .events = events, .arg = arg};
    TAILQ_INIT(&f->guests);
    f->server = worker_server_create(base, o, cache, &server_events, f);
    if (cache != NULL)
        f->tidy = worker_tidy_create(base, cache, cache_max, on_tidied, f);
    f->watch = epoll_create1(EPOLL_CLOEXEC);
    f->watch_event = event_new(base, f->watch, EV_READ, on_client_gone, f);
    f->deadline = evtimer_new(base, on_deadline, f);
    f->restart = evtimer_new(base, on_restart, f);
    f->suspect = evtimer_new(base, on_suspect, f);
    f->tidy_timer = evtimer_new(base, on_tidy_timer, f);
    f->announce = evtimer_new(base, on_announce, f);
    return f;
}

int worker_front_start(struct worker_front *f, int fd, char **cause)
{
    f->listener =
        evconnlistener_new(f->base, on_accept, f,
                           LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_LEAVE_SOCKETS_BLOCKING, BACKLOG, fd);
    if (f->listener == NULL) {
        int error = errno;
        close(fd);
        errno = error;
        return listen_explain(f->opts->host, (int)f->opts->port, cause);
    }
    if (f->tidy != NULL)
        worker_tidy_start(f->tidy, 0);
    start_server(f);
    return 0;
}

void worker_front_destroy(struct worker_front *f)
{
    struct guest *g;
    if (f == NULL)
        return;
    if (f->listener != NULL)
        evconnlistener_free(f->listener);
    client_close(f);
    while ((g = TAILQ_FIRST(&f->guests)) != NULL) {
        guest_remove(g);
        guest_destroy(g);
    }
    worker_server_destroy(f->server);
    worker_tidy_destroy(f->tidy);
    struct event *const events[] = {f->watch_event, f->deadline, f->restart, f->suspect, f->tidy_timer, f->announce};
    for (size_t i = 0; i < ARRAY_LEN(events); i++)
        event_free(events[i]);
    close(f->watch);
    json_decref(f->devices);
    free(f);
}

pid_t worker_front_server_pid(const struct worker_front *f)
{
    return worker_server_pid(f->server);
}
