#include "swarm/rpc-cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cause.h"
#include "base/fnv.h"
#include "base/folders.h"
#include "base/mem.h"
#include "swarm/rpc-names.h"

enum {
    BLOCK = 1 << 20, /* bytes read at once */
    AT_ONCE = 8,     /* tensors, and never more than half of the crew, whom others wait for as well */
};

#define LOCK ".preseed.lock"
#define TEMPORARY ".preseed-"

struct item {
    struct rpc_cache *cache;
    size_t number;
    uint64_t offset, size; /* in the model */
    uint64_t hash;
    uint64_t counted; /* bytes of bytes_done that are its: it may be passed over twice */
    bool known;       /* the hash is */
    bool written;     /* now */
    char *why;        /* NULL: it is in the folder */
};

struct rpc_cache {
    struct crew *crew;
    char *model, *id, *folder_path;
    uint64_t max;
    struct needed needed;
    rpc_cache_cb *done;
    void *arg;
    struct item *items;
    size_t n, next, running;
    int folder, lock, file; /* -1: not open */
    atomic_uint_least64_t bytes_done;
    uint64_t bytes, written;
    bool open; /* items and bytes are known: by the loop */
    bool busy; /* the folder is */
    atomic_bool cancelled;
    char *why; /* NULL: well so far */
};

/* ---- on the crew: one tensor ---- */

static void name_of(uint64_t hash, char name[RPC_CACHE_NAME + 1])
{
    snprintf(name, RPC_CACHE_NAME + 1, "%016" PRIx64, hash);
}

/* Whole and marked as that; it is then used, which keeps it from being trimmed before others. */
static bool is_there(const struct item *x)
{
    char name[RPC_CACHE_NAME + 1];
    struct stat st;
    name_of(x->hash, name);
    if (fstatat(x->cache->folder, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode) ||
        (uint64_t)st.st_size != x->size || (st.st_mode & 0222) != 0)
        return false;
    utimensat(x->cache->folder, name, NULL, AT_SYMLINK_NOFOLLOW);
    return true;
}

static int write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

/* So much of the tensor is done; each is `size` bytes in the end, however it came to that. */
static void count_to(struct item *x, uint64_t bytes)
{
    if (bytes <= x->counted)
        return;
    atomic_fetch_add(&x->cache->bytes_done, bytes - x->counted);
    x->counted = bytes;
}

/* Reads the tensor, hashes it, and writes it to fd (-1: nowhere); `counted` is then `to`.  0, or -1 and x->why. */
static int pass_over(struct item *x, int fd, uint64_t to, uint64_t *hash)
{
    struct rpc_cache *c = x->cache;
    char *block = xmalloc(BLOCK);
    uint64_t at = 0, from = x->counted;
    *hash = FNV_INIT;
    while (x->why == NULL && at < x->size) {
        size_t len = x->size - at < BLOCK ? (size_t)(x->size - at) : BLOCK;
        ssize_t n = pread(c->file, block, len, (off_t)(x->offset + at));
        if (n < 0 && errno == EINTR)
            continue;
        if (atomic_load(&c->cancelled)) {
            cause_set(&x->why, "cancelled");
        } else if (n <= 0) {
            cause_set(&x->why, "%s can't be read: %s", c->model,
                      n < 0 ? strerror(errno) : "it is shorter than its head says");
        } else if (fd >= 0 && write_all(fd, block, (size_t)n) != 0) {
            cause_set(&x->why, "%s can't be written: %s", c->folder_path, strerror(errno));
        } else {
            *hash = fnv_add(*hash, block, (size_t)n);
            at += (uint64_t)n;
            count_to(x, from + (uint64_t)((double)(to - from) * ((double)at / (double)x->size)));
        }
    }
    free(block);
    return x->why == NULL ? 0 : -1;
}

