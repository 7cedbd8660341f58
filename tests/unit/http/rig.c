#include "rig.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/listener.h>

#include "base/clock.h"
#include "base/mem.h"

static void echo(struct httpd_request *r, void *arg)
{
    struct rig *rig = arg;
    size_t len;
    const char *body = httpd_body(r, &len);

    rig->calls++;
    httpd_reply_text(r, 200, "text/plain", len ? body : "empty", len ? len : 5);
}

static void count_close(void *arg)
{
    ((struct rig *)arg)->closes++;
}

static void hold(struct httpd_request *r, void *arg)
{
    struct rig *rig = arg;

    rig->calls++;
    rig->held = r;
    httpd_on_close(r, count_close, rig);
}

struct stream {
    struct rig *rig;
    struct httpd_request *request;
    int left;
};

static void produce(struct stream *s)
{
    char chunk[1000];

    memset(chunk, 'x', sizeof(chunk));
    while (s->left > 0) {
        if (httpd_stream_pending(s->request) >= HTTPD_HIGH_WATER)
            return;
        s->left--;
        httpd_stream_send(s->request, chunk, sizeof(chunk));
    }
    httpd_stream_end(s->request);
    free(s);
}

static void stream_drained(void *arg)
{
    struct stream *s = arg;

    s->rig->drains++;
    produce(s);
}

static void stream_closed(void *arg)
{
    struct stream *s = arg;

    s->rig->closes++;
    httpd_stream_end(s->request);
    free(s);
}

static void stream(struct httpd_request *r, void *arg)
{
    struct stream *s = xcalloc(1, sizeof(*s));
    const char *n = httpd_query(r, "n");

    s->rig = arg;
    s->request = r;
    s->left = n ? atoi(n) : 3;
    s->rig->calls++;
    httpd_on_close(r, stream_closed, s);
    httpd_on_drain(r, stream_drained, s);
    httpd_stream_start(r, 200, "text/plain");
    produce(s);
}

struct rig *rig_create(void)
{
    struct httpd_opts opts = {.max_body = RIG_MAX_BODY, .max_headers = RIG_MAX_HEADERS, .idle_timeout_s = 1};
    struct rig *r = xcalloc(1, sizeof(*r));

    r->base = event_base_new();
    r->server = httpd_create(r->base, &opts);
    r->client = httpc_create(r->base);
    httpd_route(r->server, HTTPD_GET, "/echo", true, echo, r);
    httpd_route(r->server, HTTPD_POST, "/echo", true, echo, r);
    httpd_route(r->server, HTTPD_POST, "/hold", true, hold, r);
    httpd_route(r->server, HTTPD_GET, "/stream", true, stream, r);
    httpd_route(r->server, HTTPD_GET, "/secret", false, echo, r);
    httpd_route(r->server, HTTPD_GET, "/prefix/", true, echo, r);
    r->port = httpd_listen(r->server, "127.0.0.1", 0, NULL);
    return r;
}

void rig_destroy(struct rig *r)
{
    httpc_destroy(r->client);
    httpd_destroy(r->server);
    event_base_free(r->base);
    free(r);
}

static void nothing(evutil_socket_t fd, short what, void *arg)
{
}

bool rig_until(struct rig *r, bool (*condition)(void *arg), void *arg)
{
    int64_t end = clock_us() + RIG_WAIT_MS * INT64_C(1000);
    struct event *tick = event_new(r->base, -1, EV_PERSIST, nothing, NULL);
    bool holds;

    event_add(tick, &(struct timeval){.tv_usec = 20000}); /* a condition may depend on time alone */
    while (!(holds = condition(arg)) && clock_us() < end)
        event_base_loop(r->base, EVLOOP_ONCE);
    event_free(tick);
    return holds;
}

void rig_run_ms(struct rig *r, int ms)
{
    event_base_loopexit(r->base, &(struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000});
    event_base_dispatch(r->base);
}

static void raw_read(struct bufferevent *bev, void *arg)
{
    struct raw *c = arg;
    struct evbuffer *in = bufferevent_get_input(bev);
    size_t n = evbuffer_get_length(in);

    buf_add(&c->in, evbuffer_pullup(in, -1), n);
    evbuffer_drain(in, n);
}

static void raw_event(struct bufferevent *bev, short what, void *arg)
{
    struct raw *c = arg;

    if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
        c->eof = true;
    if (what & BEV_EVENT_ERROR)
        c->reset = true;
}

struct raw *raw_take(struct rig *r, evutil_socket_t fd)
{
    struct raw *c = xcalloc(1, sizeof(*c));

    c->rig = r;
    buf_init(&c->in, SIZE_MAX);
    c->bev = bufferevent_socket_new(r->base, fd, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_setcb(c->bev, raw_read, NULL, raw_event, c);
    bufferevent_enable(c->bev, EV_READ | EV_WRITE);
    return c;
}

struct raw *raw_open(struct rig *r)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons((uint16_t)r->port)};
    struct raw *c = raw_take(r, -1);

    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bufferevent_socket_connect(c->bev, (struct sockaddr *)&sin, sizeof(sin));
    return c;
}

