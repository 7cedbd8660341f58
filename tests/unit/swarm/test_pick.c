/* Which piece is fetched next: never one that must not be, the rarest first, equals by chance. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "swarm/pick.h"

static void begin(struct pick *p, struct bits *all, size_t n, enum pick_order order, uint64_t seed)
{
    pick_init(p, n, order, seed);
    bits_fill(&p->want);
    bits_init(all, n);
    bits_fill(all);
    pick_count(p, all, 1);
}

static void end(struct pick *p, struct bits *all)
{
    pick_finish(p);
    bits_finish(all);
}

static void takes_only_what_is_to_be_had(void **state)
{
    (void)state;
    for (int order = PICK_RAREST; order <= PICK_RANDOM; order++) {
        struct pick p;
        struct bits all, has;
        begin(&p, &all, 21, (enum pick_order)order, 7);
        bits_init(&has, 21);
        assert_int_equal(pick_next(&p, &has), -1);
        for (size_t i = 16; i < 21; i++)
            bits_set(&has, i, true);
        bits_set(&p.want, 16, false);
        bits_set(&p.have, 17, true);
        p.asked[18] = 1;
        for (int i = 0; i < 50; i++) {
            int64_t piece = pick_next(&p, &has);
            assert_true(piece == 19 || piece == 20);
        }
        p.asked[19] = p.asked[20] = 1;
        assert_int_equal(pick_next(&p, &has), -1);
        bits_finish(&has);
        end(&p, &all);
    }
}

static void the_rarest_goes_first(void **state)
{
    struct pick p;
    struct bits all;
    (void)state;
    begin(&p, &all, 100, PICK_RAREST, 1);
    for (size_t i = 0; i < 100; i++)
        if (i != 42 && i != 77)
            pick_count_one(&p, i, 1);
    pick_count_coming(&p, 42, 1); /* as good as a copy */
    for (int i = 0; i < 20; i++)
        assert_int_equal(pick_next(&p, &all), 77);
    pick_count_coming(&p, 42, -1);
    pick_count_coming(&p, 77, 1);
    for (int i = 0; i < 20; i++)
        assert_int_equal(pick_next(&p, &all), 42);
    end(&p, &all);
}

/* 4000 draws among 16 equals, 4 of them out: each of the others is drawn 333 times, give or take 5 deviations. */
static void equals_have_the_same_chance(void **state)
{
    (void)state;
    for (int order = PICK_RAREST; order <= PICK_RANDOM; order++) {
        struct pick p;
        struct bits all;
        int drawn[16] = {0};
        begin(&p, &all, 16, (enum pick_order)order, 3);
        for (size_t i = 0; i < 4; i++)
            bits_set(&p.have, i * 5, true);
        for (int i = 0; i < 4000; i++)
            drawn[pick_next(&p, &all)]++;
        for (size_t i = 0; i < 16; i++) {
            if (i % 5 == 0)
                assert_int_equal(drawn[i], 0);
            else
                assert_in_range(drawn[i], 246, 420);
        }
        end(&p, &all);
    }
}

static void one_seed_is_one_order(void **state)
{
    (void)state;
    int64_t first[30];
    int differ = 0;
    for (int run = 0; run < 3; run++) {
        struct pick p;
        struct bits all;
        begin(&p, &all, 30, PICK_RAREST, run < 2 ? 5 : 6);
        for (size_t i = 0; i < 30; i++) {
            int64_t piece = pick_next(&p, &all);
            p.asked[piece] = 1;
            if (run == 0)
                first[i] = piece;
            else if (run == 1)
                assert_int_equal(piece, first[i]);
            else
                differ += piece != first[i];
        }
        end(&p, &all);
    }
    assert_true(differ > 15);
}

static void the_end_is_when_all_that_is_there_is_asked(void **state)
{
    struct pick p;
    struct bits all;
    (void)state;
    begin(&p, &all, 4, PICK_RAREST, 1);
    bits_set(&p.have, 0, true);
    p.asked[1] = 2;
    p.asked[2] = 1;
    assert_false(pick_ending(&p)); /* piece 3 */
    pick_count_one(&p, 3, -1);
    assert_true(pick_ending(&p)); /* nobody has piece 3 */
    pick_count_one(&p, 3, 1);
    p.asked[3] = 3;
    assert_true(pick_ending(&p));
    assert_int_equal(pick_missing(&p), 3);
    assert_false(pick_done(&p));
    bits_fill(&p.have);
    assert_false(pick_ending(&p));
    assert_true(pick_done(&p));
    end(&p, &all);
}

static void counts_hold_whatever_is_said(void **state)
{
    struct pick p;
    struct bits all, other;
    (void)state;
    begin(&p, &all, 3, PICK_RAREST, 1);
    pick_count_one(&p, 3, 1);
    pick_count_coming(&p, SIZE_MAX, 1);
    pick_count_coming(&p, 0, -1);
    assert_int_equal(p.coming[0], 0);
    for (int i = 0; i < 70000; i++)
        pick_count_one(&p, 1, 1);
    assert_int_equal(p.copies[1], UINT16_MAX);
    bits_init(&other, 900); /* of another length: what there is counts */
    bits_fill(&other);
    pick_count(&p, &other, 1);
    assert_int_equal(p.copies[2], 2);
    assert_true(pick_next(&p, &other) >= 0);
    bits_finish(&other);
    bits_init(&other, 0);
    assert_int_equal(pick_next(&p, &other), -1);
    bits_finish(&other);
    end(&p, &all);
}

static void availability_is_that_of_the_rarest(void **state)
{
    struct pick p;
    struct bits all;
    (void)state;
    pick_init(&p, 4, PICK_RAREST, 1);
    assert_true(isnan(pick_availability(&p)));
    pick_finish(&p);
    begin(&p, &all, 4, PICK_RAREST, 1);
    assert_float_equal(pick_availability(&p), 1.0, 1e-9);
    pick_count_one(&p, 0, 1);
    bits_set(&p.have, 3, true);
    assert_float_equal(pick_availability(&p), 1.5, 1e-9);
    pick_count_one(&p, 2, -1);
    assert_float_equal(pick_availability(&p), 0.75, 1e-9);
    bits_set(&p.want, 2, false);
    assert_float_equal(pick_availability(&p), 1 + 2 / 3.0, 1e-9);
    end(&p, &all);
}

const struct CMUnitTest pick_tests[] = {
    cmocka_unit_test(takes_only_what_is_to_be_had),
    cmocka_unit_test(the_rarest_goes_first),
    cmocka_unit_test(equals_have_the_same_chance),
    cmocka_unit_test(one_seed_is_one_order),
    cmocka_unit_test(the_end_is_when_all_that_is_there_is_asked),
    cmocka_unit_test(counts_hold_whatever_is_said),
    cmocka_unit_test(availability_is_that_of_the_rarest),
};
const size_t pick_count_of_tests = ARRAY_LEN(pick_tests);
