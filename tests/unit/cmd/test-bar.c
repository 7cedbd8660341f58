/* Bars and times: whole from nothing to all, never longer than they may be, and unknown is no number. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "cmd/bar.h"
#include "unit.h"

static void bars(void **state)
{
    static const struct {
        double share;
        int columns;
        const char *want;
    } cases[] = {
        {0, 8, "[      ]"},  {0.5, 8, "[===>  ]"}, {1, 8, "[======]"}, {2, 8, "[======]"},
        {-1, 8, "[      ]"}, {NAN, 5, "[   ]"},    {1, 2, "[]"},       {1, 0, "[]"},
    };
    char out[32];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        bar_draw(out, sizeof(out), cases[i].share, cases[i].columns);
        assert_string_equal(out, cases[i].want);
    }
    bar_draw(out, 6, 1, 30);
    assert_string_equal(out, "[===]");
}

static void times(void **state)
{
    static const struct {
        double seconds;
        const char *want;
    } cases[] = {
        {0, "0:00"},         {-3, "0:00"},          {6.6, "0:07"}, {723, "12:03"},  {3723, "1:02:03"},
        {183600, "2 d 3 h"}, {1e300, "9999 d 0 h"}, {NAN, "–"},    {INFINITY, "–"},
    };
    char out[BAR_WORD];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        bar_time(out, cases[i].seconds);
        assert_string_equal(out, cases[i].want);
    }
}

const struct CMUnitTest bar_tests[] = {cmocka_unit_test(bars), cmocka_unit_test(times)};
const size_t bar_count = ARRAY_LEN(bar_tests);