static void write_tensor(struct item *x)
{
    char temporary[64], name[RPC_CACHE_NAME + 1];
    uint64_t hash;
    int folder = x->cache->folder;
    snprintf(temporary, sizeof(temporary), TEMPORARY "%zu", x->number);
    int fd = openat(folder, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        cause_set(&x->why, "%s can't be written: %s", x->cache->folder_path, strerror(errno));
        return;
    }
    /* The name is that of the bytes which were written, not of those that were read before; the mark must not outlive
     * the content. */
    if (pass_over(x, fd, x->size, &hash) == 0) {
        name_of(hash, name);
        if (fsync(fd) != 0 || fchmod(fd, 0444) != 0 || renameat(folder, temporary, folder, name) != 0)
            cause_set(&x->why, "%s can't be written: %s", x->cache->folder_path, strerror(errno));
    }
    close(fd);
    if (x->why != NULL) {
        unlinkat(folder, temporary, 0);
        return;
    }
    x->hash = hash;
    x->known = x->written = true;
}

static void fill_one(void *data)
{
    struct item *x = data;
    if (atomic_load(&x->cache->cancelled))
        return;
    if (!x->known) {
        if (pass_over(x, -1, x->size / 2, &x->hash) != 0) /* where it must be written, that is the other half */
            return;
        x->known = true;
    }
    if (!is_there(x))
        write_tensor(x);
    if (x->why == NULL)
        count_to(x, x->size);
}

/* ---- on the crew: the beginning and the end ---- */

static bool take_tensors(struct rpc_cache *c)
{
    char *cause = NULL;
    struct gguf *g = gguf_open(c->model, &cause);
    if (g != NULL && needed_check(g, &c->needed, &cause) != 0)
        cause_prefix(&cause, "%s", c->model); /* as gguf_open has it */
    if (cause != NULL) {
        c->why = cause;
        gguf_destroy(g);
        return false;
    }
    c->items = xcalloc(g->n_tensors + 1, sizeof(*c->items));
    for (size_t i = 0; i < g->n_tensors; i++) {
        const struct gguf_tensor *t = &g->tensors[i];
        if (t->size <= RPC_CACHE_LEAST || !needed_tensor(g, t, &c->needed))
            continue;
        c->items[c->n] = (struct item){.cache = c, .number = c->n, .offset = t->offset, .size = t->size};
        c->n++;
        c->bytes += t->size;
    }
    gguf_destroy(g);
    if (c->max > 0 && c->bytes > c->max) {
        c->why = xasprintf("the worker's cache %s may hold %.0f MiB, and the tensors of these layers are %.0f MiB",
                           c->folder_path, (double)c->max / (1 << 20), (double)c->bytes / (1 << 20));
        return false;
    }
    return true;
}

/* What a program that was killed has left: of any order, for whoever holds the lock is the only one. */
static void remove_temporaries(int folder)
{
    int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *e;
    while (d != NULL && (e = readdir(d)) != NULL) {
        if (strncmp(e->d_name, TEMPORARY, strlen(TEMPORARY)) == 0)
            unlinkat(folder, e->d_name, 0);
    }
    if (d != NULL)
        closedir(d);
    else if (fd >= 0)
        close(fd);
}

