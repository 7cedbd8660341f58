/* A line that is asked for: editing it, and what was typed before. */
#include "tests.h"

#include <stdio.h>
#include <stdlib.h>

#include <ncurses.h>

#include "base/mem.h"
#include "ui/input.h"
#include "ui/screen.h"

enum { CTRL_A = 1, CTRL_E = 5, CTRL_U = 21, CTRL_W = 23 };

static void type(struct input *i, const char *text)
{
    for (; *text != '\0'; text++)
        assert_int_equal(input_key(i, (unsigned char)*text), INPUT_CHANGED);
}

static void a_line_is_edited(void **state)
{
    (void)state;
    struct input i;
    input_init(&i, "gpu box", NULL);
    type(&i, "es 2");
    assert_string_equal(i.field.text, "gpu boxes 2");
    input_key(&i, CTRL_W);
    assert_string_equal(i.field.text, "gpu boxes ");
    input_key(&i, CTRL_W);
    assert_string_equal(i.field.text, "gpu ");
    input_key(&i, 8);
    input_key(&i, 127);
    input_key(&i, KEY_BACKSPACE);
    assert_string_equal(i.field.text, "g");
    input_key(&i, SCREEN_WIDE | 0x20ac);
    input_key(&i, 0xe9);
    assert_string_equal(i.field.text, "g€é");
    input_key(&i, CTRL_A);
    type(&i, "1");
    assert_string_equal(i.field.text, "1g€é");
    input_key(&i, CTRL_E);
    input_key(&i, KEY_LEFT);
    input_key(&i, KEY_BACKSPACE);
    assert_string_equal(i.field.text, "1gé");
    input_key(&i, CTRL_U);
    assert_string_equal(i.field.text, "é");
    input_key(&i, KEY_DC);
    assert_string_equal(i.field.text, "");
    input_key(&i, CTRL_W);
    assert_int_equal(input_key(&i, KEY_F(2)), INPUT_IGNORED);
    assert_int_equal(input_key(&i, KEY_UP), INPUT_CHANGED); /* no history */
    assert_int_equal(input_key(&i, '\r'), INPUT_TAKEN);
    assert_int_equal(input_key(&i, SCREEN_ESCAPE), INPUT_LEFT);
    assert_int_equal(input_key(&i, SCREEN_CTRL_C), INPUT_LEFT);
    input_finish(&i);
}

static void earlier_lines_are_fetched(void **state)
{
    (void)state;
    struct input_history h = {0};
    struct input i;
    input_history_add(&h, "one");
    input_history_add(&h, "");
    input_history_add(&h, "two");
    input_history_add(&h, "two");
    assert_int_equal(h.n, 2);
    input_init(&i, "", &h);
    type(&i, "th");
    input_key(&i, KEY_UP);
    assert_string_equal(i.field.text, "two");
    input_key(&i, KEY_UP);
    assert_string_equal(i.field.text, "one");
    input_key(&i, KEY_UP);
    assert_string_equal(i.field.text, "one");
    input_key(&i, KEY_DOWN);
    input_key(&i, KEY_DOWN);
    assert_string_equal(i.field.text, "th"); /* what was begun is back */
    input_key(&i, KEY_DOWN);
    type(&i, "ree");
    assert_string_equal(i.field.text, "three");
    input_finish(&i);
    for (int k = 0; k < 3 * INPUT_HISTORY; k++) {
        char line[16];
        snprintf(line, sizeof(line), "%d", k);
        input_history_add(&h, line);
    }
    assert_int_equal(h.n, INPUT_HISTORY);
    assert_string_equal(h.line[INPUT_HISTORY - 1], "95");
    input_history_finish(&h);
}

static void a_long_line_ends_somewhere(void **state)
{
    (void)state;
    struct input i;
    input_init(&i, "", NULL);
    for (int k = 0; k < 2 * FIELD_MAX; k++)
        input_key(&i, SCREEN_WIDE | 0x20ac);
    assert_true(i.field.len < FIELD_MAX);
    assert_int_equal(i.field.len % 3, 0);
    input_finish(&i);
}

const struct CMUnitTest input_tests[] = {
    cmocka_unit_test(a_line_is_edited),
    cmocka_unit_test(earlier_lines_are_fetched),
    cmocka_unit_test(a_long_line_ends_somewhere),
};
const size_t input_count = ARRAY_LEN(input_tests);
