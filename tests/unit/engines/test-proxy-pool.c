/* What a pool does to the proxy: no request is lost, and none is answered by a model that it did not ask for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "engines/audit.h"
#include "engines/proxy-internal.h"
#include "engines/proxy-pool.h"
#include "rig.h"

static bool up;
static int failures;

static void target_failed(void *arg, const struct backend_status *st)
{
    (void)arg;
    assert_int_not_equal(st->error, BACKEND_OK);
    failures++;
}

static void target_changed(void *arg, bool is_up)
{
    (void)arg;
    up = is_up;
}

static bool knows_model(void *arg, const char *name, size_t n)
{
    (void)arg;
    return n == 5 && strncmp(name, "third", n) == 0;
}

static void fill(void *arg, struct snapshot_pool *out)
{
    (void)arg;
    out->configured = true;
}

static const struct proxy_pool_ops ops = {target_failed, target_changed, knows_model, fill};

static void turn_until(struct rig *r, const bool *flag)
{
    int64_t end = clock_us() + 10 * 1000 * 1000;
    while (!*flag) {
        assert_true(clock_us() < end);
        event_base_loop(r->base, EVLOOP_ONCE);
    }
}

static void turn_for(struct rig *r, int ms)
{
    event_base_loopexit(r->base, &(struct timeval){0, ms * 1000});
    event_base_dispatch(r->base);
}

static void set_target(struct rig *r, const char *url, const char *model)
{
    char *cause = NULL;
    struct config_server given = {.url = (char *)url, .model_name = (char *)model, .backend = (char *)"node"}, s;
    assert_int_equal(config_server_init(&s, &given, &cause), 0);
    up = false;
    assert_int_equal(proxy_pool_set_target(r->proxy, &s, &cause), 0);
    config_server_finish(&s);
    turn_until(r, &up);
}

static void start(struct rig *r)
{
    rig_start(r, 5, 8);
    proxy_pool_attach(r->proxy, &ops, NULL);
    set_target(r, r->target_url, "first");
    assert_true(proxy_snapshot(r->proxy)->pool.configured);
}

static void set_flag(void *arg)
{
    *(bool *)arg = true;
}

static void a_swap_parts_the_requests(void **state)
{
    (void)state;
    struct rig r;
    struct fake_node other;
    struct client running, named, unnamed, coming, late;
    bool idle = false;
    char url[64];
    start(&r);
    fake_node_start(&other, r.base, 99);
    rig_ask(&r, &running, "one", "\"max_tokens\":30");
    turn_for(&r, 1);
    proxy_pool_hold(r.proxy, "second", set_flag, &idle);
    rig_ask(&r, &unnamed, "two", "\"max_tokens\":30");
    rig_ask(&r, &coming, "three", "\"max_tokens\":30,\"model\":\"second@target\"");
    rig_ask(&r, &late, "four", "\"max_tokens\":30,\"model\":\"first\"");
    assert_int_equal(late.status, 404); /* the swap has begun */
    turn_until(&r, &idle);
    assert_true(running.over && running.status == 0);
    assert_true(!unnamed.over && !coming.over);
    turn_for(&r, 50);
    assert_true(!unnamed.over && !coming.over);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d", other.port);
    set_target(&r, url, "second");
    unsigned asked = r.target.verifies + r.target.generates;
    proxy_pool_release(r.proxy, NULL);
    rig_run(&r);
    assert_int_equal(unnamed.status, 0);
    assert_int_equal(coming.status, 0);
    assert_int_equal(r.target.verifies + r.target.generates, asked);
    assert_true(other.verifies + other.generates > 0);
    rig_ask(&r, &named, "five", "\"model\":\"first\"");
    assert_int_equal(named.status, 404);
    struct client *all[] = {&running, &named, &unnamed, &coming, &late};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        buf_finish(&all[i]->text);
    fake_node_stop(&other);
    rig_stop(&r);
}

/* The next model's server is known by its name before it is the target: who asked for it is not answered sooner, by a
 * target that has the old name still. */
