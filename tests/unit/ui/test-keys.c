/* The table of the keys: every row is in the help and in the manual, no key is there twice, and each says why where it
 * can't act. */
#include "tests.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "keys-rig.h"
#include "ui/dialog.h"
#include "ui/screen.h"

static void no_key_is_there_twice(void **state)
{
    (void)state;
    for (size_t i = 0; i < key_count; i++) {
        assert_non_null(key_table[i].act);
        assert_true(strlen(key_table[i].help) > 5);
        assert_in_range(key_table[i].group, i > 0 ? key_table[i - 1].group : 0, KEY_GROUPS - 1);
        for (size_t k = i + 1; k < key_count; k++) {
            assert_int_not_equal(key_table[i].key, key_table[k].key);
            assert_string_not_equal(key_table[i].name, key_table[k].name);
        }
    }
}

/* What a dialog shows on a screen so large that nothing of it is hidden. */
static char *drawn(struct keys_rig *r, int rows, int cols)
{
    resizeterm(rows, cols);
    erase();
    r->ui->rows = rows;
    r->ui->cols = cols;
    dialog_draw(r->ui);
    char *text = xcalloc((size_t)rows * (size_t)(4 * cols + 1) + 1, 1), *at = text;
    for (int row = 0; row < rows; row++) {
        wchar_t line[512] = {0};
        mvinnwstr(row, 0, line, cols);
        for (const wchar_t *w = line; *w != 0; w++)
            at += *w < 0x80 ? sprintf(at, "%c", (char)*w) : sprintf(at, "#");
        at += sprintf(at, "\n");
    }
    return text;
}

struct terminal {
    SCREEN *screen;
    FILE *null;
};

static struct terminal open_terminal(void)
{
    struct terminal t = {.null = fopen("/dev/null", "r+")};
    setlocale(LC_ALL, "C.UTF-8");
    setenv("LINES", "100", 1);
    setenv("COLUMNS", "120", 1);
    t.screen = newterm("xterm", t.null, t.null);
    assert_non_null(t.screen);
    return t;
}

static void close_terminal(struct terminal *t)
{
    endwin();
    delscreen(t->screen);
    fclose(t->null);
}

/* All words of text stand in page, one after the other, whatever stands between them. */
static bool has_words(const char *page, const char *text)
{
    char *copy = xstrdup(text), *save = NULL;
    bool all = true;
    for (char *w = strtok_r(copy, " ", &save); w != NULL && all; w = strtok_r(NULL, " ", &save)) {
        page = strstr(page, w);
        all = page != NULL;
        page += all ? strlen(w) : 0;
    }
    free(copy);
    return all;
}

static void every_row_is_in_the_help(void **state)
{
    (void)state;
    struct keys_rig r;
    rig_start(&r);
    struct terminal t = open_terminal();
    rig_type(&r, "?");
    assert_string_equal(rig_dialog(&r), "keys");
    char *page = drawn(&r, 100, 120);
    for (size_t i = 0; i < key_count; i++) {
        if (!has_words(page, key_table[i].name) || !has_words(page, key_table[i].help))
            fail_msg("%s: %s is not in the help:\n%s", key_table[i].name, key_table[i].help, page);
    }
    for (int g = 0; g < KEY_GROUPS; g++)
        assert_non_null(strstr(page, key_group_names[g]));
    free(page);
    free(drawn(&r, 10, 40));
    for (size_t i = 0; i < 100; i++) /* on a small screen all of it is reached by scrolling */
        rig_press(&r, KEY_DOWN);
    page = drawn(&r, 10, 40);
    assert_non_null(strstr(page, "Ctrl-C"));
    free(page);
    rig_press(&r, SCREEN_ESCAPE);
    assert_string_equal(rig_dialog(&r), "");
    close_terminal(&t);
    rig_stop(&r);
}

/* The list of the keys in doc/dashboard.md, between two lines of comment, is the table's. */
static void the_manual_has_the_table(void **state)
{
    (void)state;
    const char *data = getenv("TIGHTWAD_TEST_DATA");
    char *path = xasprintf("%s/../../../doc/dashboard.md", data), *page = xcalloc(1, 1 << 16),
         *want = xcalloc(1, 1 << 16);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_true(fread(page, 1, (1 << 16) - 1, f) > 0);
    fclose(f);
    char *at = want;
    for (int g = 0; g < KEY_GROUPS; g++) {
        at += sprintf(at, "\n| %s | |\n|---|---|\n", key_group_names[g]);
        for (size_t i = 0; i < key_count; i++) {
            if ((int)key_table[i].group == g)
                at += sprintf(at, "| `%s` | %s |\n", key_table[i].name, key_table[i].help);
        }
    }
    if (strstr(page, want) == NULL)
        fail_msg("doc/dashboard.md wants this:\n%s", want);
    free(path);
    free(page);
    free(want);
}

