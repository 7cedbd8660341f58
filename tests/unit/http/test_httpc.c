/* The client talks to servers that are slow, gone, wrong or far too talkative: every call must end, in words, exactly
 * once. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "rig.h"

static int setup(void **state)
{
    *state = rig_create();
    return 0;
}

static int teardown(void **state)
{
    rig_destroy(*state);
    return 0;
}

static struct httpd_counters counters(struct rig *r)
{
    struct httpd_counters n;

    httpd_get_counters(r->server, &n);
    return n;
}

static struct httpc_counters client_counters(struct rig *r)
{
    struct httpc_counters n;

    httpc_get_counters(r->client, &n);
    return n;
}

static void test_keep_alive_and_bytes(void **state)
{
    struct rig *r = *state;
    struct result x = {.rig = r};
    uint64_t in = 0, out = 0;

    for (int i = 0; i < 20; i++) {
        rig_call(r, r->port, i % 3 == 2 ? "/stream?n=3" : "/echo", i % 3 == 1 ? "{\"a\":1}" : NULL, &x);
        assert_int_equal(x.error, HTTPC_OK);
        assert_int_equal(x.status, 200);
        assert_string_equal(x.type, "text/plain");
        assert_string_equal(x.message, "ok");
        if (i % 3 < 2)
            assert_string_equal(x.body, i % 3 == 1 ? "{\"a\":1}" : "empty");
        else
            assert_int_equal(x.len, 3000);
        in += x.bytes_in;
        out += x.bytes_out;
    }
    assert_int_equal(counters(r).connections, 1);
    assert_int_equal(counters(r).bytes_out, in);
    assert_int_equal(counters(r).bytes_in, out);
    assert_int_equal(client_counters(r).bytes_out, out);
    assert_int_equal(client_counters(r).bytes_in, in);
    result_clear(&x);
}

static void test_what_is_sent(void **state)
{
    struct rig *r = *state;
    struct fake *f = fake_create(r, "HTTP/1.1 204 No Content\r\n\r\n", false);
    const char *headers[] = {"X-A: b", NULL};
    struct result x = {.rig = r};
    char *url = xasprintf("http://127.0.0.1:%d/p?q=1", f->port), *want;
    struct httpc_opts o = {.url = url, .body = "{}", .len = 2, .on_done = result_done, .arg = &x};

    httpc_start(r->client, &o);
    assert_false(x.done);
    assert_true(result_wait(&x));
    assert_int_equal(x.status, 204);
    want = xasprintf("POST /p?q=1 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n"
                     "Content-Length: 2\r\n\r\n{}",
                     f->port);
    assert_string_equal(f->seen.data, want);
    assert_int_equal(x.bytes_out, strlen(want));
    assert_int_equal(x.bytes_in, strlen(f->reply));
    free(want);

    buf_clear(&f->seen);
    result_clear(&x);
    o.body = NULL;
    o.bearer = "key";
    o.headers = headers;
    o.method = "DELETE";
    httpc_start(r->client, &o);
    assert_true(result_wait(&x));
    want = xasprintf("DELETE /p?q=1 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nX-A: b\r\nAuthorization: Bearer key\r\n\r\n",
                     f->port);
    assert_string_equal(f->seen.data, want);
    assert_int_equal(f->accepted, 1); /* nothing of the call before is left, and its connection is used again */
    free(want);
    free(url);
    result_clear(&x);
    fake_destroy(f);
}

/* Takes data until it holds, then refuses until resumed. */
struct taker {
    struct result result; /* first: on_done gets it */
    struct httpc_call *call;
    struct buf got;
    size_t refuse_above;
    int refusals, calls;
    bool cancel, resume_at_once;
    struct result other;
    const char *other_url;
};

