/* Which local models hold pieces of one that is wanted: other versions of it are found, strangers are not even hashed.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "swarm/library.h"
#include "swarm/manifest-make.h"

struct rig {
    struct event_base *base;
    struct crew *crew;
    char *dir, *folder;
    char *home, *cache; /* what they were */
    struct manifest *wanted;
    struct library_found found;
    bool done;
};

static char *put(struct rig *r, const char *from, const char *to)
{
    char *source = xasprintf("%s/%s.gguf", getenv("TIGHTWAD_MODELS"), from), *path = xasprintf("%s/%s", r->folder, to);
    struct buf b;
    assert_int_equal(file_read(source, 64 << 20, &b, NULL), 0);
    assert_int_equal(file_replace(path, b.data, b.len, 0600, NULL), 0);
    struct timespec t[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}}; /* settled */
    utimensat(AT_FDCWD, path, t, 0);
    buf_finish(&b);
    free(source);
    return path;
}

/* Other bytes in the middle of one piece. */
static void spoil(const char *path, uint64_t at)
{
    int fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "spoilt", 6, (off_t)at), 6);
    close(fd);
    struct timespec t[2] = {{.tv_sec = 2000}, {.tv_sec = 2000}};
    utimensat(AT_FDCWD, path, t, 0);
}

static void on_made(void *arg, struct manifest *m, uint64_t hashed, const char *why)
{
    struct rig *r = arg;
    (void)hashed;
    assert_null(why);
    manifest_destroy(r->wanted);
    r->wanted = m;
    event_base_loopbreak(r->base);
}

static void make(struct rig *r, const char *path)
{
    manifest_make(r->crew, &(struct manifest_make_opts){.path = path}, on_made, r);
    event_base_dispatch(r->base);
}

static int setup(void **state)
{
    struct rig *r = xcalloc(1, sizeof(*r));
    char dir[] = "/tmp/tightwad-library-XXXXXX";
    assert_non_null(mkdtemp(dir));
    r->dir = xstrdup(dir);
    r->folder = xasprintf("%s/models", dir); /* a usual place, in that home */
    r->home = xstrdup(getenv("HOME"));
    r->cache = xstrdup(getenv("XDG_CACHE_HOME"));
    setenv("HOME", dir, 1);
    setenv("XDG_CACHE_HOME", dir, 1);
    char *command = xasprintf("mkdir %s", r->folder);
    assert_int_equal(system(command), 0);
    free(command);
    r->base = event_base_new();
    r->crew = crew_create(r->base, 2);
    *state = r;
    return 0;
}

static void put_back(const char *name, char *value)
{
    if (value != NULL)
        setenv(name, value, 1);
    else
        unsetenv(name);
    free(value);
}

static int teardown(void **state)
{
    struct rig *r = *state;
    char *command = xasprintf("rm -r %s", r->dir);
    assert_int_equal(system(command), 0);
    put_back("HOME", r->home);
    put_back("XDG_CACHE_HOME", r->cache);
    crew_destroy(r->crew);
    event_base_free(r->base);
    manifest_destroy(r->wanted);
    library_found_finish(&r->found);
    free(command);
    free(r->dir);
    free(r->folder);
    free(r);
    return 0;
}

static void on_found(void *arg, struct library_found *found)
{
    struct rig *r = arg;
    library_found_finish(&r->found);
    r->found = *found;
    r->done = true;
    event_base_loopbreak(r->base);
}

static void find(struct rig *r)
{
    r->done = false;
    library_find(r->crew, r->wanted, (const char *const[]){r->folder}, 1, on_found, r);
    assert_false(r->done);
    event_base_dispatch(r->base);
    assert_true(r->done);
}

static void other_versions_are_found(void **state)
{
    struct rig *r = *state;
    char *wanted = put(r, "small", "wanted.gguf");
    make(r, wanted);
    const struct manifest_piece *last = &r->wanted->piece[r->wanted->n_pieces - 1];
    unlink(wanted);
    char *old = put(r, "small", "old.gguf"), *unread = put(r, "small", "unread.gguf");
    char *stranger = put(r, "draft", "stranger.gguf"), *part = put(r, "small", "wanted.gguf.part");
    spoil(old, last->offset + last->size / 2);
    find(r);
    assert_int_equal(r->found.n, 2);
    assert_string_equal(r->found.item[0].path, unread);
    assert_int_equal(r->found.item[0].bytes, r->wanted->total_size);
    assert_string_equal(r->found.item[1].path, old);
    assert_int_equal(r->found.item[1].bytes, r->wanted->total_size - last->size);
    assert_string_not_equal(r->found.item[1].manifest->id, r->wanted->id);
    /* Both are noted now; the stranger, with no tensor of the same size, was left alone. */
    struct manifest *m = manifest_stored(old), *none = manifest_stored(stranger);
    assert_non_null(m);
    assert_null(none);
    manifest_destroy(m);
    find(r);
    assert_int_equal(r->found.n, 2);
    free(wanted);
    free(old);
    free(unread);
    free(stranger);
    free(part);
}

static void nothing_is_found_where_nothing_is(void **state)
{
    struct rig *r = *state;
    char *wanted = put(r, "small", "wanted.gguf");
    make(r, wanted);
    unlink(wanted);
    find(r);
    assert_int_equal(r->found.n, 0);
    free(wanted);
}

static void ending_early_leaves_nothing(void **state)
{
    struct rig *r = *state;
    char *wanted = put(r, "small", "wanted.gguf"), *unread = put(r, "small", "unread.gguf");
    make(r, wanted);
    library_cancel(library_find(r->crew, r->wanted, NULL, 0, on_found, r));
    library_cancel(NULL);
    struct library_search *l = library_find(r->crew, r->wanted, NULL, 0, on_found, r);
    crew_destroy(r->crew);
    library_cancel(l);
    r->crew = crew_create(r->base, 1);
    assert_false(r->done);
    free(wanted);
    free(unread);
}

#define LIBRARY_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

const struct CMUnitTest library_tests[] = {
    LIBRARY_TEST(other_versions_are_found),
    LIBRARY_TEST(nothing_is_found_where_nothing_is),
    LIBRARY_TEST(ending_early_leaves_nothing),
};
const size_t library_count = ARRAY_LEN(library_tests);