static void the_next_one_is_awaited(void **state)
{
    (void)state;
    struct rig r;
    struct client coming, gone;
    bool idle = false;
    start(&r);
    proxy_pool_hold(r.proxy, "second", set_flag, &idle);
    rig_ask(&r, &coming, "a", "\"max_tokens\":10,\"model\":\"second@exact\"");
    turn_until(&r, &idle);
    struct backend_info *info = &r.proxy->target->backend->info;
    free(info->model);
    info->model = xstrdup("second");
    turn_for(&r, 100);
    assert_false(coming.over);
    assert_true(proxy_is_quiet(r.proxy));
    set_target(&r, r.target_url, "second");
    proxy_pool_release(r.proxy, NULL);
    rig_run(&r);
    assert_int_equal(coming.status, 0);
    /* A model may be called what every target is called. */
    set_target(&r, r.target_url, "target");
    proxy_pool_hold(r.proxy, "third", set_flag, &idle);
    rig_ask(&r, &gone, "b", "\"model\":\"target@exact\"");
    assert_int_equal(gone.status, 404);
    buf_finish(&coming.text);
    buf_finish(&gone.text);
    rig_stop(&r);
}

static void not_over(void *arg, const struct backend_status *st, size_t read)
{
    (void)arg;
    (void)st;
    (void)read;
    fail();
}

/* What is still checked of an answer that is over is not checked on by a server that is gone. */
static void a_swap_ends_the_audits(void **state)
{
    (void)state;
    struct rig r;
    struct fake_node other;
    struct sampler_params params;
    char url[64];
    start(&r);
    fake_node_start(&other, r.base, 99);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d", other.port);
    r.target.mute = true;
    sampler_params_init(&params);
    struct member *target = r.proxy->target;
    for (int i = 0; i < 3; i++) {
        int32_t path[8] = {5, 6, 7, 8, 9, 10, 11, 12};
        struct audit *u = audit_create(r.proxy, target, not_over, NULL);
        audit_add(u, 4, 4);
        audit_leave(u, backend_session_open(target->backend, &params, 4), xmemdup(path, sizeof(path)));
    }
    assert_int_equal(r.proxy->consensus.n_left, 3);
    turn_for(&r, 50);
    set_target(&r, url, "second");
    assert_int_equal(r.proxy->consensus.n_left, 0);
    turn_for(&r, 50);
    sampler_params_finish(&params);
    fake_node_stop(&other);
    rig_stop(&r);
}

/* Those that named the old model before the swap began are answered by it. */
static void queued_names_are_kept(void **state)
{
    (void)state;
    struct rig r;
    struct client c[8], named;
    bool idle = false;
    start(&r);
    size_t slots = proxy_snapshot(r.proxy)->slots;
    assert_true(slots < ARRAY_LEN(c));
    for (size_t i = 0; i < slots; i++)
        rig_ask(&r, &c[i], "busy", "\"max_tokens\":50");
    rig_ask(&r, &named, "named", "\"max_tokens\":20,\"model\":\"first\"");
    proxy_pool_hold(r.proxy, "second", set_flag, &idle);
    turn_until(&r, &idle);
    assert_true(named.over);
    assert_int_equal(named.status, 0);
    for (size_t i = 0; i < slots; i++)
        buf_finish(&c[i].text);
    buf_finish(&named.text);
    proxy_pool_release(r.proxy, NULL);
    rig_run(&r);
    rig_stop(&r);
}

static void a_failed_swap_fails_who_named_it(void **state)
{
    (void)state;
    struct rig r;
    struct client coming, any;
    bool idle = false;
    start(&r);
    proxy_pool_hold(r.proxy, "second", set_flag, &idle);
    rig_ask(&r, &coming, "a", "\"model\":\"second\"");
    rig_ask(&r, &any, "b", "\"max_tokens\":10");
    turn_until(&r, &idle);
    proxy_pool_release(r.proxy, "its file is gone");
    rig_run(&r);
    assert_int_equal(coming.status, 503);
    assert_int_equal(any.status, 0);
    buf_finish(&coming.text);
    buf_finish(&any.text);
    rig_ask(&r, &coming, "c", "\"model\":\"third\"");
    assert_int_equal(coming.status, 404);
    buf_finish(&coming.text);
    rig_stop(&r);
}

