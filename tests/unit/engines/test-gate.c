/* What the gate decides and remembers by itself: who writes, how long that may take, and which answers serve again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "engines/gate-cache.h"
#include "engines/gate-route.h"

/* ---- who writes ---- */

static struct gate_seat seat(uint32_t busy, uint32_t slots, double record)
{
    return (struct gate_seat){.usable = true, .busy = busy, .slots = slots, .record = record};
}

static void test_round_robin(void **state)
{
    struct gate_seat s[] = {seat(0, 1, 1), seat(0, 1, 0), seat(0, 1, 1)};
    size_t last = 3;
    for (size_t i = 0; i < 7; i++) {
        last = gate_route(GATE_ROUND_ROBIN, s, 3, last);
        assert_int_equal(last, i % 3);
    }
    s[1].usable = false;
    assert_int_equal(gate_route(GATE_ROUND_ROBIN, s, 3, 0), 2);
    s[2].tried = true;
    assert_int_equal(gate_route(GATE_ROUND_ROBIN, s, 3, 0), 0);
    s[0].busy = 1;
    assert_int_equal(gate_route(GATE_ROUND_ROBIN, s, 3, 0), 3);
    assert_true(gate_route_possible(s, 3));
    s[0].tried = true;
    assert_false(gate_route_possible(s, 3));
    assert_int_equal(gate_route(GATE_ROUND_ROBIN, s, 0, 0), 0);
}

static void test_least_busy(void **state)
{
    /* By the share of slots, not by their number. */
    struct gate_seat s[] = {seat(1, 2, 1), seat(1, 4, 0), seat(3, 8, 1)};
    assert_int_equal(gate_route(GATE_LEAST_BUSY, s, 3, 0), 1);
    s[1].busy = 4;
    assert_int_equal(gate_route(GATE_LEAST_BUSY, s, 3, 0), 2);
    /* Of equals the better record, and in turn where that is equal too. */
    struct gate_seat e[] = {seat(0, 1, 0.5), seat(0, 1, 0.9), seat(0, 4, 0.9)};
    assert_int_equal(gate_route(GATE_LEAST_BUSY, e, 3, 0), 1);
    assert_int_equal(gate_route(GATE_LEAST_BUSY, e, 3, 1), 2);
    assert_int_equal(gate_route(GATE_LEAST_BUSY, e, 3, 2), 1);
    /* Nobody twice before everybody once. */
    struct gate_seat all[] = {seat(0, 4, 0.1), seat(0, 4, 0.9), seat(0, 4, 0.2), seat(0, 4, 0.7)};
    for (uint32_t i = 0; i < 16; i++)
        all[gate_route(GATE_LEAST_BUSY, all, 4, i % 4)].busy++;
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(all[i].busy, 4);
    assert_int_equal(gate_route(GATE_LEAST_BUSY, all, 4, 0), 4);
}

static void test_race(void **state)
{
    assert_int_equal(gate_race_share(4, 0), 4);
    assert_int_equal(gate_race_share(4, 1), 2);
    assert_int_equal(gate_race_share(4, 9), 1);
    assert_int_equal(gate_race_share(0, 0), 1);
    assert_int_equal(gate_routing_by_name("race"), GATE_RACE);
    assert_int_equal(gate_routing_by_name(NULL), GATE_LEAST_BUSY);
    for (int r = GATE_ROUND_ROBIN; r <= GATE_RACE; r++)
        assert_int_equal(gate_routing_by_name(gate_routing_name((enum gate_routing)r)), r);
}

static void test_record(void **state)
{
    struct gate_record good = {0}, bad = {0};
    assert_true(gate_record_share(&good) == 1);
    for (int i = 0; i < 4; i++) {
        gate_record_add(&good, true);
        gate_record_add(&bad, false);
    }
    assert_true(gate_record_share(&good) == 1 && gate_record_share(&bad) == 0.5);
    for (int i = 0; i < GATE_RECORD; i++) /* what was once is forgotten */
        gate_record_add(&bad, true);
    assert_true(gate_record_share(&bad) == 1);
}

