/* The node and the proxy group tokens differently; the text must come out the same, to the byte, all the same. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/answer.h"
#include "base/buf.h"
#include "base/utf8.h"

static uint32_t rng_state = 12345;

static unsigned rnd(unsigned n)
{
    rng_state = rng_state * 1664525u + 1013904223u;
    return (rng_state >> 10) % n;
}

enum { MAX_TEXT = 64, MAX_STOPS = 3 };

/* What should come out, found by looking at the whole text at once. */
static void reference(const char *raw, size_t len, const char *const *stops, size_t n_stops, struct buf *out,
                      bool *stopped)
{
    buf_clear(out);
    utf8_add_repaired(out, raw, len);
    *stopped = false;
    for (size_t end = 1; end <= out->len; end++) {
        size_t start = SIZE_MAX;

        for (size_t i = 0; i < n_stops; i++) {
            size_t n = strlen(stops[i]);

            if (n <= end && memcmp(out->data + end - n, stops[i], n) == 0 && end - n < start)
                start = end - n;
        }
        if (start != SIZE_MAX) {
            out->len = start;
            out->data[start] = '\0';
            *stopped = true;
            return;
        }
    }
}

static size_t random_text(char *s, size_t parts, bool valid)
{
    static const char *const alphabet[] = {
        "a",    "b",        "ab",       "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xef\xbf\xbd",
        "\xff", "\xe2\x82", "\xf0\x9f", "\x80"};
    size_t len = 0;

    for (size_t i = 0; i < parts; i++) {
        const char *part = alphabet[rnd(valid ? 7 : 11)];

        memcpy(s + len, part, strlen(part));
        len += strlen(part);
    }
    s[len] = '\0';
    return len;
}

static void take_into(struct answer *a, struct buf *out)
{
    size_t n;
    const char *s = answer_take(a, &n);

    assert_true(utf8_valid(s, n));
    buf_add(out, s, n);
}

/* Gives the text in pieces of random length and takes at random times. */
static enum answer_finish run(struct answer *a, const char *raw, size_t len, size_t piece_max, struct buf *out)
{
    size_t i = 0, n;

    buf_clear(out);
    while (i < len) {
        size_t piece = rnd((unsigned)piece_max + 1);
        enum answer_finish state;

        if (piece > len - i)
            piece = len - i;
        state = answer_feed(a, raw + i, piece, false);
        i += piece;
        if (rnd(2))
            take_into(a, out);
        if (state != ANSWER_OPEN)
            break;
    }
    answer_feed(a, NULL, 0, true);
    take_into(a, out);
    answer_take(a, &n);
    assert_int_equal(n, 0);
    return answer_state(a);
}

static void test_any_grouping(void **state)
{
    unsigned seen_stop = 0, seen_end = 0;

    for (int round = 0; round < 20000; round++) {
        char raw[256], texts[MAX_STOPS][64];
        const char *stops[MAX_STOPS];
        size_t n_stops = rnd(MAX_STOPS + 1), len = random_text(raw, rnd(24), rnd(2)), n;
        struct buf expected, out;
        bool stopped;

        for (size_t i = 0; i < n_stops; i++) {
            random_text(texts[i], 1 + rnd(3), true);
            stops[i] = texts[i];
        }
        buf_init(&expected, SIZE_MAX);
        buf_init(&out, SIZE_MAX);
        reference(raw, len, stops, n_stops, &expected, &stopped);
        for (int grouping = 0; grouping < 4; grouping++) {
            struct answer *a = answer_create(stops, n_stops, 1000);

            assert_int_equal(run(a, raw, len, grouping == 0 ? len : 1 + rnd(5), &out), ANSWER_STOP);
            assert_int_equal(out.len, expected.len);
            assert_memory_equal(out.data, expected.data, out.len);
            assert_memory_equal(answer_text(a, &n), expected.data, expected.len);
            assert_int_equal(n, expected.len);
            answer_destroy(a);
        }
        seen_stop += stopped;
        seen_end += !stopped;
        buf_finish(&expected);
        buf_finish(&out);
    }
    assert_true(seen_stop > 1000 && seen_end > 1000); /* the test looks at both */
}

