/* Medians and rates that users see come from these rings. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <math.h>

#include <cmocka.h>

#include "base/stats.h"

static void test_ring(void **state)
{
    struct stats_ring r = {0};
    assert_true(isnan(stats_ring_mean(&r)) && isnan(stats_ring_quantile(&r, 0.5)));
    struct stats_ring one = {0};
    stats_ring_add(&one, 7);
    assert_true(stats_ring_quantile(&one, 0.5) == 7);
    for (int i = 1; i <= 4; i++)
        stats_ring_add(&r, 5 - i);
    assert_int_equal(stats_ring_count(&r), 4);
    assert_true(stats_ring_mean(&r) == 2.5);
    assert_true(stats_ring_quantile(&r, 0.5) == 2.5);
    assert_true(stats_ring_quantile(&r, 0) == 1 && stats_ring_quantile(&r, 1) == 4);
    for (int i = 0; i < STATS_RING; i++)
        stats_ring_add(&r, 7);
    assert_int_equal(stats_ring_count(&r), STATS_RING);
    assert_true(stats_ring_mean(&r) == 7);
}

const struct CMUnitTest stats_tests[] = {cmocka_unit_test(test_ring)};
const size_t stats_count = sizeof(stats_tests) / sizeof(stats_tests[0]);
