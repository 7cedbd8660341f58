#include "http/conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/held.h"
#include "base/mem.h"

enum {
    INPUT_MAX = 64 * 1024,  /* most bytes read ahead */
    WRITE_MAX = 512 * 1024, /* in one writev */
    BODY_STEP = 64 * 1024,  /* of a body that must come within one deadline */
    LINGER_S = 5,           /* how long the peer may go on sending after the last reply */
};

static void free_conn(struct httpd_conn *c)
{
    if (c->busy) {
        c->dead = true;
        return;
    }
    httpd_conn_closed(c->server, c);
    event_free(c->timer);
    event_free(c->kick);
    if (c->send)
        event_free(c->send);
    bufferevent_free(c->bev);
    free(c);
}

/* Parts the request from its connection; a handler that has it is told (tell) and still has to end it. */
static void drop_request(struct httpd_conn *c, bool tell)
{
    struct httpd_request *r = c->request;

    if (!r)
        return;
    c->request = NULL;
    r->conn = NULL;
    if (c->state != CONN_HANDLE)
        request_free(r);
    else if (!tell)
        r->server = NULL; /* it is about to go */
    else if (r->on_close)
        r->on_close(r->close_arg);
}

void conn_gone(struct httpd_conn *c)
{
    bool busy = c->busy;

    c->busy = true; /* the handler may do anything but free it */
    drop_request(c, true);
    c->busy = busy;
    free_conn(c);
}

void conn_close(struct httpd_conn *c)
{
    struct evbuffer *out = bufferevent_get_output(c->bev);

    drop_request(c, false);
    evbuffer_unfreeze(out, 1); /* what fits into the socket still goes: the last words of a stream */
    evbuffer_write(out, bufferevent_getfd(c->bev));
    free_conn(c);
}

static void set_deadline(struct httpd_conn *c, int seconds)
{
    event_add(c->timer, &(struct timeval){.tv_sec = seconds});
    c->progress = 0;
}

static void linger(struct httpd_conn *c)
{
    struct evbuffer *in = bufferevent_get_input(c->bev);

    c->state = CONN_LINGER;
    shutdown(bufferevent_getfd(c->bev), SHUT_WR);
    evbuffer_drain(in, evbuffer_get_length(in));
    set_deadline(c, LINGER_S);
}

void request_free(struct httpd_request *r)
{
    head_finish(&r->head);
    free(r->body);
    buf_finish(&r->extra);
    for (size_t i = 0; i < r->n_values; i++)
        free(r->values[i]);
    free(r->values);
    if (r->close_event)
        event_free(r->close_event);
    free(r);
}

void conn_reply_done(struct httpd_request *r)
{
    struct httpd_conn *c = r->conn;
    bool close = r->close;

    request_free(r);
    if (!c)
        return;
    c->request = NULL;
    if (close) {
        c->state = CONN_FLUSH;
        event_del(c->timer);
        bufferevent_setwatermark(c->bev, EV_WRITE, 0, 0);
        if (evbuffer_get_length(bufferevent_get_output(c->bev)) == 0) /* as after a file: nothing will tell of it */
            event_active(c->kick, EV_TIMEOUT, 0);
        return;
    }
    c->state = CONN_HEAD;
    c->scanned = 0;
    set_deadline(c, httpd_options(c->server)->idle_timeout_s);
    if (!c->busy && evbuffer_get_length(bufferevent_get_input(c->bev)) > 0)
        event_active(c->kick, EV_TIMEOUT, 0);
}

void httpd_cut(struct httpd_request *r)
{
    struct httpd_conn *c = r->conn;

    request_free(r);
    if (!c)
        return;
    c->request = NULL;
    free_conn(c);
}

static struct httpd_request *new_request(struct httpd_conn *c)
{
    struct httpd_request *r = xcalloc(1, sizeof(*r));

    r->conn = c;
    r->server = c->server;
    r->peer = c->peer;
    buf_init(&r->extra, 64 * 1024);
    c->request = r;
    return r;
}

