/* Manifests of real model files: hashed once, taken from the notes while the file is as it was, never from them when it
 * has changed. */
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
#include <openssl/evp.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "swarm/hashing.h"
#include "swarm/manifest-make.h"

struct rig {
    struct event_base *base;
    struct crew *crew;
    char *dir, *model;
    char *cache; /* what $XDG_CACHE_HOME was */
    struct manifest *made;
    uint64_t hashed;
    char *why;
    bool done;
};

/* Changed so long ago that it counts as settled. */
static void age(const char *path, time_t seconds)
{
    struct timespec t[2] = {{.tv_sec = seconds}, {.tv_sec = seconds}};
    assert_int_equal(utimensat(AT_FDCWD, path, t, 0), 0);
}

static void put_model(const char *path)
{
    char *from = xasprintf("%s/small.gguf", getenv("TIGHTWAD_MODELS"));
    struct buf b;
    assert_int_equal(file_read(from, 64 << 20, &b, NULL), 0);
    assert_int_equal(file_replace(path, b.data, b.len, 0600, NULL), 0);
    age(path, 1000);
    buf_finish(&b);
    free(from);
}

static int setup(void **state)
{
    struct rig *r = xcalloc(1, sizeof(*r));
    char dir[] = "/tmp/tightwad-make-XXXXXX";
    assert_non_null(mkdtemp(dir));
    r->dir = xstrdup(dir);
    r->model = xasprintf("%s/m.gguf", dir);
    r->cache = xstrdup(getenv("XDG_CACHE_HOME"));
    setenv("XDG_CACHE_HOME", dir, 1);
    put_model(r->model);
    r->base = event_base_new();
    r->crew = crew_create(r->base, 2);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;
    char *command = xasprintf("rm -r %s", r->dir);
    assert_int_equal(system(command), 0);
    if (r->cache != NULL)
        setenv("XDG_CACHE_HOME", r->cache, 1);
    else
        unsetenv("XDG_CACHE_HOME");
    crew_destroy(r->crew);
    event_base_free(r->base);
    manifest_destroy(r->made);
    free(command);
    free(r->cache);
    free(r->why);
    free(r->dir);
    free(r->model);
    free(r);
    return 0;
}

static void on_made(void *arg, struct manifest *m, uint64_t hashed, const char *why)
{
    struct rig *r = arg;
    manifest_destroy(r->made);
    free(r->why);
    r->made = m;
    r->hashed = hashed;
    r->why = xstrdup(why);
    r->done = true;
    event_base_loopbreak(r->base);
}

static void make(struct rig *r, const struct manifest_make_opts *o)
{
    r->done = false;
    manifest_make(r->crew, o, on_made, r);
    assert_false(r->done);
    event_base_dispatch(r->base);
    assert_true(r->done);
}

static void every_piece_has_its_hash(void **state)
{
    struct rig *r = *state;
    struct buf b;
    make(r, &(struct manifest_make_opts){.path = r->model});
    assert_null(r->why);
    assert_string_equal(r->made->filename, "m.gguf");
    assert_string_equal(r->made->architecture, "llama");
    assert_int_equal(strlen(r->made->vocab), 64);
    assert_true(r->made->parameters > 0 && r->made->context_length > 0);
    assert_int_equal(file_read(r->model, 64 << 20, &b, NULL), 0);
    assert_int_equal(r->hashed, b.len);
    assert_int_equal(r->made->total_size, b.len);
    assert_true(r->made->n_pieces > 3); /* header, embeddings, layers, output */
    uint64_t at = 0;
    for (size_t i = 0; i < r->made->n_pieces; i++) {
        const struct manifest_piece *p = &r->made->piece[i];
        uint8_t sum[EVP_MAX_MD_SIZE];
        assert_int_equal(p->offset, at);
        EVP_Digest(b.data + at, p->size, sum, NULL, EVP_sha256(), NULL);
        assert_memory_equal(sum, p->sha256, MANIFEST_HASH);
        at += p->size;
    }
    assert_int_equal(at, b.len);
    buf_finish(&b);
    char *beside = manifest_path(r->model);
    assert_int_not_equal(access(beside, F_OK), 0); /* that was not asked for */
    free(beside);
}

