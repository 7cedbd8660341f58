/* The first run without a terminal: keys in, state and text out, and what its table does to the advice. */
#include "tests.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ncurses.h>

#include "base/buf.h"
#include "base/mem.h"
#include "ui/screen.h"
#include "ui/text.h"
#include "ui/wizard-internal.h"

static const int64_t GIB = (int64_t)1 << 30;

static void add_model(struct machine *m, const char *name, int64_t parameters, int64_t bytes)
{
    struct machine_model *model = machine_add_model(m);
    model->name = xstrdup(name);
    model->from = xstrdup("ollama");
    model->parameters = parameters;
    model->bytes = bytes;
    if (m->origin == MACHINE_HERE) /* Ollama's own file, which a node can read too */
        model->path = xasprintf("/models/%s", name);
}

static void add_ollama(struct machine *m)
{
    struct machine_service *s = machine_add_service(m);
    s->kind = SERVICE_OLLAMA;
    snprintf(s->host, sizeof(s->host), "%s", m->address[0] != '\0' ? m->address : "127.0.0.1");
    s->port = 11434;
}

static void add_gpu(struct machine *m, const char *name, int64_t memory)
{
    struct machine_gpu *g = machine_add_gpu(m);
    g->vendor = GPU_NVIDIA;
    snprintf(g->name, sizeof(g->name), "%s", name);
    g->memory = memory;
}

static void add_qwens(struct machine *m)
{
    add_ollama(m);
    add_model(m, "qwen3:32b", 32800000000, 20 * GIB);
    add_model(m, "qwen3:1.7b", 1700000000, 14 * GIB / 10);
}

/* This one with a big card, and another of which nothing but its Ollama is known. */
static struct machine *two_machines(size_t *n)
{
    struct machine *m = xcalloc(2, sizeof(*m));
    machine_init(&m[0], MACHINE_HERE);
    snprintf(m[0].name, sizeof(m[0].name), "desk");
    m[0].memory = 64 * GIB;
    m[0].cpu.cores = 16;
    add_gpu(&m[0], "NVIDIA GeForce RTX 4090", 24 * GIB);
    add_qwens(&m[0]);
    machine_init(&m[1], MACHINE_SEEN);
    snprintf(m[1].name, sizeof(m[1].name), "mac");
    snprintf(m[1].address, sizeof(m[1].address), "192.168.7.9");
    m[1].rtt_us = 800;
    add_qwens(&m[1]);
    *n = 2;
    return m;
}

static const char path[] = "/dev/null/tightwad/cluster.yaml";
static const struct scan_opts scan = {0};

static void begin(struct wizard *w, struct wizard_opts *opts)
{
    size_t n;
    *opts = (struct wizard_opts){.path = path, .scan = &scan};
    advice_wish_init(&opts->wish);
    wizard_init(w, opts, NULL, NULL);
    struct machine *list = two_machines(&n);
    wizard_plan_machines(&w->plan, list, n);
    wizard_go(w, STEP_MACHINES);
}

/* What the step shows at that width, every line checked. */
static char *shown(struct wizard *w, int width, bool ascii)
{
    struct page p;
    struct buf b;
    buf_init(&b, 1 << 20);
    page_init(&p, width, ascii, w->chosen);
    wizard_body(w, &p);
    page_say(&p, THEME_TEXT, "%s", "");
    wizard_footer(w, &p);
    for (size_t i = 0; i < p.n_lines; i++) {
        char *line = page_line_text(&p.line[i]);
        int columns = text_columns(line, strlen(line), ascii);
        if (columns > width)
            fail_msg("%d columns of %d: %s", columns, width, line);
        for (const char *s = line; ascii && *s != '\0'; s++)
            assert_true((unsigned char)*s < 0x80);
        buf_printf(&b, "%s\n", line);
        free(line);
    }
    page_finish(&p);
    char *text = buf_steal(&b);
    buf_finish(&b);
    return text;
}

static void assert_shows(struct wizard *w, const char *what)
{
    char *text = shown(w, 100, false);
    if (strstr(text, what) == NULL)
        fail_msg("\"%s\" is not in\n%s", what, text);
    free(text);
}

static void enter_goes_on_and_back_goes_back(void **state)
{
    (void)state;
    struct wizard w;
    struct wizard_opts opts;
    static const int backs[] = {'b', KEY_LEFT, KEY_BACKSPACE};
    begin(&w, &opts);
    for (size_t i = 0; i < ARRAY_LEN(backs); i++) {
        wizard_press(&w, '\r');
        assert_int_equal(w.step, STEP_PATH);
        wizard_press(&w, backs[i]);
        assert_int_equal(w.step, STEP_MACHINES);
    }
    for (int i = 0; i < 3; i++)
        wizard_press(&w, '\n');
    assert_int_equal(w.step, STEP_SUMMARY);
    assert_non_null(w.text);
    assert_shows(&w, path);
    wizard_press(&w, '\n'); /* that folder can't be made: the step says so, and stays */
    assert_int_equal(w.step, STEP_SUMMARY);
    assert_false(w.written);
    assert_non_null(w.problem);
    assert_shows(&w, "✗");
    assert_false(w.ended);
    wizard_finish(&w);
}

