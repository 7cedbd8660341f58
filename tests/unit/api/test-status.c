#include "fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/history.h"
#include "api/metrics.h"
#include "api/snapshot-json.h"

/* Each number differs, so that a field under a wrong name shows. */
static void fill(struct snapshot *s)
{
    memset(s, 0, sizeof(*s));
    *s = (struct snapshot){.tick = 1,
                           .wall_ms = 2,
                           .uptime_ms = 3000,
                           .version = "0.1.0",
                           .model = "m\"x\\y\n",
                           .listen = "here",
                           .mode = "exact",
                           .speculating = true,
                           .exactness = "byte for byte",
                           .max_draft_tokens = 32,
                           .acceptance_source = "verified",
                           .rounds = 11,
                           .drafted = 12,
                           .accepted = 13,
                           .emitted = 14,
                           .draft_failures = 15,
                           .fallback_rounds = 16,
                           .resumed = 17,
                           .near_ties = 18,
                           .acceptance = 0.5,
                           .tokens_per_second = 19.5,
                           .tokens_per_round = 2.5,
                           .draft_ms = 1.5,
                           .verify_ms = 2500,
                           .wait_ms = NAN,
                           .wire_out = 21,
                           .wire_in = 22,
                           .requests_ok = 23,
                           .requests_failed = 24,
                           .requests_cancelled = 25,
                           .requests_refused = 26,
                           .running = 27,
                           .queued = 28,
                           .slots = 29,
                           .max_queue = 30,
                           .n_backends = 2,
                           .n_requests = 1,
                           .n_log = 1};
    s->backend[0] = (struct snapshot_backend){.role = ROLE_TARGET,
                                              .name = "big",
                                              .kind = "node",
                                              .health = HEALTH_UP,
                                              .active = true,
                                              .rtt_us = 1500,
                                              .calls = 31,
                                              .failures = 32,
                                              .drafted = 9,
                                              .tokens_per_second = NAN,
                                              .call_ms = 33};
    s->backend[1] = (struct snapshot_backend){.role = ROLE_DRAFTER,
                                              .name = "small",
                                              .kind = "ollama",
                                              .reason = "cut \xe2\x82",
                                              .health = HEALTH_UNKNOWN,
                                              .rtt_us = -1,
                                              .calls = 34,
                                              .drafted = 35,
                                              .accepted = 36,
                                              .wins = 38,
                                              .offered = 39,
                                              .tokens_per_second = 37,
                                              .call_ms = NAN};
    s->request[0] = (struct snapshot_request){.id = 41,
                                              .state = REQUEST_PREFILL,
                                              .model = "m",
                                              .prompt_tokens = -1,
                                              .seconds = 1,
                                              .first_token_seconds = NAN,
                                              .tokens_per_second = NAN};
    s->n_machines = 2;
    s->machine[0] = (struct snapshot_machine){.name = "here",
                                              .health = HEALTH_UP,
                                              .rtt_us = -1,
                                              .memory = 61,
                                              .memory_used = 62,
                                              .cpu = 0.25,
                                              .cores = 4,
                                              .n_gpus = 1};
    s->machine[0].gpu[0] = (struct snapshot_gpu){
        .name = "card", .memory = 63, .memory_used = -1, .utilisation = 0.75, .temperature = 64, .power = NAN};
    s->machine[1] = (struct snapshot_machine){.name = "far",
                                              .health = HEALTH_UNKNOWN,
                                              .rtt_us = -1,
                                              .memory = -1,
                                              .memory_used = -1,
                                              .cpu = NAN,
                                              .cores = -1};
    s->log[0] = (struct snapshot_log){.wall_ms = 51, .level = 2, .text = "words"};
}

static json_int_t integer(const json_t *o, const char *key)
{
    json_t *v = json_object_get(o, key);
    if (!json_is_integer(v))
        fail_msg("%s is not an integer", key);
    return json_integer_value(v);
}

