/* Manifests: what is read back is what was written, the id is the same wherever it is computed, and nothing that a
 * stranger may have written gets through. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "swarm/manifest.h"

#define H1 "0101010101010101010101010101010101010101010101010101010101010101"
#define H2 "abababababababababababababababababababababababababababababababab"

#define PIECES                                                                                                         \
    "\"pieces\":[{\"index\":0,\"offset\":0,\"size\":10,\"sha256\":\"" H1 "\"},"                                        \
    "{\"index\":1,\"offset\":10,\"size\":16,\"sha256\":\"" H2 "\"}]"

static const char whole[] = "{\"filename\":\"m.gguf\",\"model\":\"A \\\"model\\\" \\\\ ü\",\"total_size\":26,"
                            "\"piece_size\":16," PIECES ",\"metadata\":{\"architecture\":\"llama\",\"parameters\":1234,"
                            "\"quantisation\":\"Q4_K_M\",\"context_length\":4096,\"license\":\"mit\",\"vocab\":\"" H2
                            "\",\"compatible_drafters\":[\"d\",\"e\"]}}";
static const char bare[] = "{\"filename\":\"m.gguf\",\"total_size\":26,\"piece_size\":16," PIECES "}";

/* What sha256sum says of the canonical forms, which were written by hand:
 * {"metadata":{"architecture":"llama","context_length":4096,"license":"mit","parameters":1234,"quantisation":"Q4_K_M",
 * "vocab":"abab…"},"model":"A \"model\" \\ ü","piece_size":16,"pieces":[{"index":0,"offset":0,"sha256":"0101…",
 * "size":10},{"index":1,"offset":10,"sha256":"abab…","size":16}],"total_size":26} and
 * {"metadata":{},"piece_size":16,"pieces":[…],"total_size":26}, without white space. */
static const char whole_id[] = "83c148a9a0bbc5d4e1df9893b5d79b6052a3e4358eea505d7c4280e25de00f0e";
static const char bare_id[] = "a9723ef720a55545a56904ac69048d7abe63dd24d550f289a91cc3dfadc7534a";

static struct manifest *parse(const char *text)
{
    char *cause = NULL;
    struct manifest *m = manifest_parse(text, strlen(text), &cause);
    if (m == NULL)
        fail_msg("%s", cause);
    return m;
}

/* The text with the first `from` replaced.  Owned by the caller. */
static char *replaced(const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);
    assert_non_null(at);
    return xasprintf("%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
}

static void the_id_is_of_the_canonical_form(void **state)
{
    struct manifest *m = parse(whole), *b = parse(bare);
    (void)state;
    assert_string_equal(m->id, whole_id);
    assert_string_equal(b->id, bare_id);
    /* Neither the name nor what others say of drafters is of the content. */
    char *text = replaced(whole, "m.gguf", "other.gguf"), *more = replaced(text, "[\"d\",\"e\"]", "[]");
    struct manifest *other = parse(more);
    assert_string_equal(other->id, whole_id);
    assert_int_equal(other->n_drafters, 0);
    free(text);
    free(more);
    /* All else is. */
    static const char *const changes[][2] = {{"llama", "lama"},
                                             {"4096", "4097"},
                                             {"1234", "1235"},
                                             {"Q4_K_M", "Q4_K_S"},
                                             {"\"mit\"", "\"MIT\""},
                                             {H2, H1},
                                             {"ü", "u"},
                                             {H1, H2},
                                             {":16,\"pieces", ":17,\"pieces"}};
    for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
        text = replaced(whole, changes[i][0], changes[i][1]);
        struct manifest *changed = parse(text);
        assert_string_not_equal(changed->id, whole_id);
        manifest_destroy(changed);
        free(text);
    }
    manifest_destroy(m);
    manifest_destroy(b);
    manifest_destroy(other);
}

static void text_comes_back(void **state)
{
    static const char *const texts[] = {whole, bare};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct manifest *m = parse(texts[i]);
        char *text = manifest_text(m);
        struct manifest *again = parse(text);
        char *text_again = manifest_text(again);
        assert_string_equal(text, text_again);
        assert_string_equal(again->id, m->id);
        assert_int_equal(text[strlen(text) - 1], '\n');
        assert_int_equal(again->n_pieces, 2);
        assert_int_equal(again->piece[1].offset, 10);
        assert_int_equal(again->piece[1].size, 16);
        assert_int_equal(again->piece[1].sha256[31], 0xab);
        assert_int_equal(again->n_drafters, i == 0 ? 2 : 0);
        assert_int_equal(again->context_length, i == 0 ? 4096 : -1);
        assert_true((again->architecture == NULL) == (i == 1));
        manifest_destroy(m);
        manifest_destroy(again);
        free(text);
        free(text_again);
    }
}

