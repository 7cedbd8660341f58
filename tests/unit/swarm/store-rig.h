/* A store in a folder of its own, with calls that wait for their end: for the tests of stores. */
#ifndef TIGHTWAD_TEST_STORE_RIG_H
#define TIGHTWAD_TEST_STORE_RIG_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <event2/event.h>
#include <openssl/evp.h>

#include <cmocka.h>

#include "base/mem.h"
#include "swarm/manifest-make.h"
#include "swarm/store-io.h"
#include "swarm/store.h"

enum { PIECES = 6, PIECE = 96 * 1024 + 32, TOTAL = PIECES * PIECE };

struct fixture {
    struct event_base *base;
    struct crew *crew;
    char dir[128];
    unsigned char *data; /* TOTAL bytes */
    struct manifest *m;
    struct store *s;
    /* Of the last call. */
    unsigned ended;
    enum store_result result;
    char why[512];
};

static inline unsigned char *some_bytes(size_t len, uint64_t seed)
{
    unsigned char *p = xmalloc(len);

    for (size_t i = 0; i < len; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        p[i] = (unsigned char)(seed >> 56);
    }
    return p;
}

static inline struct manifest *manifest_of(const unsigned char *data, const char *name)
{
    struct manifest *m = xcalloc(1, sizeof(*m));

    m->filename = xstrdup(name);
    m->total_size = TOTAL;
    m->piece_size = MANIFEST_PIECE_SIZE;
    m->n_pieces = PIECES;
    m->piece = xcalloc(PIECES, sizeof(*m->piece));
    m->parameters = m->context_length = -1;
    for (size_t i = 0; i < PIECES; i++) {
        m->piece[i].offset = i * PIECE;
        m->piece[i].size = PIECE;
        EVP_Digest(data + i * PIECE, PIECE, m->piece[i].sha256, NULL, EVP_sha256(), NULL);
    }
    manifest_seal(m);
    return m;
}

static inline int set_up(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));

    f->base = event_base_new();
    f->crew = crew_create(f->base, 2);
    snprintf(f->dir, sizeof(f->dir), "/tmp/store-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    setenv("XDG_CACHE_HOME", f->dir, 1);
    f->data = some_bytes(TOTAL, 1);
    f->m = manifest_of(f->data, "m.gguf");
    *state = f;
    return 0;
}

static inline int tear_down(void **state)
{
    struct fixture *f = *state;
    char *command = xasprintf("rm -rf %s", f->dir);

    store_destroy(f->s);
    crew_destroy(f->crew);
    event_base_free(f->base);
    manifest_destroy(f->m);
    assert_int_equal(system(command), 0);
    free(command);
    free(f->data);
    free(f);
    return 0;
}

static inline void ended(void *arg, enum store_result result, const char *why)
{
    struct fixture *f = arg;

    f->ended++;
    f->result = result;
    snprintf(f->why, sizeof(f->why), "%s", why);
    assert_int_equal(result == STORE_OK, why[0] == '\0');
}

/* The result of the n-th call from now. */
static inline enum store_result wait_for(struct fixture *f, unsigned n)
{
    f->ended = 0;
    while (f->ended < n)
        assert_int_equal(event_base_loop(f->base, EVLOOP_ONCE), 0);
    return f->result;
}

static inline enum store_result open_want(struct fixture *f, struct manifest *m, const struct bits *want)
{
    store_destroy(f->s);
    f->s = store_open(f->base, f->crew, m, &(struct store_opts){.dir = f->dir, .want = want}, ended, f);
    return wait_for(f, 1);
}

static inline enum store_result open_again(struct fixture *f)
{
    return open_want(f, f->m, NULL);
}

static inline enum store_result write_bytes(struct fixture *f, size_t piece, uint64_t at, const void *data, size_t len)
{
    store_write(f->s, piece, at, xmemdup(data, len), len, ended, f);
    return wait_for(f, 1);
}

static inline enum store_result write_part(struct fixture *f, size_t piece, uint64_t at, size_t len)
{
    return write_bytes(f, piece, at, f->data + piece * PIECE + at, len);
}

static inline enum store_result check(struct fixture *f, size_t piece)
{
    store_check(f->s, piece, ended, f);
    return wait_for(f, 1);
}

static inline void fill(struct fixture *f, size_t piece)
{
    assert_int_equal(write_part(f, piece, 0, PIECE), STORE_OK);
    assert_int_equal(check(f, piece), STORE_OK);
}

static inline enum store_result land(struct fixture *f)
{
    store_land(f->s, ended, f);
    return wait_for(f, 1);
}

static inline enum store_result settle(struct fixture *f)
{
    store_settle(f->s, ended, f);
    return wait_for(f, 1);
}

static inline size_t have(const struct fixture *f)
{
    return store_share(f->s)->have.count;
}

static inline char *path_of(const struct fixture *f, const char *name)
{
    static char path[256];

    snprintf(path, sizeof(path), "%s/%s", f->dir, name);
    return path;
}

static inline bool there(const struct fixture *f, const char *name)
{
    struct stat st;

    return lstat(path_of(f, name), &st) == 0;
}

static inline void put_file(const struct fixture *f, const char *name, const void *data, size_t len)
{
    int fd = open(path_of(f, name), O_WRONLY | O_CREAT | O_TRUNC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(store_io_write(fd, data, len, 0), 0);
    close(fd);
}

static inline void assert_file(const struct fixture *f, const char *name, const void *data, size_t len)
{
    unsigned char *now = xmalloc(len);
    struct stat st;
    int fd = open(path_of(f, name), O_RDONLY);

    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, len);
    assert_int_equal(store_io_read(fd, now, len, 0), 0);
    assert_memory_equal(now, data, len);
    close(fd);
    free(now);
}

static inline void limit_files(rlim_t bytes)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

#endif
