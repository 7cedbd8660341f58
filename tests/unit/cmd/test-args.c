#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cmd/args.h"
#include "unit.h"

extern const struct CMUnitTest args_tests[];
extern const size_t args_count;

static const struct cmd_option options[] = {
    {'j', "json", NULL, "a flag"},
    {'n', "rounds", "N", "a number"},
    {0, "temperature", "T", "a number with a fraction"},
    {'v', "verbose", NULL, "another flag"},
    {0},
};

static int parse(struct cmd_args *a, char **cause, int n, ...)
{
    char *argv[16];
    va_list ap;
    va_start(ap, n);
    for (int i = 0; i < n; i++)
        argv[i] = va_arg(ap, char *);
    va_end(ap);
    return cmd_args_parse(a, options, n, argv, cause);
}

static void takes_every_spelling(void **state)
{
    struct cmd_args a;
    char *cause = NULL;
    assert_int_equal(parse(&a, &cause, 4, "--rounds", "3", "-j", "word"), 0);
    assert_string_equal(cmd_args_get(&a, "rounds"), "3");
    assert_true(cmd_args_has(&a, "json"));
    assert_false(cmd_args_has(&a, "verbose"));
    assert_int_equal(a.n_words, 1);
    assert_string_equal(a.words[0], "word");
    cmd_args_finish(&a);

    assert_int_equal(parse(&a, &cause, 3, "--rounds=4", "-jv", "-"), 0);
    assert_string_equal(cmd_args_get(&a, "rounds"), "4");
    assert_true(cmd_args_has(&a, "verbose"));
    assert_string_equal(a.words[0], "-");
    cmd_args_finish(&a);

    assert_int_equal(parse(&a, &cause, 2, "-jn5", "--temperature="), 0);
    assert_true(cmd_args_has(&a, "json"));
    assert_string_equal(cmd_args_get(&a, "rounds"), "5");
    assert_string_equal(cmd_args_get(&a, "temperature"), "");
    cmd_args_finish(&a);
    assert_null(cause);
}

static void double_dash_ends_options(void **state)
{
    struct cmd_args a;
    char *cause = NULL;
    assert_int_equal(parse(&a, &cause, 4, "-j", "--", "--rounds", "-x"), 0);
    assert_int_equal(a.n_words, 2);
    assert_string_equal(a.words[0], "--rounds");
    assert_null(cmd_args_get(&a, "rounds"));
    cmd_args_finish(&a);
}

static void fails(const char *want, int n, const char *first, const char *second)
{
    struct cmd_args a;
    char *cause = NULL;
    assert_int_equal(parse(&a, &cause, n, first, second), -1);
    if (strstr(cause, want) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", cause, want);
    free(cause);
    cmd_args_finish(&a);
}

static void names_the_nearest(void **state)
{
    fails("did you mean `--rounds`?", 1, "--round", NULL);
    fails("did you mean `--rounds`?", 2, "--ronds=3", NULL);
    fails("did you mean `--help`?", 1, "--hlep", NULL);
    fails("did you mean `--json`?", 1, "-json", NULL);
    fails("there is no option --zzzzzz", 1, "--zzzzzz", NULL);
    fails("there is no option -q", 1, "-q", NULL);
    fails("--rounds N", 1, "--rounds", NULL);
    fails("-n N", 1, "-n", NULL);
    fails("takes no value", 1, "--json=yes", NULL);
}

static void checks_numbers(void **state)
{
    static const char *const bad[] = {"", "x", "3x", "0", "11", "99999999999999999999", "3.5"};
    struct cmd_args a;
    char *cause = NULL;
    int64_t n = 7;
    double t = 0.5;
    assert_int_equal(parse(&a, &cause, 4, "-n", "10", "--temperature", "1.25"), 0);
    assert_int_equal(cmd_args_int(&a, "rounds", 1, 10, &n, &cause), 0);
    assert_int_equal(n, 10);
    assert_int_equal(cmd_args_double(&a, "temperature", 0, 2, &t, &cause), 0);
    assert_true(t == 1.25);
    assert_int_equal(cmd_args_double(&a, "temperature", 0, 1, &t, &cause), -1);
    assert_non_null(strstr(cause, "from 0 to 1"));
    cmd_args_finish(&a);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(parse(&a, &cause, 2, "-n", bad[i]), 0);
        n = 7;
        assert_int_equal(cmd_args_int(&a, "rounds", 1, 10, &n, &cause), -1);
        assert_int_equal(n, 7);
        assert_non_null(strstr(cause, "--rounds"));
        assert_non_null(strstr(cause, "from 1 to 10"));
        cmd_args_finish(&a);
    }
    free(cause);
}

const struct CMUnitTest args_tests[] = {
    cmocka_unit_test(takes_every_spelling),
    cmocka_unit_test(double_dash_ends_options),
    cmocka_unit_test(names_the_nearest),
    cmocka_unit_test(checks_numbers),
};
const size_t args_count = ARRAY_LEN(args_tests);
