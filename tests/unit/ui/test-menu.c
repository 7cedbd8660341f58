/* A list: moving in it, filtering it by typing, what it has room for. */
#include "tests.h"

#include <string.h>

#include <ncurses.h>

#include "base/mem.h"
#include "ui/menu.h"
#include "ui/screen.h"

static void fill(struct menu *m, bool filters, const char *const *names, size_t n)
{
    menu_init(m, filters);
    for (size_t i = 0; i < n; i++) {
        struct menu_item *it = menu_add(m, THEME_TEXT);
        menu_cell(it, 0, "%s", names[i]);
        menu_cell(it, 1, "%zu GiB", i);
        it->hot = (unsigned char)names[i][0];
    }
}

static const char *const names[] = {"alpha", "beta", "gamma", "delta", "Älpler", "epsilon"};

static void arrows_stay_in_the_list(void **state)
{
    (void)state;
    struct menu m;
    fill(&m, true, names, 6);
    assert_int_equal(menu_item(&m), 0);
    assert_int_equal(menu_key(&m, KEY_UP, 3), MENU_CHANGED);
    assert_int_equal(menu_item(&m), 0);
    menu_key(&m, KEY_DOWN, 3);
    assert_int_equal(menu_item(&m), 1);
    menu_key(&m, KEY_NPAGE, 3);
    assert_int_equal(menu_item(&m), 3);
    menu_key(&m, KEY_END, 3);
    assert_int_equal(menu_item(&m), 5);
    menu_key(&m, KEY_DOWN, 3);
    assert_int_equal(menu_item(&m), 5);
    menu_key(&m, KEY_PPAGE, 3);
    assert_int_equal(menu_item(&m), 3);
    menu_key(&m, KEY_HOME, 3);
    assert_int_equal(menu_item(&m), 0);
    menu_choose(&m, 4);
    assert_int_equal(menu_item(&m), 4);
    assert_int_equal(menu_key(&m, '\r', 3), MENU_TAKEN);
    assert_int_equal(menu_key(&m, KEY_F(5), 3), MENU_IGNORED);
    menu_finish(&m);
}

static void typing_filters(void **state)
{
    (void)state;
    struct menu m;
    fill(&m, true, names, 6);
    menu_choose(&m, 3);
    menu_key(&m, 'L', 3); /* alpha, delta, Älpler, epsilon */
    assert_int_equal(m.n_shown, 4);
    assert_int_equal(menu_item(&m), 3);
    menu_key(&m, 'p', 3);
    assert_int_equal(m.n_shown, 2);
    assert_int_equal(menu_item(&m), 0);
    menu_key(&m, 'x', 3);
    assert_int_equal(m.n_shown, 0);
    assert_int_equal(menu_item(&m), -1);
    assert_int_equal(menu_key(&m, '\n', 3), MENU_CHANGED); /* there is nothing to take */
    menu_key(&m, 127, 3);
    assert_int_equal(m.n_shown, 2);
    assert_int_equal(menu_key(&m, SCREEN_ESCAPE, 3), MENU_CHANGED);
    assert_int_equal(m.n_shown, 6);
    assert_int_equal(menu_key(&m, SCREEN_ESCAPE, 3), MENU_LEFT);
    menu_key(&m, SCREEN_WIDE | 0x4e2d, 3);
    assert_int_equal(m.n_shown, 0);
    menu_key(&m, KEY_BACKSPACE, 3);
    menu_key(&m, 0xc4, 3); /* Ä */
    assert_int_equal(menu_item(&m), 4);
    assert_int_equal(menu_key(&m, SCREEN_CTRL_C, 3), MENU_LEFT);
    menu_finish(&m);
}

static void letters_take_at_once_where_nothing_is_filtered(void **state)
{
    (void)state;
    struct menu m;
    fill(&m, false, names, 4);
    assert_int_equal(menu_key(&m, 'x', 3), MENU_IGNORED);
    assert_int_equal(menu_key(&m, 'g', 3), MENU_TAKEN);
    assert_int_equal(menu_item(&m), 2);
    assert_int_equal(menu_key(&m, SCREEN_ESCAPE, 3), MENU_LEFT);
    menu_finish(&m);
    menu_init(&m, false); /* an empty one */
    assert_int_equal(menu_item(&m), -1);
    assert_int_equal(menu_key(&m, KEY_DOWN, 3), MENU_CHANGED);
    assert_int_equal(menu_key(&m, '\r', 3), MENU_CHANGED);
    menu_scroll(&m, 3);
    menu_finish(&m);
}

static void the_chosen_row_is_in_sight(void **state)
{
    (void)state;
    struct menu m;
    fill(&m, true, names, 6);
    menu_scroll(&m, 4);
    assert_int_equal(m.top, 0);
    menu_choose(&m, 5);
    menu_scroll(&m, 4);
    assert_int_equal(m.top, 2);
    menu_choose(&m, 1);
    menu_scroll(&m, 4);
    assert_int_equal(m.top, 1);
    menu_scroll(&m, 10); /* no room is wasted */
    assert_int_equal(m.top, 0);
    menu_finish(&m);
}

static void columns_fit(void **state)
{
    (void)state;
    struct menu m;
    int column[MENU_CELLS];
    menu_init(&m, true);
    struct menu_item *i = menu_add(&m, THEME_TEXT);
    menu_cell(i, 0, "a-model-of-a-long-name");
    menu_cell(i, 1, "12.3 GiB");
    menu_cell(i, 2, "fits");
    menu_columns(&m, 80, true, column);
    assert_int_equal(column[0], 22);
    assert_int_equal(column[1], 8);
    assert_int_equal(column[2], 4);
    assert_int_equal(column[3], 0);
    for (int cols = 1; cols < 60; cols++) {
        menu_columns(&m, cols, true, column);
        int whole = 0;
        for (size_t k = 0; k < MENU_CELLS; k++)
            whole += column[k] > 0 ? column[k] + (whole > 0 ? 2 : 0) : 0;
        assert_true(whole <= cols);
        assert_true(cols < 8 || column[0] >= 8);
    }
    menu_finish(&m);
}

const struct CMUnitTest menu_tests[] = {
    cmocka_unit_test(arrows_stay_in_the_list),
    cmocka_unit_test(typing_filters),
    cmocka_unit_test(letters_take_at_once_where_nothing_is_filtered),
    cmocka_unit_test(the_chosen_row_is_in_sight),
    cmocka_unit_test(columns_fit),
};
const size_t menu_count = ARRAY_LEN(menu_tests);
