/* A line that is typed: the cursor never stands inside a character, and nothing runs over the end. */
#include "tests.h"

#include <string.h>

#include <ncurses.h>

#include "ui/field.h"

static void type(struct field *f, const char *ascii)
{
    for (; *ascii != '\0'; ascii++)
        assert_true(field_type(f, (unsigned char)*ascii));
}

static void typing_moving_and_removing(void **state)
{
    (void)state;
    struct field f;
    field_set(&f, "");
    type(&f, "ab");
    assert_true(field_type(&f, 0xe4)); /* ä */
    assert_true(field_type(&f, 0x1f600));
    assert_string_equal(f.text, "ab\xc3\xa4\xf0\x9f\x98\x80");
    assert_true(field_key(&f, KEY_LEFT));
    assert_int_equal(f.at, 4);
    assert_true(field_key(&f, KEY_BACKSPACE));
    assert_string_equal(f.text, "ab\xf0\x9f\x98\x80");
    assert_true(field_key(&f, KEY_HOME));
    assert_true(field_key(&f, KEY_BACKSPACE));
    assert_true(field_key(&f, KEY_LEFT));
    assert_int_equal(f.at, 0);
    assert_true(field_key(&f, KEY_RIGHT));
    assert_true(field_key(&f, KEY_RIGHT));
    assert_true(field_key(&f, KEY_DC));
    assert_string_equal(f.text, "ab");
    assert_true(field_key(&f, KEY_DC));
    type(&f, "c");
    assert_true(field_key(&f, KEY_LEFT));
    assert_true(field_key(&f, 0x15));
    assert_string_equal(f.text, "c");
    assert_int_equal(f.at, 0);
    assert_true(field_key(&f, KEY_END));
    assert_int_equal(f.at, 1);
    assert_false(field_key(&f, KEY_UP));
    assert_false(field_type(&f, 7));
    assert_false(field_type(&f, 0x9b));
    assert_false(field_type(&f, 0xd800));
    assert_string_equal(f.text, "c");
}

static void it_has_an_end(void **state)
{
    (void)state;
    struct field f;
    char text[2 * FIELD_MAX + 1] = "x";
    for (size_t i = 0; i < FIELD_MAX; i++)
        memcpy(text + 1 + 2 * i, "\xc3\xa4", 2);
    text[2 * FIELD_MAX - 1] = '\0';
    field_set(&f, text);
    assert_int_equal(f.len, FIELD_MAX - 1); /* x and 255 whole characters */
    assert_int_equal(strlen(f.text), f.len);
    field_set(&f, text + 1);
    assert_int_equal(f.len, FIELD_MAX - 2);
    assert_true(field_type(&f, 'a'));
    assert_false(field_type(&f, 'a'));
    field_set(&f, "a\033[2Jb");
    assert_string_equal(f.text, "a[2Jb");
}

const struct CMUnitTest field_tests[] = {
    cmocka_unit_test(typing_moving_and_removing),
    cmocka_unit_test(it_has_an_end),
};
const size_t field_count = sizeof(field_tests) / sizeof(*field_tests);