static bool take(void *arg, const char *data, size_t len)
{
    struct taker *t = arg;

    t->calls++;
    if (t->cancel) {
        httpc_cancel(t->call);
        return true;
    }
    if (t->other_url) {
        struct httpc_opts o = {.url = t->other_url, .on_done = result_done, .arg = &t->other};

        httpc_start(t->result.rig->client, &o);
        t->other_url = NULL;
    }
    if (t->refuse_above && t->got.len + len > t->refuse_above) {
        t->refusals++;
        if (t->resume_at_once) {
            t->refuse_above = 0;
            httpc_resume(t->call); /* before the refusal is even known */
        }
        return false;
    }
    buf_add(&t->got, data, len);
    return true;
}

static struct taker *start_stream(struct rig *r, int port, const char *path, int idle_ms)
{
    struct taker *t = xcalloc(1, sizeof(*t));
    char *url = xasprintf("http://127.0.0.1:%d%s", port, path);
    struct httpc_opts o = {
        .url = url, .on_data = take, .on_done = result_done, .arg = t, .idle_timeout_ms = idle_ms, .max_reply = 70000};

    t->result.rig = t->other.rig = r;
    buf_init(&t->got, SIZE_MAX);
    t->call = httpc_start(r->client, &o);
    free(url);
    return t;
}

static void free_taker(struct taker *t)
{
    result_clear(&t->result);
    result_clear(&t->other);
    buf_finish(&t->got);
    free(t);
}

static void test_stream(void **state)
{
    struct rig *r = *state;
    struct taker *t = start_stream(r, r->port, "/stream?n=5000", 0);

    assert_true(result_wait(&t->result));
    assert_int_equal(t->result.error, HTTPC_OK);
    assert_int_equal(t->got.len, 5000000);
    assert_int_equal(t->result.len, 0); /* all was given */
    assert_int_equal(t->result.bytes_in, counters(r).bytes_out);
    free_taker(t);
}

static bool has_refused(void *arg)
{
    return ((struct taker *)arg)->refusals > 0;
}

static void test_pause_and_resume(void **state)
{
    struct rig *r = *state;
    struct taker *t = start_stream(r, r->port, "/stream?n=20000", 200);
    size_t held;

    t->refuse_above = 300000;
    assert_true(rig_until(r, has_refused, t));
    held = t->got.len;
    rig_run_ms(r, 500); /* nobody is silent but us: the idle limit does not count */
    assert_int_equal(t->got.len, held);
    assert_false(t->result.done);
    assert_int_equal(t->refusals, 1);
    assert_in_range(counters(r).pending, HTTPD_LOW_WATER, HTTPD_HIGH_WATER + 2000); /* the server is held up as well */
    t->refuse_above = 0;
    httpc_resume(t->call);
    assert_int_equal(t->got.len, held); /* not from inside */
    assert_true(result_wait(&t->result));
    assert_int_equal(t->result.error, HTTPC_OK);
    assert_int_equal(t->got.len, 20000000);
    free_taker(t);
}

/* A reply that is complete while its data is refused is done only when the data is taken. */
static void test_pause_at_the_end(void **state)
{
    struct rig *r = *state;
    struct taker *t = start_stream(r, r->port, "/stream?n=3", 0);

    t->refuse_above = 1;
    assert_true(rig_until(r, has_refused, t));
    rig_run_ms(r, 100);
    assert_false(t->result.done);
    t->refuse_above = 0;
    httpc_resume(t->call);
    assert_true(result_wait(&t->result));
    assert_int_equal(t->got.len, 3000);
    assert_int_equal(t->result.error, HTTPC_OK);
    free_taker(t);

    t = start_stream(r, r->port, "/stream?n=3", 0); /* and one that is cancelled while it waits */
    t->refuse_above = 1;
    assert_true(rig_until(r, has_refused, t));
    httpc_cancel(t->call);
    rig_run_ms(r, 20);
    assert_false(t->result.done);
    free_taker(t);
}

static void test_error_status_of_a_stream(void **state)
{
    struct rig *r = *state;
    struct taker *t = start_stream(r, r->port, "/nothing", 0);

    assert_true(result_wait(&t->result));
    assert_int_equal(t->result.status, 404);
    assert_int_equal(t->calls, 0);
    assert_non_null(strstr(t->result.body, "\"error\""));
    free_taker(t);
}

