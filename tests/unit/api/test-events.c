#include "fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/bufferevent.h>

#include "api/events.h"

static const char ask[] = "GET /v1/tightwad/events HTTP/1.1\r\nHost: localhost\r\n\r\n";
static const char ask_quiet[] = "GET /v1/tightwad/events?rounds=0 HTTP/1.1\r\nHost: localhost\r\n\r\n";

static const struct snapshot_round some_round = {.request = 3,
                                                 .round = 5,
                                                 .drafter = "small",
                                                 .drafted = 8,
                                                 .accepted = 6,
                                                 .emitted = 7,
                                                 .draft_ms = 1.5,
                                                 .verify_ms = 2.5,
                                                 .wait_ms = NAN,
                                                 .round_ms = 4.5};

static void ticks_and_rounds_are_told(void **state)
{
    struct fixture *fx = *state;
    struct raw *all = raw_open(fx, ask), *quiet = raw_open(fx, ask_quiet);
    raw_expect(all, "event: snapshot\ndata: {\"tick\":0,");
    raw_expect(quiet, "event: snapshot\ndata: {\"tick\":0,");
    assert_non_null(strcasestr(all->got.data, "content-type: text/event-stream"));
    fake_proxy_round(fx->proxy, &some_round);
    fake_proxy_tick(fx->proxy);
    raw_expect(all, "event: snapshot\ndata: {\"tick\":1,");
    raw_expect(quiet, "event: snapshot\ndata: {\"tick\":1,");
    assert_non_null(strstr(all->got.data, "event: round\ndata: {\"request\":3,\"round\":5,\"drafter\":\"small\","
                                          "\"drafted\":8,\"accepted\":6,\"emitted\":7,\"draft_ms\":1.5,"
                                          "\"verify_ms\":2.5,\"wait_ms\":null,\"predicted_ms\":null,"
                                          "\"round_ms\":4.5}\n\n"));
    assert_null(strstr(quiet->got.data, "event: round"));
    raw_close(all);
    raw_close(quiet);
    run_for(fx, 20);
    fake_proxy_tick(fx->proxy); /* to nobody */
}

static const char ask_live[] = "GET /v1/tightwad/events?rounds=0&live=1 HTTP/1.1\r\nHost: localhost\r\n\r\n";

static void the_text_is_told_once_and_before_the_tick(void **state)
{
    struct fixture *fx = *state;
    struct live *l = &fx->proxy->live;
    live_restart(l, 7);
    live_add_text(l, "hel", 3, LIVE_TARGET, 0);
    struct raw *r = raw_open(fx, ask_live), *other = raw_open(fx, ask);
    raw_expect(r, "event: live\ndata: {\"request\":7,\"from\":0,\"text\":\"hel\"");
    raw_expect(r, "event: snapshot\ndata: {\"tick\":0,");
    live_add_text(l, "lo", 2, LIVE_DRAFTER, 1);
    fake_proxy_tick(fx->proxy);
    raw_expect(r, "\"from\":3,\"text\":\"lo\",\"pieces\":[[2,\"drafter\",1]]");
    raw_expect(r, "\"tick\":1,");
    fake_proxy_tick(fx->proxy);
    raw_expect(r, "\"tick\":2,");
    raw_expect(other, "\"tick\":2,");
    size_t n = 0;
    for (const char *s = r->got.data; (s = strstr(s, "event: live")) != NULL; s++)
        n++;
    assert_int_equal(n, 2); /* nothing new: no event */
    assert_true(strstr(r->got.data, "event: live") < strstr(r->got.data, "event: snapshot"));
    assert_null(strstr(other->got.data, "event: live"));
    assert_null(strstr(other->got.data, "hel"));
    raw_close(r);
    raw_close(other);
    run_for(fx, 20);
}

