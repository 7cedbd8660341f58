#include "fixture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "api/metrics-swarm.h"

#define ID_A "aaaaaaaaaaaaaaaa0000000000000000000000000000000000000000000000"
#define LABELS "{id=\"aaaaaaaaaaaaaaaa\",model=\"qwen\\\"3\"}"

static char *write_swarm(const struct snapshot *s)
{
    struct buf out;
    buf_init(&out, 1 << 18);
    assert_true(metrics_swarm(&out, s));
    return buf_steal(&out);
}

static void nothing_of_a_swarm_that_is_off(void **state)
{
    struct snapshot *s = calloc(1, sizeof(*s));
    (void)state;
    s->swarm.n_models = 1;
    char *text = write_swarm(s);
    assert_string_equal(text, "");
    free(text);
    free(s);
}

static void the_swarm_is_counted(void **state)
{
    struct snapshot *s = calloc(1, sizeof(*s));
    struct swarm_view *v = &s->swarm;
    (void)state;
    v->on = true;
    v->down = 1000;
    v->up = NAN;
    v->fetched = 5000000000;
    v->sent = 7;
    v->uploads = 3;
    v->waiting = 2;
    v->slowest_ms = 4;
    v->models_in_all = 20;
    v->peers_in_all = 5;
    char *text = write_swarm(s);
    has_line(text, "# TYPE tightwad_swarm_fetched_bytes_total counter\ntightwad_swarm_fetched_bytes_total 5000000000");
    has_line(text, "tightwad_swarm_sent_bytes_total 7");
    has_line(text, "tightwad_swarm_download_bytes_per_second 1000");
    assert_null(strstr(text, "tightwad_swarm_upload_bytes_per_second"));
    has_line(text, "tightwad_swarm_uploads 3");
    has_line(text, "tightwad_swarm_uploads_waiting 2");
    has_line(text, "tightwad_swarm_models 20");
    has_line(text, "tightwad_swarm_peers 5");
    has_line(text, "tightwad_swarm_slowest_callback_seconds 0.004");
    assert_null(strstr(text, "tightwad_swarm_model_"));
    free(text);
    free(s);
}

static void each_model_has_its_series(void **state)
{
    struct snapshot *s = calloc(1, sizeof(*s));
    struct swarm_view *v = &s->swarm;
    (void)state;
    v->on = true;
    v->n_models = 3;
    v->model[0] = (struct swarm_view_model){.id = ID_A,
                                            .name = "qwen\"3",
                                            .state = SWARM_FETCHING,
                                            .size = 100,
                                            .wanted = 50,
                                            .have = 0,
                                            .fetched = 11,
                                            .copied = 12,
                                            .wasted = 13,
                                            .sent = 14,
                                            .down = 15,
                                            .up = 0,
                                            .eta = 16,
                                            .availability = 1.5,
                                            .pieces = 4,
                                            .pieces_have = 1,
                                            .peers = 3};
    v->model[1] = (struct swarm_view_model){
        .name = "wanted", .state = SWARM_FINDING, .down = NAN, .up = NAN, .eta = NAN, .availability = NAN};
    v->model[2] = v->model[1]; /* the same once more: no two series are alike */
    char *text = write_swarm(s);
    has_line(text, "tightwad_swarm_model_info{id=\"aaaaaaaaaaaaaaaa\",model=\"qwen\\\"3\",state=\"fetching\"} 1\n"
                   "tightwad_swarm_model_info{id=\"\",model=\"wanted\",state=\"finding\"} 1\n"
                   "# HELP tightwad_swarm_model_complete 1 when all of it is here.\n"
                   "# TYPE tightwad_swarm_model_complete gauge\n"
                   "tightwad_swarm_model_complete" LABELS " 0\n"
                   "tightwad_swarm_model_complete{id=\"\",model=\"wanted\"} 0");
    has_line(text, "tightwad_swarm_model_size_bytes" LABELS " 100");
    has_line(text, "tightwad_swarm_model_wanted_bytes" LABELS " 50");
    has_line(text, "tightwad_swarm_model_have_bytes" LABELS " 0");
    has_line(text, "tightwad_swarm_model_pieces" LABELS " 4");
    has_line(text, "tightwad_swarm_model_pieces_have" LABELS " 1");
    has_line(text, "tightwad_swarm_model_fetched_bytes_total" LABELS " 11");
    has_line(text, "tightwad_swarm_model_copied_bytes_total" LABELS " 12");
    has_line(text, "tightwad_swarm_model_wasted_bytes_total" LABELS " 13");
    has_line(text, "tightwad_swarm_model_sent_bytes_total" LABELS " 14");
    has_line(text, "tightwad_swarm_model_download_bytes_per_second" LABELS " 15");
    has_line(text, "tightwad_swarm_model_upload_bytes_per_second" LABELS " 0");
    has_line(text, "tightwad_swarm_model_left_seconds" LABELS " 16");
    has_line(text, "tightwad_swarm_model_availability" LABELS " 1.5");
    has_line(text, "tightwad_swarm_model_peers" LABELS " 3");
    assert_null(strstr(text, "have_bytes{id=\"\"")); /* not known yet */
    assert_null(strstr(text, "left_seconds{id=\"\""));
    free(text);
    v->model[0].state = SWARM_SEEDING;
    text = write_swarm(s);
    has_line(text, "tightwad_swarm_model_complete" LABELS " 1");
    free(text);
    free(s);
}

const struct CMUnitTest metrics_swarm_tests[] = {
    cmocka_unit_test(nothing_of_a_swarm_that_is_off),
    cmocka_unit_test(the_swarm_is_counted),
    cmocka_unit_test(each_model_has_its_series),
};
const size_t metrics_swarm_count = sizeof(metrics_swarm_tests) / sizeof(*metrics_swarm_tests);
