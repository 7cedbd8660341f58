/* `config show`: what is printed can be read again and means the same, with the origin of each value and no secret. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "config/config.h"

static const char yaml[] = "proxy:\n"
                           "  port: 9\n"
                           "  auth_token: verysecret\n"
                           "  target:\n"
                           "    url: http://big:1\n"
                           "    model_name: \"odd: name # ${X\\\"\"\n"
                           "  drafters:\n"
                           "    - url: http://a:1\n"
                           "      api_key: othersecret\n"
                           "    - url: http://b:1\n"
                           "      name: bee\n";

static struct config *load(const char *name, const char *text)
{
    struct config_findings f = {0};
    struct config *c = config_load_text(name, text, strlen(text), &f);
    config_findings_print(&f, stderr);
    config_findings_finish(&f);
    assert_non_null(c);
    return c;
}

static char *show(const struct config *c)
{
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    config_show(c, to);
    fclose(to);
    return text;
}

static char *without_x(void)
{
    char *text = xstrdup(yaml);
    char *x = strstr(text, "${X");
    memcpy(x, "$$ ", 3);
    return text;
}

static void text_can_be_read_again(void **state)
{
    char *source = without_x();
    struct config *c = load("t.yaml", source);
    char *text = show(c);
    assert_null(strstr(text, "verysecret"));
    assert_null(strstr(text, "othersecret"));
    struct config *again = load("again.yaml", text);
    assert_string_equal(again->proxy.target.model_name, c->proxy.target.model_name);
    assert_int_equal(again->proxy.port, 9);
    assert_int_equal(again->proxy.n_drafters, 2);
    assert_string_equal(again->proxy.drafters[1].name, "bee");
    assert_string_equal(again->proxy.drafters[1].url, "http://b:1");
    assert_int_equal(again->proxy.max_body_size, c->proxy.max_body_size);
    assert_int_equal(again->proxy.target_wait_ms, c->proxy.target_wait_ms);
    config_destroy(again);
    config_destroy(c);
    free(text);
    free(source);
}

static void shows_origins(void **state)
{
    char *source = without_x();
    setenv("TIGHTWAD_DRAFT_MODEL", "m", 1);
    struct config *c = load("t.yaml", source);
    unsetenv("TIGHTWAD_DRAFT_MODEL");
    json_t *j = config_show_json(c), *proxy = json_object_get(j, "proxy");
    const char *from = json_string_value(json_object_get(json_object_get(proxy, "port"), "from"));
    assert_string_equal(from, "t.yaml:2");
    from = json_string_value(json_object_get(json_object_get(proxy, "host"), "from"));
    assert_string_equal(from, "default");
    json_t *first = json_array_get(json_object_get(proxy, "drafters"), 0);
    from = json_string_value(json_object_get(json_object_get(first, "model_name"), "from"));
    assert_string_equal(from, "$TIGHTWAD_DRAFT_MODEL");
    from = json_string_value(json_object_get(json_object_get(first, "url"), "from"));
    assert_string_equal(from, "t.yaml:8");
    from = json_string_value(json_object_get(json_object_get(first, "api_key"), "value"));
    assert_string_equal(from, "(set)");
    json_decref(j);
    config_destroy(c);
    free(source);
}

const struct CMUnitTest show_tests[] = {
    cmocka_unit_test(text_can_be_read_again),
    cmocka_unit_test(shows_origins),
};
const size_t show_count = ARRAY_LEN(show_tests);
