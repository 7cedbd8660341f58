#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

static void on_stop(evutil_socket_t fd, short what, void *arg)
{
    event_base_loopbreak(arg);
}

void run_until(struct fixture *fx, bool (*done)(void *arg), void *arg)
{
    int64_t limit = clock_us() + 10 * 1000000;
    struct event *wake = event_new(fx->base, -1, EV_PERSIST, on_stop, fx->base);
    event_add(wake, &(struct timeval){.tv_usec = 50000});
    while (!done(arg)) {
        if (clock_us() > limit) {
            event_free(wake);
            fail_msg("what was waited for did not come within 10 s");
        }
        event_base_loop(fx->base, EVLOOP_ONCE);
    }
    event_free(wake);
}

static bool time_is_up(void *arg)
{
    return clock_us() >= *(int64_t *)arg;
}

void run_for(struct fixture *fx, int ms)
{
    int64_t end = clock_us() + ms * 1000;
    run_until(fx, time_is_up, &end);
}

void fixture_open(struct fixture *fx)
{
    char *cause = NULL;
    fx->api = api_create(fx->base, &fx->cfg, &(struct engines){.proxy = fx->proxy}, &cause);
    if (!fx->api)
        fail_msg("api_create: %s", cause);
    assert_null(cause);
}

void fixture_close(struct fixture *fx)
{
    api_destroy(fx->api);
    fx->api = NULL;
}

int fixture_setup(void **state)
{
    struct fixture *fx = xcalloc(1, sizeof(*fx));
    log_set_level(LOG_ERROR);
    strcpy(fx->dir, "/tmp/tightwad-test-XXXXXX");
    if (!mkdtemp(fx->dir))
        return -1;
    setenv("XDG_RUNTIME_DIR", fx->dir, 1);
    fx->base = event_base_new();
    fx->client = httpc_create(fx->base);
    fx->proxy = fake_proxy_create(fx->base);
    fx->cfg.proxy = (struct config_proxy){
        .host = (char *)"127.0.0.1", .port = 0, .max_tokens_limit = 16384, .max_body_size = 1024 * 1024};
    fixture_open(fx);
    *state = fx;
    return 0;
}

int fixture_teardown(void **state)
{
    struct fixture *fx = *state;
    httpc_destroy(fx->client);
    fixture_close(fx);
    fake_proxy_destroy(fx->proxy);
    event_base_free(fx->base);
    char *dir = xasprintf("%s/tightwad", fx->dir);
    rmdir(dir);
    free(dir);
    int rc = rmdir(fx->dir); /* fails when a socket was left behind */
    free(fx);
    return rc;
}

struct waiting {
    bool done;
    struct reply reply;
};

static void on_reply(void *arg, const struct httpc_result *r)
{
    struct waiting *w = arg;
    w->done = true;
    w->reply = (struct reply){.error = r->error,
                              .status = r->status,
                              .body = xstrndup(r->body, r->len),
                              .json = json_loads(r->body, 0, NULL)};
}

static bool is_done(void *arg)
{
    return ((struct waiting *)arg)->done;
}

static struct reply call_opts(struct fixture *fx, const struct httpc_opts *opts)
{
    struct waiting w = {0};
    struct httpc_opts o = *opts;
    o.on_done = on_reply;
    o.arg = &w;
    o.len = o.body ? strlen(o.body) : 0;
    httpc_start(fx->client, &o);
    run_until(fx, is_done, &w);
    return w.reply;
}

struct reply call(struct fixture *fx, const char *path, const char *body, const char *const *headers)
{
    char *url = xasprintf("%s%s", api_url(fx->api), path);
    struct reply r = call_opts(fx, &(struct httpc_opts){.url = url, .body = body, .headers = headers});
    free(url);
    return r;
}

struct reply call_unix(struct fixture *fx, const char *path, const char *body)
{
    char *url = xasprintf("http://localhost%s", path);
    struct reply r =
        call_opts(fx, &(struct httpc_opts){.url = url, .body = body, .unix_socket = api_control_path(fx->api)});
    free(url);
    return r;
}

void reply_finish(struct reply *r)
{
    free(r->body);
    json_decref(r->json);
}

static void on_raw_read(struct bufferevent *bev, void *arg)
{
    struct raw *r = arg;
    char part[4096];
    size_t n;
    while ((n = bufferevent_read(bev, part, sizeof(part))) > 0)
        buf_add(&r->got, part, n);
}

static void on_raw_event(struct bufferevent *bev, short what, void *arg)
{
    struct raw *r = arg;
    if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
        r->closed = true;
}

struct raw *raw_open(struct fixture *fx, const char *text)
{
    struct raw *r = xcalloc(1, sizeof(*r));
    r->fx = fx;
    buf_init(&r->got, 64 * 1024 * 1024);
    r->bev = bufferevent_socket_new(fx->base, -1, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_setcb(r->bev, on_raw_read, NULL, on_raw_event, r);
    bufferevent_setwatermark(r->bev, EV_READ, 0, 4096); /* so that a reader that is held back really is */
    bufferevent_enable(r->bev, EV_READ | EV_WRITE);
    if (bufferevent_socket_connect_hostname(r->bev, NULL, AF_INET, "127.0.0.1", api_port(fx->api)) < 0)
        fail_msg("can't connect");
    bufferevent_write(r->bev, text, strlen(text));
    return r;
}

void raw_close(struct raw *r)
{
    bufferevent_free(r->bev);
    buf_finish(&r->got);
    free(r);
}

struct expected {
    struct raw *raw;
    const char *text;
    size_t searched; /* bytes that hold no beginning of the text */
};

static bool has_text(void *arg)
{
    struct expected *e = arg;
    size_t len = strlen(e->text), got = e->raw->got.len;
    if (memmem(e->raw->got.data + e->searched, got - e->searched, e->text, len))
        return true;
    e->searched = got >= len ? got - len + 1 : 0;
    return false;
}

void raw_expect(struct raw *r, const char *text)
{
    run_until(r->fx, has_text, &(struct expected){.raw = r, .text = text});
}

static bool is_closed(void *arg)
{
    return ((struct raw *)arg)->closed;
}

void raw_expect_close(struct raw *r)
{
    run_until(r->fx, is_closed, r);
}

char *raw_post(const char *path, const char *body)
{
    return xasprintf("POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
                     "%zu\r\n\r\n%s",
                     path, strlen(body), body);
}

void has_line(const char *text, const char *line)
{
    char *whole = NULL;
    assert_true(asprintf(&whole, "%s\n", line) > 0);
    const char *at = strstr(text, whole);
    if (at == NULL || (at != text && at[-1] != '\n'))
        fail_msg("no line \"%s\" in:\n%s", line, text);
    free(whole);
}
