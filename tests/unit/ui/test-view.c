/* Drawing into rectangles: nothing leaves them, what does not fit says so, columns of lists fit their width. */
#include "tests.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "fixture.h"
#include "ui/table.h"
#include "ui/text.h"

struct fixture {
    struct fixture_screen screen;
    struct ui *ui;
};

static struct fixture *open_fixture(void)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    f->ui = xcalloc(1, sizeof(*f->ui));
    fixture_open(&f->screen, f->ui, "/dev/null", false);
    fixture_resize(f->ui, 10, 40);
    return f;
}

static void close_fixture(struct fixture *f)
{
    fixture_close(&f->screen);
    free(f->ui);
    free(f);
}

static void assert_row(const struct fixture *f, int row, const char *text)
{
    char *line = fixture_row(f->ui, row);
    assert_string_equal(line, text);
    free(line);
}

static void nothing_leaves_its_rectangle(void **state)
{
    struct fixture *f = open_fixture();
    struct view all = ui_view(f->ui), v = view_part(&all, 2, 5, 3, 10), none = view_part(&v, 1, 20, 5, 5);
    (void)state;
    assert_int_equal(none.cols, 0);
    for (int row = -2; row < 12; row++) {
        for (int col = -3; col < 40; col += 7) {
            view_text(&v, row, col, THEME_TEXT, "######################");
            view_glyph(&v, row, col, THEME_TEXT, GLYPH_FULL, 30);
            view_field(&v, row, col, 30, true, THEME_TEXT, "@@");
            view_bar(&v, row, col, 30, 0.5, THEME_TEXT);
            view_clear_from(&v, row, col);
            view_text(&none, row, col, THEME_TEXT, "###");
        }
        view_rule(&v, row, "a title that is far too long", false);
        view_wrapped(&v, row, THEME_TEXT, "words and words and words and words and words");
    }
    view_frame(&v, "a title that is far too long");
    for (int row = 0; row < 10; row++) {
        char *line = fixture_row(f->ui, row);
        if (row < 2 || row > 4)
            assert_string_equal(line, "");
        else
            assert_int_equal(strspn(line, " "), 5);
        assert_true(text_columns(line, strlen(line), false) <= 15);
        free(line);
    }
    close_fixture(f);
}

static void what_is_cut_says_so(void **state)
{
    struct fixture *f = open_fixture();
    struct view all = ui_view(f->ui), v = view_part(&all, 0, 0, 10, 7);
    (void)state;
    assert_int_equal(view_text(&v, 0, 0, THEME_TEXT, "1234567"), 7);
    view_text(&v, 1, 0, THEME_TEXT, "12345678");
    view_text(&v, 2, 0, THEME_TEXT, "中文中文");
    view_text(&v, 3, 1, THEME_TEXT, "中文中");
    view_field(&v, 4, 0, 7, true, THEME_TEXT, "12");
    assert_int_equal(view_field(&v, 5, 2, 3, false, THEME_TEXT, "abcd"), 5);
    struct view two = view_part(&v, 6, 0, 2, 7);
    view_wrapped(&two, 0, THEME_TEXT, "one two three four five");
    view_text(&v, 8, 0, THEME_TEXT, "cafe\u0301");
    assert_row(f, 0, "1234567");
    assert_row(f, 1, "123456…");
    assert_row(f, 2, "中文中…");
    assert_row(f, 3, " 中文中");
    assert_row(f, 4, "     12");
    assert_row(f, 5, "  ab…");
    assert_row(f, 6, "one two");
    assert_row(f, 7, "three …");
    assert_row(f, 8, "cafe\u0301");
    close_fixture(f);
}

static void bars_show_their_share(void **state)
{
    struct fixture *f = open_fixture();
    struct view all = ui_view(f->ui);
    (void)state;
    view_bar(&all, 0, 0, 4, 0.5, THEME_DRAFT);
    view_bar(&all, 1, 0, 4, NAN, THEME_DRAFT);
    view_bar(&all, 2, 0, 4, 7, THEME_DRAFT);
    assert_row(f, 0, "██░░");
    assert_row(f, 1, "░░░░");
    assert_row(f, 2, "████");
    close_fixture(f);
}

static void columns_fit(void **state)
{
    (void)state;
    for (int cols = 0; cols < 120; cols++) {
        struct table_column c[] = {{.head = "name", .least = 8, .most = 20, .rank = 0},
                                   {.head = "state", .least = 9, .rank = 1},
                                   {.head = "never", .least = 5, .rank = 99},
                                   {.head = "rate", .least = 6, .rank = 3},
                                   {.head = "model", .least = 12, .most = 30, .rank = 2}};
        size_t n = ARRAY_LEN(c);
        table_fit(c, n, cols);
        assert_int_equal(c[2].cols, 0);
        int end = table_at(c, n) - 1; /* behind the last is no blank */
        assert_true(end <= cols || end < 0);
        for (size_t i = 0; i < n; i++)
            assert_true(c[i].cols == 0 || c[i].cols >= c[i].least);
        /* By rank: none is shown where one that matters more is not. */
        assert_true(c[0].cols > 0 || c[1].cols + c[3].cols + c[4].cols == 0);
        assert_true(c[4].cols > 0 || c[3].cols == 0);
        assert_int_equal(c[0].cols, cols < 8 ? 0 : cols < 18 ? (cols < 20 ? cols : 20) : c[0].cols);
        assert_true(cols < 80 || (c[0].cols == 20 && c[4].cols == 30));
    }
}

const struct CMUnitTest view_tests[] = {
    cmocka_unit_test(nothing_leaves_its_rectangle),
    cmocka_unit_test(what_is_cut_says_so),
    cmocka_unit_test(bars_show_their_share),
    cmocka_unit_test(columns_fit),
};
const size_t view_count = ARRAY_LEN(view_tests);
