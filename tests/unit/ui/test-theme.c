/* What must be told apart can be, with 16 colours, with 8, with none, and by eyes that do not tell red from green. */
#include "tests.h"

#include "base/mem.h"
#include "ui/theme.h"

enum { RED = 1, GREEN = 2, BRIGHT = 8 };

static const enum theme_role together[][3] = {
    {THEME_DRAFTED, THEME_TARGET, THEME_QUOTED},
    {THEME_GOOD, THEME_WARN, THEME_BAD},
    {THEME_TEXT, THEME_SELECTED, THEME_INPUT},
    {THEME_TITLE, THEME_FOCUS, THEME_TEXT},
};

static bool alike(const struct theme *t, enum theme_role a, enum theme_role b)
{
    return t->attr[a] == t->attr[b] && t->colour[a] == t->colour[b];
}

static void roles_can_be_told_apart(void **state)
{
    static const struct theme_terminal on[] = {{.colours = 256, .utf8 = true},
                                               {.colours = 16},
                                               {.colours = 8, .utf8 = true, .console = true},
                                               {.colours = 0},
                                               {.colours = 256, .mono = true}};
    struct theme t;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(on); i++) {
        theme_choose(&t, &on[i]);
        for (size_t g = 0; g < ARRAY_LEN(together); g++) {
            assert_false(alike(&t, together[g][0], together[g][1]));
            assert_false(alike(&t, together[g][1], together[g][2]));
            assert_false(alike(&t, together[g][0], together[g][2]));
        }
    }
}

static void no_color_means_none(void **state)
{
    struct theme t;
    (void)state;
    theme_choose(&t, &(struct theme_terminal){.colours = 256, .mono = true, .utf8 = true});
    assert_int_equal(t.colours, 0);
    for (int i = 0; i < THEME_ROLES; i++) {
        assert_int_equal(t.pair[i], 0);
        assert_int_equal(t.colour[i], -1);
    }
}

static void green_is_not_used(void **state)
{
    struct theme t;
    (void)state;
    theme_choose(&t, &(struct theme_terminal){.colours = 256, .utf8 = true});
    for (int i = 0; i < THEME_ROLES; i++) {
        assert_int_not_equal(t.colour[i] % BRIGHT, GREEN);
        assert_true(t.colour[i] < 2 * BRIGHT);
    }
}

static void good_and_bad_have_signs(void **state)
{
    static const struct theme_terminal on[] = {{.utf8 = true}, {.utf8 = true, .console = true}, {.utf8 = false}};
    struct theme t;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(on); i++) {
        theme_choose(&t, &on[i]);
        assert_string_not_equal(theme_glyph(&t, GLYPH_GOOD), theme_glyph(&t, GLYPH_BAD));
        assert_string_not_equal(theme_glyph(&t, GLYPH_GOOD), theme_glyph(&t, GLYPH_WARN));
        assert_string_not_equal(theme_glyph(&t, GLYPH_FULL), theme_glyph(&t, GLYPH_HALF));
        for (int g = 0; g < GLYPHS && !on[i].utf8; g++)
            assert_true(theme_glyph(&t, (enum theme_glyph)g)[0] > 0x20 && theme_glyph(&t, (enum theme_glyph)g)[1] == 0);
    }
}

const struct CMUnitTest theme_tests[] = {
    cmocka_unit_test(roles_can_be_told_apart),
    cmocka_unit_test(no_color_means_none),
    cmocka_unit_test(green_is_not_used),
    cmocka_unit_test(good_and_bad_have_signs),
};
const size_t theme_count = ARRAY_LEN(theme_tests);