static void a_key_that_can_not_act_says_why(void **state)
{
    (void)state;
    struct keys_rig r;
    rig_start(&r);
    rig_type(&r, "p");
    assert_non_null(strstr(r.ui->notice, "no drafter"));
    rig_type(&r, "c");
    assert_non_null(strstr(r.ui->notice, "no pool"));
    rig_type(&r, "g");
    assert_non_null(strstr(r.ui->notice, "no gate is configured"));
    rig_type(&r, "C");
    assert_non_null(strstr(r.ui->notice, "two drafters"));
    rig_add_drafter(&r, "one", false);
    rig_add_drafter(&r, "the text itself", false);
    snprintf(r.ui->picture.snapshot.backend[2].kind, sizeof(r.ui->picture.snapshot.backend[2].kind), "ngram");
    r.ui->notice[0] = '\0';
    rig_type(&r, "C");
    assert_non_null(strstr(r.ui->notice, "two drafters"));
    rig_type(&r, "M");
    assert_non_null(strstr(r.ui->notice, "neither consensus nor a gate"));
    rig_type(&r, "w");
    assert_non_null(strstr(r.ui->notice, "the swarm is off"));
    r.ui->picture.connected = false;
    rig_type(&r, "m");
    assert_non_null(strstr(r.ui->notice, "not there"));
    r.ui->picture.have = false;
    rig_type(&r, "D");
    assert_non_null(strstr(r.ui->notice, "nothing is known"));
    rig_wants(&r, NULL);
    assert_false(keys_handle(r.ui, 'J'));
    assert_string_equal(rig_dialog(&r), "");
    rig_stop(&r);
}

static void arrows_move_the_focused_list(void **state)
{
    (void)state;
    struct keys_rig r;
    rig_start(&r);
    r.ui->focus = PANE_REQUESTS;
    r.ui->layout.pane[PANE_REQUESTS].rows = 8;
    rig_press(&r, KEY_DOWN);
    rig_press(&r, KEY_NPAGE);
    assert_int_equal(r.ui->scroll[PANE_REQUESTS], 7);
    rig_press(&r, KEY_UP);
    assert_int_equal(r.ui->scroll[PANE_REQUESTS], 6);
    rig_press(&r, KEY_PPAGE);
    rig_press(&r, KEY_UP);
    assert_int_equal(r.ui->scroll[PANE_REQUESTS], 0);
    r.ui->focus = PANE_LOG; /* up is back in time */
    rig_press(&r, KEY_UP);
    rig_press(&r, KEY_UP);
    assert_int_equal(r.ui->scroll[PANE_LOG], 2);
    rig_press(&r, KEY_HOME);
    assert_int_equal(r.ui->scroll[PANE_LOG], 0);
    rig_stop(&r);
}

static void the_footer_offers_what_can_be_done(void **state)
{
    (void)state;
    struct keys_rig r;
    const char *key[32], *word[32];
    rig_start(&r);
    size_t n = keys_hints(r.ui, key, word, 32);
    assert_true(n >= 6);
    assert_string_equal(key[0], "?");
    assert_string_equal(key[1], "q");
    for (size_t i = 0; i < n; i++)
        assert_string_not_equal(key[i], "p");
    rig_add_drafter(&r, "d", false);
    assert_int_equal(keys_hints(r.ui, key, word, 32), n + 1);
    assert_int_equal(keys_hints(r.ui, key, word, 2), 2);
    rig_stop(&r);
}

/* Every dialog at every size: nothing leaves its frame, no frame the screen. */
static void dialogs_fit_any_screen(void **state)
{
    (void)state;
    static const char *const openings[] = {"?", "a", "d", "s", "t", "l", "q", "p", "x", "m", "D", "g", "C", "M"};
    static const int sizes[][2] = {{24, 80}, {10, 40}, {50, 200}, {3, 12}, {1, 1}};
    struct keys_rig r;
    rig_start(&r);
    rig_add_drafter(&r, "one", false);
    rig_add_drafter(&r, "two", true);
    rig_add_pool(&r, "big", "up");
    rig_add_gate(&r, true);
    struct terminal t = open_terminal();
    for (size_t i = 0; i < ARRAY_LEN(openings); i++) {
        rig_type(&r, openings[i]);
        assert_string_not_equal(rig_dialog(&r), "");
        for (size_t k = 0; k < ARRAY_LEN(sizes); k++) {
            char *text = drawn(&r, sizes[k][0], sizes[k][1]);
            size_t corners = 0;
            for (const char *at = text; (at = strstr(at, "#")) != NULL; at++)
                corners++;
            if (sizes[k][0] >= 10)
                assert_true(corners >= 8); /* a frame */
            free(text);
        }
        keys_finish(r.ui);
    }
    close_terminal(&t);
    rig_stop(&r);
}

static uint32_t next_random(uint32_t *state)
{
    return *state = *state * 1664525 + 1013904223, *state >> 8;
}