static void an_unchanged_file_is_not_hashed_again(void **state)
{
    struct rig *r = *state;
    static const char *const drafters[] = {"tiny"};
    char id[MANIFEST_ID + 1], *beside = manifest_path(r->model), *cause = NULL;
    assert_null(manifest_stored(r->model));
    make(r, &(struct manifest_make_opts){.path = r->model});
    strcpy(id, r->made->id);
    make(r, &(struct manifest_make_opts){.path = r->model, .store = true});
    assert_int_equal(r->hashed, 0);
    assert_string_equal(r->made->id, id);
    struct manifest *m = manifest_load(beside, &cause);
    assert_string_equal(m->id, id);
    manifest_destroy(m);
    /* Drafters need no hashing, and stay. */
    make(r, &(struct manifest_make_opts){.path = r->model, .store = true, .drafters = drafters, .n_drafters = 1});
    assert_int_equal(r->hashed, 0);
    make(r, &(struct manifest_make_opts){.path = r->model});
    assert_int_equal(r->made->n_drafters, 1);
    assert_string_equal(r->made->id, id);
    m = manifest_load(beside, &cause);
    assert_string_equal(m->drafters[0], "tiny");
    manifest_destroy(m);
    /* It is hashed again when that is asked for. */
    make(r, &(struct manifest_make_opts){.path = r->model, .again = true});
    assert_int_equal(r->hashed, r->made->total_size);
    free(beside);
}

/* A pipe of that name: it is neither read nor replaced, and nobody waits. */
static void a_pipe_beside_it_is_left_alone(void **state)
{
    struct rig *r = *state;
    char *beside = manifest_path(r->model);
    struct stat st;
    assert_int_equal(mkfifo(beside, 0600), 0);
    make(r, &(struct manifest_make_opts){.path = r->model, .store = true});
    assert_non_null(r->made);
    assert_int_equal(lstat(beside, &st), 0);
    assert_true(S_ISFIFO(st.st_mode));
    free(beside);
}

static void a_renamed_file_is_known(void **state)
{
    struct rig *r = *state;
    char *other = xasprintf("%s/other.gguf", r->dir);
    make(r, &(struct manifest_make_opts){.path = r->model});
    assert_int_equal(rename(r->model, other), 0);
    struct manifest *m = manifest_stored(other);
    assert_non_null(m);
    assert_string_equal(m->filename, "other.gguf");
    assert_string_equal(m->id, r->made->id);
    manifest_destroy(m);
    free(other);
}

static void a_changed_file_is_hashed(void **state)
{
    struct rig *r = *state;
    char id[MANIFEST_ID + 1];
    make(r, &(struct manifest_make_opts){.path = r->model});
    strcpy(id, r->made->id);
    int fd = open(r->model, O_WRONLY);
    assert_int_equal(pwrite(fd, "\x55\xaa\x55", 3, (off_t)r->made->total_size - 3), 3);
    close(fd);
    age(r->model, 2000);
    assert_null(manifest_stored(r->model));
    make(r, &(struct manifest_make_opts){.path = r->model});
    assert_int_equal(r->hashed, r->made->total_size);
    assert_string_not_equal(r->made->id, id);
    /* A note that was tampered with is none. */
    manifest_destroy(r->made);
    r->made = manifest_stored(r->model);
    assert_non_null(r->made);
    char *command = xasprintf("sed -i s/llama/lamma/ %s/tightwad/manifests/*.note", r->dir);
    assert_int_equal(system(command), 0);
    assert_null(manifest_stored(r->model));
    free(command);
}

