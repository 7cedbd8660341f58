/* Whole frames on a screen of ncurses: no text is cut or stands over other text, at the sizes of the field and at all
 * others; nothing that a server says reaches the terminal as a command. */
#include "tests.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "fixture.h"
#include "ui/frame.h"
#include "ui/pane.h"
#include "ui/text.h"

struct fixture {
    struct fixture_screen screen;
    struct ui *ui;
};

static struct fixture *open_fixture(const char *path, bool ascii)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    f->ui = xcalloc(1, sizeof(*f->ui));
    f->ui->news_us = 1;
    fixture_picture(&f->ui->picture);
    history_take(&f->ui->history, &f->ui->picture.snapshot);
    fixture_open(&f->screen, f->ui, path, ascii);
    return f;
}

static void close_fixture(struct fixture *f)
{
    fixture_close(&f->screen);
    free(f->ui);
    free(f);
}

static char *draw(struct fixture *f, int rows, int cols)
{
    fixture_resize(f->ui, rows, cols);
    frame_draw(f->ui, clock_us());
    return fixture_text(f->ui);
}

/* Titles stand where their panes begin, and separators are whole. */
static void check_places(struct ui *ui)
{
    const struct layout *l = &ui->layout;
    for (int id = 0; id < PANES; id++) {
        const struct layout_box *b = &l->pane[id];
        cchar_t cell;
        wchar_t wide[8], title[64];
        attr_t attr;
        short pair;
        if (b->rows == 0)
            continue;
        mvinnwstr(b->y, b->x + 2, title, (int)strlen(pane_table[id]->name));
        char name[256] = "";
        wcstombs(name, title, sizeof(name) - 1);
        assert_string_equal(name, pane_table[id]->name);
        for (int row = 1; row < b->rows && l->separator[id] >= 0; row++) {
            mvin_wch(b->y + row, l->separator[id], &cell);
            getcchar(&cell, wide, &attr, &pair, NULL);
            assert_int_equal(wide[0], L'│');
        }
    }
}

static void nothing_is_cut(void **state)
{
    static const int sizes[][2] = {{24, 80}, {40, 120}, {60, 200}, {70, 250}};
    struct fixture *f = open_fixture("/dev/null", false);
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        char *text = draw(f, sizes[i][0], sizes[i][1]);
        assert_null(strstr(text, "…"));
        assert_non_null(strstr(text, "qwen3:32b  at 127.0.0.1:8088"));
        assert_non_null(strstr(text, "87 % accepted"));
        assert_non_null(strstr(text, "exact byte for byte"));
        assert_non_null(strstr(text, "123"));
        assert_non_null(strstr(text, "stands by"));
        assert_non_null(strstr(text, sizes[i][0] < 40 ? "0-11" : "12-23"));
        check_places(f->ui);
        free(text);
    }
    close_fixture(f);
}

static void what_is_wrong_is_said(void **state)
{
    struct fixture *f = open_fixture("/dev/null", false);
    (void)state;
    fixture_trouble(&f->ui->picture);
    char *text = draw(f, 24, 80);
    assert_non_null(strstr(text, "✗ target target is down: Failed to connect to 10.0.0.5 port 8081."));
    assert_non_null(strstr(text, "+2 more"));
    check_places(f->ui);
    free(text);
    text = draw(f, 40, 120);
    assert_non_null(strstr(text, "Requests wait for it"));
    free(text);
    close_fixture(f);
}

static void every_size_can_be_drawn(void **state)
{
    struct fixture *f = open_fixture("/dev/null", false);
    (void)state;
    for (int rows = 5; rows <= 80; rows += 5) {
        for (int cols = 20; cols <= 260; cols += 12) {
            for (int zoomed = 0; zoomed < 2; zoomed++) {
                f->ui->zoomed = zoomed;
                f->ui->focus = (enum pane_id)((rows / 5 + cols / 12) % PANES);
                ((rows + cols) % 2 == 0 ? fixture_picture : fixture_trouble)(&f->ui->picture);
                char *text = draw(f, rows, cols);
                if (rows < LAYOUT_ROWS || cols < LAYOUT_COLS)
                    assert_non_null(strstr(text, "tightwad needs"));
                else
                    check_places(f->ui);
                free(text);
            }
        }
    }
    close_fixture(f);
}

