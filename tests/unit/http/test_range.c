/* Ranges as RFC 9110 has them: what is sent for each, and that nothing leads beyond the file. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "http/range.h"

static void ranges_are_read(void **state)
{
    static const struct {
        const char *value;
        uint64_t size;
        enum range_kind kind;
        uint64_t first, len;
    } cases[] = {
        {NULL, 10, RANGE_WHOLE, 0, 10},
        {"bytes=0-0", 10, RANGE_PART, 0, 1},
        {"Bytes=2-5", 10, RANGE_PART, 2, 4},
        {"bytes=2-", 10, RANGE_PART, 2, 8},
        {"bytes= 2-5 ", 10, RANGE_PART, 2, 4},
        {"bytes=0-9", 10, RANGE_PART, 0, 10},
        {"bytes=9-100", 10, RANGE_PART, 9, 1},
        {"bytes=0-18446744073709551615", 10, RANGE_PART, 0, 10},
        {"bytes=0-99999999999999999999999999", 10, RANGE_PART, 0, 10},
        {"bytes=0000000000000000000000001-2", 10, RANGE_PART, 1, 2},
        {"bytes=-3", 10, RANGE_PART, 7, 3},
        {"bytes=-10", 10, RANGE_PART, 0, 10},
        {"bytes=-99999999999999999999999999", 10, RANGE_PART, 0, 10},
        {"bytes=10-", 10, RANGE_NONE, 0, 10},
        {"bytes=10-20", 10, RANGE_NONE, 0, 10},
        {"bytes=99999999999999999999999999-", 10, RANGE_NONE, 0, 10},
        {"bytes=-0", 10, RANGE_NONE, 0, 10},
        {"bytes=0-", 0, RANGE_NONE, 0, 0},
        {"bytes=-5", 0, RANGE_NONE, 0, 0},
        /* Several of them, and what is no range at all: the header does not count. */
        {"bytes=0-1,3-4", 10, RANGE_WHOLE, 0, 10},
        {"bytes=5-2", 10, RANGE_WHOLE, 0, 10},
        {"bytes=", 10, RANGE_WHOLE, 0, 10},
        {"bytes=-", 10, RANGE_WHOLE, 0, 10},
        {"bytes=1", 10, RANGE_WHOLE, 0, 10},
        {"bytes=a-b", 10, RANGE_WHOLE, 0, 10},
        {"bytes=1-2x", 10, RANGE_WHOLE, 0, 10},
        {"bytes=1--2", 10, RANGE_WHOLE, 0, 10},
        {"bytes=+1-2", 10, RANGE_WHOLE, 0, 10},
        {"items=1-2", 10, RANGE_WHOLE, 0, 10},
        {"", 10, RANGE_WHOLE, 0, 10},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t first = 99, len = 99;
        assert_int_equal(range_read(cases[i].value, cases[i].size, &first, &len), cases[i].kind);
        assert_int_equal(first, cases[i].first);
        assert_int_equal(len, cases[i].len);
    }
}

const struct CMUnitTest range_tests[] = {cmocka_unit_test(ranges_are_read)};
const size_t range_count = sizeof(range_tests) / sizeof(range_tests[0]);