static void snapshot_fields_stand_under_their_names(void **state)
{
    struct snapshot *s = calloc(1, sizeof(*s));
    fill(s);
    json_t *o = snapshot_to_json(s);
    static const struct {
        const char *key;
        int value;
    } expect[] = {{"tick", 1},
                  {"wall_ms", 2},
                  {"uptime_ms", 3000},
                  {"max_draft_tokens", 32},
                  {"rounds", 11},
                  {"drafted", 12},
                  {"accepted", 13},
                  {"emitted", 14},
                  {"draft_failures", 15},
                  {"fallback_rounds", 16},
                  {"resumed", 17},
                  {"near_ties", 18},
                  {"wire_out", 21},
                  {"wire_in", 22},
                  {"requests_ok", 23},
                  {"requests_failed", 24},
                  {"requests_cancelled", 25},
                  {"requests_refused", 26},
                  {"running", 27},
                  {"queued", 28},
                  {"slots", 29},
                  {"max_queue", 30}};
    for (size_t i = 0; i < sizeof(expect) / sizeof(*expect); i++)
        assert_int_equal(integer(o, expect[i].key), expect[i].value);
    assert_true(json_is_true(json_object_get(o, "speculating")));
    assert_true(json_real_value(json_object_get(o, "acceptance")) == 0.5);
    json_t *drafter = json_array_get(json_object_get(o, "backends"), 1);
    assert_string_equal(json_string_value(json_object_get(drafter, "role")), "drafter");
    assert_string_equal(json_string_value(json_object_get(drafter, "health")), "unknown");
    assert_string_equal(json_string_value(json_object_get(drafter, "reason")), "cut \xef\xbf\xbd");
    assert_int_equal(integer(drafter, "accepted"), 36);
    json_t *request = json_array_get(json_object_get(o, "requests"), 0);
    assert_string_equal(json_string_value(json_object_get(request, "state")), "prefill");
    json_t *line = json_array_get(json_object_get(o, "log"), 0);
    assert_string_equal(json_string_value(json_object_get(line, "level")), "warn");
    json_decref(o);
    free(s);
}

static void unknown_is_null_and_never_zero(void **state)
{
    struct snapshot *s = calloc(1, sizeof(*s));
    fill(s);
    s->acceptance = NAN;
    s->tokens_per_second = INFINITY;
    s->max_draft_tokens = CONFIG_AUTO;
    s->model[0] = '\0';
    json_t *o = snapshot_to_json(s);
    assert_true(json_is_null(json_object_get(o, "acceptance")));
    assert_true(json_is_null(json_object_get(o, "tokens_per_second")));
    assert_true(json_is_null(json_object_get(o, "wait_ms")));
    assert_true(json_is_null(json_object_get(o, "model")));
    assert_string_equal(json_string_value(json_object_get(o, "max_draft_tokens")), "auto");
    json_t *drafter = json_array_get(json_object_get(o, "backends"), 1);
    assert_true(json_is_null(json_object_get(drafter, "rtt_us")));
    assert_true(json_is_null(json_object_get(drafter, "call_ms")));
    json_t *request = json_array_get(json_object_get(o, "requests"), 0);
    assert_true(json_is_null(json_object_get(request, "prompt_tokens")));
    assert_true(json_is_null(json_object_get(request, "first_token_seconds")));
    char *text = json_dumps(o, 0);
    assert_non_null(text);
    free(text);
    json_decref(o);
    free(s);
}

static void status_is_served(void **state)
{
    struct fixture *fx = *state;
    fill(&fx->proxy->snapshot);
    struct reply r = call(fx, "/v1/tightwad/status", NULL, NULL);
    assert_int_equal(r.status, 200);
    json_t *o = snapshot_to_json(&fx->proxy->snapshot);
    assert_true(json_equal(r.json, o));
    json_decref(o);
    reply_finish(&r);
    assert_string_equal(fx->proxy->listen, api_url(fx->api));
}

static void health_follows_the_target(void **state)
{
    struct fixture *fx = *state;
    static const int status[] = {[HEALTH_UNKNOWN] = 503, [HEALTH_UP] = 200, [HEALTH_DOWN] = 503};
    for (int h = HEALTH_UNKNOWN; h <= HEALTH_DOWN; h++) {
        fx->proxy->snapshot.backend[0].health = (enum snapshot_health)h;
        struct reply r = call(fx, "/health", NULL, NULL);
        assert_int_equal(r.status, status[h]);
        reply_finish(&r);
    }
}

static void tick_at(struct fixture *fx, int64_t uptime_ms, uint64_t drafted, uint64_t accepted, uint64_t emitted)
{
    struct snapshot *s = &fx->proxy->snapshot;
    s->uptime_ms = uptime_ms;
    s->wall_ms = 1000000 + uptime_ms;
    s->drafted = drafted;
    s->accepted = accepted;
    s->emitted = emitted;
    fake_proxy_tick(fx->proxy);
}

static double number_at(const json_t *o, const char *key, size_t i)
{
    return json_number_value(json_array_get(json_object_get(o, key), i));
}

static void history_is_per_second(void **state)
{
    struct fixture *fx = *state;
    tick_at(fx, 0, 0, 0, 0);
    tick_at(fx, 250, 10, 5, 5);
    tick_at(fx, 1000, 20, 15, 40);
    tick_at(fx, 3000, 20, 15, 60); /* a late tick: 20 tokens in 2 s */
    struct reply r = call(fx, "/v1/tightwad/history", NULL, NULL);
    assert_int_equal(r.status, 200);
    assert_int_equal(json_array_size(json_object_get(r.json, "wall_ms")), 2);
    assert_true(number_at(r.json, "acceptance", 0) == 0.75);
    assert_true(number_at(r.json, "tokens_per_second", 0) == 40);
    assert_true(json_is_null(json_array_get(json_object_get(r.json, "acceptance"), 1)));
    assert_true(number_at(r.json, "tokens_per_second", 1) == 10);
    reply_finish(&r);
}

