/* Values: each type's spellings, its limits, and messages that say what would be right. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "config/url.h"
#include "config/value.h"

static int64_t number(const char *key, const char *text)
{
    char *cause = NULL;
    int64_t v = -99;
    if (value_parse(option_find(key), text, &v, &cause) != 0)
        fail_msg("%s", cause);
    return v;
}

static void refused(const char *key, const char *text, const char *want)
{
    union {
        int64_t i;
        char *s;
        bool b;
    } v = {0};
    char *cause = NULL;
    if (value_parse(option_find(key), text, &v, &cause) == 0)
        fail_msg("%s: %s was taken", key, text);
    assert_true(v.i == 0);
    if (!strstr(cause, want))
        fail_msg("wanted \"%s\", got \"%s\"", want, cause);
    free(cause);
}

static void whole_numbers(void **state)
{
    assert_int_equal(number("proxy.port", "0"), 0);
    assert_int_equal(number("proxy.port", "65535"), 65535);
    assert_int_equal(number("proxy.max_draft_tokens", "auto"), CONFIG_AUTO);
    refused("proxy.port", "65536", "out of range: 0 to 65535");
    refused("proxy.port", "-1", "out of range");
    refused("proxy.port", "1.0", "whole number");
    refused("proxy.port", "80x", "whole number");
    refused("proxy.port", "", "whole number");
    refused("proxy.port", "auto", "whole number");
    refused("proxy.port", "0x50", "whole number");
    refused("proxy.port", "99999999999999999999999", "out of range");
    refused("proxy.max_draft_tokens", "lots", "whole number or auto");
}

static void sizes(void **state)
{
    assert_int_equal(number("proxy.max_body_size", "4096"), 4096);
    assert_int_equal(number("proxy.max_body_size", "4096B"), 4096);
    assert_int_equal(number("proxy.max_body_size", "10MiB"), 10 << 20);
    assert_int_equal(number("proxy.max_body_size", "10 mib"), 10 << 20);
    assert_int_equal(number("proxy.max_body_size", "1.5MiB"), 3 << 19);
    assert_int_equal(number("proxy.max_body_size", "2MB"), 2000000);
    refused("proxy.max_body_size", "10M", "a size such as 10MiB");
    refused("proxy.max_body_size", "1.MiB", "a size such as 10MiB");
    refused("proxy.max_body_size", "9999999999GiB", "out of range: 1KiB to 1GiB");
    refused("proxy.max_body_size", "-3MiB", "out of range");
}

static void durations(void **state)
{
    assert_int_equal(number("proxy.target_wait", "30"), 30000);
    assert_int_equal(number("proxy.target_wait", "30s"), 30000);
    assert_int_equal(number("proxy.target_wait", "250ms"), 250);
    assert_int_equal(number("proxy.target_wait", "1.5s"), 1500);
    assert_int_equal(number("proxy.target_wait", "2m"), 120000);
    assert_int_equal(number("proxy.target_wait", "0"), 0);
    refused("proxy.target_wait", "soon", "a duration such as 30s");
    refused("proxy.target_wait", "2h", "out of range: 0 to 1h");
    refused("proxy.draft_timeout", "1ms", "out of range: 10ms to 10m");
}

static void yes_and_no(void **state)
{
    static const char *const yes[] = {"true", "yes", "on", "TRUE"}, *const no[] = {"false", "no", "Off"};
    const struct option *o = option_find("proxy.fallback_on_draft_failure");
    for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
        bool v = false;
        assert_int_equal(value_parse(o, yes[i], &v, NULL), 0);
        assert_true(v);
    }
    for (size_t i = 0; i < ARRAY_LEN(no); i++) {
        bool v = true;
        assert_int_equal(value_parse(o, no[i], &v, NULL), 0);
        assert_false(v);
    }
    refused("proxy.fallback_on_draft_failure", "maybe", "true or false");
}

static void names_and_texts(void **state)
{
    refused("proxy.target.backend", "lamacpp", "did you mean llamacpp?");
    refused("proxy.target.backend", "zzzz", "one of auto, node, llamacpp, ollama, openai");
    refused("proxy.target.model_name", "a\nb", "control character");
    refused("proxy.target.model_name", "a\u2028b", "control character");
    refused("proxy.target.model_name",
            "a\xc2\x9b"
            "b",
            "control character");
    refused("proxy.target.model_name", "a\xff", "UTF-8");
    refused("proxy.host", "http://x", "without scheme and port");
    char *cause = NULL, *key = NULL;
    assert_int_equal(value_parse(option_find("proxy.auth_token"), "top secret", &key, &cause), -1);
    assert_null(strstr(cause, "top")); /* a key never stands in a message */
    free(cause);
}