static void leaving_asks_once(void **state)
{
    (void)state;
    struct wizard w;
    struct wizard_opts opts;
    begin(&w, &opts);
    wizard_press(&w, SCREEN_ESCAPE);
    assert_shows(&w, "Nothing has been written");
    wizard_press(&w, '\n');
    assert_false(w.ended);
    assert_int_equal(w.step, STEP_MACHINES);
    wizard_press(&w, '?');
    assert_shows(&w, "Keys in this step");
    wizard_press(&w, SCREEN_ESCAPE);
    assert_shows(&w, "who does what");
    wizard_press(&w, SCREEN_ESCAPE);
    wizard_press(&w, 'y');
    assert_true(w.ended);
    assert_int_equal(w.end, WIZARD_LEFT);
    wizard_finish(&w);
    begin(&w, &opts);
    wizard_press(&w, SCREEN_CTRL_C);
    assert_true(w.ended);
    wizard_finish(&w);
}

static void roles_change_and_come_back(void **state)
{
    (void)state;
    struct wizard w;
    struct wizard_opts opts;
    begin(&w, &opts);
    const struct wizard_plan *plan = &w.plan;
    enum advice_role was[2] = {plan->advice->machine[0].role, plan->advice->machine[1].role};
    assert_true(was[0] == ADVICE_ROLE_TARGET || was[0] == ADVICE_ROLE_BOTH);
    wizard_press(&w, KEY_DOWN);
    assert_int_equal(w.chosen, 1);
    wizard_press(&w, KEY_DOWN);
    assert_int_equal(w.chosen, 1);
    for (int i = 0; i < 5 && plan->role[1] != ADVICE_ROLE_TARGET; i++)
        wizard_press(&w, ' ');
    assert_int_equal(plan->role[1], ADVICE_ROLE_TARGET);
    assert_int_equal(plan->advice->machine[1].role, ADVICE_ROLE_TARGET);
    assert_true(plan->advice->target >= 0);
    assert_int_equal(plan->advice->model[plan->advice->target].machine, 1);
    wizard_press(&w, KEY_UP);
    for (int i = 0; i < 5 && plan->role[0] != ADVICE_ROLE_TARGET; i++)
        wizard_press(&w, ' ');
    assert_int_equal(plan->role[1], ADVICE_ROLE_AUTO); /* there is one target */
    wizard_press(&w, 'u');
    assert_int_equal(plan->advice->machine[0].role, was[0]);
    assert_int_equal(plan->advice->machine[1].role, was[1]);
    wizard_finish(&w);
}

static void type(struct wizard *w, const char *text)
{
    for (; *text != '\0'; text++)
        wizard_press(w, *text);
}

static void a_memory_is_typed(void **state)
{
    (void)state;
    struct wizard w;
    struct wizard_opts opts;
    begin(&w, &opts);
    assert_false(w.plan.advice->machine[1].known);
    wizard_press(&w, KEY_DOWN);
    assert_shows(&w, "types its memory");
    wizard_press(&w, 'm');
    type(&w, "much\r");
    assert_int_equal(w.over, OVER_FIELD);
    assert_string_equal(w.field.text, "much");
    assert_non_null(w.complaint);
    wizard_press(&w, 0x15);
    type(&w, "36 GB\r");
    assert_int_equal(w.over, OVER_NOTHING);
    assert_true(w.plan.advice->machine[1].known);
    assert_int_equal(w.plan.advice->machine[1].memory, 36 * GIB);
    wizard_press(&w, 'm'); /* and corrected */
    type(&w, "24.5\r");
    assert_int_equal(w.plan.advice->machine[1].memory, 49 * GIB / 2);
    assert_int_equal(w.plan.machine[1].n_gpus, 1);
    wizard_press(&w, KEY_UP);
    wizard_press(&w, 'm'); /* this one tells its own */
    type(&w, "8\r");
    assert_int_equal(w.over, OVER_FIELD);
    wizard_press(&w, SCREEN_ESCAPE);
    assert_int_equal(w.plan.advice->machine[0].memory, 24 * GIB);
    for (const char *const *bad = (const char *const[]){"0", "-4", "nan", "1e9", "8 TB", "", NULL}; *bad != NULL;
         bad++) {
        char *cause = NULL;
        assert_int_equal(wizard_plan_set_memory(&w.plan, 1, *bad, &cause), -1);
        assert_non_null(cause);
        free(cause);
    }
    wizard_finish(&w);
}

