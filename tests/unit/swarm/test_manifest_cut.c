/* Where models are cut: the header by itself, at the borders of layers, and the same tensors in the same way wherever
 * they lie. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "swarm/manifest.h"

enum { TENSORS_MAX = 16 };

struct want {
    uint64_t offset, size;
};

/* Cuts at 100 bytes and compares. */
static void check(uint64_t file_size, struct gguf_tensor *t, size_t n_tensors, const struct want *want, size_t n_want)
{
    struct gguf g = {.file_size = file_size, .tensors = t, .n_tensors = n_tensors};
    size_t n = 99;
    struct manifest_piece *piece = manifest_cut(&g, 100, &n);
    assert_int_equal(n, n_want);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(piece[i].offset, want[i].offset);
        assert_int_equal(piece[i].size, want[i].size);
    }
    free(piece);
}

#define CHECK(size, t, ...)                                                                                            \
    check(size, t, ARRAY_LEN(t), (struct want[]){__VA_ARGS__}, ARRAY_LEN(((struct want[]){__VA_ARGS__})))

static void at_layers(void **state)
{
    struct gguf_tensor t[] = {
        {.name = "token_embd.weight", .offset = 40, .size = 250}, /* with padding 260: cut by itself */
        {.name = "blk.0.a", .offset = 300, .size = 50},
        {.name = "blk.0.b", .offset = 350, .size = 50},
        {.name = "blk.0.c", .offset = 400, .size = 5},
        {.name = "blk.1.a", .offset = 410, .size = 30}, /* a new layer: a new piece */
        {.name = "blk.10.a", .offset = 440, .size = 30},
        {.name = "output_norm.weight", .offset = 470, .size = 10},
        {.name = "output.weight", .offset = 480, .size = 20},
    };
    (void)state;
    CHECK(505, t, {0, 40}, {40, 100}, {140, 100}, {240, 60}, {300, 100}, {400, 10}, {410, 30}, {440, 30}, {470, 35});
}

static void in_the_order_of_offsets(void **state)
{
    struct gguf_tensor t[] = {
        {.name = "blk.1.a", .offset = 130, .size = 30},
        {.name = "output.weight", .offset = 20, .size = 10},
        {.name = "blk.0.b", .offset = 60, .size = 70},
        {.name = "blk.0.a", .offset = 30, .size = 30},
    };
    (void)state;
    CHECK(160, t, {0, 20}, {20, 10}, {30, 100}, {130, 30});
}

static void tensors_without_bytes(void **state)
{
    struct gguf_tensor t[] = {
        {.name = "blk.0.a", .offset = 30, .size = 30},
        {.name = "blk.9.empty", .offset = 60, .size = 0}, /* lies where the next one does: no border */
        {.name = "blk.0.b", .offset = 60, .size = 30},
        {.name = "blk.8.empty", .offset = 90, .size = 0}, /* at the end of the file */
    };
    struct gguf_tensor only[] = {{.name = "blk.0.a", .offset = 50, .size = 0}};
    (void)state;
    CHECK(90, t, {0, 30}, {30, 60});
    CHECK(50, only, {0, 50});
}

static void without_tensors(void **state)
{
    struct gguf_tensor at_once[] = {{.name = "a", .offset = 0, .size = 10}}; /* can't be, and harms nobody */
    struct gguf empty = {.file_size = 0};
    size_t n = 99;
    (void)state;
    check(250, NULL, 0, (struct want[]){{0, 100}, {100, 100}, {200, 50}}, 3);
    CHECK(10, at_once, {0, 10});
    free(manifest_cut(&empty, 100, &n));
    assert_int_equal(n, 0);
}

static void overlapping_and_large(void **state)
{
    struct gguf_tensor t[] = {
        {.name = "blk.0.a", .offset = 150, .size = 100}, /* the header is larger than a piece */
        {.name = "blk.0.b", .offset = 160, .size = 100},
        {.name = "blk.0.c", .offset = 300, .size = 101}, /* a larger one is not put together with its neighbours */
        {.name = "blk.0.d", .offset = 401, .size = 9},
    };
    (void)state;
    CHECK(420, t, {0, 100}, {100, 50}, {150, 10}, {160, 100}, {260, 40}, {300, 100}, {400, 1}, {401, 19});
}

static void the_same_tensors_wherever_they_lie(void **state)
{
    struct gguf_tensor t[TENSORS_MAX];
    struct gguf g = {.tensors = t, .n_tensors = TENSORS_MAX};
    struct manifest_piece *piece[2];
    size_t n[2];
    (void)state;
    for (int round = 0; round < 2; round++) {
        uint64_t at = round == 0 ? 64 : 4096; /* another header */
        for (size_t i = 0; i < TENSORS_MAX; i++) {
            t[i] = (struct gguf_tensor){.name = xasprintf("blk.%zu.t%zu", i / 5, i), .offset = at, .size = 7 + i * 13};
            at += t[i].size;
        }
        g.file_size = at;
        piece[round] = manifest_cut(&g, 4096, &n[round]);
        for (size_t i = 0; i < TENSORS_MAX; i++)
            free(t[i].name);
    }
    assert_int_equal(n[0], 5);
    assert_int_equal(n[1], 5);
    for (size_t i = 1; i < 5; i++)
        assert_int_equal(piece[0][i].size, piece[1][i].size);
    free(piece[0]);
    free(piece[1]);
}

static void never_too_many(void **state)
{
    size_t n = 0, tensors = GGUF_TENSORS_MAX;
    struct gguf_tensor *t = xcalloc(tensors, sizeof(*t));
    struct gguf g = {.tensors = t, .n_tensors = tensors, .file_size = 10 + tensors};
    static char name[GGUF_TENSORS_MAX][16];
    (void)state;
    for (size_t i = 0; i < tensors; i++) {
        snprintf(name[i], sizeof(name[i]), "blk.%zu.a", i);
        t[i] = (struct gguf_tensor){.name = name[i], .offset = 10 + i, .size = 1};
    }
    struct manifest_piece *piece = manifest_cut(&g, 100, &n);
    assert_int_equal(n, 1 + (tensors + 99) / 100); /* not at the layers any more */
    free(piece);
    g.file_size = (uint64_t)MANIFEST_PIECES_MAX * 100;
    assert_null(manifest_cut(&g, 100, &n));
    assert_int_equal(n, 0);
    free(t);
}

const struct CMUnitTest manifest_cut_tests[] = {
    cmocka_unit_test(at_layers),
    cmocka_unit_test(in_the_order_of_offsets),
    cmocka_unit_test(tensors_without_bytes),
    cmocka_unit_test(without_tensors),
    cmocka_unit_test(overlapping_and_large),
    cmocka_unit_test(the_same_tensors_wherever_they_lie),
    cmocka_unit_test(never_too_many),
};
const size_t manifest_cut_count = ARRAY_LEN(manifest_cut_tests);
