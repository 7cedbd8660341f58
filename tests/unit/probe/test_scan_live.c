/* A scan on a loop: it ends by its deadline whatever it meets, tells how far it is, and can be given up at any moment.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/listener.h>

#include "base/mem.h"
#include "probe/scan.h"

enum { LINKS_MAX = 64 };

/* A server that takes connections and says nothing, and one scan of it. */
struct scene {
    struct event_base *base;
    struct httpc *http;
    struct evconnlistener *silent;
    int link[LINKS_MAX];
    size_t n_links;
    char host[32];
    size_t done, total, progresses, ends, n;
    bool back, timed_out;
    size_t n_notes;
};

static void on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *from, int len, void *arg)
{
    struct scene *s = arg;
    (void)l;
    (void)from;
    (void)len;
    if (s->n_links < LINKS_MAX)
        s->link[s->n_links++] = fd;
    else
        close(fd);
}

static int setup(void **state)
{
    struct scene *s = xcalloc(1, sizeof(*s));
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    s->base = event_base_new();
    s->http = httpc_create(s->base);
    s->silent =
        evconnlistener_new_bind(s->base, on_accept, s, LEV_OPT_CLOSE_ON_FREE, 16, (struct sockaddr *)&at, sizeof(at));
    assert_non_null(s->silent);
    getsockname(evconnlistener_get_fd(s->silent), (struct sockaddr *)&at, &len);
    snprintf(s->host, sizeof(s->host), "127.0.0.1:%d", ntohs(at.sin_port));
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct scene *s = *state;
    for (size_t i = 0; i < s->n_links; i++)
        close(s->link[i]);
    evconnlistener_free(s->silent);
    httpc_destroy(s->http);
    event_base_free(s->base);
    free(s);
    return 0;
}

static void on_progress(size_t done, size_t total, const struct machine *found, void *arg)
{
    struct scene *s = arg;
    (void)found;
    s->back = s->back || done < s->done || done > total;
    s->done = done;
    s->total = total;
    s->progresses++;
}

static void on_done(struct machine *list, size_t n, const struct scan_summary *sum, void *arg)
{
    struct scene *s = arg;
    s->ends++;
    s->n = n;
    s->timed_out = sum->timed_out;
    s->n_notes = sum->n_notes;
    for (size_t i = 0; i < n; i++)
        machine_finish(&list[i]);
    free(list);
    event_base_loopbreak(s->base);
}

static struct scan *start(struct scene *s, struct scan_opts opts, size_t n_hosts)
{
    const char *hosts[] = {s->host, "127.0.0.1:1", "no-such-machine.invalid"};
    char *cause = NULL;
    opts.hosts = hosts;
    opts.n_hosts = n_hosts;
    opts.no_loopback = opts.no_local = true;
    struct scan *scan = scan_start(s->base, s->http, &opts, on_progress, on_done, s, &cause);
    assert_non_null(scan);
    assert_int_equal(s->ends, 0); /* never before it has returned */
    return scan;
}

static void test_deadline(void **state)
{
    struct scene *s = *state;
    start(s, (struct scan_opts){.timeout_ms = 150}, 1);
    event_base_dispatch(s->base);
    assert_int_equal(s->ends, 1);
    assert_true(s->timed_out);
    assert_int_equal(s->n, 0);
}

static void test_silent(void **state)
{
    struct scene *s = *state;
    start(s, (struct scan_opts){0}, 1);
    event_base_dispatch(s->base);
    assert_int_equal(s->ends, 1);
    assert_false(s->timed_out);
    assert_false(s->back);
    assert_int_equal(s->n, 0);
    assert_int_equal(s->n_notes, 1); /* it was named, and is nothing */
    assert_int_equal(s->done, s->total);
    assert_int_equal(s->total, 1);
    assert_true(s->progresses > 0);
}

static void test_nothing(void **state)
{
    struct scene *s = *state;
    char *cause = NULL;
    const struct scan_opts opts = {.no_loopback = true, .no_local = true};
    assert_non_null(scan_start(s->base, s->http, &opts, NULL, on_done, s, &cause));
    assert_int_equal(s->ends, 0);
    event_base_dispatch(s->base);
    assert_int_equal(s->ends, 1);
}

/* Whatever is under way: a look-up, a connection, a question. */
static void test_cancel(void **state)
{
    struct scene *s = *state;
    for (int turns = 0; turns < 12; turns++) {
        struct scan *scan = start(s, (struct scan_opts){.ask_workers = true}, 3);
        for (int i = 0; i < turns; i++)
            event_base_loop(s->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
        scan_cancel(scan);
    }
    for (int i = 0; i < 20; i++)
        event_base_loop(s->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    assert_int_equal(s->ends, 0);
    scan_cancel(NULL);
}

static void test_refused(void **state)
{
    struct scene *s = *state;
    const char *wrong[] = {"nonsense"};
    char *cause = NULL;
    struct scan_opts opts = {.subnets = wrong, .n_subnets = 1};
    assert_null(scan_start(s->base, s->http, &opts, NULL, on_done, s, &cause));
    assert_non_null(strstr(cause, "nonsense"));
    free(cause);
    cause = NULL;
    wrong[0] = "a/b";
    opts = (struct scan_opts){.hosts = wrong, .n_hosts = 1};
    assert_null(scan_start(s->base, s->http, &opts, NULL, on_done, s, &cause));
    assert_non_null(strstr(cause, "a/b"));
    free(cause);
}

const struct CMUnitTest scan_live_tests[] = {
    cmocka_unit_test_setup_teardown(test_deadline, setup, teardown),
    cmocka_unit_test_setup_teardown(test_silent, setup, teardown),
    cmocka_unit_test_setup_teardown(test_nothing, setup, teardown),
    cmocka_unit_test_setup_teardown(test_cancel, setup, teardown),
    cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
};
const size_t scan_live_count = ARRAY_LEN(scan_live_tests);