struct bulk {
    struct result result; /* first: on_done gets it */
    struct httpc_call *call;
    struct buf got;
    size_t told, break_at;
    int statuses[2], refusals;
    bool refuse;
};

static bool bulk_take(void *arg, int status, const char *data, size_t len)
{
    struct bulk *b = arg;

    b->statuses[0] = status;
    buf_add(&b->got, data, len);
    return b->break_at == 0 || b->got.len < b->break_at;
}

static bool bulk_data(void *arg, const char *data, size_t len)
{
    struct bulk *b = arg;

    assert_null(data);
    b->told += len;
    b->statuses[1] = httpc_status(b->call);
    assert_true(b->told <= b->got.len);
    b->refusals += b->refuse;
    return !b->refuse;
}

static bool bulk_refused(void *arg)
{
    return ((struct bulk *)arg)->refusals > 0;
}

static void bulk_start(struct bulk *b, struct rig *r, int port, const char *path)
{
    char *url = xasprintf("http://127.0.0.1:%d%s", port, path);

    b->result.rig = r;
    buf_init(&b->got, SIZE_MAX);
    b->call = httpc_start(r->client, &(struct httpc_opts){.url = url,
                                                          .take = bulk_take,
                                                          .on_data = bulk_data,
                                                          .on_done = result_done,
                                                          .receive = 128 * 1024,
                                                          .arg = b});
    free(url);
}

/* Bulk goes to its owner uncopied, who is told of it afterwards and may hold it up or break it off. */
static void test_bulk(void **state)
{
    struct rig *r = *state;
    struct fake *f = fake_create(
        r, "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 2-6/9\r\nContent-Length: 5\r\n\r\nhello", false);
    struct bulk b = {0};

    bulk_start(&b, r, f->port, "/part");
    assert_true(result_wait(&b.result));
    assert_int_equal(b.result.status, 206);
    assert_int_equal(b.result.len, 0);
    assert_string_equal(b.got.data, "hello");
    assert_int_equal(b.told, 5);
    assert_int_equal(b.statuses[0], 206);
    assert_int_equal(b.statuses[1], 206);
    buf_finish(&b.got);
    result_clear(&b.result);
    fake_destroy(f);

    b = (struct bulk){.refuse = true};
    bulk_start(&b, r, r->port, "/stream?n=20000"); /* chunked */
    assert_true(rig_until(r, bulk_refused, &b));
    rig_run_ms(r, 100);
    assert_int_equal(b.refusals, 1);
    assert_in_range(b.got.len, 1, 5000000);
    b.refuse = false;
    httpc_resume(b.call);
    assert_true(result_wait(&b.result));
    assert_int_equal(b.result.error, HTTPC_OK);
    assert_int_equal(b.got.len, 20000000);
    assert_int_equal(b.told, 20000000);
    buf_finish(&b.got);
    result_clear(&b.result);

    b = (struct bulk){.break_at = 1000000};
    bulk_start(&b, r, r->port, "/stream?n=20000");
    assert_true(result_wait(&b.result));
    assert_int_equal(b.result.error, HTTPC_BROKEN);
    assert_in_range(b.got.len, 1000000, 1100000);
    buf_finish(&b.got);
    result_clear(&b.result);

    b = (struct bulk){0};
    bulk_start(&b, r, r->port, "/nothing"); /* an error is one body all the same */
    assert_true(result_wait(&b.result));
    assert_int_equal(b.result.status, 404);
    assert_int_equal(b.got.len, 0);
    assert_non_null(strstr(b.result.body, "\"error\""));
    buf_finish(&b.got);
    result_clear(&b.result);
}

static bool one_close(void *arg)
{
    return ((struct rig *)arg)->closes == 1;
}

static bool is_held(void *arg)
{
    return ((struct rig *)arg)->held != NULL;
}

