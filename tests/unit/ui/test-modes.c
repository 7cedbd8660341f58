/* What is shown of consensus, the gate and several drafters: the figures of the picture, at every size, and that such
 * answers are approximate. */
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

struct fixture {
    struct fixture_screen screen;
    struct ui *ui;
};

static struct fixture *open_fixture(bool ascii)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    f->ui = xcalloc(1, sizeof(*f->ui));
    f->ui->news_us = 1;
    fixture_modes(&f->ui->picture);
    struct snapshot *s = &f->ui->picture.snapshot;
    for (int i = 0; i < 40; i++) { /* a past */
        history_take(&f->ui->history, s);
        s->uptime_ms += HISTORY_MS;
        s->consensus.accepted += 10;
        s->consensus.fallback += (uint64_t)(i % 5);
    }
    fixture_modes(&f->ui->picture);
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
    char *text = fixture_text(f->ui);
    return text;
}

/* One pane alone. */
static char *zoom(struct fixture *f, enum pane_id id, int rows, int cols)
{
    f->ui->zoomed = true;
    f->ui->focus = id;
    char *text = draw(f, rows, cols);
    f->ui->zoomed = false;
    return text;
}

static void holds(const char *text, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (strstr(text, words[i]) == NULL)
            fail_msg("there is no \"%s\" in\n%s", words[i], text);
    }
}

static void lacks(const char *text, const char *word)
{
    const char *at = strstr(text, word);
    if (at != NULL)
        fail_msg("there is a \"%s\":\n%s", word, at);
}

static void begins(const char *text, const char *want)
{
    if (text == NULL || strncmp(text, want, strlen(want)) != 0)
        fail_msg("wanted:\n%s\nbut there is:\n%s", want, text);
}

static void the_gate_in_ascii(void **state)
{
    static const char want[] = "- gate: approximate ------------------------------------------------------------\n"
                               "+ on  3 being written, 1 reviewed\n"
                               "###################==...  # approved 80 %  = corrected 8 %  . rejected 12 %\n"
                               "target needed  20 % of requests, 17 % of tokens\n"
                               "wrongly passed 2.5 %, 0.44 to 12.9 %\n"
                               "saved          6 min of the target, -\n"
                               "agents chosen  least_busy\n"
                               "review         both, target\n"
                               "1 by the target alone, 7 agents replaced, 2 verdicts unreadable\n"
                               "  agent           busy answers passed     time  tok/s wrongly model\n"
                               "+ pi-1             1/2      80   76 %   812 ms   14.2  25.0 % qwen3:0.6b, ollama\n"
                               "+ pi-2             0/2      79   73 %   790 ms   15.0       - qwen3:0.6b, ollama\n"
                               "+ old-thinkpad     2/2      90   90 %    2.3 s    8.7       - qwen3:1.7b, ollama\n"
                               "x attic           down       0      -        -      -       - ollama\n"
                               "    no answer within 2000 ms\n";
    struct fixture *f = open_fixture(true);
    (void)state;
    char *text = zoom(f, PANE_GATE, 24, 80);
    begins(strstr(text, "- gate"), want);
    free(text);
    close_fixture(f);
}

static void consensus_in_ascii(void **state)
{
    static const char *const want[] = {
        "+ majority  8 tokens a window, 5.0 % audited\n",
        "no target    78 % ",
        "wrong       1.2 % (0.41 to 3.5 %) 2.0 % may be\n",
        "2480 tokens without the target, 720 with it in 97 passes\n",
        "310 of 400 windows without it; 31 audited, 2 wrong\n",
        "3 of 248 audited tokens were wrong\n",
    };
    struct fixture *f = open_fixture(true);
    (void)state;
    char *text = zoom(f, PANE_CONSENSUS, 24, 80);
    assert_non_null(strstr(text, "- consensus: approximate ---"));
    holds(text, want, ARRAY_LEN(want));
    free(text);
    close_fixture(f);
}