static void the_text_is_for_those_who_may_command(void **state)
{
    struct fixture *fx = *state;
    live_restart(&fx->proxy->live, 7);
    live_add_text(&fx->proxy->live, "secret", 6, LIVE_TARGET, 0);
    static const char *const from_page[] = {"Origin: http://evil.example", NULL};
    struct reply r = call(fx, "/v1/tightwad/events?live=1", NULL, from_page);
    assert_int_equal(r.status, 403);
    assert_null(strstr(r.body, "secret"));
    reply_finish(&r);
    r = call(fx, "/v1/tightwad/status", NULL, NULL);
    assert_null(strstr(r.body, "secret"));
    reply_finish(&r);
    fixture_close(fx);
    fx->cfg.proxy.auth_token = (char *)"sesame";
    fixture_open(fx);
    r = call(fx, "/v1/tightwad/events?live=1", NULL, NULL);
    assert_int_equal(r.status, 401);
    reply_finish(&r);
    struct raw *raw = raw_open(fx, "GET /v1/tightwad/events?live=1 HTTP/1.1\r\nHost: localhost\r\n"
                                   "Authorization: Bearer sesame\r\n\r\n");
    raw_expect(raw, "secret");
    raw_close(raw);
    run_for(fx, 20);
}

static size_t snapshots(const struct raw *r)
{
    size_t n = 0;
    for (const char *s = r->got.data; (s = strstr(s, "event: snapshot")); s++)
        n++;
    return n;
}

static void a_slow_reader_misses_ticks(void **state)
{
    struct fixture *fx = *state;
    struct raw *slow = raw_open(fx, ask), *quick = raw_open(fx, ask);
    raw_expect(slow, "\"tick\":0,");
    raw_expect(quick, "\"tick\":0,");
    struct snapshot *s = &fx->proxy->snapshot;
    s->n_log = SNAPSHOT_LOG;
    for (size_t i = 0; i < SNAPSHOT_LOG; i++)
        memset(s->log[i].text, 'x', sizeof(s->log[i].text) - 1);
    bufferevent_disable(slow->bev, EV_READ);
    enum { TICKS = 2000 }; /* some 20 MB */
    for (int i = 0; i < TICKS; i++) {
        fake_proxy_tick(fx->proxy);
        event_base_loop(fx->base, EVLOOP_NONBLOCK);
        event_base_loop(fx->base, EVLOOP_NONBLOCK);
    }
    struct reply r = call(fx, "/metrics", NULL, NULL);
    const char *skipped = strstr(r.body, "\ntightwad_events_skipped_total ");
    assert_non_null(skipped);
    assert_true(atof(strchr(skipped + 1, ' ')) > 0);
    reply_finish(&r);
    bufferevent_enable(slow->bev, EV_READ);
    fake_proxy_tick(fx->proxy);
    run_for(fx, 200);
    s->tick = 999999;
    fake_proxy_tick(fx->proxy);
    raw_expect(slow, "\"tick\":1000000,");
    assert_non_null(strstr(slow->got.data, " events skipped\n"));
    assert_true(snapshots(slow) < TICKS);
    assert_true(snapshots(quick) > snapshots(slow));
    raw_close(slow);
    raw_close(quick);
    run_for(fx, 20);
}

static void readers_are_limited(void **state)
{
    struct fixture *fx = *state;
    struct raw *r[EVENTS_READERS];
    for (size_t i = 0; i < EVENTS_READERS; i++) {
        r[i] = raw_open(fx, ask);
        raw_expect(r[i], "event: snapshot");
    }
    struct reply one_more = call(fx, "/v1/tightwad/events", NULL, NULL);
    assert_int_equal(one_more.status, 503);
    reply_finish(&one_more);
    raw_close(r[0]);
    run_for(fx, 50);
    r[0] = raw_open(fx, ask); /* a place has become free */
    raw_expect(r[0], "event: snapshot");
    for (size_t i = 0; i < EVENTS_READERS; i++)
        raw_close(r[i]);
}

static void on_drained(void *arg)
{
    *(bool *)arg = true;
}

static bool is_true(void *arg)
{
    return *(bool *)arg;
}

static void draining_ends_the_streams(void **state)
{
    struct fixture *fx = *state;
    struct raw *r = raw_open(fx, ask);
    raw_expect(r, "event: snapshot");
    bool drained = false;
    api_drain(fx->api, on_drained, &drained);
    raw_expect(r, "\r\n0\r\n\r\n"); /* the last chunk: the body is complete */
    run_until(fx, is_true, &drained);
    raw_close(r);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)

const struct CMUnitTest events_tests[] = {
    TEST(ticks_and_rounds_are_told),
    TEST(the_text_is_told_once_and_before_the_tick),
    TEST(the_text_is_for_those_who_may_command),
    TEST(a_slow_reader_misses_ticks),
    TEST(readers_are_limited),
    TEST(draining_ends_the_streams),
};
const size_t events_count = sizeof(events_tests) / sizeof(*events_tests);
