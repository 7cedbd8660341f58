/* Runs a fuzz target without a fuzzer: every file of the corpus, then a fixed series of mutations of them, so that the
 * normal suite (under whatever sanitizers it was built with) covers the parsers on every machine. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "fuzz.h"

enum { FILES_MAX = 256, SEED_MAX = 1 << 17, MUTATIONS = 4000 };

static struct {
    uint8_t *data;
    size_t size;
} seeds[FILES_MAX];
static size_t n_seeds;

static uint64_t state = 88172645463325252u;

/* xorshift64: the same series everywhere. */
static uint64_t next(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static int load(const char *dir)
{
    DIR *d = opendir(dir);
    for (struct dirent *e = d ? readdir(d) : NULL; e && n_seeds < FILES_MAX; e = readdir(d)) {
        char *path = xasprintf("%s/%s", dir, e->d_name);
        FILE *f = *e->d_name == '.' ? NULL : fopen(path, "rb");
        free(path);
        if (!f)
            continue;
        uint8_t *data = xmalloc(SEED_MAX);
        seeds[n_seeds].size = fread(data, 1, SEED_MAX, f);
        seeds[n_seeds++].data = data;
        fclose(f);
    }
    if (d)
        closedir(d);
    return n_seeds > 0 ? 0 : -1;
}

/* A block of exactly size bytes, so that a read beyond it is seen. */
static void feed(const uint8_t *data, size_t size)
{
    uint8_t *copy = xmalloc(size ? size : 1);
    memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

/* Changes buf (size bytes used of SEED_MAX) a little; returns the new size. */
static size_t mutate(uint8_t *buf, size_t size)
{
    static const uint8_t odd[] = {0, 1, 0x7f, 0x80, 0xff, '"', '\\', '\n', ':', '[', '{', '}', '-', ' '};
    size_t at = size ? next() % size : 0;
    switch (next() % 6) {
    case 0: /* cut */
        return at;
    case 1: /* an odd byte */
        if (size)
            buf[at] = odd[next() % sizeof(odd)];
        return size;
    case 2: /* a flipped bit */
        if (size)
            buf[at] ^= (uint8_t)(1u << next() % 8);
        return size;
    case 3: { /* a piece of another seed */
        size_t s = next() % n_seeds, n = seeds[s].size ? next() % seeds[s].size : 0;
        n = at + n > SEED_MAX ? SEED_MAX - at : n;
        memcpy(buf + at, seeds[s].data, n);
        return at + n > size ? at + n : size;
    }
    case 4: { /* a piece twice */
        size_t n = next() % 64;
        if (size + n > SEED_MAX || at + n > size)
            return size;
        memmove(buf + at + n, buf + at, size - at);
        return size + n;
    }
    default: { /* a number of eight bytes, often absurd */
        uint64_t v = next() % 2 ? UINT64_MAX >> next() % 64 : next() % 32;
        if (at + 8 <= size)
            memcpy(buf + at, &v, 8);
        return size;
    }
    }
}

int main(int argc, char **argv)
{
    printf("1..2\n");
    if (argc != 2 || load(argv[1]) != 0) {
        printf("Bail out! no corpus in %s\n", argc > 1 ? argv[1] : "(no folder given)");
        return 1;
    }
    for (size_t i = 0; i < n_seeds; i++)
        feed(seeds[i].data, seeds[i].size);
    printf("ok 1 - %zu inputs of the corpus\n", n_seeds);
    uint8_t *buf = xmalloc(SEED_MAX);
    for (int i = 0; i < MUTATIONS; i++) {
        size_t s = next() % n_seeds, size = seeds[s].size;
        memcpy(buf, seeds[s].data, size);
        for (uint64_t k = 1 + next() % 4; k > 0; k--)
            size = mutate(buf, size);
        feed(buf, size);
    }
    printf("ok 2 - %d mutations\n", MUTATIONS);
    free(buf);
    for (size_t i = 0; i < n_seeds; i++)
        free(seeds[i].data);
    return 0;
}