static void test_cancel_reaches_the_server(void **state)
{
    struct rig *r = *state;
    struct result x = {.rig = r};
    char *url = xasprintf("http://127.0.0.1:%d/hold", r->port);
    struct httpc_opts o = {.url = url, .body = "{}", .len = 2, .on_done = result_done, .arg = &x};
    struct httpc_call *call = httpc_start(r->client, &o);
    int64_t start;

    assert_true(rig_until(r, is_held, r));
    start = clock_us();
    httpc_cancel(call);
    assert_true(rig_until(r, one_close, r));
    assert_in_range(clock_us() - start, 0, 100000);
    httpd_reply_text(r->held, 200, "text/plain", "x", 1);
    assert_false(x.done);

    call = httpc_start(r->client, &o); /* one that has not even begun */
    httpc_cancel(call);
    rig_run_ms(r, 20);
    assert_false(x.done);
    free(url);
}

static void test_cancel_and_start_in_callbacks(void **state)
{
    struct rig *r = *state;
    struct taker *t = start_stream(r, r->port, "/stream?n=100000", 0);
    char *url = xasprintf("http://127.0.0.1:%d/echo", r->port);

    t->cancel = true;
    assert_true(rig_until(r, one_close, r));
    assert_int_equal(t->calls, 1);
    assert_false(t->result.done);
    free_taker(t);

    t = start_stream(r, r->port, "/stream?n=100", 0);
    t->other_url = url;
    assert_true(result_wait(&t->result));
    assert_true(result_wait(&t->other));
    assert_int_equal(t->got.len, 100000);
    assert_string_equal(t->other.body, "empty");
    free_taker(t);
    free(url);
}

static bool some_data(void *arg)
{
    return ((struct taker *)arg)->calls > 0;
}

