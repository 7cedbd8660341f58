#include "fake.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"

struct fake_part {
    char *data;
    size_t len;
};

struct fake_script {
    struct fake_script *next;
    char *key;
    struct fake_part *parts;
    size_t n_parts;
    bool always, close;
};

struct fake_asked {
    char *key, *head, *body;
};

struct fake_conn {
    struct fake *f;
    struct fake_conn *next, **link;
    struct bufferevent *bev;
    const struct fake_script *playing;
    size_t part;
    struct event *timer;
};

struct fake {
    struct event_base *base;
    struct evconnlistener *listener;
    struct fake_script *scripts, *used;
    struct fake_asked *asked;
    size_t n_asked;
    struct fake_conn *conns;
    char url[64];
};

static void conn_close(struct fake_conn *c)
{
    *c->link = c->next;
    if (c->next != NULL)
        c->next->link = c->link;
    if (c->timer != NULL)
        event_free(c->timer);
    bufferevent_free(c->bev);
    free(c);
}

static void on_written(struct bufferevent *bev, void *arg)
{
    struct fake_conn *c = arg;
    if (c->playing != NULL && c->part == c->playing->n_parts && c->playing->close)
        conn_close(c);
}

static void play(evutil_socket_t fd, short what, void *arg)
{
    struct fake_conn *c = arg;
    const struct fake_script *s = c->playing;
    if (c->part < s->n_parts) {
        const struct fake_part *p = &s->parts[c->part++];
        bufferevent_write(c->bev, p->data, p->len);
    }
    if (c->part < s->n_parts)
        event_add(c->timer, &(struct timeval){0, 2000});
}

static struct fake_script *take_script(struct fake *f, const char *key)
{
    for (struct fake_script **s = &f->scripts; *s != NULL; s = &(*s)->next) {
        struct fake_script *found = *s;
        if (strcmp(found->key, key) != 0)
            continue;
        if (!found->always) {
            *s = found->next;
            found->next = f->used;
            f->used = found;
        }
        return found;
    }
    return NULL;
}

static void answer(struct fake_conn *c, char *head, char *body)
{
    static const char missing[] =
        "HTTP/1.1 404 Not Found\r\nContent-Length: 31\r\n\r\n{\"error\":{\"message\":\"no route\"}}";
    struct fake *f = c->f;
    char method[16] = "", path[256] = "", *key;
    sscanf(head, "%15s %255s", method, path);
    key = xasprintf("%s %s", method, path);
    f->asked = xreallocarray(f->asked, f->n_asked + 1, sizeof(*f->asked));
    f->asked[f->n_asked++] = (struct fake_asked){key, head, body};
    c->playing = take_script(f, key);
    c->part = 0;
    if (c->playing == NULL)
        bufferevent_write(c->bev, missing, sizeof(missing) - 1);
    else
        play(-1, 0, c);
}

static void on_read(struct bufferevent *bev, void *arg)
{
    struct fake_conn *c = arg;
    struct evbuffer *in = bufferevent_get_input(bev);
    struct evbuffer_ptr end = evbuffer_search(in, "\r\n\r\n", 4, NULL);
    if (end.pos < 0)
        return;
    size_t n_head = (size_t)end.pos + 4, n_body = 0;
    char *head = xstrndup((char *)evbuffer_pullup(in, (ssize_t)n_head), n_head);
    char *length = strcasestr(head, "content-length:");
    if (length != NULL)
        n_body = strtoul(length + 15, NULL, 10);
    if (evbuffer_get_length(in) < n_head + n_body) {
        free(head);
        return;
    }
    evbuffer_drain(in, n_head);
    char *body = xcalloc(1, n_body + 1);
    evbuffer_remove(in, body, n_body);
    answer(c, head, body);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
        conn_close(arg);
}

static void on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa, int len, void *arg)
{
    struct fake *f = arg;
    struct fake_conn *c = xcalloc(1, sizeof(*c));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    c->f = f;
    c->next = f->conns;
    c->link = &f->conns;
    if (c->next != NULL)
        c->next->link = &c->next;
    f->conns = c;
    c->timer = evtimer_new(f->base, play, c);
    c->bev = bufferevent_socket_new(f->base, fd, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_setcb(c->bev, on_read, on_written, on_event, c);
    bufferevent_enable(c->bev, EV_READ | EV_WRITE);
}

struct fake *fake_create(struct event_base *base)
{
    struct fake *f = xcalloc(1, sizeof(*f));
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sa);
    f->base = base;
    f->listener = evconnlistener_new_bind(base, on_accept, f, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE, 16,
                                          (struct sockaddr *)&sa, sizeof(sa));
    assert_non_null(f->listener);
    getsockname(evconnlistener_get_fd(f->listener), (struct sockaddr *)&sa, &len);
    snprintf(f->url, sizeof(f->url), "http://127.0.0.1:%d", ntohs(sa.sin_port));
    return f;
}

