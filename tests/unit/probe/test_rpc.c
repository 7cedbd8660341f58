/* Asking an RPC server who it is: every way in which it is not one, or not there, has a state and a sentence of its
 * own, and none takes longer than its deadline. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>

#include "base/clock.h"
#include "base/mem.h"
#include "probe/rpc.h"

enum manner { GOOD, OLDER, NEWER, SILENT, CLOSES, HTTP, GARBAGE, HALF, NO_DEVICE };

/* A server of one of these manners, on the loop of the test. */
struct fake {
    struct event_base *base;
    struct evconnlistener *listener;
    enum manner manner;
    int port, connections;
    struct bufferevent *links[8];
};

static void reply(struct bufferevent *link, const void *data, uint64_t size)
{
    bufferevent_write(link, &size, 8);
    bufferevent_write(link, data, (size_t)size);
}

static void take_command(struct fake *f, struct bufferevent *link, uint8_t command, uint64_t size, uint32_t first)
{
    uint8_t hello[28] = {8, 0, 0};
    uint32_t count = f->manner == NO_DEVICE ? 0 : 2;
    uint64_t memory[2] = {UINT64_C(1) << 30, UINT64_C(3) << 30}; /* free, total */
    if (command == 14 && f->manner == OLDER) {
        if (size == 24)
            shutdown(bufferevent_getfd(link), SHUT_RDWR);
        else
            reply(link, (uint8_t[]){3, 1, 2}, 3);
    } else if (command == 14) {
        hello[0] = f->manner == NEWER ? 9 : 8;
        reply(link, hello, sizeof(hello));
    } else if (command == 15) {
        reply(link, &count, 4);
    } else if (command == 11) {
        memory[0] += first;
        reply(link, memory, 16);
    }
}

static void on_read(struct bufferevent *link, void *arg)
{
    struct fake *f = arg;
    struct evbuffer *in = bufferevent_get_input(link);
    uint8_t head[9 + 4] = {0};
    uint64_t size = 0;
    evbuffer_copyout(in, head, sizeof(head));
    memcpy(&size, head + 1, 8);
    if (evbuffer_get_length(in) < 9 + size || f->manner == SILENT)
        return;
    uint32_t first;
    memcpy(&first, head + 9, 4);
    evbuffer_drain(in, 9 + (size_t)size);
    if (f->manner == HTTP)
        bufferevent_write(link, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
    else if (f->manner == GARBAGE)
        bufferevent_write(link, "220 mail.example ESMTP\r\n", 24);
    else if (f->manner == HALF)
        bufferevent_write(link, "\x1c\0\0\0\0\0\0\0\x08", 9);
    else
        take_command(f, link, head[0], size, first);
}

static void on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *from, int len, void *arg)
{
    struct fake *f = arg;
    f->connections++;
    if (f->manner == CLOSES || f->connections > 8) {
        close(fd);
        return;
    }
    struct bufferevent *link = bufferevent_socket_new(f->base, fd, BEV_OPT_CLOSE_ON_FREE);
    f->links[f->connections - 1] = link;
    bufferevent_setcb(link, on_read, NULL, NULL, f);
    bufferevent_enable(link, EV_READ | EV_WRITE);
}

static void fake_start(struct fake *f, enum manner manner)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    *f = (struct fake){.base = event_base_new(), .manner = manner};
    f->listener =
        evconnlistener_new_bind(f->base, on_accept, f, LEV_OPT_CLOSE_ON_FREE, 16, (struct sockaddr *)&at, sizeof(at));
    assert_non_null(f->listener);
    getsockname(evconnlistener_get_fd(f->listener), (struct sockaddr *)&at, &len);
    f->port = ntohs(at.sin_port);
}

static void fake_end(struct fake *f)
{
    for (size_t i = 0; i < ARRAY_LEN(f->links); i++) {
        if (f->links[i])
            bufferevent_free(f->links[i]);
    }
    if (f->listener)
        evconnlistener_free(f->listener);
    event_base_free(f->base);
}

struct got {
    struct rpc_report report;
    char text[1024];
    int times;
    struct event_base *base;
};

static void on_report(const struct rpc_report *r, void *arg)
{
    struct got *g = arg;
    g->report = *r;
    snprintf(g->text, sizeof(g->text), "%s", r->text);
    g->times++;
    event_base_loopbreak(g->base);
}

/* Asks and waits; no longer than a deadline and a half. */
static struct got ask(struct event_base *base, const char *host, int port, int timeout_ms, bool connect_only)
{
    const struct rpc_ask a = {.host = host, .port = port, .timeout_ms = timeout_ms, .connect_only = connect_only};
    struct got g = {.base = base};
    int64_t began = clock_us();
    rpc_query_start(base, &a, on_report, &g);
    event_base_dispatch(base);
    assert_int_equal(g.times, 1);
    assert_true(clock_us() - began < (int64_t)timeout_ms * 5000);
    return g;
}

static void expect(enum manner manner, int timeout_ms, enum rpc_state state, const char *text)
{
    struct fake f;
    fake_start(&f, manner);
    struct got g = ask(f.base, "127.0.0.1", f.port, timeout_ms, false);
    if (g.report.state != state || !strstr(g.text, text))
        fail_msg("manner %d: state %d, %s", manner, g.report.state, g.text);
    fake_end(&f);
}

