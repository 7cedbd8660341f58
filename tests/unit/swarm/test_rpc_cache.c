/* The folder of ggml's RPC server is filled with what it would have kept itself, under the names that it gives. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "base/fnv.h"
#include "base/mem.h"
#include "model-file.h"
#include "swarm/rpc-cache.h"

enum { LARGE = (10 << 20) + 32 };
#define ID "00000000000000000000000000000000000000000000000000000000000000aa"

static const struct model_tensor tensors[] = {
    {"token_embd.weight", LARGE}, {"blk.0.a", LARGE},  {"blk.0.edge", 10 << 20},
    {"blk.1.a", LARGE + 4},       {"blk.1.small", 64}, {"output.weight", LARGE},
};

struct rig {
    char dir[64], model[96], folder[96];
    struct event_base *base;
    struct crew *crew;
    uint64_t start;
    struct rpc_cache_result r;
    char why[512];
    bool called;
    struct rpc_cache *cache;
    uint64_t done, total; /* in the end, of `cache` */
};

static void set_up(struct rig *x)
{
    *x = (struct rig){.dir = "/tmp/tightwad-rpc-cache-XXXXXX", .base = event_base_new()};
    assert_non_null(mkdtemp(x->dir));
    snprintf(x->model, sizeof(x->model), "%s/m.gguf", x->dir);
    snprintf(x->folder, sizeof(x->folder), "%s/a/rpc", x->dir);
    setenv("XDG_CACHE_HOME", x->dir, 1);
    x->crew = crew_create(x->base, 2);
    x->start = model_file_write(x->model, tensors, ARRAY_LEN(tensors), 2);
}

static void tear_down(struct rig *x)
{
    char command[128];
    crew_destroy(x->crew);
    event_base_free(x->base);
    unsetenv("XDG_CACHE_HOME");
    snprintf(command, sizeof(command), "rm -r %s", x->dir);
    assert_int_equal(system(command), 0);
}

static void on_done(void *arg, const struct rpc_cache_result *r)
{
    struct rig *x = arg;
    x->r = *r;
    x->called = true;
    snprintf(x->why, sizeof(x->why), "%s", r->why);
    rpc_cache_progress(x->cache, &x->done, &x->total);
    event_base_loopbreak(x->base);
}

static struct rpc_cache_opts opts_of(const struct rig *x, int first, int last, bool output)
{
    return (struct rpc_cache_opts){.model = x->model, .folder = x->folder, .needed = {first, last, output}};
}

static void fill(struct rig *x, const struct rpc_cache_opts *o)
{
    x->cache = rpc_cache_fill(x->crew, o, on_done, x);
    event_base_dispatch(x->base);
}

/* The name of tensor i, from the file itself. */
static void name_of(const struct rig *x, unsigned i, char name[RPC_CACHE_NAME + 1])
{
    uint64_t at = x->start;
    for (unsigned k = 0; k < i; k++)
        at += (tensors[k].size + 31) / 32 * 32;
    char *data = xmalloc(tensors[i].size);
    int fd = open(x->model, O_RDONLY);
    assert_int_equal(pread(fd, data, tensors[i].size, (off_t)at), tensors[i].size);
    close(fd);
    snprintf(name, RPC_CACHE_NAME + 1, "%016llx", (unsigned long long)fnv_add(FNV_INIT, data, tensors[i].size));
    free(data);
}

static bool is_kept(const struct rig *x, unsigned i)
{
    char name[RPC_CACHE_NAME + 1], path[160];
    struct stat st;
    name_of(x, i, name);
    snprintf(path, sizeof(path), "%s/%s", x->folder, name);
    if (stat(path, &st) != 0)
        return false;
    assert_int_equal(st.st_size, tensors[i].size);
    assert_int_equal(st.st_mode & 0777, 0444);
    return true;
}

static unsigned files_in(const char *folder)
{
    unsigned n = 0;
    DIR *d = opendir(folder);
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;)
        n += e->d_name[0] != '.';
    if (d != NULL)
        closedir(d);
    return n;
}

