/* The YAML tree: what is taken, where it stood, and what is refused without growing. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "config/tree.h"

static struct tree *good(const char *text)
{
    struct tree *t = NULL;
    size_t line = 0;
    char *cause = NULL;
    int rc = tree_parse(text, strlen(text), &t, &line, &cause);
    if (rc != 0)
        print_error("line %zu: %s\n", line, cause);
    assert_int_equal(rc, 0);
    assert_null(cause);
    return t;
}

static void bad(const char *text, size_t len, size_t want_line, const char *want)
{
    struct tree *t = NULL;
    size_t line = 0;
    char *cause = NULL;
    assert_int_equal(tree_parse(text, len, &t, &line, &cause), -1);
    assert_null(t);
    if (!strstr(cause, want) || (want_line && line != want_line))
        fail_msg("wanted \"%s\" in line %zu, got \"%s\" in line %zu", want, want_line, cause, line);
    free(cause);
}

static void takes_maps_lists_and_places(void **state)
{
    struct tree *t = good("# first\na: 1\nb:\n  - x: \"y z\"\n    w:\n  - [1, 2]\n");
    assert_int_equal(t->kind, TREE_MAP);
    assert_int_equal(t->n, 2);
    assert_string_equal(t->keys[0]->text, "a");
    assert_int_equal(t->keys[0]->line, 2);
    assert_string_equal(t->items[0]->text, "1");
    struct tree *b = t->items[1];
    assert_int_equal(b->kind, TREE_LIST);
    assert_int_equal(b->column, 2);
    assert_int_equal(b->n, 2);
    assert_int_equal(b->items[0]->keys[0]->line, 4);
    assert_string_equal(b->items[0]->items[0]->text, "y z");
    assert_false(b->items[0]->items[0]->plain);
    assert_true(tree_is_null(b->items[0]->items[1]));
    assert_true(b->items[1]->flow);
    tree_destroy(t);
}

static void null_is_null_only_without_quotes(void **state)
{
    struct tree *t = good("a: ~\nb: null\nc:\nd: \"\"\ne: 'null'\nf: 0\n");
    for (size_t i = 0; i < t->n; i++)
        assert_int_equal(tree_is_null(t->items[i]), i < 3);
    tree_destroy(t);
    assert_null(good(""));
    assert_null(good("# nothing\n\n"));
}

static void characters_are_counted_not_bytes(void **state)
{
    struct tree *t = good("é: ü\nb: c\n");
    assert_int_equal(t->items[0]->start, 3);
    assert_int_equal(t->keys[1]->start, 5);
    tree_destroy(t);
}

static void refuses_what_can_blow_up(void **state)
{
    static const char aliases[] = "a: &a [x, x]\nb: [*a, *a]\n";
    bad(aliases, strlen(aliases), 1, "anchors");
    bad("b: *a\n", 6, 1, "alias");
    bad("a: !!binary aGk=\n", 17, 1, "tags");
    bad("a: 1\n---\nb: 2\n", 14, 2, "second YAML document");
    bad("? [a, b]\n: c\n", 13, 1, "a key must be a word");
    bad("a: \"x\\0y\"\n", 10, 1, "NUL");
    bad("a: [1, 2\nb: 3\n", 14, 0, "not YAML");
    bad("a: \"\xff\"\n", 7, 0, "UTF-8");
    bad("a: b: c\n", 8, 1, "not YAML");
    bad("\tx: 1\n", 6, 1, "not YAML");
}

static void refuses_depth_size_and_number(void **state)
{
    size_t n = 20000;
    char *text = xmalloc(n + 1);
    memset(text, '[', n);
    text[n] = '\0';
    bad(text, n, 1, "nested too deeply");
    free(text);

    n = TREE_BYTES_MAX + 1;
    text = xmalloc(n);
    memset(text, '#', n);
    bad(text, n, 0, "larger than 1 MiB");
    free(text);

    n = 2 * (TREE_NODES_MAX + 10);
    text = xmalloc(n + 1);
    text[0] = '[';
    for (size_t i = 1; i < n; i++)
        text[i] = i % 2 ? '1' : ',';
    bad(text, n, 1, "too many entries");
    free(text);

    text = xmalloc(16 * (TREE_KEYS_MAX + 10));
    n = 0;
    for (int i = 0; i < TREE_KEYS_MAX + 1; i++)
        n += (size_t)sprintf(text + n, "k%d: 1\n", i);
    bad(text, n, TREE_KEYS_MAX + 1, "too many keys");
    free(text);
}

const struct CMUnitTest tree_tests[] = {
    cmocka_unit_test(takes_maps_lists_and_places),      cmocka_unit_test(null_is_null_only_without_quotes),
    cmocka_unit_test(characters_are_counted_not_bytes), cmocka_unit_test(refuses_what_can_blow_up),
    cmocka_unit_test(refuses_depth_size_and_number),
};
const size_t tree_count = ARRAY_LEN(tree_tests);
