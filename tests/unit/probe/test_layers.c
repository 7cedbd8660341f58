/* What a model asks of devices: the bytes of each layer and of its cache, also of models in several files, with layers
 * of different kinds, or with one table for input and output. */
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
#include "probe/layers.h"

/* ---- a writer of files without weights in them ---- */

struct file {
    struct buf kvs, tensors;
    uint64_t n_kvs, n_tensors, bytes;
};

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

static void begin(struct file *f, const char *architecture)
{
    *f = (struct file){0};
    buf_init(&f->kvs, 1 << 20);
    buf_init(&f->tensors, 1 << 20);
    put_text(&f->kvs, "general.architecture");
    put(&f->kvs, 8, 4);
    put_text(&f->kvs, architecture);
    f->n_kvs = 1;
}

static void number(struct file *f, const char *key, uint32_t value)
{
    put_text(&f->kvs, key);
    put(&f->kvs, 4, 4);
    put(&f->kvs, value, 4);
    f->n_kvs++;
}

static void numbers(struct file *f, const char *key, uint32_t type, const uint32_t *values, size_t n)
{
    put_text(&f->kvs, key);
    put(&f->kvs, 9, 4);
    put(&f->kvs, type, 4);
    put(&f->kvs, n, 8);
    for (size_t i = 0; i < n; i++)
        put(&f->kvs, values[i], type == 7 ? 1 : 4);
    f->n_kvs++;
}

/* a × c numbers of 4 bytes. */
static void tensor(struct file *f, const char *name, uint64_t a, uint64_t c)
{
    put_text(&f->tensors, name);
    put(&f->tensors, 2, 4);
    put(&f->tensors, a, 8);
    put(&f->tensors, c, 8);
    put(&f->tensors, 0, 4);
    put(&f->tensors, f->bytes, 8);
    f->bytes += (a * c * 4 + 31) / 32 * 32;
    f->n_tensors++;
}

static void end(struct file *f, const char *path)
{
    FILE *to = fopen(path, "wb");
    struct buf head;
    assert_non_null(to);
    buf_init(&head, 64);
    buf_adds(&head, "GGUF");
    put(&head, 3, 4);
    put(&head, f->n_tensors, 8);
    put(&head, f->n_kvs, 8);
    fwrite(head.data, 1, head.len, to);
    fwrite(f->kvs.data, 1, f->kvs.len, to);
    fwrite(f->tensors.data, 1, f->tensors.len, to);
    size_t all = (head.len + f->kvs.len + f->tensors.len + 31) / 32 * 32;
    fclose(to);
    assert_int_equal(truncate(path, (off_t)(all + f->bytes)), 0);
    buf_finish(&head);
    buf_finish(&f->kvs);
    buf_finish(&f->tensors);
}

static struct layers *read_layers(const char *path)
{
    char *cause = NULL;
    struct layers *l = layers_open(path, &cause);
    if (!l)
        fail_msg("%s", cause);
    return l;
}

static void the_demo_target(void **state)
{
    char *path = xasprintf("%s/target.gguf", getenv("TIGHTWAD_MODELS"));
    struct layers *l = read_layers(path);
    uint64_t sum = l->input;
    assert_int_equal(l->n, 5);
    assert_int_equal(l->list[4].kv, 2 * 2 * 3 * 32); /* key and value, half precision, 3 heads of 32 */
    assert_int_equal(l->list[0].weights, l->list[4].weights);
    for (size_t i = 0; i < l->n; i++)
        sum += l->list[i].weights;
    /* One table for input and output: it is counted on both sides. */
    assert_int_equal(sum + l->output, l->tensors + l->input);
    assert_int_equal(l->input, 640 / 32 * 192 * 34);
    assert_int_equal(l->n_heads, 6);
    assert_int_equal(l->n_vocab, 640);
    layers_destroy(l);
    free(path);
}

