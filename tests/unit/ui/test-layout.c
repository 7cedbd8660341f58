/* The arithmetic of the layout: nothing overlaps, leaves the screen or is too narrow to be read, whatever the size. */
#include "tests.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ui/layout.h"

enum { LEAST_COLS = 36, LEAST_PANE = 2 };

static void want_all(struct layout_ask *ask)
{
    static const struct layout_want wants[PANES] = {
        [PANE_MACHINES] = {true, 4, false}, [PANE_SPECULATION] = {true, 7, false}, [PANE_STREAM] = {true, 6, true},
        [PANE_ROUNDS] = {true, 7, true},    [PANE_GATE] = {true, 8, false},        [PANE_CONSENSUS] = {true, 7, false},
        [PANE_REQUESTS] = {true, 7, true},  [PANE_POOL] = {true, 4, false},        [PANE_SWARM] = {true, 4, true},
        [PANE_LOG] = {true, 4, true},
    };
    memcpy(ask->want, wants, sizeof(wants));
}

/* Marks the cells of a box; each cell at most once, and none outside. */
static void mark(char *cells, const struct layout *l, const struct layout_box *b)
{
    if (b->rows == 0)
        return;
    assert_true(b->y >= 0 && b->x >= 0 && b->rows > 0 && b->cols > 0);
    assert_true(b->y + b->rows <= l->rows && b->x + b->cols <= l->cols);
    for (int y = b->y; y < b->y + b->rows; y++) {
        for (int x = b->x; x < b->x + b->cols; x++)
            assert_int_equal(cells[y * l->cols + x]++, 0);
    }
}

static int check(const struct layout_ask *ask, struct layout *l)
{
    int shown = 0;
    layout_make(l, ask);
    assert_int_equal(l->too_small, ask->rows < LAYOUT_ROWS || ask->cols < LAYOUT_COLS);
    if (l->too_small)
        return 0;
    char *cells = xcalloc((size_t)ask->rows * (size_t)ask->cols, 1);
    mark(cells, l, &l->header);
    mark(cells, l, &l->notices);
    mark(cells, l, &l->footer);
    for (int i = 0; i < PANES; i++) {
        const struct layout_box *b = &l->pane[i];
        mark(cells, l, b);
        if (b->rows == 0)
            continue;
        assert_true(ask->want[i].present);
        assert_true(b->cols >= LEAST_COLS);
        assert_true(b->rows >= LEAST_PANE);
        shown++;
        for (int y = b->y; y < b->y + b->rows && l->separator[i] >= 0; y++)
            assert_int_equal(cells[y * l->cols + l->separator[i]]++, 0);
    }
    /* Nothing is left between them but the rows of a screen without panes. */
    for (int at = 0; at < ask->rows * ask->cols && shown > 0; at++)
        assert_int_equal(cells[at], 1);
    free(cells);
    return shown;
}

static void every_size(void **state)
{
    struct layout l;
    (void)state;
    for (int rows = 5; rows <= 80; rows++) {
        for (int cols = 20; cols <= 260; cols += 3) {
            struct layout_ask ask = {.rows = rows, .cols = cols, .notices = rows % (LAYOUT_NOTICES + 1)};
            want_all(&ask);
            check(&ask, &l);
        }
    }
}

static void every_set_of_panes(void **state)
{
    static const int sizes[][2] = {{10, 40}, {24, 80}, {30, 99}, {40, 120}, {60, 200}, {70, 250}, {15, 160}};
    struct layout l;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        for (int set = 1; set < 1 << PANES; set++) {
            for (int focus = 0; focus < PANES; focus++) {
                struct layout_ask ask = {.rows = sizes[i][0], .cols = sizes[i][1], .focus = (enum pane_id)focus};
                want_all(&ask);
                for (int p = 0; p < PANES; p++)
                    ask.want[p].present = (set & 1 << p) != 0;
                assert_true(check(&ask, &l) > 0);
                if (ask.want[focus].present)
                    assert_true(l.pane[focus].rows > 0);
                ask.zoomed = true;
                int shown = check(&ask, &l);
                if (ask.want[focus].present)
                    assert_int_equal(shown, 1);
            }
        }
    }
}

static void all_panes_at_the_sizes_of_the_field(void **state)
{
    static const int sizes[][2] = {{24, 80}, {40, 120}, {60, 200}, {70, 250}};
    struct layout l;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct layout_ask ask = {.rows = sizes[i][0], .cols = sizes[i][1]};
        want_all(&ask);
        assert_int_equal(check(&ask, &l), PANES);
        for (int p = 0; p < PANES && sizes[i][0] >= 40; p++)
            assert_true(l.pane[p].rows >= ask.want[p].rows + 1); /* each has what it wants */
    }
}

/* What grows takes what is left over; what does not stays as it is. */
static void rows_go_to_what_grows(void **state)
{
    struct layout_ask ask = {.rows = 60, .cols = 120};
    struct layout l;
    (void)state;
    want_all(&ask);
    check(&ask, &l);
    assert_int_equal(l.pane[PANE_MACHINES].rows, 8); /* as its neighbour wants */
    assert_true(l.pane[PANE_STREAM].rows > l.pane[PANE_LOG].rows);
    assert_true(l.pane[PANE_STREAM].rows > ask.want[PANE_STREAM].rows + 5);
}

const struct CMUnitTest layout_tests[] = {
    cmocka_unit_test(every_size),
    cmocka_unit_test(every_set_of_panes),
    cmocka_unit_test(all_panes_at_the_sizes_of_the_field),
    cmocka_unit_test(rows_go_to_what_grows),
};
const size_t layout_count = ARRAY_LEN(layout_tests);
