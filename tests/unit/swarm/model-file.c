#include "model-file.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { ALIGNMENT = 32, U32 = 4, STRING = 8 };

static void put(FILE *f, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++)
        fputc((int)(v >> 8 * i & 0xff), f);
}

static void put_text(FILE *f, const char *s)
{
    put(f, strlen(s), 8);
    fputs(s, f);
}

static uint64_t aligned(uint64_t n)
{
    return (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

uint64_t model_file_write(const char *path, const struct model_tensor *t, unsigned n, unsigned layers)
{
    FILE *f = fopen(path, "w");
    uint64_t offset = 0;
    assert(f != NULL);
    fputs("GGUF", f);
    put(f, 3, 4);
    put(f, n, 8);
    put(f, 2, 8);
    put_text(f, "general.architecture");
    put(f, STRING, 4);
    put_text(f, "llama");
    put_text(f, "llama.block_count");
    put(f, U32, 4);
    put(f, layers, 4);
    for (unsigned i = 0; i < n; i++) {
        put_text(f, t[i].name);
        put(f, 1, 4);
        put(f, t[i].size / 4, 8);
        put(f, 0, 4); /* F32 */
        put(f, offset, 8);
        offset += aligned(t[i].size);
    }
    uint64_t start = aligned((uint64_t)ftell(f)), at = start;
    fclose(f);
    int fd = open(path, O_WRONLY);
    int failed = ftruncate(fd, (off_t)(start + offset));
    assert(fd >= 0 && failed == 0);
    for (unsigned i = 0; i < n; i++) {
        uint8_t mark[4] = {(uint8_t)(i + 1), (uint8_t)layers, 7, 9};
        ssize_t written = pwrite(fd, mark, sizeof(mark), (off_t)at);
        assert(written == sizeof(mark));
        (void)written;
        at += aligned(t[i].size);
    }
    close(fd);
    (void)failed;
    return start;
}