/* What a drafter is worth beside the others, and that one is not asked. */
static void several_drafters(void **state)
{
    static const char *const want[] = {
        "small        87 %",
        "88.0 tok/s  70 % best   4.1 ms",
        "17 % best   8.2 ms",
        "resting   8 % best  12.3 ms",
    };
    struct fixture *f = open_fixture(true);
    (void)state;
    char *text = zoom(f, PANE_SPECULATION, 24, 80);
    holds(text, want, ARRAY_LEN(want));
    free(text);
    text = zoom(f, PANE_SPECULATION, 24, 41);
    holds(text, (const char *const[]){"words           -  resting\n"}, 1);
    free(text);
    f->ui->picture.snapshot.n_backends = 2; /* one alone wins whatever it drafts */
    text = zoom(f, PANE_SPECULATION, 24, 80);
    assert_non_null(strstr(text, "88.0 tok/s   4.1 ms"));
    lacks(text, "best");
    free(text);
    close_fixture(f);
}

static void requests_say_how_they_were_answered(void **state)
{
    static const char *const want[] = {
        "  no. state     gate       mode       tok/s tokens     time agent",
        "  119 running   reviewing  gate        42.2    101    3.5 s pi-2",
        "  117 done      corrected  gate        44.2    103    5.5 s pi-1",
        "  115 done                 exact       46.2    105    7.5 s\n",
        "  114 done                 consensus   47.2    106    8.5 s\n",
    };
    struct fixture *f = open_fixture(true);
    struct snapshot *s = &f->ui->picture.snapshot;
    (void)state;
    char *text = zoom(f, PANE_REQUESTS, 24, 80);
    holds(text, want, ARRAY_LEN(want));
    free(text);
    ui_filter(f->ui, "corrected");
    text = zoom(f, PANE_REQUESTS, 24, 80);
    assert_non_null(strstr(text, "  117 done      corrected"));
    lacks(text, "approved");
    free(text);
    ui_filter(f->ui, "");
    for (size_t i = 0; i < s->n_requests; i++) {
        s->request[i].outcome[0] = s->request[i].agent[0] = '\0';
        snprintf(s->request[i].mode, sizeof(s->request[i].mode), "exact");
    }
    text = zoom(f, PANE_REQUESTS, 24, 80);
    lacks(text, " mode ");
    lacks(text, "gate       ");
    free(text);
    close_fixture(f);
}

/* The header says what the plain name means, and that it is approximate; the panes do where they are in use. */
static void what_is_approximate_says_so(void **state)
{
    struct fixture *f = open_fixture(true);
    struct snapshot *s = &f->ui->picture.snapshot;
    (void)state;
    char *text = draw(f, 24, 80);
    assert_non_null(strstr(text, "qwen3:32b  by the gate, approximate  at 127.0.0.1:8088"));
    free(text);
    snprintf(s->mode, sizeof(s->mode), "consensus");
    text = draw(f, 40, 120);
    assert_non_null(strstr(text, "by consensus, approximate"));
    assert_non_null(strstr(text, "answer: 119, approximate"));
    lacks(text, "exact byte for byte");
    free(text);
    s->consensus.suspended = true;
    snprintf(s->consensus.why, sizeof(s->consensus.why),
             "suspended: 1.2 %% of the tokens that were checked lately are wrong");
    s->gate.on = false;
    text = draw(f, 40, 120);
    assert_non_null(strstr(text, "exact byte for byte"));
    assert_non_null(strstr(text, "! majority"));
    assert_non_null(strstr(text, "suspended: 1.2 %"));
    lacks(text, "consensus: approximate");
    lacks(text, "gate: approximate");
    assert_non_null(strstr(text, "consensus: suspended: 1.2 %"));
    free(text);
    snprintf(s->mode, sizeof(s->mode), "exact");
    s->consensus.configured = s->gate.configured = false;
    for (size_t i = 0; i < s->n_requests; i++)
        snprintf(s->request[i].mode, sizeof(s->request[i].mode), "exact");
    text = draw(f, 40, 120);
    lacks(text, "approximate");
    assert_int_equal(f->ui->layout.pane[PANE_GATE].rows + f->ui->layout.pane[PANE_CONSENSUS].rows, 0);
    free(text);
    close_fixture(f);
}

