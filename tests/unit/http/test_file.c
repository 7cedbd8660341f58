/* Replies out of a file: all bytes come, in order, whatever the reader does, and what can't be sent to its end says so
 * by closing the connection. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "rig.h"

#define GET(path, more) "GET " path " HTTP/1.1\r\nHost: x\r\n" more "\r\n"

enum { SIZE = 3 << 20, PART = 700000 };

static struct {
    FILE *file;
    char *bytes;
    struct httpd_request *request;
    uint64_t at, end, owed_at_close;
    int closes;
} served;

static void give(void *arg)
{
    uint64_t left = served.end - served.at;
    (void)arg;
    if (left == 0) {
        httpd_file_end(served.request);
        served.request = NULL;
        return;
    }
    size_t n = left < PART ? (size_t)left : PART;
    served.at += n;
    httpd_file_send(served.request, fileno(served.file), served.at - n, n);
}

static void gone(void *arg)
{
    (void)arg;
    served.closes++;
    served.owed_at_close = httpd_file_owed(served.request);
    httpd_file_end(served.request);
    served.request = NULL;
}

/* GET /file, with its Range. */
static void reply_file(struct httpd_request *r, void *arg)
{
    uint64_t first, len;
    (void)arg;
    enum range_kind kind = httpd_range(r, SIZE, "\"e\"", &first, &len);
    if (kind == RANGE_NONE) {
        httpd_reply_error(r, 416, NULL, NULL, "no such range");
        return;
    }
    served.request = r;
    served.at = first;
    served.end = first + len;
    httpd_on_drain(r, give, NULL);
    httpd_on_close(r, gone, NULL);
    httpd_file_start(r, kind == RANGE_PART ? 206 : 200, "application/octet-stream", len);
    if (httpd_is_head(r))
        httpd_file_end(r);
    else
        give(NULL);
}

/* GET /half promises ten bytes more than it gives. */
static void reply_half(struct httpd_request *r, void *arg)
{
    (void)arg;
    httpd_file_start(r, 200, NULL, 10);
    httpd_file_end(r);
}

static int released;

static void release(void *arg)
{
    assert_ptr_equal(arg, &released);
    released++;
}

static void reply_shared(struct httpd_request *r, void *arg)
{
    (void)arg;
    httpd_reply_shared(r, 200, "text/plain", served.bytes, SIZE, release, &released);
}

static void reply_echo(struct httpd_request *r, void *arg)
{
    (void)arg;
    httpd_reply_text(r, 200, "text/plain", "empty", 5);
}

/* The rig's server gives an idle connection a second, which on a busy machine is no long time. */
static struct rig *patient_rig(void)
{
    struct rig *r = rig_create();
    httpd_destroy(r->server);
    r->server = httpd_create(r->base, &(struct httpd_opts){0});
    r->port = httpd_listen(r->server, "127.0.0.1", 0, NULL);
    httpd_route(r->server, HTTPD_GET, "/echo", true, reply_echo, NULL);
    return r;
}

static int setup(void **state)
{
    struct rig *r = patient_rig();
    memset(&served, 0, sizeof(served));
    released = 0;
    served.bytes = xmalloc(SIZE);
    for (size_t i = 0; i < SIZE; i++)
        served.bytes[i] = (char)(i * 2654435761u >> 13 | 1); /* no NUL: the raw side takes strings */
    served.file = tmpfile();
    assert_int_equal(fwrite(served.bytes, 1, SIZE, served.file), SIZE);
    fflush(served.file);
    httpd_route(r->server, HTTPD_GET, "/file", true, reply_file, NULL);
    httpd_route(r->server, HTTPD_GET, "/half", true, reply_half, NULL);
    httpd_route(r->server, HTTPD_GET, "/shared", true, reply_shared, NULL);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    rig_destroy(*state);
    fclose(served.file);
    free(served.bytes);
    return 0;
}

static size_t body_at(const struct raw *c)
{
    const char *end = strstr(c->in.data, "\r\n\r\n");
    return end ? (size_t)(end - c->in.data) + 4 : SIZE_MAX;
}

struct expected {
    struct raw *c;
    size_t len;
};

static bool has_come(void *arg)
{
    const struct expected *e = arg;
    size_t at = body_at(e->c);
    return at != SIZE_MAX && e->c->in.len >= at + e->len;
}

static void expect_bytes(struct rig *r, struct raw *c, const char *head, size_t first, size_t len)
{
    assert_true(rig_until(r, has_come, &(struct expected){c, len}));
    assert_memory_equal(c->in.data, head, strlen(head));
    assert_memory_equal(c->in.data + body_at(c), served.bytes + first, len);
    assert_int_equal(c->in.len, body_at(c) + len);
    buf_clear(&c->in);
}

