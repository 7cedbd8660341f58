/* What sparklines show, and the history behind them. */
#include "tests.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ui/history.h"
#include "ui/spark.h"

static void scales_are_round(void **state)
{
    static const struct {
        float most;
        double top;
    } rows[] = {{0, 1}, {1, 1}, {1.5F, 2}, {4, 5}, {5.5F, 10}, {123, 200}, {201, 500}, {999, 1000}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_true(fabs(spark_scale(&(float){rows[i].most}, 1) - rows[i].top) < 1e-9);
    assert_true(spark_scale(&(float){NAN}, 1) == 1);
}

static void braille_fills_from_below(void **state)
{
    char out[8 * SPARK_BYTES + 1];
    (void)state;
    const float four[] = {0, 1, NAN, 0.5F};
    spark_row(out, four, 2, 0, 1, 1, true);
    assert_string_equal(out, "⣸⢰"); /* one dot and four; nothing and three */
    spark_row(out, (const float[]){NAN, NAN}, 1, 0, 1, 1, true);
    assert_string_equal(out, " ");
    spark_row(out, (const float[]){1, 1}, 1, 0, 2, 1, true);
    assert_string_equal(out, "⣿");
    spark_row(out, (const float[]){0, 0}, 1, 0, 2, 1, true); /* upper row of two */
    assert_string_equal(out, " ");
    spark_row(out, (const float[]){9, 0}, 1, 0, 1, 1, true); /* beyond the scale */
    assert_string_equal(out, "⣇");
}

static void ascii_does_as_well(void **state)
{
    char out[8];
    (void)state;
    spark_row(out, (const float[]){NAN, 0, 0.5F, 1}, 4, 0, 1, 1, false);
    assert_string_equal(out, " .:#");
    assert_int_equal(spark_samples(false), 1);
}

static struct snapshot *at(struct snapshot *s, int64_t uptime_ms, uint64_t drafted, uint64_t accepted)
{
    s->uptime_ms = uptime_ms;
    s->drafted = drafted;
    s->accepted = accepted;
    s->n_backends = 2;
    s->backend[0].role = ROLE_TARGET;
    s->backend[1].role = ROLE_DRAFTER;
    s->backend[1].drafted = drafted;
    s->backend[1].accepted = accepted;
    s->backend[1].tokens_per_second = 50;
    s->tokens_per_second = (double)drafted;
    snprintf(s->backend[1].name, sizeof(s->backend[1].name), "small");
    return s;
}

static void a_sample_a_second(void **state)
{
    struct history *h = xcalloc(1, sizeof(*h));
    struct snapshot *s = xcalloc(1, sizeof(*s));
    float last[4];
    (void)state;
    assert_true(history_take(h, at(s, 10000, 100, 50))); /* what was before it is not its own */
    assert_false(history_take(h, at(s, 10250, 110, 60)));
    assert_false(history_take(h, at(s, 10750, 110, 60)));
    assert_true(history_take(h, at(s, 11000, 200, 125)));
    assert_true(history_take(h, at(s, 12030, 200, 125))); /* nothing was drafted */
    assert_true(history_take(h, at(s, 13000, 210, 135))); /* in time again, although the last one was late */
    history_newest(h, &h->acceptance, last, 4);
    assert_true(isnan(last[0]));
    assert_true(fabsf(last[1] - 0.75F) < 1e-6F);
    assert_true(isnan(last[2]));
    assert_true(fabsf(last[3] - 1) < 1e-6F);
    const struct history_drafter *d = history_find(h, "small");
    assert_non_null(d);
    history_newest(h, &d->acceptance, last, 3);
    assert_true(fabsf(last[0] - 0.75F) < 1e-6F);
    assert_null(history_find(h, "large"));
    free(h);
    free(s);
}

static void a_new_instance_begins_anew(void **state)
{
    struct history *h = xcalloc(1, sizeof(*h));
    struct snapshot *s = xcalloc(1, sizeof(*s));
    float last[3];
    (void)state;
    history_take(h, at(s, 50000, 1000, 500));
    assert_true(history_take(h, at(s, 1000, 10, 5)));
    assert_true(history_take(h, at(s, 2000, 20, 15)));
    history_newest(h, &h->acceptance, last, 3);
    assert_true(isnan(last[1]));
    assert_true(fabsf(last[2] - 1) < 1e-6F);
    history_newest(h, &h->tokens_per_second, last, 3);
    assert_true(fabsf(last[0] - 1000) < 1e-3F); /* the past stays */
    free(h);
    free(s);
}

static void the_ring_goes_round(void **state)
{
    struct history *h = xcalloc(1, sizeof(*h));
    struct snapshot *s = xcalloc(1, sizeof(*s));
    float last[HISTORY_SAMPLES + 8];
    (void)state;
    for (int i = 0; i < HISTORY_SAMPLES + 100; i++)
        history_take(h, at(s, 1000 * (i + 1), (uint64_t)i, 0));
    history_newest(h, &h->tokens_per_second, last, HISTORY_SAMPLES + 8);
    assert_true(isnan(last[7]));
    assert_true(fabsf(last[8] - 100) < 1e-3F);
    assert_true(fabsf(last[HISTORY_SAMPLES + 7] - (HISTORY_SAMPLES + 99)) < 1e-3F);
    /* More names than there is room for: the oldest make it. */
    for (int i = 0; i < 40; i++) {
        at(s, 1000 * (HISTORY_SAMPLES + 200 + i), 0, 0);
        snprintf(s->backend[1].name, sizeof(s->backend[1].name), "d%d", i);
        history_take(h, s);
    }
    assert_int_equal(h->n_drafters, SNAPSHOT_BACKENDS - 1);
    assert_non_null(history_find(h, "d39"));
    assert_null(history_find(h, "small"));
    free(h);
    free(s);
}

const struct CMUnitTest graph_tests[] = {
    cmocka_unit_test(scales_are_round),           cmocka_unit_test(braille_fills_from_below),
    cmocka_unit_test(ascii_does_as_well),         cmocka_unit_test(a_sample_a_second),
    cmocka_unit_test(a_new_instance_begins_anew), cmocka_unit_test(the_ring_goes_round),
};
const size_t graph_count = ARRAY_LEN(graph_tests);
