/* Medians, rates and the sureness of shares that users see come from here. */
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

/* The worked examples of R. G. Newcombe, Statistics in Medicine 17 (1998), table I, method 3. */
static void test_wilson(void **state)
{
    static const struct {
        uint64_t hits, n;
        double low, high;
    } known[] = {{81, 263, 0.2553, 0.3662}, {15, 148, 0.0624, 0.1605}, {0, 20, 0, 0.1611}, {1, 29, 0.0061, 0.1718}};
    double low, high;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        stats_wilson(known[i].hits, known[i].n, &low, &high);
        assert_true(fabs(low - known[i].low) < 1e-4 && fabs(high - known[i].high) < 1e-4);
    }
    stats_wilson(20, 20, &low, &high);
    assert_true(fabs(low - (1 - 0.1611)) < 1e-4 && high == 1);
    stats_wilson(0, 0, &low, &high);
    assert_true(isnan(low) && isnan(high));
}

const struct CMUnitTest stats_tests[] = {cmocka_unit_test(test_ring), cmocka_unit_test(test_wilson)};
const size_t stats_count = sizeof(stats_tests) / sizeof(stats_tests[0]);