static void devices_and_their_memory(void **state)
{
    struct fake f;
    fake_start(&f, GOOD);
    struct got g = ask(f.base, "localhost", f.port, 4000, false);
    assert_int_equal(g.report.state, RPC_OK);
    assert_string_equal(g.text, "");
    assert_int_equal(g.report.major, 8);
    assert_int_equal(g.report.n_devices, 2);
    assert_int_equal(g.report.devices[0].total, UINT64_C(3) << 30);
    assert_int_equal(g.report.devices[1].free, (UINT64_C(1) << 30) + 1);
    assert_true(g.report.connect_ms >= 0);
    fake_end(&f);
}

static void what_is_wrong_is_told_apart(void **state)
{
    expect(SILENT, 150, RPC_SILENT, "serves another client");
    expect(CLOSES, 4000, RPC_CLOSED, "--allow");
    expect(HTTP, 4000, RPC_OTHER, "it speaks HTTP");
    expect(GARBAGE, 4000, RPC_OTHER, "is not an RPC server");
    expect(HALF, 150, RPC_OTHER, "stops half-way");
    expect(NO_DEVICE, 4000, RPC_OTHER, "lends no device");
    expect(NEWER, 4000, RPC_VERSION, "speaks version 9.0.0 of the RPC protocol, the coordinator here speaks 8");
    expect(OLDER, 4000, RPC_VERSION, "speaks version 3.1.2");
}

static void a_used_server_is_only_connected_to(void **state)
{
    struct fake f;
    fake_start(&f, SILENT);
    struct got g = ask(f.base, "127.0.0.1", f.port, 4000, true);
    assert_int_equal(g.report.state, RPC_OK);
    assert_int_equal(g.report.n_devices, 0);
    fake_end(&f);
}

/* However often a server is asked that does not answer, one question is open there. */
static void one_question_at_a_time(void **state)
{
    struct fake f;
    fake_start(&f, SILENT);
    for (int i = 0; i < 3; i++) {
        struct got g = ask(f.base, "127.0.0.1", f.port, 150, false);
        assert_int_equal(g.report.state, RPC_SILENT);
    }
    assert_int_equal(f.connections, 3);
    assert_int_equal(evbuffer_get_length(bufferevent_get_input(f.links[0])), 9 + 24);
    assert_int_equal(evbuffer_get_length(bufferevent_get_input(f.links[1])), 0);
    assert_int_equal(evbuffer_get_length(bufferevent_get_input(f.links[2])), 0);
    /* The answer to it comes late, to whoever holds it; then the next one is put. */
    f.manner = GOOD;
    on_read(f.links[0], &f);
    struct got g = ask(f.base, "127.0.0.1", f.port, 4000, false);
    assert_int_equal(g.report.state, RPC_OK);
    assert_int_equal(g.report.n_devices, 2);
    fake_end(&f);
}

static void nobody_there(void **state)
{
    struct fake f;
    fake_start(&f, GOOD);
    evconnlistener_free(f.listener);
    f.listener = NULL;
    struct got g = ask(f.base, "127.0.0.1", f.port, 4000, false);
    assert_int_equal(g.report.state, RPC_REFUSED);
    assert_non_null(strstr(g.text, "tightwad worker --listen"));
    g = ask(f.base, "no-such-machine.invalid", f.port, 4000, false);
    assert_int_equal(g.report.state, RPC_NO_NAME);
    assert_non_null(strstr(g.text, "no-such-machine.invalid: "));
    fake_end(&f);
}

/* A listener whose queue is full drops what comes, as a black hole does. */
static void a_black_hole(void **state)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM, 0), fill[8];
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(fd, 0), 0);
    getsockname(fd, (struct sockaddr *)&at, &len);
    for (size_t i = 0; i < ARRAY_LEN(fill); i++) {
        fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        connect(fill[i], (struct sockaddr *)&at, sizeof(at));
    }
    struct event_base *base = event_base_new();
    struct got g = ask(base, "127.0.0.1", ntohs(at.sin_port), 200, false);
    assert_int_equal(g.report.state, RPC_UNREACHABLE);
    assert_non_null(strstr(g.text, "(no answer)"));
    for (size_t i = 0; i < ARRAY_LEN(fill); i++)
        close(fill[i]);
    close(fd);
    event_base_free(base);
}

static void never(const struct rpc_report *r, void *arg)
{
    fail_msg("a report after the cancel");
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    rpc_query_cancel(*(struct rpc_query **)arg);
}

static void cancelled_at_any_time(void **state)
{
    struct fake f;
    fake_start(&f, SILENT);
    const struct rpc_ask a = {.host = "127.0.0.1", .port = f.port, .timeout_ms = 1000};
    const struct rpc_ask b = {.host = "no-such-machine.invalid", .port = 1, .timeout_ms = 1000};
    rpc_query_cancel(rpc_query_start(f.base, &a, never, NULL));
    rpc_query_cancel(rpc_query_start(f.base, &b, never, NULL));
    struct rpc_query *q = rpc_query_start(f.base, &a, never, NULL);
    event_base_once(f.base, -1, EV_TIMEOUT, on_tick, &q, &(struct timeval){.tv_usec = 30000});
    event_base_loopexit(f.base, &(struct timeval){.tv_usec = 60000});
    event_base_dispatch(f.base);
    assert_int_equal(f.connections, 1);
    fake_end(&f);
}

const struct CMUnitTest rpc_tests[] = {
    cmocka_unit_test(devices_and_their_memory),
    cmocka_unit_test(what_is_wrong_is_told_apart),
    cmocka_unit_test(a_used_server_is_only_connected_to),
    cmocka_unit_test(one_question_at_a_time),
    cmocka_unit_test(nobody_there),
    cmocka_unit_test(a_black_hole),
    cmocka_unit_test(cancelled_at_any_time),
};
const size_t rpc_count = ARRAY_LEN(rpc_tests);