static void the_file_comes_whole_and_in_parts(void **state)
{
    struct raw *c = raw_open(*state);
    raw_sends(c, GET("/file", ""));
    expect_bytes(*state, c, "HTTP/1.1 200 OK\r\n", 0, SIZE);
    raw_sends(c, GET("/file", "Range: bytes=100-1000099\r\n")); /* on the same connection */
    expect_bytes(*state, c, "HTTP/1.1 206 Partial Content\r\n", 100, 1000000);
    raw_sends(c, GET("/file", "Range: bytes=-1\r\nIf-Range: \"e\"\r\n"));
    expect_bytes(*state, c, "HTTP/1.1 206 Partial Content\r\n", SIZE - 1, 1);
    raw_sends(c, GET("/file", "Range: bytes=-1\r\nIf-Range: \"f\"\r\n")); /* it has changed since */
    expect_bytes(*state, c, "HTTP/1.1 200 OK\r\n", 0, SIZE);
    raw_sends(c, GET("/file", "Range: bytes=99999999-\r\n"));
    assert_true(raw_until(c, "no such range"));
    assert_memory_equal(c->in.data, "HTTP/1.1 416 Range Not Satisfiable\r\n", 36);
    raw_close(c);
}

static void requests_may_be_pipelined(void **state)
{
    struct raw *c = raw_open(*state);
    raw_sends(c, GET("/echo", "") GET("/file", "Range: bytes=0-99\r\n") GET("/file", "Range: bytes=9-9\r\n")
                     GET("/echo", "Connection: close\r\n"));
    assert_true(raw_until_eof(c));
    const char *at = strstr(c->in.data, "empty");
    assert_non_null(at);
    at = strstr(at, "\r\n\r\n");
    assert_memory_equal(at + 4, served.bytes, 100);
    at = strstr(at + 104, "\r\n\r\n");
    assert_memory_equal(at + 4, served.bytes + 9, 1);
    assert_non_null(strstr(at + 5, "\r\n\r\nempty"));
    raw_close(c);
}

static void the_connection_closes_after_the_last_byte(void **state)
{
    struct raw *c = raw_open(*state);
    raw_sends(c, "GET /file HTTP/1.0\r\n\r\n");
    assert_true(raw_until_eof(c));
    assert_false(c->reset);
    assert_int_equal(c->in.len, body_at(c) + SIZE);
    raw_close(c);
}

static void head_has_the_length_and_no_body(void **state)
{
    struct raw *c = raw_open(*state);
    raw_sends(c, "HEAD /file HTTP/1.1\r\nHost: x\r\nRange: bytes=0-1\r\n\r\n" GET("/echo", ""));
    assert_true(raw_until(c, "empty"));
    assert_memory_equal(c->in.data, "HTTP/1.1 200 OK\r\n", 17);
    assert_non_null(strstr(c->in.data, "Content-Length: 3145728\r\n\r\nHTTP/1.1 200 OK\r\n"));
    raw_close(c);
}

static void a_reply_that_ends_early_closes_the_connection(void **state)
{
    struct raw *c = raw_open(*state);
    raw_sends(c, GET("/half", ""));
    assert_true(raw_until_eof(c));
    raw_close(c);
    assert_int_equal(ftruncate(fileno(served.file), 1000000), 0);
    c = raw_open(*state);
    raw_sends(c, GET("/file", ""));
    assert_true(raw_until_eof(c));
    assert_int_equal(c->in.len, body_at(c) + 1000000);
    assert_int_equal(served.closes, 1);
    raw_close(c);
}

static bool has_closed(void *arg)
{
    (void)arg;
    return served.closes > 0;
}

static void a_reader_that_goes_is_noticed(void **state)
{
    struct raw *c = raw_open(*state);
    raw_sends(c, GET("/file", ""));
    assert_true(raw_until(c, "\r\n\r\n"));
    raw_close(c);
    assert_true(rig_until(*state, has_closed, NULL));
    assert_null(served.request);
    assert_int_equal(served.owed_at_close, 0);
}

static void shared_text_is_released(void **state)
{
    struct raw *c = raw_open(*state);
    raw_sends(c, GET("/shared", ""));
    expect_bytes(*state, c, "HTTP/1.1 200 OK\r\n", 0, SIZE);
    assert_int_equal(released, 1);
    raw_sends(c, "HEAD /shared HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(raw_until(c, "Content-Length: 3145728\r\n\r\n"));
    assert_int_equal(released, 2);
    raw_close(c);
}

static void connections_are_counted(void **state)
{
    struct rig *r = *state;
    struct httpd_opts opts = {.max_connections = 3, .max_per_address = 2};
    struct httpd *h = httpd_create(r->base, &opts);
    int port = r->port;
    r->port = httpd_listen(h, "127.0.0.1", 0, NULL);
    struct raw *a = raw_open(r), *b = raw_open(r);
    raw_sends(a, GET("/x", ""));
    raw_sends(b, GET("/x", ""));
    assert_true(raw_until(a, "unknown_url"));
    assert_true(raw_until(b, "unknown_url"));
    struct raw *c = raw_open(r);
    assert_true(raw_until_eof(c));
    raw_close(c);
    raw_close(a);
    rig_run_ms(r, 20);
    c = raw_open(r);
    raw_sends(c, GET("/x", ""));
    assert_true(raw_until(c, "unknown_url"));
    raw_close(c);
    raw_close(b);
    httpd_destroy(h);
    r->port = port;
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
const struct CMUnitTest file_tests[] = {
    T(the_file_comes_whole_and_in_parts),
    T(requests_may_be_pipelined),
    T(the_connection_closes_after_the_last_byte),
    T(head_has_the_length_and_no_body),
    T(a_reply_that_ends_early_closes_the_connection),
    T(a_reader_that_goes_is_noticed),
    T(shared_text_is_released),
    T(connections_are_counted),
};
const size_t file_count = sizeof(file_tests) / sizeof(file_tests[0]);
