#include "cmd/bench-bulk.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/cause.h"
#include "base/mem.h"

enum {
    WIDTH = 1024, /* numbers of two bytes in a row */
    ROW = 2 * WIDTH,
    LAYERS = 32,
    ALIGNMENT = 32,
    BLOCK = 1 << 20,
    TYPE_F16 = 1,
    KV_U32 = 4,
    KV_STRING = 8,
};

/* The tensors of a layer, with about the sizes that real ones have beside each other: 32nds of the layer. */
static const struct {
    const char *name;
    unsigned part;
} tensors[] = {{"attn_q", 3},   {"attn_k", 1}, {"attn_v", 1},  {"attn_output", 3},
               {"ffn_gate", 8}, {"ffn_up", 8}, {"ffn_down", 8}};

static void put(struct buf *b, uint64_t v, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        buf_addc(b, (char)(v >> (8 * i)));
}

static void put_text(struct buf *b, const char *text)
{
    put(b, strlen(text), 8);
    buf_adds(b, text);
}

static void put_tensor(struct buf *b, const char *name, uint64_t rows, uint64_t *offset)
{
    put_text(b, name);
    put(b, 2, 4);
    put(b, WIDTH, 8);
    put(b, rows, 8);
    put(b, TYPE_F16, 4);
    put(b, *offset, 8);
    *offset += rows * ROW;
}

static void put_key(struct buf *b, const char *key, uint32_t value)
{
    put_text(b, key);
    put(b, KV_U32, 4);
    put(b, value, 4);
}

static void put_word(struct buf *b, const char *key, const char *value)
{
    put_text(b, key);
    put(b, KV_STRING, 4);
    put_text(b, value);
}

/* The header; returns the bytes of the tensors. */
static uint64_t put_head(struct buf *b, uint64_t rows)
{
    uint64_t layer = rows / (LAYERS + 2), offset = 0;
    buf_adds(b, "GGUF");
    put(b, 3, 4);
    put(b, LAYERS * ARRAY_LEN(tensors) + 2, 8);
    put(b, 4, 8);
    put_word(b, "general.architecture", "llama");
    put_word(b, "general.name", "Random bytes");
    put_key(b, "llama.block_count", LAYERS);
    put_key(b, "llama.embedding_length", WIDTH);
    put_tensor(b, "token_embd.weight", layer > 0 ? layer : 1, &offset);
    for (int i = 0; i < LAYERS; i++) {
        for (size_t k = 0; k < ARRAY_LEN(tensors); k++) {
            char name[64];
            uint64_t n = layer * tensors[k].part / 32;
            snprintf(name, sizeof(name), "blk.%d.%s.weight", i, tensors[k].name);
            put_tensor(b, name, n > 0 ? n : 1, &offset);
        }
    }
    put_tensor(b, "output.weight", layer > 0 ? layer : 1, &offset);
    while (b->len % ALIGNMENT != 0)
        buf_addc(b, '\0');
    return offset;
}

/* One random block again and again, each with its own number in it, so that no two pieces are the same. */
static bool write_blocks(FILE *f, uint64_t bytes)
{
    uint64_t *block = xmalloc(BLOCK), state = 0x9e3779b97f4a7c15;
    for (size_t i = 0; i < BLOCK / sizeof(*block); i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        block[i] = state;
    }
    bool ok = true;
    for (uint64_t at = 0; at < bytes && ok; at += BLOCK) {
        size_t n = bytes - at < BLOCK ? (size_t)(bytes - at) : BLOCK;
        block[0] = at;
        ok = fwrite(block, 1, n, f) == n;
    }
    free(block);
    return ok;
}

int bench_bulk_write(const char *path, uint64_t size, char **cause)
{
    struct buf head;
    FILE *f = fopen(path, "we");
    buf_init(&head, 1 << 20);
    uint64_t bytes = put_head(&head, size / ROW);
    bool ok = f != NULL && fwrite(head.data, 1, head.len, f) == head.len && write_blocks(f, bytes);
    if (f != NULL && fclose(f) != 0)
        ok = false;
    buf_finish(&head);
    return ok ? 0 : cause_set(cause, "%s cannot be written: %s", path, strerror(errno));
}
