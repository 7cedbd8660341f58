/* Every request is read through these: wrong types, depth and pieces that are not text must be told apart. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"

static void test_parse_refuses(void **state)
{
    static const char *const bad[] = {"", "{", "{\"a\":1,\"a\":2}", "[1,]", "\"\\u0000\"", "\"\xff\"", "nul", "1 2"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char *cause = NULL;
        assert_null(json_parse(bad[i], strlen(bad[i]), &cause));
        assert_non_null(cause);
        free(cause);
    }
    char *cause = NULL;
    assert_null(json_parse_object("[1]", 3, &cause));
    assert_string_equal(cause, "expected a JSON object");
    free(cause);
}

static void test_parse_depth(void **state)
{
    char text[2 * (JSON_DEPTH_MAX + 1)];
    memset(text, '[', JSON_DEPTH_MAX);
    memset(text + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
    json_t *v = json_parse(text, 2 * JSON_DEPTH_MAX, NULL);
    assert_non_null(v);
    json_decref(v);
    memset(text, '[', JSON_DEPTH_MAX + 1);
    memset(text + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
    char *cause = NULL;
    assert_null(json_parse(text, sizeof(text), &cause));
    assert_non_null(strstr(cause, "64 levels"));
    free(cause);
    const char *in_string = "\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[\"";
    v = json_parse(in_string, strlen(in_string), NULL);
    assert_true(json_is_string(v));
    json_decref(v);
}

static void test_getters(void **state)
{
    const char *text = "{\"i\":5,\"d\":0.5,\"b\":true,\"s\":\"x\",\"n\":null,\"t\":[1,2],\"bad\":[1,-2]}";
    json_t *o = json_parse_object(text, strlen(text), NULL);
    int64_t i = -1;
    double d = -1;
    bool b = false;
    const char *s = NULL;
    int32_t *tokens = NULL;
    size_t n = 0;
    char *cause = NULL;
    assert_int_equal(json_get_int(o, "i", 0, 5, &i, NULL), 1);
    assert_int_equal(i, 5);
    assert_int_equal(json_get_int(o, "n", 0, 5, &i, NULL), 0);
    assert_int_equal(json_get_int(o, "none", 0, 5, &i, NULL), 0);
    assert_int_equal(i, 5);
    assert_int_equal(json_get_int(o, "i", 6, 9, &i, &cause), -1);
    assert_string_equal(cause, "\"i\" is 5, expected 6 to 9");
    assert_int_equal(json_get_int(o, "d", 0, 5, &i, &cause), -1);
    assert_string_equal(cause, "\"d\" is a number with a fraction, expected an integer");
    assert_int_equal(json_get_double(o, "i", 0, 9, &d, NULL), 1);
    assert_true(d == 5);
    assert_int_equal(json_get_double(o, "s", 0, 9, &d, NULL), -1);
    assert_int_equal(json_get_bool(o, "b", &b, NULL), 1);
    assert_true(b);
    assert_int_equal(json_get_bool(o, "i", &b, NULL), -1);
    assert_int_equal(json_get_string(o, "s", &s, NULL), 1);
    assert_string_equal(s, "x");
    assert_int_equal(json_get_tokens(o, "t", &tokens, &n, NULL), 1);
    assert_int_equal(n, 2);
    assert_int_equal(tokens[1], 2);
    free(tokens);
    assert_int_equal(json_get_tokens(o, "bad", &tokens, &n, &cause), -1);
    assert_non_null(strstr(cause, "[1]"));
    free(cause);
    json_decref(o);
}

static void test_pieces(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        bool string;
    } cases[] = {{"abc", 3, true}, {"", 0, true}, {"\xc3\xa9", 2, true}, {"\xc3", 1, false}, {"a\0b", 3, false}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        json_t *piece = json_piece(cases[i].bytes, cases[i].len);
        assert_int_equal(json_is_string(piece), cases[i].string);
        char *text = NULL;
        size_t len = 0;
        assert_int_equal(json_piece_get(piece, &text, &len), 0);
        assert_int_equal(len, cases[i].len);
        assert_memory_equal(text, cases[i].bytes, len);
        free(text);
        json_decref(piece);
    }
    json_t *bad = json_pack("[i]", 256);
    char *text = NULL;
    size_t len = 0;
    assert_int_equal(json_piece_get(bad, &text, &len), -1);
    json_decref(bad);
}

const struct CMUnitTest json_tests[] = {
    cmocka_unit_test(test_parse_refuses),
    cmocka_unit_test(test_parse_depth),
    cmocka_unit_test(test_getters),
    cmocka_unit_test(test_pieces),
};
const size_t json_count = sizeof(json_tests) / sizeof(json_tests[0]);
