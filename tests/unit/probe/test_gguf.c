/* The GGUF reader: what it says of real models, and that no damaged file gets past it, crashes it or makes it grow. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "probe/gguf-type.h"
#include "probe/gguf.h"

/* ---- a writer of small files ---- */

static void put(struct buf *b, uint64_t v, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        buf_addc(b, (char)(v >> (8 * i)));
}

static void put_text(struct buf *b, const char *s)
{
    put(b, strlen(s), 8);
    buf_adds(b, s);
}

static void put_text_kv(struct buf *b, const char *key, const char *value)
{
    put_text(b, key);
    put(b, 8, 4);
    put_text(b, value);
}

static void put_u32_kv(struct buf *b, const char *key, uint32_t value)
{
    put_text(b, key);
    put(b, 4, 4);
    put(b, value, 4);
}

static void head(struct buf *b, uint32_t version, uint64_t tensors, uint64_t kvs)
{
    buf_init(b, 1 << 20);
    buf_adds(b, "GGUF");
    put(b, version, 4);
    put(b, tensors, 8);
    put(b, kvs, 8);
}

static void put_tensor(struct buf *b, const char *name, uint32_t type, uint64_t a, uint64_t c, uint64_t offset)
{
    put_text(b, name);
    put(b, 2, 4);
    put(b, a, 8);
    put(b, c, 8);
    put(b, type, 4);
    put(b, offset, 8);
}

static void pad(struct buf *b, size_t to, size_t more)
{
    while (b->len % to)
        buf_addc(b, 0);
    while (more-- > 0)
        buf_addc(b, 0);
}

/* A whole small model: 2 tensors, vocabulary "a", "", "bc". */
static void model(struct buf *b)
{
    head(b, 3, 2, 9);
    put_text_kv(b, "general.architecture", "tiny");
    put_text_kv(b, "general.name", "A tiny one");
    put_u32_kv(b, "general.file_type", 15);
    put_u32_kv(b, "tiny.block_count", 3);
    put_u32_kv(b, "tiny.context_length", 256);
    put_text(b, "tiny.scale");
    put(b, 6, 4);
    put(b, 0x3f000000, 4); /* 0.5f */
    put_text(b, "tiny.shift");
    put(b, 1, 4);
    put(b, 0xfe, 1); /* -2 as i8 */
    put_text(b, "tokenizer.ggml.tokens");
    put(b, 9, 4);
    put(b, 8, 4);
    put(b, 3, 8);
    put_text(b, "a");
    put_text(b, "");
    put_text(b, "bc");
    put_text_kv(b, "tokenizer.chat_template", "{{x}}");
    put_tensor(b, "w", 12, 512, 2, 0);
    put_tensor(b, "n", 0, 3, 1, 576);
    pad(b, 32, 576 + 12);
}

static struct gguf *parse(const struct buf *b)
{
    char *cause = NULL;
    struct gguf *g = gguf_parse(b->data, b->len, &cause);
    if (!g)
        fail_msg("%s", cause);
    return g;
}

static void bad(struct buf *b, const char *want)
{
    char *cause = NULL;
    struct gguf *g = gguf_parse(b->data, b->len, &cause);
    if (g)
        fail_msg("taken, but wanted \"%s\"", want);
    if (!strstr(cause, want))
        fail_msg("wanted \"%s\", got \"%s\"", want, cause);
    free(cause);
    buf_finish(b);
}

static void reads_a_small_model(void **state)
{
    struct buf b;
    model(&b);
    struct gguf *g = parse(&b);
    assert_string_equal(g->architecture, "tiny");
    assert_string_equal(g->name, "A tiny one");
    assert_string_equal(g->file_type, "Q4_K_M");
    assert_int_equal(g->n_layers, 3);
    assert_int_equal(g->n_ctx_train, 256);
    assert_int_equal(g->n_embd, -1);
    assert_null(g->license);
    assert_int_equal(g->n_params, 1024 + 3);
    assert_int_equal(g->tensor_bytes, 576 + 12);
    assert_int_equal(g->type_count[12], 1);
    assert_int_equal(g->type_bytes[12], 576);
    assert_int_equal(g->n_vocab, 3);
    /* SHA-256 of 1,0,0,0,"a", 9,0,0,0,"[EMPTY_1]", 2,0,0,0,"bc" */
    assert_string_equal(g->vocab_fingerprint, "a935ca725bbbe3ce1b24c9c937f241a90382b78ac668decab063beb091f7b2b5");
    assert_true(g->chat_template);
    assert_true(gguf_get(g, "tiny.scale")->f == 0.5);
    assert_int_equal(gguf_get(g, "tiny.shift")->i, -2);
    assert_int_equal(gguf_get_int(g, "tiny.shift"), -1); /* no count */
    assert_string_equal(g->tensors[1].name, "n");
    assert_int_equal(g->tensors[1].offset, g->data_start + 576);
    gguf_destroy(g);
    buf_finish(&b);
}

