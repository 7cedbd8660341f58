/* What is shown of the swarm: each figure of the picture, at every size, and what is not known as such. */
#include "tests.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "fixture.h"
#include "ui/frame.h"
#include "ui/pane.h"
#include "ui/trouble.h"

struct fixture {
    struct fixture_screen screen;
    struct ui *ui;
};

static struct fixture *open_fixture(bool ascii)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    f->ui = xcalloc(1, sizeof(*f->ui));
    f->ui->news_us = 1;
    fixture_swarm(&f->ui->picture);
    history_take(&f->ui->history, &f->ui->picture.snapshot);
    fixture_open(&f->screen, f->ui, "/dev/null", ascii);
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

/* The pane alone. */
static char *zoom(struct fixture *f, int rows, int cols)
{
    f->ui->zoomed = true;
    f->ui->focus = PANE_SWARM;
    char *text = draw(f, rows, cols);
    f->ui->zoomed = false;
    return text;
}

static void begins(const char *text, const char *want)
{
    if (text == NULL || strncmp(text, want, strlen(want)) != 0)
        fail_msg("wanted:\n%s\nbut there is:\n%s", want, text);
}

static void holds(const char *text, const char *word)
{
    const char *at = strstr(text, word);
    if (at == NULL)
        print_error("there is no \"%s\" in\n%s", word, text);
    assert_non_null(at);
}

static void lacks(const char *text, const char *word)
{
    const char *at = strstr(text, word);
    if (at != NULL)
        print_error("there is a \"%s\" in\n%s", word, text);
    assert_null(at);
}

static void the_swarm_in_ascii(void **state)
{
    static const char want[] = "- swarm: 107 MiB/s in, 51.0 MiB/s out ------------------------------------------\n"
                               "  model            state     here         in        out     left peers copies\n"
                               "> qwen3-32b-q4_k_m fetching  65 %  107 MiB/s 39.6 MiB/s    1 min     3    2.4\n"
                               "  ########################======.................. 208/320 pieces, 13.0/20.0 GiB\n"
                               "! llama3:70b       waiting   99 %      0 B/s      0 B/s        -     1   0.98\n"
                               "  ################---------------- 159/160 pieces, 10.0/10.0 GiB\n"
                               "    no room on the disk: 3.1 GiB more are needed in /srv/models\n"
                               "x broken.gguf      failed       -          -          -        -     0      -\n"
                               "    the file is not a GGUF file\n"
                               "+ qwen3:0.6b       seeding  100 %          - 11.4 MiB/s        -     2      -\n"
                               "+ qwen3:1.7b       seeding  100 %          -      0 B/s        -     0      -\n"
                               "  peer              state        has         in        out asked     away wrong\n"
                               "+ 192.168.1.7:9192  up         100 % 76.3 MiB/s      0 B/s     6   0.7 ms     0\n"
                               "+ 192.168.1.20:9192 up          99 % 30.5 MiB/s 39.6 MiB/s     2   1.9 ms     0\n"
                               "- 192.168.1.21:9192 connecting     -          -          -     0        -     0\n"
                               "! 192.168.1.22:9192 down           -          -          -     0        -     0\n"
                               "    no byte came for 30 s\n"
                               "x 192.168.1.66:9192 banned         -          -          -     0        -     2\n"
                               "    it sent two wrong pieces\n"
                               "at 192.168.1.5:9192  fetched 9.0 GiB, sent 10.0 GiB  3 uploads, 1 waiting\n";
    struct fixture *f = open_fixture(true);
    (void)state;
    char *text = zoom(f, 30, 80);
    begins(strstr(text, "- swarm"), want);
    free(text);
    close_fixture(f);
}

/* Narrow panes show what matters most; the list is moved by the arrows down to its end, and no further. */
static void it_scrolls(void **state)
{
    static const char want[] = "- swarm: 107 MiB/s in, 51.0 MiB/s out --\n"
                               "  model            state     here\n"
                               "> qwen3-32b-q4_k_m fetching  65 %\n"
                               "  ###############====........... 208/320\n"
                               "! llama3:70b       waiting   99 %\n"
                               "  ###############--------------- 159/160\n"
                               "    no room on the disk: 3.1 GiB more\n"
                               "    are needed in /srv/models\n";
    struct fixture *f = open_fixture(true);
    (void)state;
    char *text = zoom(f, 12, 40);
    begins(strstr(text, "- swarm"), want);
    lacks(text, "192.168.1.66");
    free(text);
    f->ui->scroll[PANE_SWARM] = 1000;
    text = zoom(f, 12, 40);
    holds(text, "192.168.1.66");
    holds(text, "at 192.168.1.5:9192");
    assert_true(f->ui->scroll[PANE_SWARM] < 30);
    free(text);
    text = zoom(f, 60, 120); /* all of it fits now */
    assert_int_equal(f->ui->scroll[PANE_SWARM], 0);
    free(text);
    close_fixture(f);
}