static void url_is(const char *text, const char *want)
{
    char *cause = NULL, *got = url_normalise(text, &cause);
    if (!got)
        fail_msg("%s: %s", text, cause);
    assert_string_equal(got, want);
    free(got);
}

static void url_bad(const char *text, const char *want)
{
    char *cause = NULL;
    assert_null(url_normalise(text, &cause));
    if (!strstr(cause, want))
        fail_msg("wanted \"%s\", got \"%s\"", want, cause);
    free(cause);
}

static void urls(void **state)
{
    url_is("http://a:1", "http://a:1");
    url_is("http://a:1/", "http://a:1");
    url_is("HTTP://a:1/v1/", "http://a:1");
    url_is("https://api.example.com/openai/v1", "https://api.example.com/openai");
    url_is("http://[::1]:8081", "http://[::1]:8081");
    url_bad("a:1", "did you mean http://a:1?");
    url_bad("192.168.1.2", "did you mean http://192.168.1.2?");
    url_bad("ftp://a", "http:// or https://");
    url_bad("http://", "names no host");
    url_bad("http://:80", "names no host");
    url_bad("http://a:0", "not a port");
    url_bad("http://a:70000", "not a port");
    url_bad("http://a:", "not a port");
    url_bad("http://a:8o", "not a port");
    url_bad("http://me:secret@a:1", "put the key into api_key");
    url_bad("http://a b", "spaces");
    url_bad("http://a:1?x=1", "query");
    url_bad("http://::1:80", "IPv6 address goes in [brackets]");
    url_bad("http://[::1", "IPv6");
    url_bad("http://a%20b:1", "not a host name");
    char *hp = url_host_port("https://x/y");
    assert_string_equal(hp, "x:443");
    free(hp);
    hp = url_host_port("http://[::1]");
    assert_string_equal(hp, "[::1]:80");
    free(hp);
}

static void environment_in_values(void **state)
{
    setenv("CONFIG_TEST_A", "abc", 1);
    unsetenv("CONFIG_TEST_B");
    char *cause = NULL, *v = value_expand("x${CONFIG_TEST_A}y$z$${CONFIG_TEST_A}", &cause);
    assert_string_equal(v, "xabcy$z${CONFIG_TEST_A}");
    free(v);
    static const char *const wrong[][2] = {{"${CONFIG_TEST_B}", "CONFIG_TEST_B is not set"},
                                           {"${", "not followed"},
                                           {"${}", "not followed"},
                                           {"${A-B}", "not followed"},
                                           {"${1A}", "not followed"},
                                           {"${CONFIG_TEST_A", "not followed"}};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        assert_null(value_expand(wrong[i][0], &cause));
        assert_non_null(strstr(cause, wrong[i][1]));
    }
    free(cause);
    unsetenv("CONFIG_TEST_A");
}

static void nearest_names(void **state)
{
    static const char *const names[] = {"port", "host", "max_draft_tokens", "target", "draft", "drafters"};
    assert_string_equal(config_nearest("prot", names, ARRAY_LEN(names)), "port");
    assert_string_equal(config_nearest("Host", names, ARRAY_LEN(names)), "host");
    assert_string_equal(config_nearest("max_draft_token", names, ARRAY_LEN(names)), "max_draft_tokens");
    assert_string_equal(config_nearest("drafter", names, ARRAY_LEN(names)), "drafters");
    assert_null(config_nearest("zzzzzz", names, ARRAY_LEN(names)));
    assert_null(config_nearest("", names, ARRAY_LEN(names)));
    char *longest = xmalloc(100001);
    memset(longest, 'a', 100000);
    longest[100000] = '\0';
    assert_null(config_nearest(longest, names, ARRAY_LEN(names)));
    free(longest);
}

static void yaml_spelling(void **state)
{
    static const char *const cases[][2] = {{"http://a:1", "http://a:1"}, {"a b", "\"a b\""},     {"", "\"\""},
                                           {"null", "\"null\""},         {"a\"b", "\"a\\\"b\""}, {"-x", "\"-x\""},
                                           {"${A}", "\"$${A}\""},        {"x:", "\"x:\""},       {"#", "\"#\""}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *y = value_yaml(cases[i][0]);
        assert_string_equal(y, cases[i][1]);
        free(y);
    }
}

const struct CMUnitTest value_tests[] = {
    cmocka_unit_test(whole_numbers),
    cmocka_unit_test(sizes),
    cmocka_unit_test(durations),
    cmocka_unit_test(yes_and_no),
    cmocka_unit_test(names_and_texts),
    cmocka_unit_test(urls),
    cmocka_unit_test(environment_in_values),
    cmocka_unit_test(nearest_names),
    cmocka_unit_test(yaml_spelling),
};
const size_t value_count = ARRAY_LEN(value_tests);