static void test_patience(void **state)
{
    struct stats_ring r = {0};
    for (int i = 0; i < 7; i++)
        stats_ring_add(&r, 100000);
    assert_true(gate_patience_us(&r, 0, 10) == INT64_MAX);
    stats_ring_add(&r, 100000); /* 0.1 s a byte */
    assert_true(gate_patience_us(&r, 0, 0) > 10 * 1000000);
    assert_true(gate_patience_us(&r, 0, 1000) > 8 * 1000 * 100000LL);
    assert_true(gate_patience_us(&r, 80000, 1000) > 2 * gate_patience_us(&r, 0, 1000));
    struct stats_ring fast = {0};
    for (int i = 0; i < 8; i++)
        stats_ring_add(&fast, 10);
    assert_true(gate_patience_us(&fast, 0, 0) == 10 * 1000000);
}

/* ---- what is remembered ---- */

static void put(struct gate_cache *c, const char *key, const char *text)
{
    struct gate_cached what = {.text = text, .len = strlen(text), .finish = ANSWER_STOP, .tokens = 3, .agent = "a"};
    gate_cache_add(c, key, &what);
}

static bool has(struct gate_cache *c, const char *key, const char *text)
{
    const struct gate_cached *w = gate_cache_find(c, key);
    return w != NULL && w->len == strlen(text) && memcmp(w->text, text, w->len) == 0;
}

static void test_cache_least_recent_goes(void **state)
{
    struct gate_cache *c = gate_cache_create(3, 1000);
    put(c, "1", "one");
    put(c, "2", "two");
    put(c, "3", "three");
    assert_true(has(c, "1", "one")); /* used: 2 is the oldest now */
    put(c, "4", "four");
    assert_null(gate_cache_find(c, "2"));
    assert_true(has(c, "1", "one") && has(c, "3", "three") && has(c, "4", "four"));
    put(c, "3", "drei");
    assert_true(has(c, "3", "drei"));
    assert_int_equal(gate_cache_count(c), 3);
    const struct gate_cached *w = gate_cache_find(c, "4");
    assert_true(w->finish == ANSWER_STOP && w->tokens == 3 && strcmp(w->agent, "a") == 0);
    gate_cache_clear(c);
    assert_int_equal(gate_cache_count(c), 0);
    assert_int_equal(gate_cache_bytes(c), 0);
    assert_null(gate_cache_find(c, "4"));
    gate_cache_destroy(c);
    gate_cache_destroy(NULL);
}

static void test_cache_bytes(void **state)
{
    struct gate_cache *c = gate_cache_create(100, 50);
    char big[60];
    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    put(c, "big", big);
    assert_int_equal(gate_cache_count(c), 0);
    big[30] = '\0';
    put(c, "k1", big);
    put(c, "k2", "short");
    assert_int_equal(gate_cache_bytes(c), 32 + 7);
    put(c, "k3", big); /* room is made from the oldest on */
    assert_null(gate_cache_find(c, "k1"));
    assert_true(has(c, "k2", "short") && has(c, "k3", big));
    gate_cache_destroy(c);
}

/* Many keys in few buckets, against what must be there. */
static void test_cache_many(void **state)
{
    enum { KEYS = 400, MOST = 64 };
    struct gate_cache *c = gate_cache_create(MOST, 1 << 20);
    for (int i = 0; i < KEYS; i++) {
        char key[16];
        snprintf(key, sizeof(key), "key %d", i);
        put(c, key, key + 4);
    }
    assert_int_equal(gate_cache_count(c), MOST);
    for (int i = 0; i < KEYS; i++) {
        char key[16];
        snprintf(key, sizeof(key), "key %d", i);
        assert_int_equal(has(c, key, key + 4), i >= KEYS - MOST);
    }
    gate_cache_destroy(c);
}

const struct CMUnitTest gate_tests[] = {
    cmocka_unit_test(test_round_robin), cmocka_unit_test(test_least_busy),
    cmocka_unit_test(test_race),        cmocka_unit_test(test_record),
    cmocka_unit_test(test_patience),    cmocka_unit_test(test_cache_least_recent_goes),
    cmocka_unit_test(test_cache_bytes), cmocka_unit_test(test_cache_many),
};
const size_t gate_count = sizeof(gate_tests) / sizeof(gate_tests[0]);