static void layers_of_several_kinds(void **state)
{
    struct file f;
    begin(&f, "hybrid");
    number(&f, "hybrid.block_count", 4);
    number(&f, "hybrid.embedding_length", 64);
    number(&f, "hybrid.attention.head_count", 8);
    numbers(&f, "hybrid.attention.head_count_kv", 5, (const uint32_t[]){0, 2, 4, 2}, 4);
    number(&f, "hybrid.attention.key_length", 16);
    number(&f, "hybrid.attention.value_length", 8);
    number(&f, "hybrid.attention.sliding_window", 512);
    numbers(&f, "hybrid.attention.sliding_window_pattern", 7, (const uint32_t[]){0, 1, 1, 0}, 4);
    number(&f, "hybrid.ssm.conv_kernel", 4);
    number(&f, "hybrid.ssm.inner_size", 128);
    number(&f, "hybrid.ssm.state_size", 16);
    tensor(&f, "token_embd.weight", 64, 100);
    tensor(&f, "output_norm.weight", 64, 1);
    tensor(&f, "output.weight", 64, 100);
    tensor(&f, "blk.0.ssm_in.weight", 64, 10);
    tensor(&f, "blk.1.attn_k.weight", 64, 20);
    tensor(&f, "blk.1.ffn_up.weight", 64, 30);
    tensor(&f, "blk.2.attn_qkv.weight", 64, 40);
    tensor(&f, "blk.3.attn_kv_a_mqa.weight", 64, 50);
    end(&f, "layers.gguf");
    struct layers *l = read_layers("layers.gguf");
    assert_int_equal(l->list[0].kv, 0);
    assert_int_equal(l->list[0].state, 4 * (3 * 128 + 16 * 128));
    assert_int_equal(l->list[1].kv, 2 * 2 * (16 + 8));
    assert_int_equal(l->list[1].weights, 64 * 50 * 4);
    assert_int_equal(l->list[2].kv, 2 * 4 * (16 + 8));
    assert_false(l->list[0].sliding);
    assert_true(l->list[1].sliding && l->list[2].sliding);
    assert_false(l->list[3].sliding);
    assert_int_equal(l->output, 64 * 101 * 4);
    assert_int_equal(l->input, 64 * 100 * 4);
    assert_int_equal(l->n_vocab, 100);
    assert_int_equal(layers_window(l, 8192, 512), 1024);
    assert_int_equal(layers_window(l, 512, 512), 512);
    layers_destroy(l);
    unlink("layers.gguf");
}

static void a_model_in_two_files(void **state)
{
    struct file f;
    char *cause = NULL;
    begin(&f, "llama");
    number(&f, "llama.block_count", 2);
    number(&f, "llama.embedding_length", 64);
    number(&f, "llama.attention.head_count", 4);
    number(&f, "split.count", 2);
    tensor(&f, "token_embd.weight", 64, 10);
    tensor(&f, "blk.0.attn_k.weight", 64, 10);
    end(&f, "parts-00001-of-00002.gguf");
    assert_null(layers_open("parts-00001-of-00002.gguf", &cause));
    assert_non_null(strstr(cause, "parts-00002-of-00002.gguf: there is no such file"));
    free(cause);
    begin(&f, "llama");
    tensor(&f, "blk.1.attn_k.weight", 64, 20);
    end(&f, "parts-00002-of-00002.gguf");
    struct layers *l = read_layers("parts-00001-of-00002.gguf");
    assert_int_equal(l->list[0].weights, 64 * 10 * 4);
    assert_int_equal(l->list[1].weights, 64 * 20 * 4);
    assert_int_equal(l->list[0].kv, 2 * 64 * 2); /* no head_count_kv: as many as heads */
    assert_int_equal(l->output, 64 * 10 * 4);
    layers_destroy(l);
    assert_int_equal(rename("parts-00001-of-00002.gguf", "other.gguf"), 0);
    cause = NULL;
    assert_null(layers_open("other.gguf", &cause));
    assert_non_null(strstr(cause, "name the first"));
    free(cause);
    unlink("other.gguf");
    unlink("parts-00002-of-00002.gguf");
}

const struct CMUnitTest layers_tests[] = {
    cmocka_unit_test(the_demo_target),
    cmocka_unit_test(layers_of_several_kinds),
    cmocka_unit_test(a_model_in_two_files),
};
const size_t layers_count = ARRAY_LEN(layers_tests);
