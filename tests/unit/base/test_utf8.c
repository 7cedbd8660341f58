/* Text arrives cut anywhere: what is a character, what is its beginning and what is neither must be told apart exactly.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/utf8.h"

/* The reference: encodes every code point there is and looks whether s begins with it, or it with s. */
static size_t encode(uint32_t c, unsigned char *out)
{
    if (c < 0x80) {
        out[0] = (unsigned char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (unsigned char)(0xc0 | c >> 6);
        out[1] = (unsigned char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (unsigned char)(0xe0 | c >> 12);
        out[1] = (unsigned char)(0x80 | (c >> 6 & 0x3f));
        out[2] = (unsigned char)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (unsigned char)(0xf0 | c >> 18);
    out[1] = (unsigned char)(0x80 | (c >> 12 & 0x3f));
    out[2] = (unsigned char)(0x80 | (c >> 6 & 0x3f));
    out[3] = (unsigned char)(0x80 | (c & 0x3f));
    return 4;
}

static void test_every_character(void **state)
{
    for (uint32_t c = 0; c <= 0x10ffff; c++) {
        unsigned char s[4];
        size_t n = encode(c, s);
        bool surrogate = c >= 0xd800 && c <= 0xdfff;

        assert_int_equal(utf8_valid((char *)s, n), !surrogate);
        for (size_t cut = 1; cut < n && !surrogate; cut++) {
            assert_false(utf8_valid((char *)s, cut));
            assert_int_equal(utf8_incomplete_tail((char *)s, cut), cut);
        }
        if (!surrogate)
            assert_int_equal(utf8_incomplete_tail((char *)s, n), 0);
    }
}

/* All sequences of two bytes, and of three and four that begin with those that are special. */
static void test_every_short_sequence(void **state)
{
    static bool valid2[0x10000];
    unsigned char s[4];

    for (uint32_t c = 0x80; c < 0x800; c++) {
        encode(c, s);
        valid2[s[0] << 8 | s[1]] = true;
    }
    for (unsigned i = 0; i < 0x10000; i++) {
        s[0] = (unsigned char)(i >> 8);
        s[1] = (unsigned char)i;
        assert_int_equal(utf8_valid((char *)s, 2), valid2[i] || (s[0] < 0x80 && s[1] < 0x80));
    }
    assert_false(utf8_valid("\xc0\x80", 2));
    assert_false(utf8_valid("\xe0\x9f\xbf", 3));
    assert_false(utf8_valid("\xed\xa0\x80", 3));
    assert_false(utf8_valid("\xf0\x8f\xbf\xbf", 4));
    assert_false(utf8_valid("\xf4\x90\x80\x80", 4));
    assert_false(utf8_valid("\xf5\x80\x80\x80", 4));
    assert_int_equal(utf8_incomplete_tail("\xed\xa0", 2), 0);
    assert_int_equal(utf8_incomplete_tail("a\xf0\x9f\x98", 4), 3);
    assert_int_equal(utf8_incomplete_tail("\x80\x80\x80", 3), 0);
    assert_int_equal(utf8_incomplete_tail("", 0), 0);
}

static void test_repair(void **state)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"plain", "plain"},
        {"\xff", "\xef\xbf\xbd"},
        {"a\x80z", "a\xef\xbf\xbdz"},
        {"\xe2\x82", "\xef\xbf\xbd"},
        {"\xe2\x82z", "\xef\xbf\xbdz"},
        {"\xe2\xe2\x82\xac", "\xef\xbf\xbd\xe2\x82\xac"},
        {"\xf0\x9f\x98\xf0\x9f\x98\x80", "\xef\xbf\xbd\xf0\x9f\x98\x80"},
        /* The example of the Unicode Standard, table 3-8. */
        {"a\xf1\x80\x80\xe1\x80\xc2"
         "b\x80"
         "c\x80\xbf"
         "d",
         "a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
         "b\xef\xbf\xbd"
         "c\xef\xbf\xbd\xef\xbf\xbd"
         "d"},
        {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buf out;

        buf_init(&out, 100);
        assert_true(utf8_add_repaired(&out, cases[i].in, strlen(cases[i].in)));
        assert_string_equal(out.data, cases[i].out);
        assert_true(utf8_valid(out.data, out.len));
        buf_finish(&out);
    }
}

static void test_repair_full(void **state)
{
    struct buf out;

    buf_init(&out, 4);
    assert_false(utf8_add_repaired(&out, "ab\xff", 3));
    assert_true(out.len <= 4);
    buf_finish(&out);
}

const struct CMUnitTest utf8_tests[] = {
    cmocka_unit_test(test_every_character),
    cmocka_unit_test(test_every_short_sequence),
    cmocka_unit_test(test_repair),
    cmocka_unit_test(test_repair_full),
};
const size_t utf8_count = sizeof(utf8_tests) / sizeof(utf8_tests[0]);
