/* The server stands on the network: what it must refuse, what it must survive, and that slow and vanishing clients cost
 * nothing. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include <event2/buffer.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "http/conn.h"
#include "http/peer.h"
#include "rig.h"

#define HOST "Host: x\r\n"
#define GET_ECHO "GET /echo HTTP/1.1\r\n" HOST "\r\n"

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

/* How many connections the server has. */
static size_t connections(struct rig *r)
{
    struct httpd_counters n;

    httpd_get_counters(r->server, &n);
    return n.connections;
}

static bool no_connections(void *arg)
{
    return connections(arg) == 0;
}

static bool is_held(void *arg)
{
    return ((struct rig *)arg)->held != NULL;
}

static bool one_close(void *arg)
{
    return ((struct rig *)arg)->closes == 1;
}

static void test_minimal_reply(void **state)
{
    struct raw *c = raw_open(*state);

    raw_sends(c, GET_ECHO);
    assert_true(raw_until(c, "empty"));
    assert_string_equal(c->in.data, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nempty");
    buf_clear(&c->in);
    raw_sends(c, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc"); /* the connection is kept */
    assert_true(raw_until(c, "\r\n\r\nabc"));
    raw_close(c);
    assert_true(rig_until(*state, no_connections, *state));
}

static void test_pipelining(void **state)
{
    struct raw *c = raw_open(*state);
    struct buf all;

    buf_init(&all, SIZE_MAX);
    for (int i = 0; i < 300; i++)
        buf_printf(&all, "\r\nPOST /echo HTTP/1.1\r\n" HOST "Content-Length: 6\r\n\r\nn%05d", i);
    buf_adds(&all, "GET /echo HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
    raw_send(c, all.data, all.len);
    assert_true(raw_until_eof(c));
    assert_false(c->reset);
    const char *at = c->in.data;
    for (int i = 0; i < 300; i++) {
        char want[16];

        snprintf(want, sizeof(want), "\r\n\r\nn%05d", i);
        at = strstr(at, want);
        assert_non_null(at);
    }
    assert_non_null(strstr(at, "Connection: close\r\n"));
    buf_finish(&all);
    raw_close(c);
}

/* Requests cut at every byte are the same requests. */
static void test_trickled(void **state)
{
    static const char *const requests[] = {
        "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 4\r\n\r\nbody",
        "POST /echo HTTP/1.1\r\n" HOST
        "Transfer-Encoding: Chunked\r\n\r\n1;x=y\r\nb\r\n003\r\nody\r\n0\r\nTrailer: x\r\n\r\n",
        "POST http://x/echo?a=b HTTP/1.1\nHost: x\nContent-Length: 4\n\nbody",
    };

    for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
        struct raw *c = raw_open(*state);

        for (const char *s = requests[i]; *s; s++) {
            raw_send(c, s, 1);
            event_base_loop(((struct rig *)*state)->base, EVLOOP_ONCE);
            event_base_loop(((struct rig *)*state)->base, EVLOOP_NONBLOCK);
        }
        assert_true(raw_until(c, "\r\n\r\nbody"));
        raw_close(c);
    }
}

static void check_error(const struct raw *c, int status)
{
    const char *body = strstr(c->in.data, "\r\n\r\n");
    json_t *o, *error;

    assert_int_equal(strncmp(c->in.data, "HTTP/1.1 ", 9), 0);
    assert_int_equal(atoi(c->in.data + 9), status);
    assert_non_null(body);
    assert_non_null(strstr(c->in.data, "Content-Type: application/json\r\n"));
    o = json_loads(body + 4, 0, NULL);
    error = json_object_get(o, "error");
    assert_true(json_string_length(json_object_get(error, "message")) > 5);
    assert_true(json_is_string(json_object_get(error, "type")));
    assert_non_null(json_object_get(error, "param"));
    assert_non_null(json_object_get(error, "code"));
    json_decref(o);
}

#define POST_ECHO "POST /echo HTTP/1.1\r\n" HOST
#define CHUNKED POST_ECHO "Transfer-Encoding: chunked\r\n\r\n"

static void test_malformed(void **state)
{
    static const struct {
        int status;
        const char *text;
    } cases[] = {
        {400, POST_ECHO "Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde"},
        {400, POST_ECHO "Content-Length: 5\r\ncontent-length: 6\r\n\r\nabcde"},
        {400, POST_ECHO "Content-Length: 5, 5\r\n\r\nabcde"},
        {400, POST_ECHO "Content-Length: -1\r\n\r\n"},
        {400, POST_ECHO "Content-Length: +5\r\n\r\nabcde"},
        {400, POST_ECHO "Content-Length: 0x5\r\n\r\nabcde"},
        {400, POST_ECHO "Content-Length: \r\n\r\n"},
        {400, POST_ECHO "Content-Length: 5 5\r\n\r\nabcde"},
        {413, POST_ECHO "Content-Length: 99999999999999999999\r\n\r\n"},
        {413, POST_ECHO "Content-Length: 999999999999999999\r\n\r\n"},
        {413, POST_ECHO "Content-Length: 1048577\r\n\r\n"},
        {400, POST_ECHO "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
        {400, "POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
        {501, POST_ECHO "Transfer-Encoding: gzip\r\n\r\n"},
        {501, POST_ECHO "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
        {501, POST_ECHO "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"},
        {415, POST_ECHO "Content-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx"},
        {417, POST_ECHO "Expect: something\r\nContent-Length: 1\r\n\r\nx"},
        {400, CHUNKED "0x5\r\nabcde\r\n0\r\n\r\n"},
        {400, CHUNKED "+5\r\nabcde\r\n0\r\n\r\n"},
        {400, CHUNKED "-5\r\nabcde\r\n0\r\n\r\n"},
        {400, CHUNKED " 5\r\nabcde\r\n0\r\n\r\n"},
        {400, CHUNKED "5\nabcde\r\n0\r\n\r\n"},
        {400, CHUNKED "5\r\nabcdef\r\n0\r\n\r\n"},
        {400, CHUNKED "\r\n"},
        {400, CHUNKED "1000000000000000\r\n"},
        {413, CHUNKED "100001\r\n"},
        {400, "GET /echo HTTP/1.1\r\n\r\n"},
        {400, "GET /echo HTTP/1.1\r\n" HOST HOST "\r\n"},
        {400, "GET /echo HTTP/1.1\r\n" HOST "Bad Name: x\r\n\r\n"},
        {400, "GET /echo HTTP/1.1\r\n" HOST "Name : x\r\n\r\n"},
        {400, "GET /echo HTTP/1.1\r\n" HOST "A: b\r\n folded\r\n\r\n"},
        {400, "GET /echo HTTP/1.1\r\n" HOST "no colon\r\n\r\n"},
        {400, "GET /echo HTTP/1.1\r\n" HOST ": x\r\n\r\n"},
        {400, "GET /echo HTTP/1.1\r\n" HOST "A: x\ry\r\n\r\n"},
        {400, "GET /echo HTTP/1.1\r\n" HOST "A: x\001y\r\n\r\n"},
        {400, "GET  /echo HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET /echo\r\n\r\n"},
        {400, "GET /ec ho HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET /echo HTTP/1.1 x\r\n" HOST "\r\n"},
        {400, "GET echo HTTP/1.1\r\n" HOST "\r\n"},
        {400, "OPTIONS * HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET http://x HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET /%00 HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET /%zz HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET /%ff HTTP/1.1\r\n" HOST "\r\n"},
        {400, "GET /\xff HTTP/1.1\r\n" HOST "\r\n"},
        {400, "G@T /echo HTTP/1.1\r\n" HOST "\r\n"},
        {400, "\x16\x03\x01\x02 / \n\n"},
        {505, "GET /echo HTTP/2.0\r\n" HOST "\r\n"},
        {505, "GET /echo HTTP/1.2\r\n" HOST "\r\n"},
        {505, "PRI * HTTP/2.0\r\n\r\n"},
        {400, "GET /echo http/1.1\r\n" HOST "\r\n"},
    };
    struct rig *r = *state;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct raw *c = raw_open(r);

        raw_sends(c, cases[i].text);
        if (!raw_until_eof(c) || atoi(c->in.data + 9) != cases[i].status)
            fail_msg("%s\n%s", cases[i].text, c->in.data);
        assert_false(c->reset);
        check_error(c, cases[i].status);
        assert_non_null(strstr(c->in.data, "Connection: close\r\n"));
        raw_close(c);
    }
    assert_int_equal(r->calls, 0);
    assert_true(rig_until(r, no_connections, r));
}

static void test_nul_and_large_heads(void **state)
{
    struct raw *c = raw_open(*state);
    struct buf b;

    raw_send(c, "GET /echo HTTP/1.1\r\nHost: \0x\r\n\r\n", 32);
    assert_true(raw_until_eof(c));
    check_error(c, 400);
    raw_close(c);

    c = raw_open(*state);
    buf_init(&b, SIZE_MAX);
    buf_adds(&b, "GET /echo HTTP/1.1\r\n" HOST);
    for (int i = 0; i < 120; i++)
        buf_printf(&b, "A%d: x\r\n", i);
    buf_adds(&b, "\r\n");
    raw_send(c, b.data, b.len);
    assert_true(raw_until_eof(c));
    check_error(c, 431);
    raw_close(c);

    c = raw_open(*state); /* a head without end */
    buf_clear(&b);
    for (int i = 0; i < 20000; i++)
        buf_adds(&b, "abcdefghij");
    raw_sends(c, "GET /echo HTTP/1.1\r\n" HOST "A: ");
    raw_send(c, b.data, b.len);
    assert_true(raw_until_eof(c));
    assert_false(c->reset);
    check_error(c, 431);
    raw_close(c);
    buf_finish(&b);
}

static void test_routes(void **state)
{
    static const struct {
        int status;
        const char *text, *has;
    } cases[] = {
        {404, "GET /nothing HTTP/1.1\r\n" HOST "\r\n", "/nothing"},
        {404, "GET /prefix HTTP/1.1\r\n" HOST "\r\n", "/prefix"},
        {200, "GET /prefix/a%20b HTTP/1.1\r\n" HOST "\r\n", "empty"},
        {405, "DELETE /echo HTTP/1.1\r\n" HOST "\r\n", "Allow: GET, HEAD, POST\r\n"},
        {405, "POST /stream HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", "Allow: GET, HEAD\r\n"},
        {405, "OPTIONS /echo HTTP/1.1\r\n" HOST "\r\n", "Allow: "},
        {200, "GET /secret HTTP/1.1\r\n" HOST "\r\n", "empty"},
    };
    struct raw *c = raw_open(*state);

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) { /* an error does not end the connection */
        buf_clear(&c->in);
        raw_sends(c, cases[i].text);
        assert_true(raw_until(c, cases[i].status == 200 ? "empty" : "}}"));
        assert_non_null(strstr(c->in.data, cases[i].has));
        if (cases[i].status != 200)
            check_error(c, cases[i].status);
    }
    raw_close(c);
}

static void test_token(void **state)
{
    static const struct {
        int status;
        const char *header;
    } cases[] = {
        {401, ""},
        {401, "Authorization: Bearer wrong\r\n"},
        {401, "Authorization: Bearer sesame2\r\n"},
        {401, "Authorization: Bearer \r\n"},
        {401, "Authorization: Basic sesame\r\n"},
        {200, "Authorization: Bearer sesame\r\n"},
        {200, "authorization: bearer  sesame\r\n"},
    };
    struct rig *r = *state;

    httpd_set_token(r->server, "sesame");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct raw *c = raw_open(r);
        char *text = xasprintf("GET /secret HTTP/1.1\r\n" HOST "Connection: close\r\n%s\r\n", cases[i].header);

        raw_sends(c, text);
        assert_true(raw_until_eof(c));
        assert_int_equal(atoi(c->in.data + 9), cases[i].status);
        if (cases[i].status == 401)
            assert_non_null(strstr(c->in.data, "WWW-Authenticate: Bearer\r\n"));
        free(text);
        raw_close(c);
    }
    struct raw *c = raw_open(r);
    raw_sends(c, GET_ECHO);
    assert_true(raw_until(c, "empty")); /* public */
    raw_close(c);
}

/* A client that sends a body far too large still gets to read why not. */
static void test_large_body(void **state)
{
    static char block[64 * 1024];
    struct raw *c = raw_open(*state);

    raw_sends(c, POST_ECHO "Content-Length: 20000000\r\n\r\n");
    for (int i = 0; i < 300; i++)
        raw_send(c, block, sizeof(block));
    assert_true(raw_until(c, "}}"));
    check_error(c, 413);
    assert_true(raw_until_eof(c));
    assert_false(c->reset);
    raw_close(c);
    assert_true(rig_until(*state, no_connections, *state));
}

static void test_body_up_to_the_limit(void **state)
{
    char *body = xcalloc(1, RIG_MAX_BODY + 1);
    struct rig *r = *state;
    struct result x = {.rig = r};

    memset(body, 'b', RIG_MAX_BODY);
    rig_call(r, r->port, "/echo", body, &x);
    assert_int_equal(x.status, 200);
    assert_int_equal(x.len, RIG_MAX_BODY);
    assert_memory_equal(x.body, body, RIG_MAX_BODY);
    result_clear(&x);
    free(body);
}

static void test_expect_continue(void **state)
{
    struct raw *c = raw_open(*state);

    raw_sends(c, POST_ECHO "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    assert_true(raw_until(c, "HTTP/1.1 100 Continue\r\n\r\n"));
    raw_sends(c, "ok");
    assert_true(raw_until(c, "\r\n\r\nok"));
    raw_close(c);
}

/* Whatever trickles in, a request has one second here. */
static void test_slow_loris(void **state)
{
    static const char *const starts[] = {"GET /echo HTTP/1.1\r\nHost: x\r\nA: ",
                                         POST_ECHO "Content-Length: 10000\r\n\r\n"};
    struct rig *r = *state;

    for (size_t i = 0; i < ARRAY_LEN(starts); i++) {
        int64_t start = clock_us();
        struct raw *c = raw_open(r);

        raw_sends(c, starts[i]);
        while (!c->eof && clock_us() - start < 5000000) {
            raw_send(c, "a", 1);
            rig_run_ms(r, 50);
        }
        assert_true(c->eof);
        assert_in_range(clock_us() - start, 900000, 2500000);
        check_error(c, 408);
        raw_close(c);
    }
    struct raw *c = raw_open(r); /* one that says nothing is closed without a word */
    assert_true(raw_until_eof(c));
    assert_int_equal(c->in.len, 0);
    raw_close(c);
    assert_true(rig_until(r, no_connections, r));
}

static void test_client_gone_before_the_reply(void **state)
{
    struct rig *r = *state;
    struct raw *c = raw_open(r);
    int64_t start;

    raw_sends(c, "POST /hold HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\n{}");
    assert_true(rig_until(r, is_held, r));
    assert_int_equal(r->closes, 0);
    rig_run_ms(r, 1200); /* the time limit is for requests, not for replies */
    assert_false(c->eof);
    start = clock_us();
    raw_close(c);
    assert_true(rig_until(r, one_close, r));
    assert_in_range(clock_us() - start, 0, 100000);
    assert_true(rig_until(r, no_connections, r));
    httpd_add_header(r->held, "X-Late", "1");
    httpd_reply_error(r->held, 500, NULL, NULL, "nobody reads this");
    assert_int_equal(r->closes, 1);
}

static void count_close(void *arg)
{
    ((struct rig *)arg)->closes++;
}

static void test_on_close_set_too_late(void **state)
{
    struct rig *r = *state;
    struct raw *c = raw_open(r);

    raw_sends(c, "POST /hold HTTP/1.1\r\n" HOST "\r\n");
    assert_true(rig_until(r, is_held, r));
    raw_close(c);
    assert_true(rig_until(r, no_connections, r));
    assert_int_equal(r->closes, 1);
    httpd_on_close(r->held, count_close, r);
    assert_int_equal(r->closes, 1); /* not from inside */
    rig_run_ms(r, 10);
    assert_int_equal(r->closes, 2);
    httpd_stream_start(r->held, 200, "text/plain");
    httpd_stream_send(r->held, "x", 1);
    assert_int_equal(httpd_stream_pending(r->held), 0);
    httpd_stream_end(r->held);
}

static void test_late_reply_then_next_request(void **state)
{
    struct rig *r = *state;
    struct raw *c = raw_open(r);

    raw_sends(c, "POST /hold HTTP/1.1\r\n" HOST "\r\n" GET_ECHO);
    assert_true(rig_until(r, is_held, r));
    assert_int_equal(c->in.len, 0);
    httpd_reply_json(r->held, 200, json_pack("{s:f,s:f}", "p", 0.3, "q", 0.12));
    assert_true(raw_until(c, "empty"));
    assert_non_null(strstr(c->in.data, "{\"p\":0.3,\"q\":0.12}HTTP/1.1 200 OK"));
    raw_close(c);
}

static void test_stream(void **state)
{
    struct raw *c = raw_open(*state);

    raw_sends(c, "GET /stream?x=1&n=%32 HTTP/1.1\r\n" HOST "\r\n");
    assert_true(raw_until(c, "\r\n0\r\n\r\n"));
    static const char begin[] =
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\nxxx";
    assert_int_equal(strncmp(c->in.data, begin, strlen(begin)), 0);
    buf_clear(&c->in);
    raw_sends(c, "HEAD /stream?n=2 HTTP/1.1\r\n" HOST "\r\n" GET_ECHO);
    assert_true(raw_until(c, "empty"));
    assert_null(strstr(c->in.data, "xxx"));
    raw_close(c);

    c = raw_open(*state);
    raw_sends(c, "GET /stream?n=2 HTTP/1.0\r\n\r\n");
    assert_true(raw_until_eof(c));
    assert_non_null(strstr(c->in.data, "Connection: close\r\n\r\nxxx"));
    assert_int_equal(strlen(strstr(c->in.data, "\r\n\r\n")), 2004);
    raw_close(c);

    c = raw_open(*state);
    raw_sends(c, "HEAD /echo HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n" GET_ECHO);
    assert_true(raw_until(c, "\r\n\r\nempty"));
    assert_non_null(strstr(c->in.data, "Connection: keep-alive\r\nContent-Length: 5\r\n\r\nHTTP"));
    raw_close(c);
}

/* 40 MB for a client that does not read: the producer waits, and nothing is lost when it reads at last. */
static void test_back_pressure(void **state)
{
    struct rig *r = *state;
    struct raw *c = raw_open(r);
    struct httpd_counters n;

    bufferevent_disable(c->bev, EV_READ);
    raw_sends(c, "GET /stream?n=40000 HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
    rig_run_ms(r, 300);
    httpd_get_counters(r->server, &n);
    assert_in_range(n.pending, HTTPD_LOW_WATER, HTTPD_HIGH_WATER + 2000);
    assert_int_equal(r->calls, 1);
    bufferevent_enable(c->bev, EV_READ);
    assert_true(raw_until_eof(c));
    assert_true(r->drains > 10);
    size_t head = (size_t)(strstr(c->in.data, "\r\n\r\n") + 4 - c->in.data);
    assert_int_equal(c->in.len, head + 40000 * (5 + 1000 + 2) + 5);
    raw_close(c);
}

/* Someone who reads slower than the time limit for requests still gets all of the replies. */
static void test_slow_reader(void **state)
{
    enum { N = 8 };
    struct rig *r = *state;
    struct raw *c = raw_open(r);
    char *body = xmalloc(RIG_MAX_BODY);
    struct httpd_counters n;

    memset(body, 'y', RIG_MAX_BODY);
    bufferevent_disable(c->bev, EV_READ);
    for (int i = 0; i < N; i++) {
        char *head = xasprintf(POST_ECHO "Content-Length: %d\r\n%s\r\n", RIG_MAX_BODY,
                               i == N - 1 ? "Connection: close\r\n" : "");

        raw_sends(c, head);
        raw_send(c, body, RIG_MAX_BODY);
        free(head);
    }
    rig_run_ms(r, 2200); /* the limit is one second */
    httpd_get_counters(r->server, &n);
    assert_in_range(n.pending, 1, 2 * RIG_MAX_BODY);
    assert_in_range(r->calls, 1, N - 1);
    bufferevent_enable(c->bev, EV_READ);
    assert_true(raw_until_eof(c));
    assert_int_equal(r->calls, N);
    assert_in_range(c->in.len, N * RIG_MAX_BODY, N * RIG_MAX_BODY + N * 150);
    assert_null(strstr(c->in.data, "408"));
    raw_close(c);
    free(body);
}

static void test_client_gone_in_a_stream(void **state)
{
    struct rig *r = *state;
    struct raw *c = raw_open(r);

    bufferevent_disable(c->bev, EV_READ);
    raw_sends(c, "GET /stream?n=100000 HTTP/1.1\r\n" HOST "\r\n");
    rig_run_ms(r, 100);
    raw_close(c);
    assert_true(rig_until(r, one_close, r));
    assert_true(rig_until(r, no_connections, r));
}

/* A client that ends its side right after the request gets what could be answered at once. */
static void test_half_closed_client(void **state)
{
    struct rig *r = *state;
    struct raw *c = raw_open(r);
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = htons((uint16_t)r->port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    raw_close(c);
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
    assert_int_equal(write(fd, GET_ECHO, strlen(GET_ECHO)), strlen(GET_ECHO));
    shutdown(fd, SHUT_WR);
    evutil_make_socket_nonblocking(fd);
    c = raw_take(r, fd);
    assert_true(raw_until_eof(c));
    assert_false(c->reset);
    assert_non_null(strstr(c->in.data, "\r\n\r\nempty"));
    raw_close(c);
    assert_true(rig_until(r, no_connections, r));
}

static void test_unix_socket(void **state)
{
    struct rig *r = *state;
    char dir[] = "/tmp/tightwad-test-XXXXXX", *path, *cause = NULL;
    struct stat st;
    struct result x = {.rig = r};
    struct httpc_opts o = {.url = "http://localhost/echo", .on_done = result_done, .arg = &x};
    struct httpd *second;

    assert_non_null(mkdtemp(dir));
    path = xasprintf("%s/s", dir);
    assert_int_equal(httpd_listen_unix(r->server, path, &cause), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    o.unix_socket = path;
    httpc_start(r->client, &o);
    assert_true(result_wait(&x));
    assert_int_equal(x.status, 200);
    result_clear(&x);

    second = httpd_create(r->base, &(struct httpd_opts){.max_body = 10});
    assert_int_equal(httpd_listen_unix(second, path, &cause), -1);
    assert_non_null(strstr(cause, "in use by another instance"));
    assert_int_equal(httpd_listen_unix(second, dir, &cause), -1);
    assert_non_null(strstr(cause, "not a socket"));
    assert_int_equal(httpd_listen_unix(second, "/nowhere/at/all", &cause), -1);
    httpd_destroy(r->server);
    r->server = NULL;
    assert_int_not_equal(stat(path, &st), 0); /* gone with its server */

    int fd = socket(AF_UNIX, SOCK_STREAM, 0); /* one that a killed instance left */
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    strcpy(sun.sun_path, path);
    assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
    close(fd);
    assert_int_equal(httpd_listen_unix(second, path, &cause), 0);
    httpd_destroy(second);
    rmdir(dir);
    free(path);
    free(cause);
}

static void test_listen_errors(void **state)
{
    struct rig *r = *state;
    char *cause = NULL;

    assert_int_equal(httpd_listen(r->server, "127.0.0.1", r->port, &cause), -1);
    assert_non_null(strstr(cause, "is in use"));
    assert_int_equal(httpd_listen(r->server, "203.0.113.7", 0, &cause), -1);
    assert_non_null(strstr(cause, "not an address of this machine"));
    assert_int_equal(httpd_listen(r->server, "no.such.host.invalid", 0, &cause), -1);
    assert_int_equal(httpd_listen(r->server, "127.0.0.1", 65536, &cause), -1);
    assert_true(httpd_listen(r->server, "localhost", 0, &cause) > 0);
    free(cause);
}

static void test_peers(void **state)
{
    static const struct {
        const char *address;
        bool private, local;
    } cases[] = {{"127.0.0.1", true, true},        {"127.9.9.9", true, true},       {"10.1.2.3", true, false},
                 {"172.16.0.1", true, false},      {"172.31.255.1", true, false},   {"172.32.0.1", false, false},
                 {"192.168.1.1", true, false},     {"192.169.1.1", false, false},   {"169.254.1.1", true, false},
                 {"100.64.0.1", true, false},      {"100.127.255.1", true, false},  {"100.128.0.1", false, false},
                 {"100.63.255.1", false, false},   {"8.8.8.8", false, false},       {"::1", true, true},
                 {"fd00::1", true, false},         {"fe80::1", true, false},        {"2001:db8::1", false, false},
                 {"::ffff:10.0.0.1", true, false}, {"::ffff:8.8.8.8", false, false}};

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct sockaddr_in in = {.sin_family = AF_INET};
        struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
        struct sockaddr *sa = (struct sockaddr *)&in;
        struct peer p;

        if (inet_pton(AF_INET, cases[i].address, &in.sin_addr) != 1) {
            assert_int_equal(inet_pton(AF_INET6, cases[i].address, &in6.sin6_addr), 1);
            sa = (struct sockaddr *)&in6;
        }
        peer_describe(&p, sa);
        assert_int_equal(p.private, cases[i].private);
        assert_int_equal(p.local, cases[i].local);
    }
}

static void test_host_names(void **state)
{
    static const char *const plain[] = {"127.0.0.1", "127.0.0.1:8088", "[::1]:8088",
                                        "[fd00::2]", "localhost",      "LocalHost:1"};
    static const char *const named[] = {"a.page.example", "localhost.a.page.example:80", "127.0.0.1.example", "", "[",
                                        "1.2.3"};

    assert_true(peer_host_is_plain(NULL));
    for (size_t i = 0; i < ARRAY_LEN(plain); i++)
        assert_true(peer_host_is_plain(plain[i]));
    for (size_t i = 0; i < ARRAY_LEN(named); i++)
        assert_false(peer_host_is_plain(named[i]));
}

static size_t lines_with(const char *text)
{
    struct log_line line[256];
    size_t n = log_recent(line, ARRAY_LEN(line)), found = 0;

    for (size_t i = 0; i < n; i++)
        found += strstr(line[i].text, text) != NULL;
    return found;
}

static void test_no_descriptors_left(void **state)
{
    struct rig *r = *state;
    struct rlimit before, none;
    struct raw *c;
    int next;

    c = raw_open(r);
    next = dup(0);
    close(next);
    getrlimit(RLIMIT_NOFILE, &before);
    none = (struct rlimit){.rlim_cur = (rlim_t)next, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    rig_run_ms(r, 700); /* three attempts */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(lines_with("can't accept connections"), 1);
    raw_sends(c, GET_ECHO);
    assert_true(raw_until(c, "empty"));
    raw_close(c);
}

static void answer_details(struct httpd_request *r, void *arg)
{
    const char *q = httpd_query(r, "q"), *none = httpd_query(r, "none"), *bad = httpd_query(r, "bad");

    httpd_add_header(r, "X-Fine", "yes");
    httpd_add_header(r, "X-Split", "a\r\nX-Smuggled: b");
    httpd_add_header(r, "Retry-After", "7");
    httpd_reply_error(r, 503, "p", "c", "%s|%s|%s|%s|%s|%s|%d|\xff", httpd_path(r), q ? q : "-", none ? none : "-",
                      bad ? bad : "-", httpd_header(r, "x-mine"), httpd_peer(r), httpd_peer_is_local(r));
}

static void test_accessors(void **state)
{
    struct rig *r = *state;
    struct raw *c = raw_open(r);
    struct httpd_counters n;

    httpd_route(r->server, HTTPD_GET, "/prefix/longer/", true, answer_details, r);
    raw_sends(c, "GET /prefix/longer/%C3%A9?q=a+b%26c&q=2&bad=%zz HTTP/1.1\r\n" HOST "X-Mine: v \r\n\r\n");
    assert_true(raw_until(c, "}}"));
    check_error(c, 503);
    assert_non_null(strstr(c->in.data, "\"/prefix/longer/\xc3\xa9|a b&c|-|-|v|127.0.0.1|1|\xef\xbf\xbd\""));
    assert_non_null(strstr(c->in.data, "\"param\":\"p\",\"code\":\"c\""));
    assert_non_null(strstr(c->in.data, "X-Fine: yes\r\n"));
    assert_non_null(strstr(c->in.data, "Retry-After: 7\r\n"));
    assert_null(strstr(c->in.data, "Retry-After: 1"));
    assert_null(strstr(c->in.data, "Smuggled"));
    httpd_get_counters(r->server, &n);
    assert_int_equal(n.requests, 1);
    assert_int_equal(n.connections, 1);
    assert_int_equal(n.bytes_out, c->in.len);
    raw_close(c);
}

static void test_destroy_with_work(void **state)
{
    struct rig *r = *state;
    struct raw *c = raw_open(r), *d = raw_open(r);

    raw_sends(c, "POST /hold HTTP/1.1\r\n" HOST "\r\n");
    raw_sends(d, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 50\r\n\r\nhalf");
    assert_true(rig_until(r, is_held, r));
    rig_run_ms(r, 20);
    httpd_destroy(r->server);
    r->server = NULL;
    assert_true(raw_until_eof(c));
    assert_true(raw_until_eof(d));
    httpd_on_close(r->held, count_close, r);
    rig_run_ms(r, 10);
    assert_int_equal(r->closes, 0);
    httpd_reply_text(r->held, 200, "text/plain", "x", 1);
    raw_close(c);
    raw_close(d);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
const struct CMUnitTest httpd_tests[] = {
    T(test_minimal_reply),
    T(test_pipelining),
    T(test_trickled),
    T(test_malformed),
    T(test_nul_and_large_heads),
    T(test_routes),
    T(test_token),
    T(test_large_body),
    T(test_body_up_to_the_limit),
    T(test_expect_continue),
    T(test_slow_loris),
    T(test_client_gone_before_the_reply),
    T(test_on_close_set_too_late),
    T(test_late_reply_then_next_request),
    T(test_stream),
    T(test_back_pressure),
    T(test_slow_reader),
    T(test_client_gone_in_a_stream),
    T(test_half_closed_client),
    T(test_unix_socket),
    T(test_listen_errors),
    T(test_peers),
    T(test_host_names),
    T(test_no_descriptors_left),
    T(test_accessors),
    T(test_destroy_with_work),
};
const size_t httpd_count = sizeof(httpd_tests) / sizeof(httpd_tests[0]);
