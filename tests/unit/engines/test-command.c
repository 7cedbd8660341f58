#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "engines/command.h"
#include "engines/proxy-internal.h"
#include "rig.h"

struct outcome {
    unsigned calls;
    json_t *reply;
    char *why;
};

static void on_done(void *arg, json_t *reply, const char *why)
{
    struct outcome *o = arg;
    o->calls++;
    o->reply = reply;
    o->why = xstrdup(why);
}

/* Begins a command given as JSON. */
static struct command_call *begin(struct rig *r, const char *json, struct outcome *o)
{
    json_t *request = json_loads(json, 0, NULL);
    assert_non_null(request);
    *o = (struct outcome){0};
    struct command_call *call = command_run(&(struct engines){.proxy = r->proxy}, request, on_done, o);
    json_decref(request);
    return call;
}

/* Runs one that ends at once; true when it was done.  words: what an error must say. */
static bool run(struct rig *r, const char *json, const char *words)
{
    struct outcome o;
    assert_null(begin(r, json, &o));
    assert_int_equal(o.calls, 1);
    bool ok = o.reply != NULL;
    json_decref(o.reply);
    if (words != NULL) {
        assert_false(ok);
        assert_non_null(o.why);
        if (strstr(o.why, words) == NULL)
            fail_msg("%s is not in: %s", words, o.why);
    }
    free(o.why);
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

static struct command_call *under_way;

static int examine(void *arg, const char *verb, struct command_call *call, char **cause)
{
    (void)cause;
    under_way = call;
    *(const char **)arg = verb;
    return 0;
}

static void what_takes_time_is_told_later(void **state)
{
    (void)state;
    struct rig r;
    struct outcome o;
    const char *verb = NULL;
    rig_start(&r, 1, 8);
    run(&r, "{\"command\":\"doctor\"}", "tightwad doctor");
    struct proxy_hooks hooks = {.examine = examine, .arg = &verb};
    proxy_set_hooks(r.proxy, &hooks);
    assert_non_null(begin(&r, "{\"command\":\"doctor\"}", &o));
    assert_string_equal(verb, "doctor");
    assert_int_equal(o.calls, 0);
    command_end(under_way, json_pack("{s:b}", "fine", 1), NULL);
    assert_int_equal(o.calls, 1);
    assert_true(json_is_true(json_object_get(o.reply, "fine")));
    json_decref(o.reply);
    struct command_call *call = begin(&r, "{\"command\":\"tune\"}", &o);
    assert_string_equal(verb, "tune");
    command_cancel(call);
    command_end(under_way, json_object(), NULL);
    assert_int_equal(o.calls, 0);
    begin(&r, "{\"command\":\"tune\"}", &o);
    command_end(under_way, NULL, "it is broken");
    assert_int_equal(o.calls, 1);
    assert_null(o.reply);
    assert_string_equal(o.why, "it is broken");
    free(o.why);
    rig_stop(&r);
}

static void the_model_of_a_foreign_target_is_listed(void **state)
{
    (void)state;
    struct rig r;
    struct outcome o;
    rig_start(&r, 1, 8);
    assert_null(begin(&r, "{\"command\":\"models\"}", &o));
    const json_t *m = json_array_get(json_object_get(o.reply, "models"), 0);
    assert_string_equal(json_string_value(json_object_get(m, "name")), proxy_model(r.proxy));
    assert_true(json_is_true(json_object_get(m, "resident")));
    assert_true(json_is_null(json_object_get(m, "fits")));
    assert_true(json_is_false(json_object_get(o.reply, "pool")));
    json_decref(o.reply);
    run(&r, "{\"command\":\"model-default\",\"model\":\"x\"}", "no pool");
    run(&r, "{\"command\":\"swap\",\"model\":\"x\"}", "no pool");
    rig_stop(&r);
}

static void a_test_prompt_is_a_request_like_any_other(void **state)
{
    (void)state;
    struct rig r;
    struct outcome o;
    struct client c;
    rig_start(&r, 1, 8);
    run(&r, "{\"command\":\"test-prompt\",\"max_tokens\":0}", "above 0");
    run(&r, "{\"command\":\"test-prompt\",\"model\":\"nobody\"}", "nobody");
    assert_null(begin(&r, "{\"command\":\"test-prompt\",\"prompt\":\"hello\",\"max_tokens\":5}", &o));
    json_int_t id = json_integer_value(json_object_get(o.reply, "request"));
    assert_true(id > 0);
    json_decref(o.reply);
    rig_ask(&r, &c, "another", "\"max_tokens\":20");
    rig_run(&r);
    buf_finish(&c.text);
    const struct snapshot *s = proxy_snapshot(r.proxy);
    while (s->requests_ok < 2)
        event_base_loop(r.base, EVLOOP_ONCE);
    const struct snapshot_request *mine = NULL;
    for (size_t i = 0; i < s->n_requests; i++)
        mine = s->request[i].id == (uint64_t)id ? &s->request[i] : mine;
    assert_non_null(mine);
    assert_int_equal(mine->state, REQUEST_DONE);
    assert_in_range(mine->tokens, 1, 5);
    rig_stop(&r);
}

static void saving_wants_a_file(void **state)
{
    (void)state;
    static const char *const all[] = {
        "{\"command\":\"drafter-add\",\"url\":\"http://x:1\",\"save\":true}",
        "{\"command\":\"drafter-remove\",\"name\":\"d\",\"save\":true}",
        "{\"command\":\"max-draft-tokens\",\"n\":3,\"save\":true}",
        "{\"command\":\"log-level\",\"level\":\"debug\",\"save\":true}",
    };
    struct rig r;
    rig_start(&r, 1, 8);
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        run(&r, all[i], "without a configuration file");
    assert_true(run(&r, "{\"command\":\"drafter-remove\",\"name\":\"d\"}", NULL)); /* it was left alone */
    rig_stop(&r);
}

/* The proxy's settings are what the commands set, and the file says the same where that was wanted. */
static void modes_are_switched_and_saved(void **state)
{
    (void)state;
    static const char before[] = "# mine\nproxy:\n  port: 1 # a port\n", after[] =
                                                                             "# mine\nproxy:\n  port: 1 # a port\n"
                                                                             "  consensus_mode: majority\n"
                                                                             "  default_mode: consensus\n";
    struct rig r;
    rig_start(&r, 1, 8);
    run(&r, "{\"command\":\"consensus\"}", "consensus wants mode");
    run(&r, "{\"command\":\"consensus\",\"mode\":\"loose\"}", "off, strict, majority or any_disagree; not loose");
    run(&r, "{\"command\":\"mode\",\"mode\":\"consensus\"}", "consensus is off");
    run(&r, "{\"command\":\"mode\",\"mode\":\"draft\"}", "auto, exact, consensus or gate; not draft");
    run(&r, "{\"command\":\"gate\",\"on\":\"yes\"}", "true or false");
    run(&r, "{\"command\":\"gate\",\"on\":true}", "no quality gate is configured");
    run(&r, "{\"command\":\"consensus\",\"mode\":\"strict\",\"save\":true}", "without a configuration file");
    assert_string_equal(r.proxy->settings.consensus_mode, "off");

    char path[] = "/tmp/tightwad-test-XXXXXX", text[512] = "";
    int fd = mkstemp(path);
    assert_int_equal(write(fd, before, sizeof(before) - 1), (int)sizeof(before) - 1);
    r.proxy->config_path = xstrdup(path);
    assert_true(run(&r, "{\"command\":\"consensus\",\"mode\":\"majority\",\"save\":true}", NULL));
    assert_string_equal(r.proxy->settings.consensus_mode, "majority");
    assert_true(run(&r, "{\"command\":\"mode\",\"mode\":\"consensus\",\"save\":true}", NULL));
    assert_true(run(&r, "{\"command\":\"mode\",\"mode\":\"exact\"}", NULL));
    close(fd);
    fd = open(path, O_RDONLY);
    assert_true(read(fd, text, sizeof(text) - 1) > 0);
    assert_string_equal(text, after);
    close(fd);
    unlink(path);
    rig_stop(&r);
}

static void table_is_sorted(void **state)
{
    (void)state;
    for (size_t i = 1; i < command_count; i++)
        assert_true(strcmp(command_table[i - 1].name, command_table[i].name) < 0);
    for (size_t i = 0; i < command_count; i++)
        assert_true((command_table[i].run == NULL) != (command_table[i].begin == NULL));
}

static void every_row_is_in_the_manual(void **state)
{
    (void)state;
    char *path = xasprintf("%s/../../../doc/api.md", getenv("TIGHTWAD_TEST_DATA")), *page = xcalloc(1, 1 << 17);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_true(fread(page, 1, (1 << 17) - 1, f) > 0);
    fclose(f);
    for (size_t i = 0; i < command_count; i++) {
        const struct command *c = &command_table[i];
        bool none = c->args[0] == '\0';
        char *row = xasprintf("\n| `%s` | %s%s%s", c->name, none ? "" : "`", c->args, none ? "|" : "` |");
        if (strstr(page, row) == NULL)
            fail_msg("doc/api.md has no line that begins with %s", row + 1);
        free(row);
    }
    free(path);
    free(page);
}

const struct CMUnitTest command_tests[] = {
    cmocka_unit_test(every_row_is_in_the_manual),
    cmocka_unit_test(errors_say_what_is_wrong),
    cmocka_unit_test(pause_and_cap_take_effect),
    cmocka_unit_test(what_takes_time_is_told_later),
    cmocka_unit_test(the_model_of_a_foreign_target_is_listed),
    cmocka_unit_test(a_test_prompt_is_a_request_like_any_other),
    cmocka_unit_test(saving_wants_a_file),
    cmocka_unit_test(modes_are_switched_and_saved),
    cmocka_unit_test(table_is_sorted),
};
const size_t command_test_count = ARRAY_LEN(command_tests);
