#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/child.h"
#include "cmd/doctor-reach.h"
#include "cmd/measure.h"
#include "cmd/prompts.h"
#include "cmd/term.h"
#include "unit.h"

extern const struct CMUnitTest tools_tests[];
extern const size_t tools_count;

static void medians(void **state)
{
    double odd[] = {5, 1, 3}, even[] = {4, 1, 3, 2};
    assert_true(measure_median(odd, 3) == 3);
    assert_true(measure_median(even, 4) == 2.5);
    assert_true(isnan(measure_median(NULL, 0)));
}

static void common_beginnings(void **state)
{
    assert_int_equal(measure_common("abc", 3, "abd", 3), 2);
    assert_int_equal(measure_common("abc", 3, "abc", 3), 3);
    assert_int_equal(measure_common("", 0, "abc", 3), 0);
    /* ü and ö share their first byte: the difference begins before it */
    assert_int_equal(measure_common("gr\xc3\xbc", 4, "gr\xc3\xb6", 4), 2);
}

static void prompts_differ_and_repeat(void **state)
{
    struct prompts a, b, c;
    prompts_make(&a, 200, 1);
    prompts_make(&b, 200, 1);
    prompts_make(&c, 200, 2);
    assert_int_equal(a.n, 200);
    size_t same = 0;
    for (size_t i = 0; i < a.n; i++) {
        assert_string_equal(a.list[i], b.list[i]);
        same += strcmp(a.list[i], c.list[i]) == 0;
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(a.list[i], a.list[j]);
    }
    assert_true(same < 20);
    prompts_finish(&a);
    prompts_finish(&b);
    prompts_finish(&c);
}

static void prompts_from_a_file(void **state)
{
    char path[] = "/tmp/tightwad-prompts-XXXXXX";
    int fd = mkstemp(path);
    struct prompts p;
    char *cause = NULL;
    assert_true(fd >= 0);
    dprintf(fd, "# a comment\n\nOne?\r\nTwo?\n");
    assert_int_equal(prompts_load(&p, path, &cause), 0);
    assert_int_equal(p.n, 2);
    assert_string_equal(p.list[0], "One?");
    assert_string_equal(p.list[1], "Two?");
    prompts_finish(&p);
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(prompts_load(&p, path, &cause), -1);
    assert_non_null(strstr(cause, "no prompts"));
    prompts_finish(&p);
    close(fd);
    unlink(path);
    assert_int_equal(prompts_load(&p, path, &cause), -1);
    assert_non_null(strstr(cause, path));
    free(cause);
}

static void painted(enum paint_mode mode, const char *want)
{
    char *text = NULL;
    size_t len;
    struct paint p;
    FILE *f = open_memstream(&text, &len);
    paint_init(&p, f, mode);
    paint_add(&p, "Once", 4, PAINT_TARGET);
    paint_add(&p, " upon", 5, PAINT_TARGET);
    paint_add(&p, " a", 2, PAINT_DRAFTED);
    paint_add(&p, "", 0, PAINT_TARGET);
    paint_add(&p, " time", 5, PAINT_DRAFTED);
    paint_add(&p, "!", 1, PAINT_TARGET);
    paint_end(&p);
    fclose(f);
    assert_string_equal(text, want);
    free(text);
}

static void paint_tells_who_wrote_what(void **state)
{
    painted(PAINT_PLAIN, "Once upon a time!");
    painted(PAINT_MARKS, "[Once upon] a time[!]");
    painted(PAINT_COLOUR, "\033[33mOnce upon\033[32m a time\033[33m!\033[0m");
}

static void children_are_ended_and_reaped(void **state)
{
    static const char *const sleeper[] = {"sleep", "1000", NULL}, *const no[] = {"false", NULL},
                             *const missing[] = {"/nowhere/at/all", NULL};
    struct child c;
    char *how = NULL;
    assert_int_equal(child_start(&c, "sleep", sleeper, NULL, -1, -1, NULL), 0);
    pid_t pid = c.pid;
    assert_false(child_ended(&c, &how));
    child_stop(&c, 5000);
    assert_int_equal(kill(pid, 0), -1);
    child_stop(&c, 5000); /* twice is fine */
    assert_int_equal(child_start(&c, "false", no, NULL, -1, -1, NULL), 0);
    while (!child_ended(&c, &how))
        usleep(1000);
    assert_string_equal(how, "false ended with 1");
    free(how);
    assert_int_equal(child_start(&c, "missing", missing, NULL, -1, -1, NULL), 0);
    while (!child_ended(&c, &how))
        usleep(1000);
    assert_string_equal(how, "missing ended with 127");
    free(how);
}

static void output_of_a_command(void **state)
{
    static const char *const hello[] = {"echo", "hello", NULL}, *const no[] = {"false", NULL},
                             *const slow[] = {"sleep", "1000", NULL}, *const loud[] = {"yes", NULL};
    char *text = child_output(hello, 5000, 100);
    assert_string_equal(text, "hello\n");
    free(text);
    assert_null(child_output(no, 5000, 100));
    assert_null(child_output(slow, 50, 100));
    assert_null(child_output(loud, 5000, 100));
}

static void reach(void **state)
{
    char *message = NULL;
    int port = child_free_port(0);
    char *url = xasprintf("http://127.0.0.1:%d", port);
    assert_int_equal(doctor_reach_tcp(url, 1000, &message), DOCTOR_NOTHING);
    assert_non_null(strstr(message, "refused"));
    assert_int_equal(doctor_reach_tcp("http://no-such-host.invalid:80", 1000, &message), DOCTOR_NO_NAME);
    free(message);
    free(url);
}

const struct CMUnitTest tools_tests[] = {
    cmocka_unit_test(medians),
    cmocka_unit_test(common_beginnings),
    cmocka_unit_test(prompts_differ_and_repeat),
    cmocka_unit_test(prompts_from_a_file),
    cmocka_unit_test(paint_tells_who_wrote_what),
    cmocka_unit_test(children_are_ended_and_reaped),
    cmocka_unit_test(output_of_a_command),
    cmocka_unit_test(reach),
};
const size_t tools_count = ARRAY_LEN(tools_tests);