static void refuse(struct httpd_conn *c, int status, const char *why)
{
    struct httpd_request *r = c->request ? c->request : new_request(c);

    c->state = CONN_HANDLE;
    r->close = true;
    httpd_reply_error(r, status, NULL, NULL, "%s", why);
}

static bool dispatch(struct httpd_conn *c)
{
    struct httpd_request *r = c->request;

    c->state = CONN_HANDLE;
    event_del(c->timer);
    if (r->body)
        r->body[r->body_len] = '\0';
    r->handler(r, r->handler_arg);
    return true;
}

/* Space for n more bytes of the body, and a NUL.  False: over the limit, which is replied to. */
static bool reserve_body(struct httpd_conn *c, size_t n)
{
    struct httpd_request *r = c->request;
    size_t max = httpd_options(c->server)->max_body, need = r->body_len + n + 1;

    if (n > max || r->body_len > max - n) {
        refuse(c, 413, "the body is too large");
        return false;
    }
    if (need > r->body_size) {
        size_t size = r->body_size * 2 > need ? r->body_size * 2 : need;

        r->body = xrealloc(r->body, size);
        r->body_size = size;
    }
    return true;
}

static bool body_arrived(struct httpd_conn *c, size_t n)
{
    c->progress += n;
    if (c->progress >= BODY_STEP)
        set_deadline(c, httpd_options(c->server)->idle_timeout_s);
    return false;
}

static bool step_chunked(struct httpd_conn *c, struct evbuffer *in)
{
    struct httpd_request *r = c->request;
    size_t have = evbuffer_get_length(in), len = have, n;
    const char *s = have ? (const char *)evbuffer_pullup(in, -1) : "", *data;

    for (;;) {
        switch (chunked_next(&c->chunked, &s, &len, &data, &n)) {
        case CHUNKED_DATA:
            if (!reserve_body(c, n))
                return true;
            memcpy(r->body + r->body_len, data, n);
            r->body_len += n;
            continue;
        case CHUNKED_MORE:
            evbuffer_drain(in, have);
            /* A chunk that can't fit need not be waited for. */
            if (c->chunked.left > httpd_options(c->server)->max_body) {
                refuse(c, 413, "the body is too large");
                return true;
            }
            return body_arrived(c, have);
        case CHUNKED_END:
            evbuffer_drain(in, have - len);
            if (!reserve_body(c, 0))
                return true;
            return dispatch(c);
        case CHUNKED_BAD:
            refuse(c, 400, "the body is not in the chunked coding that its header names");
            return true;
        }
    }
}

/* True when the state has changed. */
static bool step_body(struct httpd_conn *c, struct evbuffer *in)
{
    struct httpd_request *r = c->request;
    size_t have = evbuffer_get_length(in), want;

    if (r->head.chunked)
        return step_chunked(c, in);
    want = (size_t)r->head.content_length - r->body_len;
    if (have > want)
        have = want;
    if (!reserve_body(c, have))
        return true;
    evbuffer_remove(in, r->body + r->body_len, have);
    r->body_len += have;
    return have == want ? dispatch(c) : body_arrived(c, have);
}

static void begin_request(struct httpd_conn *c, const char *head, size_t len)
{
    const char *why = "";
    struct httpd_request *r = new_request(c);
    int status = head_parse(&r->head, head, len, &why);
    bool has_body = r->head.chunked || r->head.content_length > 0;

    if (status != 0) {
        refuse(c, status, why);
        return;
    }
    r->close = !r->head.keep_alive;
    c->state = CONN_HANDLE;
    if (has_body) {
        r->close = true; /* a refusal now leaves the body unread */
        if (!httpd_admit(r))
            return;
        r->close = !r->head.keep_alive;
        c->state = CONN_BODY;
        if (r->head.content_length > 0 && (uint64_t)r->head.content_length > httpd_options(c->server)->max_body) {
            refuse(c, 413, "the body is too large");
            return;
        }
        chunked_init(&c->chunked);
        set_deadline(c, httpd_options(c->server)->idle_timeout_s);
    } else if (httpd_admit(r)) {
        dispatch(c);
    }
}

