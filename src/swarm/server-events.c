/* The streams of who has what.  What changes is noted in a set of pieces for each stream and sent once a turn of the
 * loop, as the pieces are then: a reader that is behind costs that set and no more. */
#include "swarm/server-parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

enum {
    STREAMS_MAX = 256,
    PER_ADDRESS_MAX = 64,
    TWINS_MAX = 4, /* of one caller and model: it may know this process by several addresses */
    ALIVE_US = 15 * 1000000,
    UNREAD_US = 60 * 1000000, /* how long a reader may leave what it was sent */
};

struct stream {
    TAILQ_ENTRY(stream) entry;
    struct served *served;
    struct httpd_request *request;
    char from[64];                /* the address of the connection */
    char peer[SWARM_PEER_ID + 1]; /* "": it did not say */
    char address[SWARM_ADDRESS];  /* where it serves, "": nowhere */
    struct bits news;             /* pieces whose state it has not been told yet */
    bool new_peers;
    int64_t spoke_us; /* when it was sent something last */
    int64_t read_us;  /* when it had last read all of it */
};

static void send_line(struct stream *t, const char *text)
{
    httpd_stream_send(t->request, text, strlen(text));
    t->spoke_us = clock_us();
}

static void send_pieces(struct stream *t, enum message_kind kind, const uint32_t *piece, size_t n)
{
    if (n == 0)
        return;
    char *text = message_pieces(kind, piece, n);
    send_line(t, text);
    free(text);
}

/* What has changed is told as it is now. */
static void send_news(struct stream *t)
{
    const struct share *h = t->served->share;
    size_t n = t->news.count, n_have = 0, n_fetching = 0, n_dropped = 0;
    if (n == 0)
        return;
    uint32_t *piece = xcalloc(3 * n, sizeof(*piece)), *fetching = piece + n, *dropped = fetching + n;
    for (size_t i = 0; i < t->news.n && t->news.count > 0; i++) {
        if (i % 8 == 0 && t->news.byte[i / 8] == 0)
            i += 7;
        else if (!bits_set(&t->news, i, false))
            continue;
        else if (bits_has(&h->have, i))
            piece[n_have++] = (uint32_t)i;
        else if (bits_has(&h->fetching, i))
            fetching[n_fetching++] = (uint32_t)i;
        else
            dropped[n_dropped++] = (uint32_t)i;
    }
    send_pieces(t, MESSAGE_HAVE, piece, n_have);
    send_pieces(t, MESSAGE_FETCHING, fetching, n_fetching);
    send_pieces(t, MESSAGE_DROPPED, dropped, n_dropped);
    free(piece);
}

/* Where nobody but programs of this machine can reach it. */
static bool is_loopback(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strncmp(address, "[::1]", 5) == 0;
}

static void send_peers(struct stream *t)
{
    const struct share *h = t->served->share;
    char address[SWARM_MESSAGE_PEERS][SWARM_ADDRESS];
    size_t n = 0;
    t->new_peers = false;
    for (size_t i = 0; i < h->n_peers && n < SWARM_MESSAGE_PEERS; i++) {
        if (strcmp(h->peer[i], t->address) != 0 && (httpd_peer_is_local(t->request) || !is_loopback(h->peer[i])))
            snprintf(address[n++], sizeof(address[0]), "%s", h->peer[i]);
    }
    if (n == 0)
        return;
    char *text = message_peers(address, n);
    send_line(t, text);
    free(text);
}

static void flush_stream(void *arg)
{
    struct stream *t = arg;
    if (httpd_stream_pending(t->request) < HTTPD_HIGH_WATER)
        send_news(t);
}

static void on_flush(evutil_socket_t fd, short what, void *arg)
{
    struct swarm_server *s = arg;
    struct stream *t;
    struct held held = held_begin();
    (void)fd;
    (void)what;
    TAILQ_FOREACH(t, &s->streams, entry)
    flush_stream(t);
    server_took(s, &held);
}

static bool is_known(const struct swarm_server *s, const struct served *v, const char *address)
{
    const struct stream *t;
    TAILQ_FOREACH(t, &s->streams, entry)
    {
        if (t->served == v && strcmp(t->address, address) == 0)
            return true;
    }
    return false;
}

/* The request has been ended. */
static void destroy(struct stream *t)
{
    struct served *v = t->served;
    struct swarm_server *s = v->server;
    TAILQ_REMOVE(&s->streams, t, entry);
    s->n_streams--;
    if (t->address[0] != '\0' && !is_known(s, v, t->address))
        share_remove_peer(v->share, t->address);
    bits_finish(&t->news);
    free(t);
}

static void on_close(void *arg)
{
    struct stream *t = arg;
    httpd_cut(t->request);
    destroy(t);
}

static void say_bye(struct stream *t)
{
    send_line(t, message_bye);
    httpd_stream_end(t->request);
    destroy(t);
}

static void cut(struct stream *t)
{
    httpd_cut(t->request);
    destroy(t);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct swarm_server *s = arg;
    struct stream *t, *next;
    struct held held = held_begin();
    int64_t now = clock_us();
    (void)fd;
    (void)what;
    for (t = TAILQ_FIRST(&s->streams); t != NULL; t = next) {
        next = TAILQ_NEXT(t, entry);
        size_t pending = httpd_stream_pending(t->request);
        if (pending == 0)
            t->read_us = now;
        if (now - t->read_us > UNREAD_US)
            cut(t);
        else if (t->new_peers && pending == 0)
            send_peers(t);
        else if (now - t->spoke_us > ALIVE_US && pending == 0)
            send_line(t, message_alive);
    }
    if (!manifests_tick(s) && s->n_streams == 0)
        event_del(s->tick);
    server_took(s, &held);
}