static void hash_is_fnv_1a(void **state)
{
    (void)state;
    assert_true(fnv_add(FNV_INIT, "", 0) == 0xcbf29ce484222325u);
    assert_true(fnv_add(FNV_INIT, "a", 1) == 0xaf63dc4c8601ec8cu);
    assert_true(fnv_add(FNV_INIT, "foobar", 6) == 0x85944171f73967e8u);
}

static void large_tensors_of_the_layers(void **state)
{
    struct rig x;
    (void)state;
    set_up(&x);
    struct rpc_cache_opts o = opts_of(&x, 0, 0, false);
    fill(&x, &o);
    assert_string_equal(x.why, "");
    assert_true(x.r.ok);
    assert_int_equal(x.r.tensors, 1); /* 10 MiB exactly is too small */
    assert_int_equal(x.r.written, LARGE);
    assert_true(is_kept(&x, 1));
    assert_int_equal(files_in(x.folder), 1);
    o = opts_of(&x, 0, 1, true);
    fill(&x, &o);
    assert_int_equal(x.r.tensors, 3);
    assert_int_equal(x.r.bytes, 3 * LARGE + 4);
    assert_int_equal(x.r.written, 2 * LARGE + 4); /* one was there */
    assert_true(is_kept(&x, 1) && is_kept(&x, 3) && is_kept(&x, 5));
    assert_int_equal(files_in(x.folder), 3);
    tear_down(&x);
}

static void what_is_there_is_not_read_again(void **state)
{
    struct rig x;
    char name[RPC_CACHE_NAME + 1], path[160];
    (void)state;
    set_up(&x);
    struct rpc_cache_opts o = opts_of(&x, 0, 1, true);
    o.id = ID;
    fill(&x, &o);
    assert_true(x.r.ok && x.r.written > 0);
    name_of(&x, 3, name);
    /* The hashes are remembered: with other bytes in the model nothing is missed, for nothing is read. */
    model_file_write(x.model, tensors, ARRAY_LEN(tensors), 3);
    fill(&x, &o);
    assert_true(x.r.ok);
    assert_int_equal(x.r.written, 0);
    /* One is gone, and what is read for it now has another hash: it is named after what it is. */
    snprintf(path, sizeof(path), "%s/%s", x.folder, name);
    assert_int_equal(unlink(path), 0);
    fill(&x, &o);
    assert_true(x.r.ok);
    assert_int_equal(x.r.written, LARGE + 4);
    assert_true(is_kept(&x, 3));
    assert_int_not_equal(access(path, F_OK), 0);
    tear_down(&x);
}

static void a_file_that_is_not_whole(void **state)
{
    struct rig x;
    char name[RPC_CACHE_NAME + 1], path[160], larger[160];
    (void)state;
    set_up(&x);
    struct rpc_cache_opts o = opts_of(&x, 1, 1, false);
    fill(&x, &o);
    name_of(&x, 3, name);
    snprintf(path, sizeof(path), "%s/%s", x.folder, name);
    assert_int_equal(chmod(path, 0644), 0); /* as a server writes it */
    assert_int_equal(truncate(path, 4096), 0);
    snprintf(path, sizeof(path), "%s/.preseed-0", x.folder); /* as a crash leaves it */
    close(open(path, O_CREAT | O_WRONLY, 0600));
    snprintf(larger, sizeof(larger), "%s/.preseed-70", x.folder); /* of an order for more */
    close(open(larger, O_CREAT | O_WRONLY, 0600));
    fill(&x, &o);
    assert_true(x.r.ok);
    assert_int_equal(x.r.written, LARGE + 4);
    assert_true(is_kept(&x, 3));
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_not_equal(access(larger, F_OK), 0);
    tear_down(&x);
}

static void cut_off(void *data)
{
    const struct rig *x = data;
    assert_int_equal(truncate(x->model, (off_t)(x->start + LARGE + 32 + LARGE / 2)), 0); /* within the second */
}