/* Before the first answer nothing is known, and nothing is shown as 0 %. */
static void unknown_is_not_zero(void **state)
{
    static const char *const want[] = {"approved -", "target needed  - of requests, - of tokens\n",
                                       "wrongly passed -\n", "saved          - of the target, -\n"};
    struct fixture *f = open_fixture(true);
    struct snapshot *s = &f->ui->picture.snapshot;
    struct snapshot_gate *g = &s->gate;
    (void)state;
    g->requests = g->approved = g->corrected = g->rejected = g->direct = g->tokens = g->target_tokens = 0;
    g->shadowed = g->false_approved = g->retries = g->unreadable = 0;
    g->shadow_low = g->shadow_high = g->seconds_saved = NAN;
    s->consensus.accepted = s->consensus.fallback = 0;
    s->consensus.error = s->consensus.error_low = s->consensus.error_high = NAN;
    char *text = zoom(f, PANE_GATE, 24, 80);
    holds(text, want, ARRAY_LEN(want));
    free(text);
    g->seconds_saved = -90;
    g->joules_saved = 3400;
    text = zoom(f, PANE_GATE, 24, 80);
    assert_non_null(strstr(text, "saved          -90.0 s of the target, 3.4 kJ\n"));
    free(text);
    text = zoom(f, PANE_CONSENSUS, 24, 80);
    assert_non_null(strstr(text, "no target       -"));
    assert_non_null(strstr(text, "wrong           - "));
    free(text);
    close_fixture(f);
}

/* At the sizes of the field all of it is there and nothing is cut; what matters most also on the smallest. */
static void nothing_is_cut(void **state)
{
    static const struct {
        int rows, cols;
        const char *words[6];
    } sizes[] = {
        {24, 80, {"─ gate: approximate ", "consensus: approximate ", "3 being written", "✓ majority"}},
        {40,
         120,
         {"█ approved 80 %", "target needed  20 %", "wrongly passed 2.5 %", "(0.41 to 3.5 %)", "old-thinkpad"}},
        {60, 200, {"saved          6 min", "verdicts unreadable", "no answer within 2000 ms", "70 % best"}},
        {70, 250, {"saved          6 min", "qwen3:1.7b, ollama", "310 of 400 windows", "corrected  gate"}},
    };
    struct fixture *f = open_fixture(false);
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        char *text = draw(f, sizes[i].rows, sizes[i].cols);
        lacks(text, "…");
        for (size_t k = 0; k < ARRAY_LEN(sizes[i].words) && sizes[i].words[k] != NULL; k++)
            holds(text, &sizes[i].words[k], 1);
        free(text);
    }
    for (int rows = 5; rows <= 60; rows += 5) {
        for (int cols = 20; cols <= 220; cols += 8) {
            free(draw(f, rows, cols));
            free(zoom(f, PANE_GATE, rows, cols));
            free(zoom(f, PANE_CONSENSUS, rows, cols));
            f->ui->zoomed = false;
        }
    }
    close_fixture(f);
}

/* A gate with more agents than there are rows is scrolled. */
static void agents_scroll(void **state)
{
    struct fixture *f = open_fixture(true);
    struct snapshot_gate *g = &f->ui->picture.snapshot.gate;
    (void)state;
    while (g->n_agents < SNAPSHOT_AGENTS) {
        struct snapshot_agent *a = &g->agent[g->n_agents];
        *a = g->agent[0];
        snprintf(a->name, sizeof(a->name), "agent-%zu", g->n_agents++);
    }
    char *text = zoom(f, PANE_GATE, 14, 80);
    lacks(text, "agent-15");
    free(text);
    f->ui->scroll[PANE_GATE] = 1000;
    text = zoom(f, PANE_GATE, 14, 80);
    assert_non_null(strstr(text, "agent-15"));
    assert_true(f->ui->scroll[PANE_GATE] < SNAPSHOT_AGENTS);
    lacks(text, "failed");
    free(text);
    g->agent[0].failures = 3;
    text = zoom(f, PANE_GATE, 14, 80);
    assert_non_null(strstr(text, " failed"));
    free(text);
    close_fixture(f);
}

const struct CMUnitTest modes_tests[] = {
    cmocka_unit_test(the_gate_in_ascii),
    cmocka_unit_test(consensus_in_ascii),
    cmocka_unit_test(several_drafters),
    cmocka_unit_test(requests_say_how_they_were_answered),
    cmocka_unit_test(what_is_approximate_says_so),
    cmocka_unit_test(unknown_is_not_zero),
    cmocka_unit_test(nothing_is_cut),
    cmocka_unit_test(agents_scroll),
};
const size_t modes_count = ARRAY_LEN(modes_tests);