/* What crossed the wire is counted whatever became of the call: the server's count is what it has to come to. */
static void test_counters(void **state)
{
    struct rig *r = *state;
    struct fake *half = fake_create(r, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", false);
    struct fake *cut = fake_create(r, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", true);
    struct result x = {.rig = r};
    struct taker *t;
    char *url = xasprintf("http://127.0.0.1:%d/hold", r->port);
    struct httpc_opts o = {.url = url, .body = "{}", .len = 2, .on_done = result_done, .arg = &x};
    struct httpc_call *call = httpc_start(r->client, &o);
    uint64_t out = 0, in = 0;

    assert_true(rig_until(r, is_held, r)); /* cancelled while the reply is awaited */
    assert_int_equal(client_counters(r).bytes_out, 0);
    httpc_cancel(call);
    assert_true(rig_until(r, one_close, r));
    out += counters(r).bytes_in;
    assert_true(out > o.len);
    assert_int_equal(client_counters(r).bytes_out, out);
    assert_int_equal(client_counters(r).bytes_in, 0);
    httpd_reply_text(r->held, 200, "text/plain", "x", 1);

    httpc_cancel(httpc_start(r->client, &o)); /* not even begun */
    rig_run_ms(r, 20);
    assert_int_equal(client_counters(r).bytes_out, out);

    for (int inside = 0; inside < 2; inside++) { /* cancelled while the reply comes, from outside and in on_data */
        buf_clear(&half->seen);
        t = start_stream(r, half->port, "/", 0);
        t->cancel = inside;
        assert_true(rig_until(r, some_data, t));
        if (!inside)
            httpc_cancel(t->call);
        rig_run_ms(r, 20);
        assert_false(t->result.done);
        out += half->seen.len;
        in += strlen(half->reply);
        assert_int_equal(client_counters(r).bytes_out, out);
        assert_int_equal(client_counters(r).bytes_in, in);
        free_taker(t);
    }

    rig_call(r, cut->port, "/", NULL, &x); /* failed */
    assert_int_equal(x.error, HTTPC_BROKEN);
    out += cut->seen.len;
    in += strlen(cut->reply);
    assert_int_equal(client_counters(r).bytes_out, out);
    assert_int_equal(client_counters(r).bytes_in, in);
    result_clear(&x);
    free(url);
    fake_destroy(half);
    fake_destroy(cut);
}

struct chain {
    struct rig *rig;
    char *url;
    int left;
    struct httpc_call *call, *victim;
};

static void chain_next(struct chain *c);

static void chain_done(void *arg, const struct httpc_result *r)
{
    struct chain *c = arg;

    assert_int_equal(r->status, 200);
    httpc_cancel(c->call); /* its own: too late, and harmless */
    if (c->victim)
        httpc_cancel(c->victim);
    c->victim = NULL;
    if (--c->left > 0)
        chain_next(c);
}

static void chain_next(struct chain *c)
{
    struct httpc_opts o = {.url = c->url, .on_done = chain_done, .arg = c};

    c->call = httpc_start(c->rig->client, &o);
}

static bool chain_over(void *arg)
{
    return ((struct chain *)arg)->left == 0;
}

static void test_calls_from_on_done(void **state)
{
    struct rig *r = *state;
    struct chain c = {.rig = r, .left = 50, .url = xasprintf("http://127.0.0.1:%d/echo", r->port)};
    char *hold = xasprintf("http://127.0.0.1:%d/hold", r->port);
    struct result x = {.rig = r};
    struct httpc_opts o = {.url = hold, .body = "", .on_done = result_done, .arg = &x};

    c.victim = httpc_start(r->client, &o);
    assert_true(rig_until(r, is_held, r));
    chain_next(&c);
    assert_true(rig_until(r, chain_over, &c));
    assert_true(rig_until(r, one_close, r));
    assert_false(x.done);
    assert_int_equal(client_counters(r).bytes_out, counters(r).bytes_in); /* each once, cancelled in on_done or not */
    assert_int_equal(client_counters(r).bytes_in, counters(r).bytes_out);
    httpd_reply_text(r->held, 200, "text/plain", "x", 1);
    free(c.url);
    free(hold);
}

static void test_resume_inside_on_data(void **state)
{
    struct rig *r = *state;
    struct taker *t = start_stream(r, r->port, "/stream?n=1000", 0);

    t->refuse_above = 1000;
    t->resume_at_once = true;
    assert_true(result_wait(&t->result));
    assert_int_equal(t->refusals, 1);
    assert_int_equal(t->refusals, 1);
    assert_int_equal(t->got.len, 1000000);
    free_taker(t);
}

static void test_deadlines(void **state)
{
    struct rig *r = *state;
    struct fake *silent = fake_create(r, NULL, false);
    struct fake *stalling = fake_create(r, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", false);
    char *urls[] = {xasprintf("http://127.0.0.1:%d/", silent->port), xasprintf("http://127.0.0.1:%d/", stalling->port)};

    for (int i = 0; i < 4; i++) {
        struct result x = {.rig = r};
        struct httpc_opts o = {.url = urls[i % 2], .on_done = result_done, .arg = &x};

        if (i < 2)
            o.timeout_ms = 200;
        else
            o.idle_timeout_ms = 200;
        httpc_start(r->client, &o);
        assert_true(result_wait(&x));
        assert_int_equal(x.error, HTTPC_TIMEOUT);
        assert_in_range(x.elapsed_us, 190000, 500000);
        assert_int_equal(x.status, i % 2 ? 200 : 0);
        assert_string_equal(x.body, i % 2 ? "half" : "");
        rig_run_ms(r, 20);
        result_clear(&x);
    }
    assert_int_equal(silent->closed, 2); /* the server is told */
    assert_int_equal(stalling->closed, 2);
    free(urls[0]);
    free(urls[1]);
    fake_destroy(silent);
    fake_destroy(stalling);
}

/* A server that says a little now and then is not idle. */
static void test_slow_is_not_idle(void **state)
{
    struct rig *r = *state;
    struct fake *f = fake_create(r, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false);
    struct taker *t = start_stream(r, f->port, "/", 300);

    for (int i = 0; i < 8; i++) {
        rig_run_ms(r, 100);
        assert_int_equal(f->accepted, 1);
        raw_sends(f->conns[0], "1\r\nx\r\n");
    }
    raw_sends(f->conns[0], "0\r\n\r\n");
    assert_true(result_wait(&t->result));
    assert_int_equal(t->result.error, HTTPC_OK);
    assert_string_equal(t->got.data, "xxxxxxxx");
    free_taker(t);
    fake_destroy(f);
}

static void test_wrong_servers(void **state)
{
    static const struct {
        enum httpc_error error;
        bool close;
        const char *reply;
    } cases[] = {
        {HTTPC_BROKEN, true, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"},
        {HTTPC_BROKEN, true, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"},
        {HTTPC_BROKEN, true, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n"},
        {HTTPC_BROKEN, true, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n"},
        {HTTPC_BROKEN, false, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nabcde\r\n"},
        {HTTPC_BROKEN, false, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nabcde\r\n0\r\n\r\n"},
        {HTTPC_BROKEN, true, "HTTP/1.1 200"},
        {HTTPC_BROKEN, true, "SSH-2.0-OpenSSH_9.2\r\n"},
        {HTTPC_BROKEN, true, "just some words and then nothing"},
        {HTTPC_BROKEN, true, "\x15\x03\x01\x02\x02\x16\n\n"},
        {HTTPC_BROKEN, true, ""},
        {HTTPC_OK, true, "HTTP/1.0 200 OK\r\n\r\nuntil the end"},
        {HTTPC_OK, false, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"},
    };
    struct rig *r = *state;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct fake *f = fake_create(r, cases[i].reply[0] ? cases[i].reply : NULL, cases[i].close);
        struct result x = {.rig = r};

        if (!cases[i].reply[0]) { /* closes without a word */
            char *url = xasprintf("http://127.0.0.1:%d/", f->port);
            struct httpc_opts o = {.url = url, .on_done = result_done, .arg = &x};

            httpc_start(r->client, &o);
            free(url);
            while (f->seen.len == 0)
                event_base_loop(r->base, EVLOOP_ONCE);
            raw_close(f->conns[0]);
            f->conns[0] = NULL;
            assert_true(result_wait(&x));
        } else {
            rig_call(r, f->port, "/", NULL, &x);
        }
        if (!x.done || x.error != cases[i].error)
            fail_msg("%s: %d %s", cases[i].reply, x.error, x.message);
        assert_true(strlen(x.message) > 1);
        result_clear(&x);
        fake_destroy(f);
    }
}

static void test_unreachable(void **state)
{
    struct rig *r = *state;
    struct fake *f = fake_create(r, NULL, false);
    int port = f->port;
    struct result x = {.rig = r};
    struct httpc_opts o = {.on_done = result_done, .arg = &x};
    static const char *const urls[] = {"http://no.such.host.invalid/", "not a url", "ftp://127.0.0.1/", ""};

    fake_destroy(f);
    rig_call(r, port, "/", NULL, &x);
    assert_int_equal(x.error, HTTPC_UNREACHABLE);
    assert_int_equal(x.status, 0);
    for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
        result_clear(&x);
        o.url = urls[i];
        o.timeout_ms = 5000;
        httpc_start(r->client, &o);
        assert_false(x.done);
        assert_true(result_wait(&x));
        assert_int_equal(x.error, HTTPC_UNREACHABLE);
        assert_true(strlen(x.message) > 5);
    }
    result_clear(&x);
}

static void test_too_large(void **state)
{
    struct rig *r = *state;
    struct result x = {.rig = r};
    char *url = xasprintf("http://127.0.0.1:%d/stream?n=100", r->port);
    struct httpc_opts o = {.url = url, .on_done = result_done, .arg = &x, .max_reply = 50000};

    httpc_start(r->client, &o);
    assert_true(result_wait(&x));
    assert_int_equal(x.error, HTTPC_TOO_LARGE);
    assert_true(x.len <= 50000);
    result_clear(&x);
    free(url);
}

/* A server may close a kept connection at any time; the next call must not notice. */
static void test_stale_connection(void **state)
{
    struct rig *r = *state;
    struct fake *f = fake_create(r, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", true);
    struct result x = {.rig = r};

    for (int i = 0; i < 5; i++) {
        rig_call(r, f->port, "/", i % 2 ? "{}" : NULL, &x);
        assert_int_equal(x.error, HTTPC_OK);
        assert_string_equal(x.body, "ok");
        assert_int_equal(f->accepted, i + 1);
    }
    result_clear(&x);
    fake_destroy(f);
}

static bool two_requests(void *arg)
{
    const char *first = strstr(((struct fake *)arg)->seen.data, "GET");

    return first && strstr(first + 1, "GET");
}

/* And one that closes it just as the request is on its way: it is sent again on a new one. */
static void test_closed_under_the_request(void **state)
{
    static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    struct rig *r = *state;
    struct fake *f = fake_create(r, ok, false);
    char *url = xasprintf("http://127.0.0.1:%d/", f->port);
    struct result x = {.rig = r};
    struct httpc_opts o = {.url = url, .on_done = result_done, .arg = &x};

    rig_call(r, f->port, "/", NULL, &x);
    assert_string_equal(x.body, "ok");
    result_clear(&x);
    f->reply = NULL;
    httpc_start(r->client, &o);
    assert_true(rig_until(r, two_requests, f));
    assert_int_equal(f->accepted, 1);
    raw_close(f->conns[0]);
    f->conns[0] = NULL;
    f->reply = ok;
    assert_true(result_wait(&x));
    assert_int_equal(x.error, HTTPC_OK);
    assert_int_equal(f->accepted, 2);
    result_clear(&x);
    free(url);
    fake_destroy(f);
}

static void test_many_at_once(void **state)
{
    enum { N = 200 };
    struct rig *r = *state;
    static struct result x[N];
    char *url = xasprintf("http://127.0.0.1:%d/stream?n=20", r->port);
    struct httpc_opts o = {.url = url, .on_done = result_done};

    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < N; i++) {
            x[i] = (struct result){.rig = r};
            o.arg = &x[i];
            httpc_start(r->client, &o);
        }
        for (int i = 0; i < N; i++) {
            assert_true(result_wait(&x[i]));
            assert_int_equal(x[i].len, 20000);
            result_clear(&x[i]);
        }
        assert_in_range(counters(r).connections, 100, N); /* kept for the next time */
    }
    free(url);
}

static void test_destroy_with_calls(void **state)
{
    struct rig *r = *state;
    struct result x = {.rig = r};
    char *url = xasprintf("http://127.0.0.1:%d/hold", r->port);
    struct httpc_opts o = {.url = url, .body = "{}", .len = 2, .on_done = result_done, .arg = &x};

    httpc_start(r->client, &o);
    assert_true(rig_until(r, is_held, r));
    httpc_start(r->client, &o);
    httpc_destroy(r->client);
    r->client = NULL;
    assert_true(rig_until(r, one_close, r));
    assert_false(x.done);
    httpd_reply_text(r->held, 200, "text/plain", "x", 1);
    free(url);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
const struct CMUnitTest httpc_tests[] = {
    T(test_keep_alive_and_bytes),
    T(test_what_is_sent),
    T(test_stream),
    T(test_pause_and_resume),
    T(test_pause_at_the_end),
    T(test_error_status_of_a_stream),
    T(test_bulk),
    T(test_cancel_reaches_the_server),
    T(test_cancel_and_start_in_callbacks),
    T(test_counters),
    T(test_calls_from_on_done),
    T(test_resume_inside_on_data),
    T(test_deadlines),
    T(test_slow_is_not_idle),
    T(test_wrong_servers),
    T(test_unreachable),
    T(test_too_large),
    T(test_stale_connection),
    T(test_closed_under_the_request),
    T(test_many_at_once),
    T(test_destroy_with_calls),
};
const size_t httpc_count = sizeof(httpc_tests) / sizeof(httpc_tests[0]);