static void models_are_chosen_and_named(void **state)
{
    (void)state;
    struct wizard w;
    struct wizard_opts opts;
    begin(&w, &opts);
    wizard_go(&w, STEP_MODELS);
    const struct advice *a = w.plan.advice;
    assert_true(a->n_models >= 4);
    assert_string_equal(a->model[a->target].name, "qwen3:32b");
    assert_int_equal(w.chosen, a->target);
    w.chosen = wizard_models.items(&w) - 1; /* no drafter */
    wizard_press(&w, ' ');
    assert_int_equal(w.plan.advice->n_drafters, 0);
    assert_string_equal(w.plan.advice->model[w.plan.advice->target].name, "qwen3:32b");
    for (size_t i = 0; i < w.plan.advice->n_models; i++) {
        if (strcmp(w.plan.advice->model[i].name, "qwen3:1.7b") == 0)
            w.chosen = (int)i;
    }
    wizard_press(&w, ' ');
    assert_string_equal(w.plan.advice->model[w.plan.advice->target].name, "qwen3:1.7b");
    wizard_press(&w, 'u');
    assert_string_equal(w.plan.advice->model[w.plan.advice->target].name, "qwen3:32b");
    assert_true(w.plan.advice->n_drafters > 0);
    wizard_press(&w, 't');
    type(&w, "qwen3:14b\r");
    assert_string_equal(w.plan.advice->model[w.plan.advice->target].name, "qwen3:14b");
    assert_shows(&w, "qwen3:14b");
    wizard_finish(&w);
}

/* At any width every line fits, and in ASCII nothing else is shown. */
static void every_step_fits(void **state)
{
    (void)state;
    struct wizard w;
    struct wizard_opts opts;
    begin(&w, &opts);
    for (enum wizard_step step = STEP_MACHINES; step < STEPS; step++) {
        if (step == STEP_CHECKS)
            w.report = json_loads(
                "{\"ok\":false,\"servers\":[{\"role\":\"target\",\"name\":\"a\",\"url\":\"http://a:1\","
                "\"answers\":false},{\"role\":\"drafter\",\"name\":\"b\",\"url\":\"http://b:2\",\"answers\":true,"
                "\"model\":\"qwen3:1.7b\",\"rtt_ms\":1.5,\"draft_ms\":10,\"acceptance\":0.625}],"
                "\"findings\":[{\"level\":\"error\",\"server\":\"a\",\"what\":\"nothing listens\",\"cause\":"
                "\"refused\",\"fix\":\"start it there: `OLLAMA_HOST=0.0.0.0 ollama serve`\"}]}",
                0, NULL);
        if (step == STEP_CHECKS) {
            w.step = step; /* nothing is asked */
            w.checked = true;
            w.plan.advice->pooled = true;
            assert_shows(&w, "its pool is planned");
            json_object_set_new(w.report, "plan",
                                json_pack("{s:s,s:b,s:s}", "model", "big", "fits", 0, "reason", "2 GB lack."));
            json_object_set_new(w.report, "plan_notes",
                                json_pack("[s]", "worker a:1: nothing listens there: start it"));
            assert_shows(&w, "✗ target: big does not fit.  2 GB lack.");
            assert_shows(&w, "✗ worker a:1: nothing listens there");
            w.plan.advice->pooled = false;
            assert_shows(&w, "✗ target: http://a:1");
            assert_shows(
                &w, "✓ drafter: http://b:2, qwen3:1.7b, 1.5 ms away, drafts 100 tokens/s, 62 % of its drafts accepted");
            assert_shows(&w, "→ start it there: OLLAMA_HOST=0.0.0.0 ollama serve");
        } else {
            wizard_go(&w, step);
        }
        for (int width = 20; width < 130; width += 7) {
            free(shown(&w, width, false));
            free(shown(&w, width, true));
        }
    }
    assert_shows(&w, "62 %");
    assert_shows(&w, "127.0.0.1:");
    wizard_press(&w, '\r');
    assert_true(w.ended);
    assert_int_equal(w.end, WIZARD_DASHBOARD);
    wizard_finish(&w);
}