/* What the model's entry says of the longest answer holds for requests that name none. */
static void a_models_own_length(void **state)
{
    (void)state;
    struct rig r;
    struct client c, d;
    start(&r);
    proxy_pool_set_predict(r.proxy, 7);
    rig_ask(&r, &c, "a", "");
    rig_ask(&r, &d, "b", "\"max_tokens\":12");
    rig_run(&r);
    assert_int_equal(c.usage.completion_tokens, 7);
    assert_int_equal(d.usage.completion_tokens, 12);
    buf_finish(&c.text);
    buf_finish(&d.text);
    rig_stop(&r);
}

/* A target on its way is waited for longer than target_wait; one that was stopped is not waited for. */
static void hope_decides_the_waiting(void **state)
{
    (void)state;
    struct rig r;
    struct client c, d;
    start(&r);
    r.cfg.proxy.target_wait_ms = 300;
    char *cause = NULL;
    assert_int_equal(proxy_reload(r.proxy, &r.cfg, &cause), 0);
    struct config_server nowhere = {
        .name = (char *)"t", .url = (char *)"http://127.0.0.1:9", .backend = (char *)"node"};
    assert_int_equal(proxy_pool_set_target(r.proxy, &nowhere, &cause), 0);
    proxy_pool_expect(r.proxy, PROXY_POOL_COMING, "it loads");
    rig_ask(&r, &c, "a", "\"max_tokens\":10");
    turn_for(&r, 900);
    assert_false(c.over);
    assert_non_null(strstr(proxy_snapshot(r.proxy)->why_not, "it loads"));
    proxy_pool_expect(r.proxy, PROXY_POOL_AWAITED, "it does not come");
    turn_for(&r, 100);
    assert_false(c.over); /* what it waited before does not count */
    rig_run(&r);
    assert_int_equal(c.status, 503);
    proxy_pool_expect(r.proxy, PROXY_POOL_OFF, "stopped");
    r.cfg.proxy.target_wait_ms = 60000;
    assert_int_equal(proxy_reload(r.proxy, &r.cfg, &cause), 0);
    int64_t begun = clock_us();
    rig_ask(&r, &d, "b", "\"max_tokens\":10");
    rig_run(&r);
    assert_int_equal(d.status, 503);
    assert_true(clock_us() - begun < 5 * 1000 * 1000);
    buf_finish(&c.text);
    buf_finish(&d.text);
    rig_stop(&r);
}

/* A target that says nothing is told to whoever runs it, after the time that a restart would take. */
static void a_hang_is_told(void **state)
{
    (void)state;
    struct rig r;
    struct client c;
    start(&r);
    r.target.mute = true;
    proxy_pool_set_patience(r.proxy, 100);
    proxy_pool_expect(r.proxy, PROXY_POOL_COMING, NULL);
    failures = 0;
    rig_ask(&r, &c, "a", "\"max_tokens\":4");
    int64_t begun = clock_us();
    while (failures == 0) {
        assert_true(clock_us() - begun < 10 * 1000 * 1000);
        event_base_loop(r.base, EVLOOP_ONCE);
    }
    r.target.mute = false;
    proxy_pool_probe(r.proxy);
    rig_run(&r);
    assert_int_equal(c.status, 0);
    buf_finish(&c.text);
    rig_stop(&r);
}

const struct CMUnitTest proxy_pool_tests[] = {
    cmocka_unit_test(a_swap_parts_the_requests),        cmocka_unit_test(a_swap_ends_the_audits),
    cmocka_unit_test(the_next_one_is_awaited),          cmocka_unit_test(queued_names_are_kept),
    cmocka_unit_test(a_failed_swap_fails_who_named_it), cmocka_unit_test(a_models_own_length),
    cmocka_unit_test(hope_decides_the_waiting),         cmocka_unit_test(a_hang_is_told),
};
const size_t proxy_pool_count = ARRAY_LEN(proxy_pool_tests);