static void ignored(void *data)
{
    (void)data;
}

/* Whoever waits sees that it goes on while tensors are only hashed, and all of each counts in the end. */
static void progress_is_told(void **state)
{
    struct rig x;
    (void)state;
    set_up(&x);
    struct rpc_cache_opts o = opts_of(&x, 0, 0, false);
    fill(&x, &o);
    assert_true(x.r.written == LARGE && x.done == LARGE && x.total == LARGE);
    fill(&x, &o);
    assert_true(x.r.ok && x.r.written == 0 && x.done == LARGE);
    o = opts_of(&x, 0, 1, true);
    o.id = ID;
    fill(&x, &o);
    assert_true(x.r.written == 2 * LARGE + 4 && x.done == x.total && x.total == 3 * LARGE + 4);
    fill(&x, &o);
    assert_true(x.r.written == 0 && x.done == x.total);
    /* It ends in the middle of the first pass: what was read of it shows. */
    crew_destroy(x.crew);
    x.crew = crew_create(x.base, 1);
    o = opts_of(&x, 0, 0, false);
    x.cache = rpc_cache_fill(x.crew, &o, on_done, &x);
    crew_add(x.crew, &(struct crew_job){.work = cut_off, .done = ignored, .data = &x}); /* once its size is known */
    event_base_dispatch(x.base);
    assert_true(!x.r.ok && strstr(x.why, "shorter") != NULL);
    assert_true(x.done > 0 && x.done < LARGE / 2);
    tear_down(&x);
}

static void what_can_not_be_is_said(void **state)
{
    struct rig x;
    char path[160];
    (void)state;
    set_up(&x);
    struct rpc_cache_opts o = opts_of(&x, 0, 2, false);
    fill(&x, &o);
    assert_true(!x.r.ok && strstr(x.why, "2 layers") != NULL);
    o = opts_of(&x, 0, 1, false);
    o.max = LARGE;
    fill(&x, &o);
    assert_true(!x.r.ok && strstr(x.why, "may hold") != NULL);
    o.max = 0;
    o.folder = x.model;
    fill(&x, &o);
    assert_true(!x.r.ok && strstr(x.why, x.model) != NULL);
    o = opts_of(&x, 0, 0, false);
    o.model = x.dir;
    fill(&x, &o);
    assert_false(x.r.ok);
    snprintf(path, sizeof(path), "%s: not a file", x.dir);
    assert_string_equal(x.why, path);
    /* Another program fills it. */
    o = opts_of(&x, 0, 0, false);
    fill(&x, &o);
    snprintf(path, sizeof(path), "%s/.preseed.lock", x.folder);
    int fd = open(path, O_RDWR);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    fill(&x, &o);
    assert_true(!x.r.ok && x.r.busy && strstr(x.why, "another program") != NULL);
    close(fd);
    tear_down(&x);
}

static void cancelled(void **state)
{
    struct rig x;
    (void)state;
    set_up(&x);
    struct rpc_cache_opts o = opts_of(&x, 0, 1, true);
    rpc_cache_cancel(rpc_cache_fill(x.crew, &o, on_done, &x));
    while (crew_waiting(x.crew) > 0)
        event_base_loop(x.base, EVLOOP_ONCE);
    assert_false(x.called);
    assert_int_equal(files_in(x.folder), 0);
    rpc_cache_fill(x.crew, &o, on_done, &x); /* the crew goes away under it */
    tear_down(&x);
    assert_false(x.called);
}

const struct CMUnitTest rpc_cache_tests[] = {
    cmocka_unit_test(hash_is_fnv_1a),
    cmocka_unit_test(large_tensors_of_the_layers),
    cmocka_unit_test(what_is_there_is_not_read_again),
    cmocka_unit_test(a_file_that_is_not_whole),
    cmocka_unit_test(progress_is_told),
    cmocka_unit_test(what_can_not_be_is_said),
    cmocka_unit_test(cancelled),
};
const size_t rpc_cache_count = ARRAY_LEN(rpc_cache_tests);