static void ascii_terminals_get_ascii(void **state)
{
    struct fixture *f = open_fixture("/dev/null", true);
    (void)state;
    char *text = draw(f, 40, 120);
    for (const char *c = text; *c != '\0'; c++)
        assert_true((*c >= 0x20 && *c < 0x7f) || *c == '\n');
    assert_non_null(strstr(text, "f?x jumps over ??? and"));
    assert_non_null(strstr(text, "+ target    target  up"));
    free(text);
    close_fixture(f);
}

/* The bytes for the terminal are searched, not the cells: this is what it would act on. */
static void commands_do_not_reach_the_terminal(void **state)
{
    char path[] = "/tmp/tightwad-frame-XXXXXX", *bytes = xcalloc(1, 1 << 20);
    static const char evil[] = "\033]0;owned\007\033[6n\x9b"
                               "6n\r\n\u202eevil\xff";
    int fd = mkstemp(path);
    struct fixture *f = open_fixture(path, false);
    struct snapshot *s = &f->ui->picture.snapshot;
    (void)state;
    fixture_modes(&f->ui->picture);
    snprintf(s->model, sizeof(s->model), "%s", evil);
    snprintf(s->listen, sizeof(s->listen), "%s", evil);
    snprintf(s->governor, sizeof(s->governor), "%s", evil);
    snprintf(s->exactness, sizeof(s->exactness), "%s", evil);
    for (size_t i = 0; i < s->n_backends; i++) {
        snprintf(s->backend[i].name, sizeof(s->backend[i].name), "%s", evil);
        snprintf(s->backend[i].model, sizeof(s->backend[i].model), "%s", evil);
        snprintf(s->backend[i].reason, sizeof(s->backend[i].reason), "%s", evil);
    }
    snprintf(s->machine[0].name, sizeof(s->machine[0].name), "%s", evil);
    snprintf(s->machine[0].gpu[0].name, sizeof(s->machine[0].gpu[0].name), "%s", evil);
    snprintf(s->pool.state, sizeof(s->pool.state), "%.15s", evil);
    snprintf(s->pool.model, sizeof(s->pool.model), "%s", evil);
    snprintf(s->pool.why, sizeof(s->pool.why), "%s", evil);
    snprintf(s->pool.device[0].machine, sizeof(s->pool.device[0].machine), "%s", evil);
    snprintf(s->request[0].model, sizeof(s->request[0].model), "%s", evil);
    snprintf(s->consensus.why, sizeof(s->consensus.why), "%s", evil);
    snprintf(s->gate.why, sizeof(s->gate.why), "%s", evil);
    snprintf(s->gate.agent[0].name, sizeof(s->gate.agent->name), "%s", evil);
    snprintf(s->gate.agent[1].reason, sizeof(s->gate.agent->reason), "%s", evil);
    snprintf(s->request[1].agent, sizeof(s->request->agent), "%s", evil);
    snprintf(s->log[s->n_log - 1].text, sizeof(s->log->text), "%s", evil);
    live_restart(&f->ui->picture.live, 120);
    live_add_text(&f->ui->picture.live, evil, strlen(evil), LIVE_DRAFTER, 1);
    snprintf(f->ui->filter, sizeof(f->ui->filter), "e");
    free(draw(f, 60, 200));
    f->ui->zoomed = true;
    for (int id = 0; id < PANES; id++) {
        f->ui->focus = (enum pane_id)id;
        free(draw(f, 60, 200));
        refresh();
    }
    fflush(f->screen.out);
    ssize_t n = read(fd, bytes, (1 << 20) - 1);
    assert_true(n > 1000);
    assert_null(memmem(bytes, (size_t)n, "\033]", 2));
    assert_null(memmem(bytes, (size_t)n, "\033[6n", 4));
    assert_null(memmem(bytes, (size_t)n, "\007", 1));
    assert_null(memmem(bytes, (size_t)n, "\u202e", 3));
    assert_null(memmem(bytes, (size_t)n, "\xff", 1));
    assert_non_null(memmem(bytes, (size_t)n, "evil", 4));
    close_fixture(f);
    close(fd);
    unlink(path);
    free(bytes);
}

