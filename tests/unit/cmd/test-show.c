/* What strangers say is shown, and gives the terminal no orders. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "cmd/cmd.h"
#include "cmd/swarm-show.h"
#include "unit.h"

static const char wild[] = "a manifest that is none: near '\x1b]0;x\x07\x9b' of\n  it";

static void a_status_gives_no_orders(void **state)
{
    struct swarm_view *v = xcalloc(1, sizeof(*v));
    char *text = NULL;
    size_t n = 0;
    (void)state;
    v->n_models = 1;
    v->model[0] = (struct swarm_view_model){
        .state = SWARM_FAILED, .eta = NAN, .down = NAN, .up = NAN, .availability = NAN, .name = "m"};
    snprintf(v->model[0].why, sizeof(v->model[0].why), "%s", wild);
    FILE *to = open_memstream(&text, &n);
    swarm_show_status(v, 1, to);
    fclose(to);
    assert_non_null(strstr(text, "a manifest that is none: near '"));
    assert_non_null(strstr(text, "of; it\n"));
    assert_null(strpbrk(text, "\x1b\x07\x9b"));
    free(text);
    free(v);
}

static void a_cause_gives_no_orders_and_keeps_its_lines(void **state)
{
    char text[256] = "";
    FILE *file = tmpfile();
    (void)state;
    fflush(stderr);
    int before = dup(STDERR_FILENO);
    dup2(fileno(file), STDERR_FILENO);
    assert_int_equal(cmd_fail("%s", wild), CMD_FAILED);
    fflush(stderr);
    dup2(before, STDERR_FILENO);
    close(before);
    rewind(file);
    assert_true(fread(text, 1, sizeof(text) - 1, file) > 0);
    fclose(file);
    assert_non_null(strstr(text, "tightwad: a manifest that is none: near '"));
    assert_non_null(strstr(text, "of\n  it\n"));
    assert_null(strpbrk(text, "\x1b\x07\x9b"));
}

const struct CMUnitTest show_tests[] = {
    cmocka_unit_test(a_status_gives_no_orders),
    cmocka_unit_test(a_cause_gives_no_orders_and_keeps_its_lines),
};
const size_t show_count = sizeof(show_tests) / sizeof(show_tests[0]);