static void an_id_that_is_not_its_own_is_refused(void **state)
{
    char *cause = NULL, *right = replaced(whole, "{",
                                          "{\"id\":\"SHA256:83C148a9a0bbc5d4e1df9893b5d79b6052a3e4358eea505d"
                                          "7c4280e25de00f0e\",");
    char *wrong = replaced(right, "83C1", "93C1"), *no_id = replaced(right, "83C1", "83X1");
    struct manifest *m = parse(right);
    (void)state;
    manifest_destroy(m);
    assert_null(manifest_parse(wrong, strlen(wrong), &cause));
    assert_non_null(strstr(cause, whole_id));
    assert_null(manifest_parse(no_id, strlen(no_id), &cause));
    assert_non_null(strstr(cause, "id: "));
    free(cause);
    free(right);
    free(wrong);
    free(no_id);
}

/* from, to (in `whole`), and the words that must be in the cause. */
static const char *const refused[][3] = {
    {"\"offset\":10", "\"offset\":9", "pieces[1].offset: 9, expected 10"},
    {"\"offset\":10", "\"offset\":11", "pieces[1].offset"},
    {"\"offset\":10", "\"offset\":-1", "pieces[1].offset"},
    {"\"offset\":10", "\"offset\":10.0", "pieces[1].offset"},
    {"\"offset\":10", "\"offset\":\"10\"", "pieces[1].offset"},
    {"\"offset\":10", "\"offset\":18446744073709551626", "JSON"},
    {"\"offset\":10,", "", "pieces[1].offset: missing"},
    {"\"offset\":0", "\"offset\":1", "pieces[0].offset"},
    {"\"size\":16", "\"size\":17", "pieces[1].size: 17, expected 1 to 16"},
    {"\"size\":16", "\"size\":15", "pieces: they end at 25, but total_size is 26"},
    {"\"size\":16", "\"size\":0", "pieces[1].size"},
    {"\"size\":16", "\"size\":-16", "pieces[1].size"},
    {"\"size\":10", "\"size\":26", "pieces[0].size"},
    {"\"size\":10", "\"size\":9223372036854775807", "pieces[0].size"},
    {"\"total_size\":26", "\"total_size\":10", "pieces[1]"},
    {"\"total_size\":26", "\"total_size\":0", "total_size"},
    {"\"total_size\":26", "\"total_size\":9223372036854775807", "total_size"},
    {"\"piece_size\":16", "\"piece_size\":0", "piece_size"},
    {"\"piece_size\":16", "\"piece_size\":67108865", "piece_size"},
    {"\"piece_size\":16", "\"piece_size\":15", "pieces[1].size"},
    {"\"index\":1", "\"index\":0", "pieces[1].index"},
    {"\"index\":1", "\"index\":null", "pieces[1].index"},
    {H2, "abab", "pieces[1].sha256"},
    {H2, "g" H2, "pieces[1].sha256"},
    {"\"sha256\":\"" H2 "\"", "\"sha256\":7", "pieces[1].sha256"},
    {"{\"index\":1", "[], {\"index\":1", "pieces[1]"},
    {"\"pieces\":[", "\"pieces\":[], \"x\":[", "pieces"},
    {"\"pieces\":[", "\"pieces\":7, \"x\":[", "pieces"},
    {"m.gguf", "../m.gguf", "filename"},
    {"m.gguf", "..", "filename"},
    {"m.gguf", "a/m.gguf", "filename"},
    {"m.gguf", ".m.gguf", "filename"},
    {"m.gguf", ".gguf", "filename"},
    {"m.gguf", "", "filename"},
    {"m.gguf", "m.gguf.sh", "filename"},
    {"m.gguf", "m\\n.gguf", "filename"},
    {"m.gguf", "m\\u001b[31m.gguf", "filename"},
    {"m.gguf", "m\\u202e.gguf", "filename"},
    {"m.gguf", "m\\u0000.gguf", "JSON"},
    {"\"m.gguf\"", "null", "filename"},
    {"llama", "\\u001b]0;x", "metadata: architecture"},
    {"\"llama\"", "7", "metadata: architecture"},
    {"\"llama\"", "\"\"", "metadata: architecture"},
    {"1234", "-1", "metadata: parameters"},
    {"1234", "1e3", "metadata: parameters"},
    {"\"vocab\":\"ab", "\"vocab\":\"a", "metadata: vocab"},
    {"[\"d\",\"e\"]", "[\"d\",7]", "compatible_drafters"},
    {"[\"d\",\"e\"]", "\"d\"", "compatible_drafters"},
    {"[\"d\",\"e\"]", "[1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8]", "compatible_drafters"},
    {"\"metadata\":{", "\"metadata\":[], \"x\":{", "metadata"},
    {"\"total_size\":26", "\"total_size\":26,\"total_size\":26", "JSON"},
    {"{", "[", "JSON"},
};

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        char *cause = NULL, *text = replaced(whole, refused[i][0], refused[i][1]);
        if (manifest_parse(text, strlen(text), &cause) != NULL)
            fail_msg("taken: %s", text);
        if (strstr(cause, refused[i][2]) == NULL)
            fail_msg("%s: %s", refused[i][1], cause);
        free(cause);
        free(text);
    }
    char *cause = NULL;
    assert_null(manifest_parse("", 0, &cause));
    assert_null(manifest_parse("[]", 2, &cause));
    assert_null(manifest_parse("{}", 2, &cause));
    free(cause);
}

