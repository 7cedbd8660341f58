/* Streams of servers arrive cut anywhere; the events in them must come out whole and the same. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "http/lines.h"

struct sink {
    struct lines *lines;
    struct buf got; /* "[event]" each */
    int destroy_after;
};

static void collect(void *arg, const char *data, size_t len)
{
    struct sink *s = arg;

    assert_int_equal(data[len], '\0');
    buf_addc(&s->got, '[');
    buf_add(&s->got, data, len);
    buf_addc(&s->got, ']');
    if (s->destroy_after > 0 && --s->destroy_after == 0)
        lines_destroy(s->lines);
}

static const struct {
    enum lines_kind kind;
    const char *text, *want;
} cases[] = {
    {LINES_NDJSON, "{\"a\":1}\n{\"b\":2}\r\n\n\r\n{\"c\":3}\r{\"d\":4}",
     "[{\"a\":1}][{\"b\":2}][{\"c\":3}][{\"d\":4}]"},
    {LINES_NDJSON, "", ""},
    {LINES_NDJSON, "\n\r\r\n", ""},
    {LINES_NDJSON, "\xef\xbb\xbfx\n", "[x]"},
    {LINES_SSE, "data: one\n\ndata:two\r\n\r\ndata:  three\r\rdata: cut", "[one][two][ three]"},
    {LINES_SSE, ": comment\nevent: x\nid: 5\nretry: 3\ndata: a\ndata: b\n\n", "[a\nb]"},
    {LINES_SSE, "event: nothing\n\n\n\ndata\n\ndata:\ndata:\n\n", "[][\n]"},
    {LINES_SSE,
     "\xef\xbb\xbf"
     "data: bom\n\n",
     "[bom]"},
    {LINES_SSE, "datax: no\ndat: no\n data: no\n\ndata: yes\n\n", "[yes]"},
    {LINES_SSE, "data: {\"x\":\"\\n\"}\n\ndata: [DONE]\n\n", "[{\"x\":\"\\n\"}][[DONE]]"},
};

static void test_any_cut(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        size_t len = strlen(cases[i].text);

        for (size_t step = 1; step <= len + 1; step++) {
            struct sink s = {0};
            struct lines *l = lines_create(cases[i].kind, 1000, collect, &s);

            buf_init(&s.got, SIZE_MAX);
            for (size_t at = 0; at < len; at += step)
                assert_true(lines_feed(l, cases[i].text + at, len - at < step ? len - at : step));
            lines_end(l);
            assert_string_equal(s.got.data, cases[i].want);
            lines_destroy(l);
            buf_finish(&s.got);
        }
    }
}

struct named {
    struct lines *lines;
    struct buf got;
};

static void collect_named(void *arg, const char *data, size_t len)
{
    struct named *n = arg;

    buf_printf(&n->got, "[%s=%s]", lines_event(n->lines), data);
    assert_int_equal(strlen(data), len);
}

static void test_event_names(void **state)
{
    static const char text[] = "event: live\ndata: 1\n\ndata: 2\n\nevent:snapshot\ndata: 3\ndata: 4\n\n"
                               "event: nothing\n\ndata: 5\n\n"
                               "event: a-name-that-is-far-too-long-to-be-one-of-ours\ndata: 6\n\n";
    struct named n = {0};

    n.lines = lines_create(LINES_SSE, 100, collect_named, &n);
    buf_init(&n.got, 1000);
    assert_true(lines_feed(n.lines, text, strlen(text)));
    assert_string_equal(n.got.data, "[live=1][=2][snapshot=3\n4][=5][a-name-that-is-far-too-long-to-=6]");
    lines_destroy(n.lines);
    buf_finish(&n.got);
}

static void test_limits(void **state)
{
    struct sink s = {0};
    struct lines *l = lines_create(LINES_NDJSON, 5, collect, &s);

    buf_init(&s.got, SIZE_MAX);
    assert_true(lines_feed(l, "12345\n1234", 10));
    assert_true(lines_feed(l, "5", 1));
    assert_false(lines_feed(l, "6\n", 2));
    assert_false(lines_feed(l, "7\n", 2));
    lines_end(l);
    assert_string_equal(s.got.data, "[12345]");
    lines_destroy(l);

    buf_clear(&s.got);
    l = lines_create(LINES_SSE, 9, collect, &s);
    assert_true(lines_feed(l, "data:1234\ndata:123\n\n", 20)); /* 1234, newline, 123, newline */
    assert_string_equal(s.got.data, "[1234\n123]");
    assert_false(lines_feed(l, "data:1234\ndata:1234\ndata:1\n\n", 28)); /* each line is short, the event is not */
    lines_destroy(l);
    buf_finish(&s.got);
}

static void test_destroy_inside(void **state)
{
    struct sink s = {.destroy_after = 2};

    s.lines = lines_create(LINES_NDJSON, 100, collect, &s);
    buf_init(&s.got, SIZE_MAX);
    assert_false(lines_feed(s.lines, "1\n2\n3\n4", 7));
    assert_string_equal(s.got.data, "[1][2]");
    buf_clear(&s.got);
    s.destroy_after = 1;
    s.lines = lines_create(LINES_NDJSON, 100, collect, &s);
    assert_true(lines_feed(s.lines, "last", 4));
    lines_end(s.lines);
    assert_string_equal(s.got.data, "[last]");
    buf_finish(&s.got);
    lines_destroy(NULL);
}

const struct CMUnitTest lines_tests[] = {
    cmocka_unit_test(test_any_cut),
    cmocka_unit_test(test_event_names),
    cmocka_unit_test(test_limits),
    cmocka_unit_test(test_destroy_inside),
};
const size_t lines_count = sizeof(lines_tests) / sizeof(lines_tests[0]);