static bool peer_ok(const char *peer)
{
    return strlen(peer) == SWARM_PEER_ID && strspn(peer, "0123456789abcdef") == SWARM_PEER_ID;
}

/* Where the caller serves, "": nowhere.  False: what it says is no port. */
static bool read_address(struct httpd_request *r, char address[SWARM_ADDRESS])
{
    const char *port = httpd_query(r, "port"), *from = httpd_peer(r);
    char text[SWARM_ADDRESS + 16];
    address[0] = '\0';
    if (port == NULL || strcmp(port, "0") == 0 || strcmp(from, "unix") == 0)
        return true;
    if (strlen(port) > 5 || strlen(from) >= SWARM_ADDRESS)
        return false;
    snprintf(text, sizeof(text), strchr(from, ':') != NULL ? "[%s]:%s" : "%s:%s", from, port);
    return message_address(text, address);
}

/* A caller that knows this process by several addresses has a stream to each.  Of more than a few the oldest goes: it
 * may have been lost on the way. */
static void cut_twins(struct served *v, const char *from, const char *peer)
{
    struct stream *t, *next;
    size_t twins = 0;
    for (t = TAILQ_LAST(&v->server->streams, stream_list); t != NULL; t = next) { /* newest first */
        next = TAILQ_PREV(t, stream_list, entry);
        if (t->served == v && strcmp(t->from, from) == 0 && strcmp(t->peer, peer) == 0 && ++twins >= TWINS_MAX)
            cut(t);
    }
}

static bool takes_more(struct served *v, struct httpd_request *r, const char *peer)
{
    struct swarm_server *s = v->server;
    const struct stream *t;
    size_t same = 0;
    if (peer[0] != '\0')
        cut_twins(v, httpd_peer(r), peer);
    TAILQ_FOREACH(t, &s->streams, entry)
    same += strcmp(t->from, httpd_peer(r)) == 0;
    return s->n_streams < STREAMS_MAX && same < PER_ADDRESS_MAX;
}

void streams_need_tick(struct swarm_server *s)
{
    if (!event_pending(s->tick, EV_TIMEOUT, NULL))
        event_add(s->tick, &(struct timeval){.tv_sec = 1});
}

static void start(struct served *v, struct httpd_request *r, const char *peer, const char *address)
{
    struct swarm_server *s = v->server;
    struct stream *t = xcalloc(1, sizeof(*t));
    t->served = v;
    t->request = r;
    t->read_us = clock_us();
    snprintf(t->from, sizeof(t->from), "%s", httpd_peer(r));
    snprintf(t->peer, sizeof(t->peer), "%s", peer);
    snprintf(t->address, sizeof(t->address), "%s", address);
    bits_init(&t->news, v->share->have.n);
    TAILQ_INSERT_TAIL(&s->streams, t, entry);
    s->n_streams++;
    httpd_on_close(r, on_close, t);
    httpd_on_drain(r, flush_stream, t);
    httpd_stream_start(r, 200, "application/x-ndjson");
    char *hello = message_hello(s->peer, &v->share->have, &v->share->fetching);
    send_line(t, hello);
    free(hello);
    send_peers(t);
    streams_need_tick(s);
}

void stream_reply(struct served *v, struct httpd_request *r)
{
    struct swarm_server *s = v->server;
    const char *peer = httpd_query(r, "peer");
    char address[SWARM_ADDRESS];
    if (peer == NULL)
        peer = "";
    if ((peer[0] != '\0' && !peer_ok(peer)) || !read_address(r, address)) {
        httpd_reply_error(r, 400, NULL, "bad_query", "peer is %d hex digits, port a number from 0 to 65535",
                          SWARM_PEER_ID);
        return;
    }
    if (strcmp(peer, s->peer) == 0) {
        httpd_reply_error(r, 409, NULL, "self", "this is you");
        return;
    }
    if (!takes_more(v, r, peer)) {
        server_refuse(s, r, "too many streams are open here already");
        return;
    }
    if (httpd_is_head(r)) {
        httpd_reply_text(r, 200, "application/x-ndjson", "", 0);
        return;
    }
    start(v, r, peer, address);
    if (address[0] == '\0')
        return;
    share_add_peer(v->share, address);
    if (s->on_peer != NULL)
        s->on_peer(s->on_peer_arg, v->share, peer, address);
}

void streams_change(struct served *v, enum share_change what, size_t piece)
{
    struct swarm_server *s = v->server;
    struct stream *t;
    TAILQ_FOREACH(t, &s->streams, entry)
    {
        if (t->served != v)
            continue;
        if (what == SHARE_PEERS)
            t->new_peers = true; /* with the next tick: they come in swarms */
        else if (bits_set(&t->news, piece, true))
            event_active(s->flush, EV_TIMEOUT, 0);
    }
}

void streams_forget(struct swarm_server *s, struct served *v)
{
    struct stream *t, *next;
    for (t = TAILQ_FIRST(&s->streams); t != NULL; t = next) {
        next = TAILQ_NEXT(t, entry);
        if (t->served == v)
            say_bye(t);
    }
}

void streams_init(struct swarm_server *s)
{
    TAILQ_INIT(&s->streams);
    s->flush = event_new(s->base, -1, 0, on_flush, s);
    s->tick = event_new(s->base, -1, EV_PERSIST, on_tick, s);
}

void streams_finish(struct swarm_server *s)
{
    struct stream *t;
    while ((t = TAILQ_FIRST(&s->streams)) != NULL)
        say_bye(t);
    event_free(s->flush);
    event_free(s->tick);
}