static void reads_the_demo_models(void **state)
{
    static const char *const names[] = {"draft", "small", "mid", "target", "numbers", "words"};
    char first[65] = "";
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char *path = xasprintf("%s/%s.gguf", getenv("TIGHTWAD_MODELS"), names[i]), *cause = NULL;
        struct gguf *g = gguf_open(path, &cause);
        if (!g)
            fail_msg("%s", cause);
        assert_string_equal(g->architecture, "llama");
        assert_string_equal(g->file_type, "Q8_0");
        assert_int_equal(g->n_ctx_train, 512);
        assert_int_equal(g->n_vocab, 640);
        assert_true(g->data_start + g->tensor_bytes <= g->file_size);
        if (i == 0)
            memcpy(first, g->vocab_fingerprint, sizeof(first));
        assert_string_equal(g->vocab_fingerprint, first);
        gguf_destroy(g);
        free(path);
    }
}

/* Cut anywhere, a model is an error; a file and memory say the same. */
static void every_cut_is_an_error(void **state)
{
    struct buf b;
    model(&b);
    char path[] = "/tmp/tightwad-test-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    for (size_t n = 0; n < b.len; n++) {
        char *cause = NULL, *same = NULL;
        assert_null(gguf_parse(b.data, n, &cause));
        assert_non_null(cause);
        if (n % 16 == 0) {
            assert_int_equal(ftruncate(fd, 0), 0);
            assert_int_equal(pwrite(fd, b.data, n, 0), n);
            assert_null(gguf_open(path, &same));
            assert_non_null(strstr(same, cause));
        }
        free(cause);
        free(same);
    }
    close(fd);
    unlink(path);
    buf_finish(&b);
}

