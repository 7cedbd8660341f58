/* What bench modes takes from an endpoint's list of models, how it counts, and when an answer is right. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "cmd/bench-modes.h"
#include "cmd/prompts.h"
#include "unit.h"

extern const struct CMUnitTest modes_tests[];
extern const size_t modes_count;

static json_t *models(const char *const *names)
{
    json_t *list = json_array();
    for (; *names != NULL; names++)
        json_array_append_new(list, json_pack("{s:s}", "id", *names));
    return json_pack("{s:o}", "data", list);
}

static void rows_are_what_the_endpoint_lists(void **state)
{
    static const char *const names[] = {"m", "m@draft", "m@gate", "m@exact", "m@target", NULL}, *const none[] = {"m",
                                                                                                                 NULL};
    json_t *list = models(names), *other = models(none);
    struct modes m;
    char *cause = NULL;
    assert_int_equal(modes_choose(&m, list, NULL, NULL), 0);
    assert_int_equal(m.n, 3);
    assert_string_equal(m.row[0].model, "m@target");
    assert_string_equal(m.row[1].mode, "exact");
    assert_string_equal(m.row[2].model, "m@gate");
    modes_finish(&m);
    assert_int_equal(modes_choose(&m, list, "draft,gate", NULL), 0);
    assert_int_equal(m.n, 3);
    assert_string_equal(m.row[1].mode, "gate");
    assert_string_equal(m.row[2].mode, "draft");
    modes_finish(&m);
    assert_int_equal(modes_choose(&m, list, "gate,consensus", &cause), -1);
    assert_non_null(strstr(cause, "\"consensus\", but target, exact, gate, draft"));
    free(cause);
    cause = NULL;
    modes_finish(&m);
    assert_int_equal(modes_choose(&m, other, NULL, &cause), -1);
    assert_non_null(strstr(cause, "@target"));
    free(cause);
    modes_finish(&m);
    json_decref(list);
    json_decref(other);
}

static void rates_are_compared_run_by_run(void **state)
{
    static const char *const names[] = {"m@target", "m@exact", NULL};
    json_t *list = models(names);
    struct modes m;
    assert_int_equal(modes_choose(&m, list, NULL, NULL), 0);
    struct modes_row *alone = &m.row[0], *exact = &m.row[1];
    assert_true(isnan(modes_rate(alone)) && isnan(modes_ratio(&m, exact)));
    modes_add_run(alone, 100, 1);
    modes_add_run(alone, 100, 10);
    modes_add_run(alone, 100, 2);
    modes_add_run(exact, 100, 0.5);
    modes_add_run(exact, 100, 2);
    assert_float_equal(modes_rate(alone), 50, 1e-9);
    assert_float_equal(modes_rate(exact), 125, 1e-9);
    assert_float_equal(modes_ratio(&m, exact), 3.5, 1e-9);
    modes_finish(&m);
    json_decref(list);
}

static void what_was_not_counted_once_is_unknown(void **state)
{
    struct modes_row r = {0};
    modes_add_work(&r, &(struct modes_work){10, 20, 0}, &(struct modes_work){15, 50, 7});
    assert_int_equal(r.work.passes, 5);
    assert_int_equal(r.work.read, 30);
    assert_int_equal(r.work.written, 7);
    modes_add_work(&r, &(struct modes_work){-1, 50, 0}, &(struct modes_work){16, 40, 7});
    assert_int_equal(r.work.passes, -1);
    assert_int_equal(r.work.read, -1); /* the node was started anew */
    assert_int_equal(r.work.written, 14);
    modes_add_work(&r, &(struct modes_work){1, 1, 0}, &(struct modes_work){2, 2, -1});
    assert_int_equal(r.work.passes, -1);
    assert_int_equal(r.work.written, -1);
}