static void history_keeps_ten_minutes(void **state)
{
    struct fixture *fx = *state;
    for (int i = 0; i <= HISTORY_SAMPLES + 5; i++)
        tick_at(fx, i * 1000, 0, 0, (uint64_t)i);
    struct reply r = call(fx, "/v1/tightwad/history", NULL, NULL);
    json_t *wall = json_object_get(r.json, "wall_ms");
    assert_int_equal(json_array_size(wall), HISTORY_SAMPLES);
    assert_int_equal(json_integer_value(json_array_get(wall, 0)), 1000000 + 6000);
    assert_int_equal(json_integer_value(json_array_get(wall, HISTORY_SAMPLES - 1)), 1000000 + 605000);
    reply_finish(&r);
}

static void metrics_use_base_units(void **state)
{
    struct snapshot *s = calloc(1, sizeof(*s));
    fill(s);
    struct buf out;
    buf_init(&out, 262144);
    assert_true(metrics_write(&out, s, &(struct httpd_counters){.requests = 61, .connections = 2},
                              &(struct events_counters){.readers = 3, .skipped = 4}));
    has_line(out.data,
             "tightwad_info{version=\"0.1.0\",model=\"m\\\"x\\\\y\\n\",exactness=\"byte for byte\",mode=\"exact\"} 1");
    has_line(out.data, "tightwad_uptime_seconds 3");
    has_line(out.data, "# TYPE tightwad_drafted_tokens_total counter");
    has_line(out.data, "tightwad_drafted_tokens_total 12");
    has_line(out.data, "tightwad_acceptance_ratio 0.5");
    has_line(out.data, "tightwad_round_verify_seconds 2.5");
    has_line(out.data, "tightwad_requests_total{result=\"refused\"} 26");
    has_line(out.data, "tightwad_backend_up{role=\"target\",name=\"big\",kind=\"node\"} 1");
    has_line(out.data, "tightwad_backend_round_trip_seconds{role=\"target\",name=\"big\",kind=\"node\"} 0.0015");
    has_line(out.data, "tightwad_backend_accepted_tokens_total{role=\"drafter\",name=\"small\",kind=\"ollama\"} 36");
    has_line(out.data, "tightwad_backend_wins_total{role=\"drafter\",name=\"small\",kind=\"ollama\"} 38");
    has_line(out.data, "tightwad_backend_offered_total{role=\"drafter\",name=\"small\",kind=\"ollama\"} 39");
    has_line(out.data, "tightwad_backend_resting{role=\"drafter\",name=\"small\",kind=\"ollama\"} 0");
    has_line(out.data, "tightwad_http_requests_total 61");
    has_line(out.data, "tightwad_events_skipped_total 4");
    has_line(out.data, "tightwad_machine_memory_used_bytes{machine=\"here\",address=\"\"} 62");
    has_line(out.data, "tightwad_machine_busy_ratio{machine=\"here\",address=\"\"} 0.25");
    has_line(out.data, "tightwad_gpu_busy_ratio{machine=\"here\",address=\"\",gpu=\"0\",name=\"card\"} 0.75");
    /* unknown: no sample */
    assert_null(strstr(out.data, "machine=\"far\""));
    assert_null(strstr(out.data, "tightwad_gpu_power_watts"));
    assert_null(strstr(out.data, "tightwad_gpu_memory_used_bytes"));
    assert_null(strstr(out.data, "tightwad_round_wait_seconds"));
    assert_null(strstr(out.data, "tightwad_backend_up{role=\"drafter\""));
    assert_null(strstr(out.data, "tightwad_backend_drafted_tokens_total{role=\"target\""));
    assert_null(strstr(out.data, "nan"));
    buf_finish(&out);
    free(s);
}

static void metrics_are_served(void **state)
{
    struct fixture *fx = *state;
    struct reply r = call(fx, "/metrics", NULL, NULL);
    assert_int_equal(r.status, 200);
    has_line(r.body, "tightwad_rounds_total 0");
    reply_finish(&r);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)

const struct CMUnitTest status_tests[] = {
    cmocka_unit_test(snapshot_fields_stand_under_their_names),
    cmocka_unit_test(unknown_is_null_and_never_zero),
    TEST(status_is_served),
    TEST(health_follows_the_target),
    TEST(history_is_per_second),
    TEST(history_keeps_ten_minutes),
    cmocka_unit_test(metrics_use_base_units),
    TEST(metrics_are_served),
};
const size_t status_count = sizeof(status_tests) / sizeof(*status_tests);