/* The same answer cut at max_tokens: the text is that of the first tokens, whatever is held back. */
static void test_length(void **state)
{
    for (int round = 0; round < 5000; round++) {
        char raw[256];
        size_t len = random_text(raw, rnd(24), rnd(2));
        const char *stop = "ab\xe2\x82\xac";
        int64_t max = rnd(12);
        struct answer *a = answer_create(&stop, 1, max);
        struct buf expected, out;
        bool stopped;

        buf_init(&expected, SIZE_MAX);
        buf_init(&out, SIZE_MAX);
        reference(raw, (size_t)max < len ? (size_t)max : len, &stop, 1, &expected, &stopped);
        for (size_t i = 0; i < len && answer_state(a) == ANSWER_OPEN; i++) {
            answer_feed(a, raw + i, 1, false);
            take_into(a, &out);
        }
        if ((size_t)max <= len && !stopped)
            assert_int_equal(answer_state(a), ANSWER_LENGTH);
        answer_cut(a);
        take_into(a, &out);
        assert_string_equal(out.data, expected.data);
        assert_int_equal(answer_state(a), stopped ? ANSWER_STOP : ANSWER_LENGTH);
        assert_true(answer_tokens(a) <= max);
        answer_destroy(a);
        buf_finish(&expected);
        buf_finish(&out);
    }
}

static const char *take(struct answer *a)
{
    static char s[MAX_TEXT + 1];
    size_t n;
    const char *text = answer_take(a, &n);

    assert_true(n <= MAX_TEXT);
    memcpy(s, text, n);
    s[n] = '\0';
    return s;
}

static void feed(struct answer *a, const char *piece)
{
    answer_feed(a, piece, strlen(piece), false);
}

/* Nothing is held back longer than it must be: a reader sees each token as soon as it is sure. */
static void test_held_back(void **state)
{
    const char *stops[] = {"END", "\n\n"};
    struct answer *a = answer_create(stops, 2, 100);

    feed(a, "hello");
    assert_string_equal(take(a), "hello");
    feed(a, " E");
    assert_string_equal(take(a), " ");
    feed(a, "N");
    assert_string_equal(take(a), "");
    feed(a, "E");
    assert_string_equal(take(a), "EN");
    feed(a, "x\n");
    assert_string_equal(take(a), "Ex");
    feed(a, "caf\xc3");
    assert_string_equal(take(a), "\ncaf");
    feed(a, "\xa9");
    assert_string_equal(take(a), "\xc3\xa9");
    feed(a, "E");
    assert_string_equal(take(a), "");
    assert_int_equal(answer_feed(a, NULL, 0, true), ANSWER_STOP);
    assert_string_equal(take(a), "E");
    assert_int_equal(answer_tokens(a), 9);
    feed(a, "more");
    assert_int_equal(answer_tokens(a), 9);
    assert_string_equal(take(a), "");
    answer_destroy(a);
}

static void test_stops(void **state)
{
    const char *stops[] = {"bc", "abcd", "b"};
    struct answer *a = answer_create(stops, 2, 100);

    assert_int_equal(answer_state(a), ANSWER_OPEN);
    assert_null(answer_finish_name(ANSWER_OPEN));
    feed(a, "xab");
    assert_string_equal(take(a), "x");
    feed(a, "cdy");
    assert_int_equal(answer_state(a), ANSWER_STOP);
    assert_string_equal(take(a), "a"); /* "bc" was complete first */
    assert_string_equal(answer_finish_name(answer_state(a)), "stop");
    answer_destroy(a);

    a = answer_create(stops, 3, 2);
    feed(a, "a");
    feed(a, "b");
    assert_int_equal(answer_state(a), ANSWER_STOP); /* in the last token allowed, and still a stop */
    assert_string_equal(take(a), "a");
    answer_destroy(a);
}

static void test_ends(void **state)
{
    struct answer *a = answer_create(NULL, 0, 0);

    assert_int_equal(answer_state(a), ANSWER_LENGTH);
    assert_string_equal(take(a), "");
    answer_destroy(a);

    a = answer_create(NULL, 0, 1);
    assert_int_equal(answer_feed(a, "\xe2\x82", 2, false), ANSWER_LENGTH);
    assert_string_equal(take(a), "\xef\xbf\xbd");
    assert_string_equal(answer_finish_name(answer_state(a)), "length");
    answer_destroy(a);

    a = answer_create(NULL, 0, 1);
    assert_int_equal(answer_feed(a, NULL, 0, true), ANSWER_STOP);
    assert_int_equal(answer_tokens(a), 1);
    answer_destroy(a);

    a = answer_create(NULL, 0, 5);
    feed(a, "x\xf0\x9f");
    assert_string_equal(take(a), "x");
    answer_cut(a);
    assert_int_equal(answer_state(a), ANSWER_LENGTH);
    assert_string_equal(take(a), "\xef\xbf\xbd");
    answer_destroy(a);
    answer_destroy(NULL);
}

const struct CMUnitTest answer_tests[] = {
    cmocka_unit_test(test_any_grouping), cmocka_unit_test(test_length), cmocka_unit_test(test_held_back),
    cmocka_unit_test(test_stops),        cmocka_unit_test(test_ends),
};
const size_t answer_count = sizeof(answer_tests) / sizeof(answer_tests[0]);