void raw_close(struct raw *c)
{
    bufferevent_free(c->bev);
    buf_finish(&c->in);
    free(c);
}

void raw_send(struct raw *c, const char *data, size_t len)
{
    bufferevent_write(c->bev, data, len);
}

void raw_sends(struct raw *c, const char *s)
{
    raw_send(c, s, strlen(s));
}

struct wanted {
    struct raw *c;
    const char *text;
};

static bool has_come(void *arg)
{
    struct wanted *w = arg;

    return memmem(w->c->in.data, w->c->in.len, w->text, strlen(w->text)) != NULL;
}

bool raw_until(struct raw *c, const char *text)
{
    struct wanted w = {c, text};

    return rig_until(c->rig, has_come, &w);
}

static bool at_eof(void *arg)
{
    return ((struct raw *)arg)->eof;
}

bool raw_until_eof(struct raw *c)
{
    return rig_until(c->rig, at_eof, c);
}

struct fake_conn {
    struct fake *fake;
    struct raw *raw;
};

static void fake_written(struct bufferevent *bev, void *arg)
{
    struct fake *f = arg;

    for (int i = 0; f->close && i < f->accepted; i++) {
        if (f->conns[i] && f->conns[i]->bev == bev && f->conns[i]->replied) {
            raw_close(f->conns[i]);
            f->conns[i] = NULL;
            return;
        }
    }
}

static void fake_read(struct bufferevent *bev, void *arg)
{
    struct fake *f = arg;
    struct raw *c = NULL;
    struct evbuffer *in = bufferevent_get_input(bev);
    size_t n = evbuffer_get_length(in);

    for (int i = 0; i < f->accepted; i++) {
        if (f->conns[i] && f->conns[i]->bev == bev)
            c = f->conns[i];
    }
    buf_add(&f->seen, evbuffer_pullup(in, -1), n);
    buf_add(&c->in, evbuffer_pullup(in, -1), n);
    evbuffer_drain(in, n);
    if (!strstr(c->in.data, "\r\n\r\n"))
        return;
    buf_clear(&c->in);
    c->replied = f->reply != NULL;
    if (f->reply)
        bufferevent_write(bev, f->reply, f->reply_len ? f->reply_len : strlen(f->reply));
}

static void fake_event(struct bufferevent *bev, short what, void *arg)
{
    struct fake *f = arg;

    if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
        f->closed++;
}

static void fake_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa, int len, void *arg)
{
    struct fake *f = arg;
    struct raw *c = raw_take(f->rig, fd);

    bufferevent_setcb(c->bev, fake_read, fake_written, fake_event, f);
    f->conns[f->accepted++] = c;
}

struct fake *fake_create(struct rig *r, const char *reply, bool close)
{
    struct sockaddr_in sin = {.sin_family = AF_INET};
    socklen_t len = sizeof(sin);
    struct fake *f = xcalloc(1, sizeof(*f));

    f->rig = r;
    f->reply = reply;
    f->close = close;
    buf_init(&f->seen, SIZE_MAX);
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    f->listener = evconnlistener_new_bind(r->base, fake_accept, f, LEV_OPT_CLOSE_ON_FREE, 16, (struct sockaddr *)&sin,
                                          sizeof(sin));
    getsockname(evconnlistener_get_fd(f->listener), (struct sockaddr *)&sin, &len);
    f->port = ntohs(sin.sin_port);
    return f;
}

void fake_destroy(struct fake *f)
{
    evconnlistener_free(f->listener);
    for (int i = 0; i < f->accepted; i++) {
        if (f->conns[i])
            raw_close(f->conns[i]);
    }
    buf_finish(&f->seen);
    free(f);
}

void result_done(void *arg, const struct httpc_result *r)
{
    struct result *x = arg;

    x->done = true;
    x->error = r->error;
    x->status = r->status;
    x->len = r->len;
    x->body = xmemdup(r->body, r->len + 1);
    x->bytes_in = r->bytes_in;
    x->bytes_out = r->bytes_out;
    x->elapsed_us = r->elapsed_us;
    snprintf(x->message, sizeof(x->message), "%s", r->message);
    snprintf(x->type, sizeof(x->type), "%s", r->content_type);
}

static bool is_done(void *arg)
{
    return ((struct result *)arg)->done;
}

bool result_wait(struct result *x)
{
    return rig_until(x->rig, is_done, x);
}

void result_clear(struct result *x)
{
    free(x->body);
    *x = (struct result){.rig = x->rig};
}

void rig_call(struct rig *r, int port, const char *path, const char *body, struct result *x)
{
    char *url = xasprintf("http://127.0.0.1:%d%s", port, path);
    struct httpc_opts o = {.url = url, .body = body, .len = body ? strlen(body) : 0, .on_done = result_done, .arg = x};

    x->rig = r;
    result_clear(x);
    httpc_start(r->client, &o);
    free(url);
    result_wait(x);
}
