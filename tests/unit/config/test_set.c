/* Setting a value changes that value in the user's file and no other byte. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "config/set.h"
#include "config/tree.h"

static void sets(const char *before, const char *key, const char *value, const char *after)
{
    struct buf out;
    char *cause = NULL;
    buf_init(&out, TREE_BYTES_MAX);
    if (set_value(before, strlen(before), key, value, &out, &cause) != 0)
        fail_msg("%s\nin:\n%s", cause, before);
    if (strcmp(out.data, after) != 0)
        fail_msg("wanted:\n%s\ngot:\n%s", after, out.data);
    buf_finish(&out);
}

static void refuses(const char *text, const char *key, const char *words)
{
    struct buf out;
    char *cause = NULL;
    buf_init(&out, TREE_BYTES_MAX);
    assert_int_equal(set_value(text, strlen(text), key, "8", &out, &cause), -1);
    assert_non_null(cause);
    if (strstr(cause, words) == NULL)
        fail_msg("%s is not in: %s", words, cause);
    assert_int_equal(out.len, 0);
    free(cause);
    buf_finish(&out);
}

#define KEY "proxy.max_draft_tokens"

static void a_value_that_is_there_is_replaced(void **state)
{
    sets("# top\nproxy: # p\n  max_draft_tokens:   32 # the cap\n  port: 9\n# end\n", KEY, "8",
         "# top\nproxy: # p\n  max_draft_tokens:   8 # the cap\n  port: 9\n# end\n");
    sets("proxy:\n  max_draft_tokens: \"32\"\n", KEY, "auto", "proxy:\n  max_draft_tokens: auto\n");
    sets("proxy:\n  max_draft_tokens:\n  port: 9\n", KEY, "0", "proxy:\n  max_draft_tokens: 0\n  port: 9\n");
    sets("proxy: {port: 9, max_draft_tokens: 32} # p\n", KEY, "8", "proxy: {port: 9, max_draft_tokens: 8} # p\n");
    sets("proxy:\r\n  max_draft_tokens: 32\r\n", KEY, "8", "proxy:\r\n  max_draft_tokens: 8\r\n");
    sets("proxy:\n  max_draft_tokens: # none yet\n  port: 9\n", KEY, "0",
         "proxy:\n  max_draft_tokens: 0 # none yet\n  port: 9\n");
    sets("proxy:\n  max_draft_tokens: ~ # none\n", KEY, "0", "proxy:\n  max_draft_tokens: 0 # none\n");
    sets("proxy:\n  max_draft_tokens: >-\n    32\n  port: 9\n", KEY, "8", "proxy:\n  max_draft_tokens: 8\n  port: 9\n");
    sets("proxy:\n  ? max_draft_tokens\n  : 32\n", KEY, "8", "proxy:\n  ? max_draft_tokens\n  : 8\n");
    sets("---\nproxy: {max_draft_tokens: 32}\n...\n", KEY, "8", "---\nproxy: {max_draft_tokens: 8}\n...\n");
    sets("# \xc3\xa9\xe2\x82\xac\nproxy:\n  max_draft_tokens: 32", KEY, "8",
         "# \xc3\xa9\xe2\x82\xac\nproxy:\n  max_draft_tokens: 8");
}

static void a_missing_key_is_added(void **state)
{
    sets("proxy:\n  port: 9 # p\n\n# later\nlog:\n  level: info\n", KEY, "8",
         "proxy:\n  port: 9 # p\n  max_draft_tokens: 8\n\n# later\nlog:\n  level: info\n");
    sets("proxy: {port: 9}\n", KEY, "8", "proxy: {port: 9, max_draft_tokens: 8}\n");
    sets("proxy: {}\n", KEY, "8", "proxy: {max_draft_tokens: 8}\n");
    sets("proxy:\n    port: 9", KEY, "8", "proxy:\n    port: 9\n    max_draft_tokens: 8\n");
    sets("proxy:\r\n  port: 9\r\n", "log.level", "debug", "proxy:\r\n  port: 9\r\nlog:\r\n  level: debug\r\n");
}

static void a_missing_section_is_added(void **state)
{
    sets("", "log.level", "debug", "log:\n  level: debug\n");
    sets("# only words\n", "log.level", "debug", "# only words\nlog:\n  level: debug\n");
    sets("proxy: # empty\nlog:\n", KEY, "8", "proxy: # empty\n  max_draft_tokens: 8\nlog:\n");
    sets("{proxy: {port: 9}}\n", "log.level", "warn", "{proxy: {port: 9}, log: {level: warn}}\n");
}

static void what_is_not_safe_is_refused(void **state)
{
    refuses("proxy:\n  max_draft_tokens: [1, 2]\n", KEY, "by hand");
    refuses("proxy: 5\n", KEY, "by hand");
    refuses("- a\n", KEY, "not a configuration");
    refuses("proxy: [\n", KEY, "line");
}

static void defaults(const char *before, const char *model, const char *after)
{
    struct buf out;
    char *cause = NULL;
    buf_init(&out, TREE_BYTES_MAX);
    if (set_default_model(before, strlen(before), model, &out, &cause) != 0)
        fail_msg("%s\nin:\n%s", cause, before);
    if (strcmp(out.data, after) != 0)
        fail_msg("wanted:\n%s\ngot:\n%s", after, out.data);
    buf_finish(&out);
}

static void one_model_is_the_default(void **state)
{
    defaults(
        "models:\n  - name: a # one\n    path: /m/a.gguf\n    default: true # for now\n  - path: /m/b.gguf\n# end\n",
        "b",
        "models:\n  - name: a # one\n    path: /m/a.gguf\n    default: false # for now\n  - path: /m/b.gguf\n"
        "    default: true\n# end\n");
    defaults("models:\n  a:\n    path: /m/x.gguf\n  b: {path: /m/y.gguf, default: false}\n", "b",
             "models:\n  a:\n    path: /m/x.gguf\n  b: {path: /m/y.gguf, default: true}\n");
    defaults("models:\n  a: {path: /m/x.gguf}\n  b: {path: /m/y.gguf}\n", "a",
             "models:\n  a: {path: /m/x.gguf, default: true}\n  b: {path: /m/y.gguf}\n");
    struct buf out;
    char *cause = NULL;
    static const char text[] = "models:\n  a: {path: /m/x.gguf}\n";
    buf_init(&out, TREE_BYTES_MAX);
    assert_int_equal(set_default_model(text, strlen(text), "c", &out, &cause), -1);
    assert_non_null(strstr(cause, "no model c"));
    free(cause);
    buf_finish(&out);
}

const struct CMUnitTest set_tests[] = {
    cmocka_unit_test(a_value_that_is_there_is_replaced), cmocka_unit_test(a_missing_key_is_added),
    cmocka_unit_test(a_missing_section_is_added),        cmocka_unit_test(what_is_not_safe_is_refused),
    cmocka_unit_test(one_model_is_the_default),
};
const size_t set_count = sizeof(set_tests) / sizeof(set_tests[0]);
