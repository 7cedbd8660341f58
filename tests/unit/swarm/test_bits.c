/* Sets of pieces, and their text. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "swarm/bits.h"

static void counts_what_is_set(void **state)
{
    struct bits b;
    (void)state;
    bits_init(&b, 11);
    assert_true(bits_set(&b, 10, true));
    assert_false(bits_set(&b, 10, true));
    assert_false(bits_set(&b, 11, true));
    assert_true(bits_has(&b, 10));
    assert_false(bits_has(&b, 11));
    assert_int_equal(b.count, 1);
    bits_fill(&b);
    assert_true(bits_full(&b));
    assert_int_equal(b.byte[1], 0xe0);
    assert_true(bits_set(&b, 0, false));
    assert_int_equal(b.count, 10);
    bits_finish(&b);
}

static void text_comes_back(void **state)
{
    (void)state;
    for (size_t n = 0; n < 70; n++) {
        struct bits b, again;
        char *cause = NULL;
        bits_init(&b, n);
        bits_init(&again, n);
        for (size_t i = 0; i < n; i += 3)
            bits_set(&b, i, true);
        char *text = bits_to_text(&b);
        assert_int_equal(bits_from_text(&again, text, &cause), 0);
        assert_int_equal(again.count, b.count);
        assert_memory_equal(again.byte, b.byte, (n + 7) / 8);
        free(text);
        bits_finish(&b);
        bits_finish(&again);
    }
}

static void bad_text_changes_nothing(void **state)
{
    static const char *const bad[] = {
        "", "gA", "gAA", "gAA=", "gA==x", "/////w==", "gA=A", "g===", "    ", "gB==", "\xff\xff=="};
    struct bits b;
    (void)state;
    bits_init(&b, 3); /* one byte: four characters, the last two padding */
    bits_set(&b, 1, true);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char *cause = NULL;
        assert_int_equal(bits_from_text(&b, bad[i], &cause), -1);
        assert_non_null(cause);
        free(cause);
        assert_int_equal(b.count, 1);
        assert_true(bits_has(&b, 1));
    }
    char *cause = NULL;
    assert_int_equal(bits_from_text(&b, "CA==", &cause), -1); /* piece 4 of 3 */
    assert_non_null(strstr(cause, "3"));
    free(cause);
    assert_int_equal(bits_from_text(&b, "4A==", &cause), 0);
    assert_int_equal(b.count, 3);
    bits_finish(&b);
}

const struct CMUnitTest bits_tests[] = {
    cmocka_unit_test(counts_what_is_set),
    cmocka_unit_test(text_comes_back),
    cmocka_unit_test(bad_text_changes_nothing),
};
const size_t bits_count = ARRAY_LEN(bits_tests);
