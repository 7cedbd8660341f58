/* Text from anywhere: what a terminal would act on never reaches it, and columns are counted as it counts them. */
#include "tests.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "fixture.h"
#include "ui/text.h"

static int columns(const char *s)
{
    return text_columns(s, strlen(s), false);
}

static void control_characters_are_replaced(void **state)
{
    static const char *const bad[] = {"\033[2J",
                                      "\033]0;title\007",
                                      "\x9b"
                                      "31m",
                                      "\xc2\x9b"
                                      "31m",
                                      "\r",
                                      "\b",
                                      "\x7f",
                                      "\xff\xfe",
                                      "\xc3",
                                      "\xed\xa0\x80",
                                      "\xc0\xaf",
                                      "\xf4\x90\x80\x80",
                                      "\x0e"};
    struct text_cell c;
    (void)state;
    fixture_locale();
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        for (size_t at = 0, n = strlen(bad[i]); at < n; at += c.bytes) {
            for (int ascii = 0; ascii < 2; ascii++) {
                text_first(bad[i] + at, n - at, ascii, &c);
                assert_true(c.bytes >= 1 && at + c.bytes <= n);
                assert_true(c.columns == 0 || c.character >= 0x20);
                assert_false(c.character >= 0x7f && c.character < 0xa0);
                assert_true(!ascii || c.character < 0x7f);
            }
        }
    }
}

/* Overrides of direction, joiners and the like are left out: they show nothing, and change how the rest looks. */
static void formats_are_left_out(void **state)
{
    (void)state;
    fixture_locale();
    assert_int_equal(columns("a\u202eb\u2066c\u200bd\ufeff"), 4);
    assert_int_equal(columns("\u200b"), 0);
    assert_int_equal(columns("e\u0301"), 1); /* an accent goes with its letter */
    struct text_cell c;
    const char *zalgo = "o\u0301\u0302\u0303\u0304x";
    text_first(zalgo, strlen(zalgo), false, &c);
    assert_int_equal(c.n_marks, TEXT_MARKS);
    assert_int_equal(c.bytes, strlen(zalgo) - 1);
}

static void wide_characters_take_two_columns(void **state)
{
    (void)state;
    fixture_locale();
    assert_int_equal(columns("中文"), 4);
    assert_int_equal(columns("füx"), 3);
    assert_int_equal(text_columns("中文", strlen("中文"), true), 2); /* "??" */
    assert_int_equal(text_line("中文字", strlen("中文字"), 5, true, false), 6);
    assert_int_equal(text_line("中", 3, 1, true, false), 3); /* never nothing */
}

static void lines_break_between_words(void **state)
{
    (void)state;
    fixture_locale();
    const char *s = "one two three";
    assert_int_equal(text_line(s, strlen(s), 9, true, false), 8);
    assert_int_equal(text_line(s, strlen(s), 7, true, false), 8); /* the blank hangs over the edge */
    assert_int_equal(text_line(s, strlen(s), 9, false, false), 9);
    assert_int_equal(text_line(s, strlen(s), 2, true, false), 2); /* a word that is too long */
    assert_int_equal(text_line("ab\ncd", 5, 9, true, false), 3);
    assert_int_equal(text_lines(s, strlen(s), 5, false), 3);
    assert_int_equal(text_lines("", 0, 5, false), 0);
    assert_int_equal(text_lines("a\n\nb", 4, 5, false), 3);
}

static void figures_for_people(void **state)
{
    char t[32];
    (void)state;
    assert_string_equal(text_number(t, sizeof(t), NAN, true), "-");
    assert_string_equal(text_number(t, sizeof(t), NAN, false), "–");
    assert_string_equal(text_number(t, sizeof(t), 0, true), "0");
    assert_string_equal(text_number(t, sizeof(t), 0.042, true), "0.04");
    assert_string_equal(text_number(t, sizeof(t), 3.14, true), "3.1");
    assert_string_equal(text_number(t, sizeof(t), 128.4, true), "128");
    assert_string_equal(text_percent(t, sizeof(t), 0.874, true), "87 %");
    assert_string_equal(text_small(t, sizeof(t), 0.0042, true), "0.42 %");
    assert_string_equal(text_small(t, sizeof(t), NAN, true), "-");
    assert_string_equal(text_interval(t, sizeof(t), 0.0044, 0.1288, true), "0.44 to 12.9 %");
    assert_string_equal(text_interval(t, sizeof(t), NAN, 0.1, true), "-");
    assert_string_equal(text_bytes(t, sizeof(t), -1, true), "-");
    assert_string_equal(text_bytes(t, sizeof(t), 512, true), "512 B");
    assert_string_equal(text_bytes(t, sizeof(t), (int64_t)3 << 29, true), "1.5 GiB");
    assert_string_equal(text_share(t, sizeof(t), (int64_t)18 << 30, (int64_t)24 << 30, true), "18.0/24.0 GiB");
    assert_string_equal(text_share(t, sizeof(t), -1, (int64_t)24 << 30, true), "-/24.0 GiB");
    assert_string_equal(text_share(t, sizeof(t), -1, -1, true), "-");
    assert_string_equal(text_milliseconds(t, sizeof(t), 0.412, true), "0.4 ms");
    assert_string_equal(text_milliseconds(t, sizeof(t), 2500, true), "2.5 s");
    assert_string_equal(text_milliseconds(t, sizeof(t), -1, true), "-");
    assert_string_equal(text_duration(t, sizeof(t), 59000), "50 s");
    assert_string_equal(text_duration(t, sizeof(t), 3 * 3600000 + 5 * 60000), "3 h 5 min");
}

static void a_filter_finds_text(void **state)
{
    (void)state;
    assert_true(text_holds("Qwen3:32B", "qwen"));
    assert_true(text_holds("anything", ""));
    assert_true(text_holds("", ""));
    assert_false(text_holds("", "x"));
    assert_false(text_holds("qwen", "qwen3"));
}

const struct CMUnitTest text_tests[] = {
    cmocka_unit_test(control_characters_are_replaced),
    cmocka_unit_test(formats_are_left_out),
    cmocka_unit_test(wide_characters_take_two_columns),
    cmocka_unit_test(lines_break_between_words),
    cmocka_unit_test(figures_for_people),
    cmocka_unit_test(a_filter_finds_text),
};
const size_t text_count = ARRAY_LEN(text_tests);