static bool open_folder(struct rpc_cache *c)
{
    if (folder_make(c->folder_path) == 0)
        c->folder = open(c->folder_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (c->folder >= 0)
        c->lock = openat(c->folder, LOCK, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (c->lock < 0) {
        c->why = xasprintf("the worker's cache %s can't be used: %s", c->folder_path, strerror(errno));
        return false;
    }
    if (flock(c->lock, LOCK_EX | LOCK_NB) != 0) {
        c->busy = errno == EWOULDBLOCK;
        c->why = xasprintf("another program is filling the worker's cache %s", c->folder_path);
        return false;
    }
    c->file = open(c->model, O_RDONLY | O_CLOEXEC);
    if (c->file < 0)
        c->why = xasprintf("%s can't be read: %s", c->model, strerror(errno));
    return c->file >= 0;
}

static void begin(void *data)
{
    struct rpc_cache *c = data;
    if (!take_tensors(c) || !open_folder(c))
        return;
    remove_temporaries(c->folder);
    struct rpc_names names;
    if (c->id == NULL)
        return;
    rpc_names_read(&names, c->id);
    for (size_t i = 0; i < c->n; i++)
        c->items[i].known = rpc_names_find(&names, c->items[i].offset, c->items[i].size, &c->items[i].hash);
    rpc_names_finish(&names);
}

static void note_names(struct rpc_cache *c)
{
    struct rpc_names names;
    rpc_names_read(&names, c->id);
    for (size_t i = 0; i < c->n; i++) {
        if (c->items[i].known)
            rpc_names_set(&names, c->items[i].offset, c->items[i].size, c->items[i].hash);
    }
    rpc_names_write(&names, c->id);
    rpc_names_finish(&names);
}

static void end(void *data)
{
    struct rpc_cache *c = data;
    if (c->id != NULL)
        note_names(c);
}

/* ---- on the loop ---- */

static void cache_free(void *data)
{
    struct rpc_cache *c = data;
    for (size_t i = 0; i < c->n; i++)
        free(c->items[i].why);
    int fds[] = {c->file, c->lock, c->folder};
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
    free(c->items);
    free(c->model);
    free(c->id);
    free(c->folder_path);
    free(c->why);
    free(c);
}

static void ended(void *data)
{
    struct rpc_cache *c = data;
    struct rpc_cache_result r = {.ok = c->why == NULL,
                                 .busy = c->busy,
                                 .why = c->why != NULL ? c->why : "",
                                 .tensors = c->n,
                                 .bytes = c->bytes,
                                 .written = c->written};
    if (!atomic_load(&c->cancelled))
        c->done(c->arg, &r);
    cache_free(c);
}

static void finish(struct rpc_cache *c)
{
    crew_add(c->crew, &(struct crew_job){.work = end, .done = ended, .drop = cache_free, .data = c});
}

static void drop_one(void *data)
{
    struct item *x = data;
    struct rpc_cache *c = x->cache;
    if (--c->running == 0)
        cache_free(c);
}

static void one_done(void *data);

static void add_next(struct rpc_cache *c)
{
    size_t most = (crew_threads(c->crew) + 1) / 2;
    if (most > AT_ONCE)
        most = AT_ONCE;
    while (c->running < most && c->next < c->n && c->why == NULL && !atomic_load(&c->cancelled)) {
        c->running++;
        crew_add(c->crew, &(struct crew_job){
                              .work = fill_one, .done = one_done, .drop = drop_one, .data = &c->items[c->next++]});
    }
}

static void one_done(void *data)
{
    struct item *x = data;
    struct rpc_cache *c = x->cache;
    c->running--;
    if (x->written)
        c->written += x->size;
    if (x->why != NULL && c->why == NULL)
        c->why = xstrdup(x->why);
    add_next(c);
    if (c->running == 0)
        finish(c);
}

static void begun(void *data)
{
    struct rpc_cache *c = data;
    c->open = true;
    add_next(c);
    if (c->running == 0)
        finish(c);
}

struct rpc_cache *rpc_cache_fill(struct crew *crew, const struct rpc_cache_opts *o, rpc_cache_cb *done, void *arg)
{
    struct rpc_cache *c = xcalloc(1, sizeof(*c));
    *c = (struct rpc_cache){.crew = crew,
                            .model = xstrdup(o->model),
                            .id = xstrdup(o->id),
                            .folder_path = xstrdup(o->folder),
                            .max = o->max,
                            .needed = o->needed,
                            .done = done,
                            .arg = arg,
                            .folder = -1,
                            .lock = -1,
                            .file = -1};
    crew_add(crew, &(struct crew_job){.work = begin, .done = begun, .drop = cache_free, .data = c});
    return c;
}

void rpc_cache_progress(const struct rpc_cache *c, uint64_t *done, uint64_t *total)
{
    *done = c->open ? atomic_load(&c->bytes_done) : 0;
    *total = c->open ? c->bytes : 0;
}

void rpc_cache_cancel(struct rpc_cache *c)
{
    if (c != NULL)
        atomic_store(&c->cancelled, true);
}