static void too_much_is_not_even_read(void **state)
{
    size_t n = MANIFEST_TEXT_MAX;
    char *cause = NULL, *text = xmalloc(n + 1);
    (void)state;
    memset(text, ' ', n + 1);
    assert_null(manifest_parse(text, n + 1, &cause));
    assert_non_null(strstr(cause, "larger"));
    memset(text, '[', n);
    assert_null(manifest_parse(text, n, &cause));
    for (size_t i = 0; i < n; i += 3)
        memcpy(text + i, "[],", n - i < 3 ? n - i : 3);
    assert_null(manifest_parse(text, n, &cause));
    assert_non_null(strstr(cause, "larger"));
    free(cause);
    free(text);
}

static void spans_are_found(void **state)
{
    static const struct {
        uint64_t offset, size;
        size_t first, end;
    } spans[] = {{0, 0, 0, 0},  {0, 1, 0, 1},   {0, 10, 0, 1}, {0, 11, 0, 2},         {9, 2, 0, 2},  {10, 1, 1, 2},
                 {25, 1, 1, 2}, {25, 99, 1, 2}, {26, 1, 2, 2}, {1, UINT64_MAX, 0, 2}, {10, 16, 1, 2}};
    struct manifest *m = parse(whole);
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(spans); i++) {
        size_t first = 99, end = 99;
        manifest_span(m, spans[i].offset, spans[i].size, &first, &end);
        assert_int_equal(first, spans[i].first);
        assert_int_equal(end, spans[i].end);
    }
    manifest_destroy(m);
}

static void ids_as_users_write_them(void **state)
{
    char id[MANIFEST_ID + 1];
    (void)state;
    assert_true(manifest_id_read("sha256:83C148A9A0BBC5D4E1DF9893B5D79B6052A3E4358EEA505D7C4280E25DE00F0E", id));
    assert_string_equal(id, whole_id);
    assert_true(manifest_id_read(whole_id, id));
    assert_false(manifest_id_read("", id));
    assert_false(manifest_id_read("sha256:", id));
    assert_false(manifest_id_read(whole_id + 1, id));
    assert_false(manifest_id_read("83c148a9a0bbc5d4e1df9893b5d79b6052a3e4358eea505d7c4280e25de00f0g", id));
    assert_false(manifest_id_read("83c148a9a0bbc5d4e1df9893b5d79b6052a3e4358eea505d7c4280e25de00f0e0", id));
}

static void names(void **state)
{
    char longest[MANIFEST_NAME_MAX + 2];
    (void)state;
    memset(longest, 'a', sizeof(longest));
    memcpy(longest + MANIFEST_NAME_MAX - 5, ".gguf", 6);
    assert_true(manifest_name_ok(longest));
    memset(longest, 'a', sizeof(longest));
    memcpy(longest + MANIFEST_NAME_MAX - 4, ".gguf", 6);
    assert_false(manifest_name_ok(longest));
    assert_true(manifest_name_ok("Llama 3 – Q4_K_M-00001-of-00003.gguf"));
    assert_true(manifest_name_ok("X.GGUF"));
    assert_false(manifest_name_ok("m\xff.gguf"));
    assert_false(manifest_name_ok("m\x7f.gguf"));
}

static void saved_and_loaded(void **state)
{
    char dir[] = "/tmp/tightwad-manifest-XXXXXX", *cause = NULL;
    struct manifest *m = parse(whole);
    (void)state;
    assert_non_null(mkdtemp(dir));
    char *model = xasprintf("%s/m.gguf", dir), *path = manifest_path(model);
    assert_non_null(strstr(path, "/m.gguf.tightwad.manifest"));
    assert_int_equal(manifest_save(m, path, &cause), 0);
    struct manifest *again = manifest_load(path, &cause);
    assert_string_equal(again->id, m->id);
    assert_null(manifest_load(model, &cause));
    assert_non_null(strstr(cause, model));
    unlink(path);
    rmdir(dir);
    assert_int_equal(manifest_save(m, path, &cause), -1);
    assert_non_null(strstr(cause, path));
    assert_ptr_equal(manifest_keep(again), again);
    manifest_destroy(again);
    assert_string_equal(again->id, m->id);
    manifest_destroy(again);
    manifest_destroy(m);
    manifest_destroy(NULL);
    free(model);
    free(path);
    free(cause);
}

const struct CMUnitTest manifest_tests[] = {
    cmocka_unit_test(the_id_is_of_the_canonical_form),
    cmocka_unit_test(text_comes_back),
    cmocka_unit_test(an_id_that_is_not_its_own_is_refused),
    cmocka_unit_test(what_is_wrong_is_named),
    cmocka_unit_test(too_much_is_not_even_read),
    cmocka_unit_test(spans_are_found),
    cmocka_unit_test(ids_as_users_write_them),
    cmocka_unit_test(names),
    cmocka_unit_test(saved_and_loaded),
};
const size_t manifest_count = ARRAY_LEN(manifest_tests);