/* Before a size or a peer is known nothing is shown as 0, and nothing but what is complete as 100 %. */
static void unknown_is_not_zero(void **state)
{
    struct fixture *f = open_fixture(true);
    struct swarm_view *v = &f->ui->picture.snapshot.swarm;
    (void)state;
    v->n_peers = v->peers_in_all = 0;
    v->n_models = v->models_in_all = 1;
    v->model[0] = (struct swarm_view_model){
        .name = "wanted", .state = SWARM_FINDING, .down = NAN, .up = NAN, .eta = NAN, .availability = NAN};
    v->down = NAN;
    v->listen[0] = '\0';
    v->discovery = false;
    char *text = zoom(f, 24, 80);
    holds(text, "- swarm: - in, 51.0 MiB/s out");
    holds(text, "> wanted   finding      -          -          -        -     0      - ");
    holds(text, "nobody can ask it for pieces");
    holds(text, "not announced");
    lacks(text, " 0 %");
    lacks(text, "pieces,");
    free(text);
    v->model[0] = (struct swarm_view_model){.name = "wanted",
                                            .state = SWARM_FETCHING,
                                            .size = 1000000,
                                            .wanted = 1000000,
                                            .have = 999999,
                                            .eta = 0.1,
                                            .pieces = 3,
                                            .pieces_have = 2,
                                            .n_map = 3,
                                            .map = {{100}, {99}, {100}}};
    text = zoom(f, 24, 80);
    holds(text, "> wanted   fetching  99 %");
    holds(text, "  #=# 2/3 pieces");
    holds(text, " 1.0 s ");
    free(text);
    v->n_models = v->models_in_all = 0;
    text = zoom(f, 24, 80);
    holds(text, "no model is given out or on its way: w pulls one");
    free(text);
    close_fixture(f);
}

static void more_than_is_shown_is_counted(void **state)
{
    struct fixture *f = open_fixture(true);
    struct swarm_view *v = &f->ui->picture.snapshot.swarm;
    (void)state;
    v->models_in_all = 40;
    v->peers_in_all = 45;
    char *text = zoom(f, 40, 80);
    holds(text, "and 35 more");
    holds(text, "and 40 more");
    free(text);
    text = zoom(f, 40, 120);
    holds(text, " name ");
    free(text);
    for (size_t i = 0; i < v->n_peers; i++)
        v->peer[i].name[0] = '\0'; /* a column of nothing is left out */
    text = zoom(f, 40, 120);
    lacks(text, " name ");
    free(text);
    close_fixture(f);
}

/* At the sizes of the field it stands among the others, and nothing is cut. */
static void nothing_is_cut(void **state)
{
    static const struct {
        int rows, cols;
        const char *words[5];
    } sizes[] = {
        {24, 80, {"─ swarm: 107 MiB/s in, 51.0 MiB/s out ─", "▸ qwen3-32b-q4_k_m"}},
        {40, 120, {"▸ qwen3-32b-q4_k_m fetching  65 %", "! llama3:70b"}},
        {60, 200, {"208/320 pieces, 13.0/20.0 GiB", "✗ broken.gguf", "✗ 192.168.1.66:9192", "two wrong pieces"}},
        {70,
         250,
         {"208/320 pieces, 13.0/20.0 GiB", "no byte came for 30 s", "old-thinkpad", "announced in the network"}},
    };
    struct fixture *f = open_fixture(false);
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        char *text = draw(f, sizes[i].rows, sizes[i].cols);
        lacks(text, "…");
        for (size_t k = 0; k < ARRAY_LEN(sizes[i].words) && sizes[i].words[k] != NULL; k++)
            holds(text, sizes[i].words[k]);
        free(text);
        text = zoom(f, sizes[i].rows, sizes[i].cols);
        lacks(text, "…");
        free(text);
    }
    for (int rows = 5; rows <= 70; rows += 5) {
        for (int cols = 20; cols <= 250; cols += 10) {
            free(draw(f, rows, cols));
            free(zoom(f, rows, cols));
        }
    }
    f->ui->picture.snapshot.swarm.on = false;
    char *text = draw(f, 40, 120);
    lacks(text, "swarm");
    assert_int_equal(f->ui->layout.pane[PANE_SWARM].rows, 0);
    free(text);
    close_fixture(f);
}

static void what_waits_is_told_above(void **state)
{
    struct feed_picture *p = xcalloc(1, sizeof(*p));
    struct trouble *t = xcalloc(TROUBLES, sizeof(*t));
    (void)state;
    fixture_swarm(p);
    snprintf(p->snapshot.swarm.why, sizeof(p->snapshot.swarm.why), "discovery on UDP port 9192: no such device");
    assert_int_equal(trouble_find(p, false, t), 3);
    assert_string_equal(t[0].text, "swarm: broken.gguf failed: the file is not a GGUF file");
    assert_int_equal(t[0].role, THEME_BAD);
    assert_string_equal(t[1].text, "swarm: discovery on UDP port 9192: no such device");
    assert_string_equal(t[2].text,
                        "swarm: llama3:70b waits: no room on the disk: 3.1 GiB more are needed in /srv/models");
    free(t);
    free(p);
}

const struct CMUnitTest swarm_tests[] = {
    cmocka_unit_test(the_swarm_in_ascii),  cmocka_unit_test(it_scrolls),
    cmocka_unit_test(unknown_is_not_zero), cmocka_unit_test(more_than_is_shown_is_counted),
    cmocka_unit_test(nothing_is_cut),      cmocka_unit_test(what_waits_is_told_above),
};
const size_t swarm_count = ARRAY_LEN(swarm_tests);