static void shares_of_a_file_are_shown(void **state)
{
    static const char *const names[] = {"m@target", "m@gate", NULL};
    json_t *list = models(names);
    struct modes m;
    char *text = NULL;
    size_t size = 0;
    assert_int_equal(modes_choose(&m, list, NULL, NULL), 0);
    m.conditions = xstrdup("here");
    for (size_t i = 0; i < m.n; i++) {
        modes_add_run(&m.row[i], 1000, 1);
        m.row[i].answers = m.row[i].known = 2000;
        m.row[i].identical = m.row[i].right = i == 0 ? 2000 : 1999;
    }
    m.row[1].known = 0;
    FILE *f = open_memstream(&text, &size);
    modes_print(&m, f);
    fclose(f);
    assert_non_null(strstr(text, "100.0 %  100.0 %\n"));
    assert_non_null(strstr(text, "99.9 %        -\n")); /* one in 2000 is not none */
    assert_non_null(strstr(text, "approximate"));
    json_t *o = modes_json(&m), *gate = json_array_get(json_object_get(o, "modes"), 1);
    assert_true(json_is_null(json_object_get(gate, "right")));
    assert_int_equal(json_integer_value(json_object_get(gate, "identical")), 1999);
    json_decref(o);
    free(text);
    modes_finish(&m);
    json_decref(list);
}

static bool right(const struct prompts *p, size_t i, const char *text)
{
    return prompts_right(p, i, text, strlen(text));
}

static void known_answers_stand_behind_a_tab(void **state)
{
    char path[] = "/tmp/tightwad-unit-XXXXXX";
    int fd = mkstemp(path);
    static const char text[] =
        "# mine\nWhat is 2 + 2?\t2 + 2 = 4.\nCapital of France?\tparis\nSay hello\n\n\tno question\nEmpty\t\n";
    assert_true(fd >= 0 && write(fd, text, sizeof(text) - 1) == (ssize_t)sizeof(text) - 1);
    close(fd);
    struct prompts p;
    assert_int_equal(prompts_load(&p, path, NULL), 0);
    unlink(path);
    assert_int_equal(p.n, 4);
    assert_string_equal(p.list[0], "What is 2 + 2?");
    assert_null(p.answer[2]);
    assert_null(p.answer[3]);
    assert_true(right(&p, 0, " 2 + 2 = 4.\n"));
    assert_false(right(&p, 0, "12 + 2 = 4."));
    assert_false(right(&p, 0, "2 + 2 = 4. Or 5."));
    assert_true(right(&p, 1, "It is **Paris**."));
    assert_true(right(&p, 1, "Paris"));
    assert_false(right(&p, 1, "Parisians live there"));
    assert_false(right(&p, 1, "comparis"));
    assert_false(right(&p, 1, ""));
    assert_false(right(&p, 2, "hello"));
    prompts_limit(&p, 1);
    assert_int_equal(p.n, 1);
    prompts_finish(&p);
}

static void mixed_prompts_are_numbers_and_words_in_turn(void **state)
{
    struct prompts p;
    prompts_mixed(&p, 1000);
    assert_int_equal(p.n, PROMPTS_MIXED);
    for (size_t i = 0; i < p.n; i += 2)
        assert_memory_equal(p.list[i], "Count from ", 11);
    for (size_t i = 1; i < p.n; i += 2)
        assert_true(strstr(p.list[i], "Count") == NULL || strcmp(p.list[i], "Count from 10 to 35.") == 0);
    prompts_finish(&p);
}

const struct CMUnitTest modes_tests[] = {
    cmocka_unit_test(rows_are_what_the_endpoint_lists),
    cmocka_unit_test(rates_are_compared_run_by_run),
    cmocka_unit_test(what_was_not_counted_once_is_unknown),
    cmocka_unit_test(shares_of_a_file_are_shown),
    cmocka_unit_test(known_answers_stand_behind_a_tab),
    cmocka_unit_test(mixed_prompts_are_numbers_and_words_in_turn),
};
const size_t modes_count = ARRAY_LEN(modes_tests);