/* True when a request has begun. */
static bool step_head(struct httpd_conn *c, struct evbuffer *in)
{
    size_t max = httpd_options(c->server)->max_headers, have, length;
    char *data;

    /* A peer that sends requests and reads no replies has to wait. */
    if (evbuffer_get_length(bufferevent_get_output(c->bev)) > HTTPD_HIGH_WATER)
        return false;
    for (;;) { /* empty lines before a request are let pass (RFC 9112, 2.2) */
        char crlf[2] = "";

        evbuffer_copyout(in, crlf, 2);
        if (crlf[0] == '\n')
            evbuffer_drain(in, 1);
        else if (crlf[0] == '\r' && crlf[1] == '\n')
            evbuffer_drain(in, 2);
        else
            break;
    }
    have = evbuffer_get_length(in);
    if (have == 0)
        return false;
    data = (char *)evbuffer_pullup(in, (ev_ssize_t)(have < max ? have : max));
    length = head_length(data, have < max ? have : max, c->scanned);
    if (length == 0 && have >= max) {
        refuse(c, 431, "the head of the request is too large");
        return true;
    }
    if (length == 0) {
        c->scanned = have;
        return false;
    }
    begin_request(c, data, length);
    evbuffer_drain(in, length);
    if (c->state == CONN_BODY && c->request && c->request->head.expect_continue && evbuffer_get_length(in) == 0)
        evbuffer_add(bufferevent_get_output(c->bev), "HTTP/1.1 100 Continue\r\n\r\n", 25);
    return true;
}

static void process(struct httpd_conn *c)
{
    struct evbuffer *in = bufferevent_get_input(c->bev);
    bool again = true;

    if (c->busy)
        return;
    c->busy = true;
    while (again && !c->dead) {
        switch (c->state) {
        case CONN_HEAD:
            again = step_head(c, in);
            break;
        case CONN_BODY:
            again = step_body(c, in);
            break;
        case CONN_HANDLE: /* what is there already is the next request */
            again = false;
            break;
        case CONN_FLUSH:
        case CONN_LINGER:
            evbuffer_drain(in, evbuffer_get_length(in));
            again = false;
            break;
        }
    }
    c->busy = false;
    if (c->dead)
        free_conn(c);
}

static void on_read(struct bufferevent *bev, void *arg)
{
    struct httpd_conn *c = arg;
    struct httpd *h = c->server;
    struct held held = held_begin();

    process(c);
    httpd_took(h, &held);
}

/* The last reply has been sent. */
static void flushed(struct httpd_conn *c)
{
    if (c->eof)
        conn_gone(c);
    else
        linger(c);
}

static void on_kick(evutil_socket_t fd, short what, void *arg)
{
    struct httpd_conn *c = arg;
    struct httpd *h = c->server;
    struct held held = held_begin();

    if (c->state == CONN_FLUSH && evbuffer_get_length(bufferevent_get_output(c->bev)) == 0)
        flushed(c);
    else
        process(c);
    httpd_took(h, &held);
}