static int random_key(uint32_t *state)
{
    static const int special[] = {KEY_UP,     KEY_DOWN, KEY_LEFT,      KEY_RIGHT, KEY_PPAGE, KEY_NPAGE,
                                  KEY_HOME,   KEY_END,  KEY_BACKSPACE, KEY_DC,    KEY_BTAB,  KEY_F(1),
                                  KEY_RESIZE, '\r',     SCREEN_ESCAPE, '\t',      23,        21};
    uint32_t kind = next_random(state) % 8;
    if (kind < 3)
        return special[next_random(state) % ARRAY_LEN(special)];
    if (kind == 3)
        return '\r';
    if (kind == 4)
        return SCREEN_WIDE | (int)(next_random(state) % 0x110000);
    if (kind == 5)
        return (int)(next_random(state) % 0x200);
    return key_table[next_random(state) % key_count].key;
}

/* What an instance may say to any order, right or not. */
static void answer_random(struct keys_rig *r, uint32_t *state)
{
    static const char *const replies[] = {
        "{}",
        "{\"ok\":true,\"request\":3}",
        "{\"models\":[]}",
        "{\"models\":[7,{\"name\":\"a\"},{\"name\":\"big\",\"fits\":true,\"resident\":true,\"bytes\":5}]}",
        "{\"models\":[{\"name\":\"b\",\"fits\":false,\"missing\":5,\"tokens_per_second\":3,\"rate\":\"estimate\"}]}",
        "{\"findings\":[{\"level\":\"note\",\"what\":\"\\u001b[2J\"},5,{\"good\":true,\"fix\":\"x\"}]}",
    };
    if (r->checked == r->n_orders)
        return;
    r->checked++;
    if (next_random(state) % 3 == 0)
        rig_fail(r, "it is so");
    else
        rig_answer(r, replies[next_random(state) % ARRAY_LEN(replies)]);
    if (r->checked == RIG_ORDERS / 2)
        rig_forget(r);
}

static void picture_random(struct keys_rig *r, uint32_t *state)
{
    static const char *const states[] = {"off", "up", "starting", "failed", "draining"};
    struct snapshot *s = &r->ui->picture.snapshot;
    rig_add_pool(r, next_random(state) % 2 ? "big" : "b", states[next_random(state) % ARRAY_LEN(states)]);
    s->pool.configured = next_random(state) % 4 != 0;
    s->pool.next[0] = next_random(state) % 3 == 0 ? 'b' : '\0';
    s->pool.progress = next_random(state) % 2 ? 0.5 : NAN;
    s->pool.swaps += next_random(state) % 2;
    s->n_backends = 1 + next_random(state) % 3;
    rig_add_gate(r, next_random(state) % 2);
    s->consensus.configured = next_random(state) % 2;
    s->swarm.on = next_random(state) % 2;
    s->swarm.n_models = next_random(state) % 3;
    s->swarm.model[0].state = (enum swarm_state)(next_random(state) % (SWARM_FAILED + 1));
    s->config[0] = next_random(state) % 2 ? '/' : '\0';
    s->max_draft_tokens = (int64_t)(next_random(state) % 3) - 1;
    r->ui->picture.connected = next_random(state) % 8 != 0;
    rig_picture(r);
}

static void random_keys_break_nothing(void **state)
{
    (void)state;
    static const int sizes[][2] = {{24, 80}, {10, 40}, {60, 120}, {5, 30}};
    struct keys_rig r;
    uint32_t seed = 7;
    rig_start(&r);
    rig_add_drafter(&r, "one", false);
    rig_add_drafter(&r, "two", true);
    struct terminal t = open_terminal();
    for (int i = 0; i < 20000; i++) {
        rig_press(&r, random_key(&seed));
        if (r.n_orders > RIG_ORDERS / 2 || next_random(&seed) % 4 == 0)
            answer_random(&r, &seed);
        if (next_random(&seed) % 16 == 0)
            picture_random(&r, &seed);
        if (next_random(&seed) % 16 == 0) {
            const int *size = sizes[next_random(&seed) % ARRAY_LEN(sizes)];
            free(drawn(&r, size[0], size[1]));
        }
    }
    close_terminal(&t);
    rig_stop(&r);
}

const struct CMUnitTest keys_tests[] = {
    cmocka_unit_test(random_keys_break_nothing),          cmocka_unit_test(no_key_is_there_twice),
    cmocka_unit_test(every_row_is_in_the_help),           cmocka_unit_test(the_manual_has_the_table),
    cmocka_unit_test(a_key_that_can_not_act_says_why),    cmocka_unit_test(arrows_move_the_focused_list),
    cmocka_unit_test(the_footer_offers_what_can_be_done), cmocka_unit_test(dialogs_fit_any_screen),
};
const size_t keys_count = ARRAY_LEN(keys_tests);