static void one_that_changes_just_now_gets_no_note(void **state)
{
    struct rig *r = *state;
    struct timespec later[2] = {{.tv_nsec = UTIME_NOW}, {.tv_sec = 4000000000}};
    assert_int_equal(utimensat(AT_FDCWD, r->model, later, 0), 0); /* a clock that is behind does the same */
    make(r, &(struct manifest_make_opts){.path = r->model});
    assert_non_null(r->made);
    assert_null(manifest_stored(r->model));
    manifest_note(r->made, r->model); /* but whoever knows better may say so */
    struct manifest *m = manifest_stored(r->model);
    assert_non_null(m);
    manifest_destroy(m);
}

static void what_is_no_model_is_refused(void **state)
{
    struct rig *r = *state;
    char *path = xasprintf("%s/x.gguf", r->dir), *hidden = xasprintf("%s/.m.gguf", r->dir);
    make(r, &(struct manifest_make_opts){.path = path});
    assert_non_null(strstr(r->why, "no such file"));
    assert_null(r->made);
    make(r, &(struct manifest_make_opts){.path = r->dir});
    assert_non_null(strstr(r->why, "not a file"));
    assert_int_equal(file_replace(path, "GGUX", 4, 0600, NULL), 0);
    make(r, &(struct manifest_make_opts){.path = path});
    assert_non_null(strstr(r->why, "GGUF"));
    assert_int_equal(rename(r->model, hidden), 0);
    make(r, &(struct manifest_make_opts){.path = hidden});
    assert_non_null(strstr(r->why, "name"));
    free(path);
    free(hidden);
}

static void a_blob_gets_a_name(void **state)
{
    struct rig *r = *state;
    char *path = xasprintf("%s/sha256-0123", r->dir);
    assert_int_equal(rename(r->model, path), 0);
    make(r, &(struct manifest_make_opts){.path = path});
    assert_string_equal(r->made->filename, "sha256-0123.gguf");
    free(path);
}

static void ending_early_leaves_nothing(void **state)
{
    struct rig *r = *state;
    manifest_making_cancel(manifest_make(r->crew, &(struct manifest_make_opts){.path = r->model}, on_made, r));
    struct manifest_making *m = manifest_make(r->crew, &(struct manifest_make_opts){.path = r->model}, on_made, r);
    uint64_t done, total = 0;
    while (total == 0) { /* until it hashes */
        event_base_loop(r->base, EVLOOP_ONCE);
        manifest_making_progress(m, &done, &total);
    }
    manifest_making_cancel(m);
    manifest_making_cancel(NULL);
    m = manifest_make(r->crew, &(struct manifest_make_opts){.path = r->model}, on_made, r);
    crew_destroy(r->crew);
    manifest_making_cancel(m);
    r->crew = crew_create(r->base, 1);
    assert_false(r->done);
}

static void on_hashed(void *arg, const char *why)
{
    struct rig *r = arg;
    r->why = xstrdup(why);
    event_base_loopbreak(r->base);
}

static void a_file_that_ends_early_is_told(void **state)
{
    struct rig *r = *state;
    struct manifest_piece piece[2] = {{.offset = 0, .size = 100}, {.offset = 100, .size = 100 << 20}};
    int fd = open(r->model, O_RDONLY);
    struct hashing *h = hashing_start(r->crew, fd, piece, 2, on_hashed, r);
    close(fd);
    assert_non_null(h);
    event_base_dispatch(r->base);
    assert_non_null(strstr(r->why, "ends at byte"));
}

#define MAKE_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

const struct CMUnitTest manifest_make_tests[] = {
    MAKE_TEST(every_piece_has_its_hash),       MAKE_TEST(an_unchanged_file_is_not_hashed_again),
    MAKE_TEST(a_pipe_beside_it_is_left_alone), MAKE_TEST(a_renamed_file_is_known),
    MAKE_TEST(a_changed_file_is_hashed),       MAKE_TEST(one_that_changes_just_now_gets_no_note),
    MAKE_TEST(what_is_no_model_is_refused),    MAKE_TEST(a_blob_gets_a_name),
    MAKE_TEST(ending_early_leaves_nothing),    MAKE_TEST(a_file_that_ends_early_is_told),
};
const size_t manifest_make_count = ARRAY_LEN(manifest_make_tests);