/* Every byte of the header changed, in a few ways: taken or refused, never a crash (the sanitizers look on). */
static void every_changed_byte_is_survived(void **state)
{
    static const uint8_t ways[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
    struct buf b;
    model(&b);
    for (size_t i = 0; i < b.len - 576; i++) {
        for (size_t w = 0; w < ARRAY_LEN(ways); w++) {
            char old = b.data[i], *cause = NULL;
            b.data[i] = (char)ways[w];
            struct gguf *g = gguf_parse(b.data, b.len, &cause);
            assert_true((g != NULL) != (cause != NULL));
            gguf_destroy(g);
            free(cause);
            b.data[i] = old;
        }
    }
    buf_finish(&b);
}

static void refuses_wrong_heads(void **state)
{
    struct buf b;
    buf_init(&b, 100);
    buf_adds(&b, "GGML, not GGUF at all");
    bad(&b, "not a GGUF file");
    head(&b, 1, 0, 0);
    bad(&b, "version 1");
    head(&b, 4, 0, 0);
    bad(&b, "version 4");
    head(&b, 3u << 24, 0, 0);
    bad(&b, "big-endian");
    head(&b, 3, 0, UINT64_MAX);
    bad(&b, "more metadata");
    head(&b, 3, UINT64_MAX, 0);
    bad(&b, "more tensors");
    head(&b, 3, 0, 0);
    bad(&b, "no general.architecture");
}

static void refuses_wrong_metadata(void **state)
{
    struct buf b;
    head(&b, 3, 0, 1);
    put_text(&b, "k");
    put(&b, 13, 4);
    put(&b, 0, 8);
    bad(&b, "a type that GGUF does not have");
    head(&b, 3, 0, 1);
    put(&b, UINT64_MAX, 8);
    put(&b, 0, 8);
    bad(&b, "a string is longer");
    head(&b, 3, 0, 1);
    put_text(&b, "k");
    put(&b, 9, 4);
    put(&b, 10, 4);
    put(&b, UINT64_MAX / 8 + 2, 8); /* times 8 it would wrap to a small number */
    bad(&b, "longer than the file");
    head(&b, 3, 0, 1);
    put_text(&b, "k");
    put(&b, 9, 4);
    put(&b, 9, 4);
    put(&b, 0, 8);
    bad(&b, "an array");
    head(&b, 3, 0, 2);
    put_text_kv(&b, "k", "v");
    put_text_kv(&b, "k", "v");
    bad(&b, "twice");
    head(&b, 3, 0, 1);
    put_u32_kv(&b, "general.alignment", 24);
    bad(&b, "power of two");
    head(&b, 3, 0, 1);
    put_u32_kv(&b, "general.alignment", 0);
    bad(&b, "power of two");
}

static void with_tensor(struct buf *b, uint32_t type, uint64_t a, uint64_t c, uint64_t offset)
{
    head(b, 3, 1, 1);
    put_text_kv(b, "general.architecture", "tiny");
    put_tensor(b, "w", type, a, c, offset);
    pad(b, 32, 64);
}

static void refuses_wrong_tensors(void **state)
{
    struct buf b;
    with_tensor(&b, 4, 1, 1, 0);
    bad(&b, "type 4");
    with_tensor(&b, 99, 1, 1, 0);
    bad(&b, "type 99");
    with_tensor(&b, 0, 17, 1, 0); /* 68 bytes of 64 */
    bad(&b, "beyond the end");
    with_tensor(&b, 0, 16, 1, 32);
    bad(&b, "beyond the end");
    with_tensor(&b, 0, 1, 1, 7);
    bad(&b, "a multiple of 32 bytes");
    with_tensor(&b, 0, 1, 1, UINT64_MAX - 31);
    bad(&b, "beyond the end");
    with_tensor(&b, 0, 1ull << 40, 1ull << 40, 0);
    bad(&b, "a shape that can't be");
    with_tensor(&b, 0, UINT64_MAX, 1, 0);
    bad(&b, "a shape that can't be");
    with_tensor(&b, 8, 33, 1, 0); /* blocks of 32 */
    bad(&b, "a shape that can't be");
    head(&b, 3, 2, 1);
    put_text_kv(&b, "general.architecture", "tiny");
    put_tensor(&b, "w", 0, 1, 1, 0);
    put_tensor(&b, "w", 0, 1, 1, 32);
    pad(&b, 32, 64);
    bad(&b, "the same name");
    head(&b, 3, 1, 1);
    put_text_kv(&b, "general.architecture", "tiny");
    put_text(&b, "w");
    put(&b, 5, 4);
    pad(&b, 32, 64);
    bad(&b, "more than 4 dimensions");
}

static void refuses_what_is_no_file(void **state)
{
    char *cause = NULL;
    assert_null(gguf_open("/nonexistent.gguf", &cause));
    assert_string_equal(cause, "/nonexistent.gguf: there is no such file");
    assert_null(gguf_open("/tmp", &cause));
    assert_string_equal(cause, "/tmp: not a file");
    free(cause);
}

static void types_have_names(void **state)
{
    uint32_t block = 0, bytes = 0;
    assert_string_equal(gguf_tensor_type_name(14, &block, &bytes), "q6_K");
    assert_int_equal(block, 256);
    assert_int_equal(bytes, 210);
    assert_null(gguf_tensor_type_name(4, NULL, NULL));
    assert_null(gguf_tensor_type_name(GGUF_TYPES, NULL, NULL));
    assert_null(gguf_file_type_name(-1));
    assert_null(gguf_file_type_name(4));
    assert_null(gguf_file_type_name(1024));
}

const struct CMUnitTest gguf_tests[] = {
    cmocka_unit_test(reads_a_small_model),   cmocka_unit_test(reads_the_demo_models),
    cmocka_unit_test(every_cut_is_an_error), cmocka_unit_test(every_changed_byte_is_survived),
    cmocka_unit_test(refuses_wrong_heads),   cmocka_unit_test(refuses_wrong_metadata),
    cmocka_unit_test(refuses_wrong_tensors), cmocka_unit_test(refuses_what_is_no_file),
    cmocka_unit_test(types_have_names),
};
const size_t gguf_count = ARRAY_LEN(gguf_tests);