static void free_scripts(struct fake_script *s)
{
    while (s != NULL) {
        struct fake_script *next = s->next;
        for (size_t i = 0; i < s->n_parts; i++)
            free(s->parts[i].data);
        free(s->parts);
        free(s->key);
        free(s);
        s = next;
    }
}

void fake_destroy(struct fake *f)
{
    while (f->conns != NULL)
        conn_close(f->conns);
    evconnlistener_free(f->listener);
    free_scripts(f->scripts);
    free_scripts(f->used);
    for (size_t i = 0; i < f->n_asked; i++) {
        free(f->asked[i].key);
        free(f->asked[i].head);
        free(f->asked[i].body);
    }
    free(f->asked);
    free(f);
}

const char *fake_url(const struct fake *f)
{
    return f->url;
}

static struct fake_script *add_script(struct fake *f, const char *key)
{
    struct fake_script **s = &f->scripts;
    while (*s != NULL)
        s = &(*s)->next;
    *s = xcalloc(1, sizeof(**s));
    (*s)->key = xstrdup(key);
    return *s;
}

static void add_part(struct fake_script *s, char *data, size_t len)
{
    s->parts = xreallocarray(s->parts, s->n_parts + 1, sizeof(*s->parts));
    s->parts[s->n_parts++] = (struct fake_part){data, len};
}

static void add_reply(struct fake *f, const char *key, int status, const char *body, bool always)
{
    struct fake_script *s = add_script(f, key);
    char *text = xasprintf("HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", status,
                           strlen(body), body);
    s->always = always;
    add_part(s, text, strlen(text));
}

void fake_reply(struct fake *f, const char *key, int status, const char *body)
{
    add_reply(f, key, status, body, false);
}

void fake_always(struct fake *f, const char *key, int status, const char *body)
{
    add_reply(f, key, status, body, true);
}

void fake_raw(struct fake *f, const char *key, const char *bytes, size_t len, bool close)
{
    struct fake_script *s = add_script(f, key);
    s->close = close;
    add_part(s, xmemdup(bytes, len), len);
}

void fake_hang(struct fake *f, const char *key)
{
    add_script(f, key);
}

void fake_stream(struct fake *f, const char *key, const char *type, const char *const *parts, size_t n, bool ends)
{
    struct fake_script *s = add_script(f, key);
    char *head = xasprintf("HTTP/1.1 200 OK\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n", type);
    add_part(s, head, strlen(head));
    for (size_t i = 0; i < n; i++) {
        char *chunk = xasprintf("%zx\r\n%s\r\n", strlen(parts[i]), parts[i]);
        add_part(s, chunk, strlen(chunk));
    }
    if (ends)
        add_part(s, xstrdup("0\r\n\r\n"), 5);
    s->close = !ends;
}

static const struct fake_asked *find(const struct fake *f, const char *key, size_t i)
{
    for (size_t k = 0; k < f->n_asked; k++)
        if (strcmp(f->asked[k].key, key) == 0 && i-- == 0)
            return &f->asked[k];
    return NULL;
}

size_t fake_count(const struct fake *f, const char *key)
{
    size_t n = 0;
    while (find(f, key, n) != NULL)
        n++;
    return n;
}

const char *fake_body(const struct fake *f, const char *key, size_t i)
{
    const struct fake_asked *a = find(f, key, i);
    return a != NULL ? a->body : NULL;
}

const char *fake_head(const struct fake *f, const char *key, size_t i)
{
    const struct fake_asked *a = find(f, key, i);
    return a != NULL ? a->head : NULL;
}

size_t fake_open(const struct fake *f)
{
    size_t n = 0;
    for (const struct fake_conn *c = f->conns; c != NULL; c = c->next)
        n++;
    return n;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
}

/* The loop turns until done(arg) or the time is over; a tick keeps it turning while nothing happens. */
static bool turn(struct event_base *base, int ms, bool (*done)(const void *arg), const void *arg)
{
    int64_t end = clock_us() + (int64_t)ms * 1000;
    struct event *tick = event_new(base, -1, EV_PERSIST, on_tick, NULL);
    event_add(tick, &(struct timeval){0, 2000});
    while (!done(arg) && clock_us() < end)
        event_base_loop(base, EVLOOP_ONCE);
    event_free(tick);
    return done(arg);
}

static bool never(const void *arg)
{
    return false;
}

static bool is_set(const void *arg)
{
    return *(const bool *)arg;
}

static bool is_closed(const void *arg)
{
    return fake_open(arg) == 0;
}

void loop_for(struct event_base *base, int ms)
{
    turn(base, ms, never, NULL);
}

void loop_until(struct event_base *base, const bool *flag)
{
    assert_true(turn(base, 10000, is_set, flag));
}

void loop_until_closed(struct event_base *base, const struct fake *f)
{
    assert_true(turn(base, 10000, is_closed, f));
}