static void on_write(struct bufferevent *bev, void *arg)
{
    struct httpd_conn *c = arg;
    struct httpd *h = c->server;
    struct httpd_request *r = c->request;
    bool empty = evbuffer_get_length(bufferevent_get_output(bev)) == 0;
    struct held held = held_begin();

    if (c->state == CONN_FLUSH && empty) {
        flushed(c);
    } else if (c->state == CONN_HEAD) {
        process(c); /* it may have waited for this */
    } else if (r && r->send_len > 0 && empty) {
        conn_head_sent(c);
    } else if (r && r->above) {
        r->above = false;
        if (r->on_drain)
            r->on_drain(r->drain_arg);
    }
    httpd_took(h, &held);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    struct httpd_conn *c = arg;
    struct httpd *h = c->server;
    struct held held = held_begin();

    /* The end of the peer's stream between requests: replies on their way are still sent.  While a handler works it
     * means that nobody waits for the answer any more. */
    if ((what & BEV_EVENT_EOF) && (c->state == CONN_FLUSH || c->state == CONN_HEAD) &&
        evbuffer_get_length(bufferevent_get_output(bev)) > 0) {
        c->eof = true;
        c->state = CONN_FLUSH;
        event_del(c->timer);
        bufferevent_setwatermark(bev, EV_WRITE, 0, 0);
        return;
    }
    conn_gone(c);
    httpd_took(h, &held);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct httpd_conn *c = arg;

    /* A reply is still on its way; how long the peer may leave it unread is another limit. */
    if (c->state == CONN_HEAD && evbuffer_get_length(bufferevent_get_output(c->bev)) > 0) {
        set_deadline(c, httpd_options(c->server)->idle_timeout_s);
        return;
    }
    if (c->state == CONN_BODY || (c->state == CONN_HEAD && evbuffer_get_length(bufferevent_get_input(c->bev)) > 0)) {
        refuse(c, 408, "the request did not arrive in time");
        return;
    }
    conn_gone(c);
}

static void count_in(struct evbuffer *buffer, const struct evbuffer_cb_info *info, void *arg)
{
    struct httpd_conn *c = arg;

    httpd_count_bytes(c->server, info->n_added, 0);
}

static void count_out(struct evbuffer *buffer, const struct evbuffer_cb_info *info, void *arg)
{
    struct httpd_conn *c = arg;

    httpd_count_bytes(c->server, 0, info->n_deleted);
}

/* None of this means anything on a unix socket, and none has to succeed. */
static void set_socket(evutil_socket_t fd)
{
    static const struct {
        int level, name, value;
    } options[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1},   {SOL_SOCKET, SO_KEEPALIVE, 1}, /* peers that vanished without a word are found
                                                                           within two minutes */
        {IPPROTO_TCP, TCP_KEEPIDLE, 60}, {IPPROTO_TCP, TCP_KEEPINTVL, 15}, {IPPROTO_TCP, TCP_KEEPCNT, 4},
    };

    for (size_t i = 0; i < ARRAY_LEN(options); i++)
        setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(options[i].value));
}

void conn_accept(struct httpd *h, evutil_socket_t fd, const struct peer *peer)
{
    struct event_base *base = httpd_base(h);
    struct bufferevent *bev;
    struct httpd_conn *c;

    if (!httpd_has_room(h, peer)) {
        close(fd);
        return;
    }
    set_socket(fd);
    bev = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (!bev) {
        close(fd);
        return;
    }
    c = xcalloc(1, sizeof(*c));
    c->server = h;
    c->bev = bev;
    c->peer = *peer;
    c->timer = evtimer_new(base, on_timer, c);
    c->kick = event_new(base, -1, 0, on_kick, c);
    httpd_conn_opened(h, c);
    evbuffer_add_cb(bufferevent_get_input(bev), count_in, c);
    evbuffer_add_cb(bufferevent_get_output(bev), count_out, c);
    bufferevent_setcb(bev, on_read, on_write, on_event, c);
    bufferevent_setwatermark(bev, EV_READ, 0, INPUT_MAX + httpd_options(h)->max_headers);
    bufferevent_setwatermark(bev, EV_WRITE, HTTPD_LOW_WATER, 0);
    bufferevent_set_max_single_write(bev, WRITE_MAX);
    bufferevent_set_timeouts(bev, NULL, &(struct timeval){.tv_sec = CONN_STALL_S});
    set_deadline(c, httpd_options(h)->idle_timeout_s);
    bufferevent_enable(bev, EV_READ | EV_WRITE);
}
