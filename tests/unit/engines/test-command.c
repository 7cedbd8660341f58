#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "engines/command.h"
#include "rig.h"

/* Runs a command given as JSON; true when it was done.  words: what an error must say. */
static bool run(struct rig *r, const char *json, const char *words)
{
    json_t *request = json_loads(json, 0, NULL);
    assert_non_null(request);
    char *cause = NULL;
    json_t *answer = command_run(&(struct engines){.proxy = r->proxy}, request, &cause);
    json_decref(request);
    bool ok = answer != NULL;
    json_decref(answer);
    if (words != NULL) {
        assert_false(ok);
        assert_non_null(cause);
        assert_non_null(strstr(cause, words));
    }
    free(cause);
    return ok;
}

static void errors_say_what_is_wrong(void **state)
{
    (void)state;
    struct rig r;
    rig_start(&r, 1, 8);
    run(&r, "{}", "command");
    run(&r, "{\"command\":7}", "command");
    run(&r, "{\"command\":\"drafter-ad\"}", "drafter-add");
    run(&r, "{\"command\":\"drafter-add\"}", "url: http://HOST:PORT is expected");
    run(&r, "{\"command\":\"drafter-add\",\"url\":\"\"}", "url");
    run(&r, "{\"command\":\"drafter-add\",\"url\":\"ftp://x\"}", "http://");
    run(&r, "{\"command\":\"drafter-add\",\"url\":\"http://x\",\"colour\":\"red\"}", "colour");
    run(&r, "{\"command\":\"drafter-add\",\"url\":\"http://x:1\",\"backend\":\"vllm9\"}", "vllm9");
    run(&r, "{\"command\":\"drafter-remove\",\"name\":\"nobody\"}", "nobody");
    run(&r, "{\"command\":\"max-draft-tokens\",\"n\":\"many\"}", "many");
    run(&r, "{\"command\":\"max-draft-tokens\",\"n\":\"-3\"}", "-3");
    run(&r, "{\"command\":\"log-level\",\"level\":\"loud\"}", "loud");
    run(&r, "{\"command\":\"reload\"}", "reload");
    rig_stop(&r);
}

static void pause_and_cap_take_effect(void **state)
{
    (void)state;
    struct rig r;
    rig_start(&r, 1, 8);
    struct client c;
    assert_true(run(&r, "{\"command\":\"drafter-pause\",\"name\":\"d\"}", NULL));
    rig_ask(&r, &c, "paused", "\"max_tokens\":20");
    rig_run(&r);
    assert_int_equal(r.draft.drafts, 0);
    buf_finish(&c.text);
    assert_true(run(&r, "{\"command\":\"drafter-resume\"}", NULL));
    assert_true(run(&r, "{\"command\":\"max-draft-tokens\",\"n\":\"4\"}", NULL));
    rig_ask(&r, &c, "again", "\"max_tokens\":20");
    rig_run(&r);
    assert_true(r.draft.drafts > 0);
    assert_true(r.target.drafted <= 4 * r.target.verifies);
    buf_finish(&c.text);
    assert_true(run(&r, "{\"command\":\"drafter-remove\",\"name\":\"d\"}", NULL));
    rig_stop(&r);
}

static void table_is_sorted(void **state)
{
    (void)state;
    for (size_t i = 1; i < command_count; i++)
        assert_true(strcmp(command_table[i - 1].name, command_table[i].name) < 0);
}

const struct CMUnitTest command_tests[] = {
    cmocka_unit_test(errors_say_what_is_wrong),
    cmocka_unit_test(pause_and_cap_take_effect),
    cmocka_unit_test(table_is_sorted),
};
const size_t command_test_count = ARRAY_LEN(command_tests);