/* Whatever is pressed in whatever order: it holds, and what it shows fits. */
static void any_keys(void **state)
{
    (void)state;
    static const int keys[] = {'\r', '\r', 'b',           KEY_LEFT, KEY_UP,    KEY_DOWN, KEY_NPAGE, KEY_END,
                               ' ',  'a',  'm',           't',      'd',       'u',      'l',       'r',
                               '?',  'q',  '4',           'x',      KEY_RIGHT, KEY_DC,   KEY_HOME,  KEY_BACKSPACE,
                               0x15, 0x7f, SCREEN_ESCAPE, 0xe9,     '\n',      KEY_PPAGE};
    struct wizard w;
    struct wizard_opts opts;
    uint64_t seed = 20;
    begin(&w, &opts);
    for (int i = 0; i < 20000; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        wizard_press(&w, keys[(seed >> 33) % ARRAY_LEN(keys)]);
        if (w.step == STEP_LOOK)
            wizard_go(&w, STEP_MACHINES);
        if (i % 16 == 0)
            free(shown(&w, 20 + i / 16 % 100, i % 32 == 0));
        assert_false(w.written);
        assert_true(w.plan.n <= 2);
        if (w.ended || w.plan.n == 0) {
            wizard_finish(&w);
            begin(&w, &opts);
        }
    }
    wizard_finish(&w);
}

static int in_utf8(void **state)
{
    (void)state;
    return setlocale(LC_CTYPE, "C.UTF-8") == NULL;
}

/* Three machines without a card: the first with a large model in a node, the others with small ones. */
static struct machine *three_cpus(void)
{
    static const char *const names[] = {"desk", "attic", "shed"}, *const models[] = {"qwen3:14b", "qwen3:1.7b",
                                                                                     "qwen3:0.6b"};
    struct machine *m = xcalloc(3, sizeof(*m));
    for (size_t i = 0; i < 3; i++) {
        machine_init(&m[i], i == 0 ? MACHINE_HERE : MACHINE_AGENT);
        snprintf(m[i].name, sizeof(m[i].name), "%s", names[i]);
        if (i > 0)
            snprintf(m[i].address, sizeof(m[i].address), "192.168.7.%zu", 8 + i);
        m[i].memory = 32 * GIB;
        m[i].cpu.cores = 8;
        struct machine_service *node = machine_add_service(&m[i]);
        node->kind = SERVICE_NODE;
        node->port = 8081;
        snprintf(node->host, sizeof(node->host), "%s", i > 0 ? m[i].address : "127.0.0.1");
        snprintf(node->model, sizeof(node->model), "%s", models[i]);
    }
    return m;
}

/* What is approximate is offered where it matters, chosen by nobody but the user, and said on every page after. */
static void what_answers_promise_is_chosen(void **state)
{
    struct wizard w;
    struct wizard_opts opts;
    (void)state;
    begin(&w, &opts);
    wizard_go(&w, STEP_PATH);
    char *text = shown(&w, 100, false);
    assert_null(strstr(text, "What the answers are to promise")); /* there is a GPU */
    free(text);
    wizard_press(&w, 'g');
    assert_int_equal(w.plan.advice->mode, ADVICE_EXACT);
    wizard_plan_machines(&w.plan, three_cpus(), 3);
    wizard_go(&w, STEP_PATH);
    assert_shows(&w, "✓  e  exact");
    assert_shows(&w, "·  c  consensus  approximate");
    assert_shows(&w, "·  g  gate       approximate");
    assert_int_equal(w.plan.advice->mode, ADVICE_EXACT);
    wizard_press(&w, 'c');
    assert_shows(&w, "✓  c  consensus  approximate");
    assert_shows(&w, "2 drafters vote");
    wizard_press(&w, 'g');
    assert_shows(&w, "✓  g  gate       approximate");
    for (int width = 40; width <= 200; width += 20) { /* each line is checked */
        free(shown(&w, width, false));
        free(shown(&w, width, true));
    }
    wizard_plan_reset_models(&w.plan); /* other models, the same promise */
    wizard_go(&w, STEP_SUMMARY);
    assert_shows(&w, "agent:    qwen3:1.7b at http://192.168.7.9:8081");
    assert_shows(&w, "answers:  approximate, by the quality gate; NAME@exact is exact");
    wizard_go(&w, STEP_PATH);
    wizard_press(&w, 'e');
    wizard_go(&w, STEP_SUMMARY);
    text = shown(&w, 100, false);
    assert_null(strstr(text, "answers:  approximate"));
    free(text);
    wizard_finish(&w);
}

const struct CMUnitTest wizard_tests[] = {
    cmocka_unit_test(what_answers_promise_is_chosen),
    cmocka_unit_test_setup(enter_goes_on_and_back_goes_back, in_utf8),
    cmocka_unit_test_setup(leaving_asks_once, in_utf8),
    cmocka_unit_test_setup(roles_change_and_come_back, in_utf8),
    cmocka_unit_test_setup(a_memory_is_typed, in_utf8),
    cmocka_unit_test_setup(models_are_chosen_and_named, in_utf8),
    cmocka_unit_test_setup(every_step_fits, in_utf8),
    cmocka_unit_test_setup(any_keys, in_utf8),
};
const size_t wizard_count = sizeof(wizard_tests) / sizeof(*wizard_tests);