static void a_long_name_leaves_room_for_the_address(void **state)
{
    struct fixture *f = open_fixture("/dev/null", false);
    struct snapshot *s = &f->ui->picture.snapshot;
    (void)state;
    memset(s->model, 'm', sizeof(s->model) - 1);
    char *shown = draw(f, 24, 80);
    char *end = strchr(shown, '\n');
    *end = '\0';
    assert_non_null(strstr(shown, strstr(s->listen, "://") + 3));
    free(shown);
    close_fixture(f);
}

static void lists_scroll_and_are_filtered(void **state)
{
    struct fixture *f = open_fixture("/dev/null", false);
    (void)state;
    f->ui->focus = PANE_REQUESTS;
    f->ui->scroll[PANE_REQUESTS] = 1000;
    free(draw(f, 24, 80));
    assert_true(f->ui->scroll[PANE_REQUESTS] < 20); /* capped at the end of the list */
    ui_filter(f->ui, "line 7");
    char *text = draw(f, 40, 120);
    assert_non_null(strstr(text, "line 7: drafter"));
    assert_null(strstr(text, "line 8: drafter"));
    assert_non_null(strstr(text, "none of them holds"));
    free(text);
    ui_filter(f->ui, "running");
    text = draw(f, 40, 120);
    assert_non_null(strstr(text, "120 running"));
    assert_null(strstr(text, "118 done"));
    free(text);
    close_fixture(f);
}

static void what_is_not_there_is_not_drawn(void **state)
{
    struct fixture *f = open_fixture("/dev/null", false);
    struct feed_picture *p = &f->ui->picture;
    (void)state;
    p->snapshot.pool.configured = false;
    p->snapshot.n_requests = 0;
    memset(&p->live, 0, sizeof(p->live));
    f->ui->focus = PANE_POOL;
    char *text = draw(f, 40, 120);
    assert_int_equal(f->ui->focus, PANE_MACHINES); /* keys never go to what can't be seen */
    assert_int_equal(f->ui->layout.pane[PANE_POOL].rows + f->ui->layout.pane[PANE_REQUESTS].rows +
                         f->ui->layout.pane[PANE_ROUNDS].rows,
                     0);
    assert_non_null(strstr(text, "Point a chat program at http://127.0.0.1:8088/v1"));
    free(text);
    ui_focus_next(f->ui, -1);
    assert_int_equal(f->ui->focus, PANE_LOG);
    ui_focus_next(f->ui, -1);
    assert_int_equal(f->ui->focus, PANE_STREAM);
    p->have = false;
    free(draw(f, 40, 120));
    close_fixture(f);
}

/* Panes lag behind pictures on purpose, and catch up without another one. */
static void panes_are_drawn_when_due(void **state)
{
    struct fixture *f = open_fixture("/dev/null", false);
    struct ui *ui = f->ui;
    (void)state;
    fixture_resize(ui, 40, 120);
    frame_draw(ui, 1000000);
    assert_true(frame_due(ui) == INT64_MAX);
    ui->news_us = 1100000;
    ui->picture.snapshot.request[0].id = 777;
    frame_draw(ui, 1100000);
    char *text = fixture_text(ui);
    assert_null(strstr(text, "777 running"));
    free(text);
    assert_true(frame_due(ui) > 1100000 && frame_due(ui) <= 1500000);
    frame_draw(ui, 1500000);
    text = fixture_text(ui);
    assert_non_null(strstr(text, "777 running"));
    free(text);
    close_fixture(f);
}

const struct CMUnitTest frame_tests[] = {
    cmocka_unit_test(nothing_is_cut),
    cmocka_unit_test(what_is_wrong_is_said),
    cmocka_unit_test(every_size_can_be_drawn),
    cmocka_unit_test(ascii_terminals_get_ascii),
    cmocka_unit_test(commands_do_not_reach_the_terminal),
    cmocka_unit_test(a_long_name_leaves_room_for_the_address),
    cmocka_unit_test(lists_scroll_and_are_filtered),
    cmocka_unit_test(what_is_not_there_is_not_drawn),
    cmocka_unit_test(panes_are_drawn_when_due),
};
const size_t frame_count = ARRAY_LEN(frame_tests);
