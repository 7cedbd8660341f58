#include "node/worker-cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/cause.h"
#include "base/fnv.h"
#include "base/folders.h"
#include "base/mem.h"

enum { NAME_LEN = 16, BLOCK = 1 << 20 };

struct entry {
    char name[NAME_LEN + 1];
    uint64_t size;
    int64_t used, written; /* seconds since 1970 */
    bool checked;
};

struct entries {
    struct entry *list;
    size_t n, size;
};

int worker_cache_prepare(const char *dir, char **cause)
{
    int rc = 0;
    if (folder_make(dir) != 0)
        rc = cause_set(cause,
                       "the cache folder %s can't be made: %s. Name another with --cache, or do without by --no-cache",
                       dir, strerror(errno));
    if (rc == 0 && access(dir, R_OK | W_OK | X_OK) != 0)
        rc = cause_set(cause,
                       "the cache folder %s can't be used: %s. Name another with --cache, or do without by "
                       "--no-cache",
                       dir, strerror(errno));
    return rc;
}

static bool is_ours(const char *name)
{
    return strlen(name) == NAME_LEN && strspn(name, "0123456789abcdef") == NAME_LEN;
}

static void read_folder(const char *dir, struct entries *e)
{
    DIR *d = opendir(dir);
    struct dirent *file;
    struct stat st;
    *e = (struct entries){0};
    while (d != NULL && (file = readdir(d)) != NULL) {
        if (!is_ours(file->d_name) || fstatat(dirfd(d), file->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
            !S_ISREG(st.st_mode))
            continue;
        if (e->n == e->size) {
            e->size = e->size > 0 ? 2 * e->size : 64;
            e->list = xreallocarray(e->list, e->size, sizeof(*e->list));
        }
        struct entry *new = &e->list[e->n++];
        *new = (struct entry){.size = (uint64_t)st.st_size,
                              .written = st.st_mtime,
                              .used = st.st_atime > st.st_mtime ? st.st_atime : st.st_mtime,
                              .checked = (st.st_mode & 0222) == 0};
        memcpy(new->name, file->d_name, NAME_LEN + 1);
    }
    if (d != NULL)
        closedir(d);
}

uint64_t worker_cache_half(const char *dir)
{
    struct statvfs fs;
    struct worker_cache_report now;
    if (statvfs(dir, &fs) != 0)
        return 0;
    worker_cache_look(dir, &now);
    return (now.bytes + (uint64_t)fs.f_bavail * fs.f_frsize) / 2;
}

void worker_cache_look(const char *dir, struct worker_cache_report *out)
{
    struct entries e;
    read_folder(dir, &e);
    *out = (struct worker_cache_report){.files = e.n};
    for (size_t i = 0; i < e.n; i++)
        out->bytes += e.list[i].size;
    free(e.list);
}

/* Whether the content is what the name says; a file that is gone, or can't be read, is not. */
static bool check(int folder, const struct entry *entry, unsigned char *block)
{
    uint64_t hash = FNV_INIT, wanted = strtoull(entry->name, NULL, 16);
    int fd = openat(folder, entry->name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t n;
    if (fd < 0)
        return false;
    while ((n = read(fd, block, BLOCK)) > 0)
        hash = fnv_add(hash, block, (size_t)n);
    bool right = n == 0 && hash == wanted;
    /* On the disk first: the mark must not outlive the content. */
    if (right && fsync(fd) == 0)
        fchmod(fd, 0444);
    close(fd);
    return right;
}

static int by_use(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return (x->used > y->used) - (x->used < y->used);
}

void worker_cache_tidy(const char *dir, uint64_t max, int skip_s, struct worker_cache_report *out)
{
    struct entries e;
    int64_t now = time(NULL);
    int folder = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    unsigned char *block = xmalloc(BLOCK);
    *out = (struct worker_cache_report){0};
    read_folder(dir, &e);
    for (size_t i = 0; i < e.n; i++) {
        struct entry *entry = &e.list[i];
        bool fresh = skip_s > 0 && entry->written > now - skip_s;
        if (!entry->checked && fresh) {
            out->skipped++;
        } else if (!entry->checked && !check(folder, entry, block)) {
            unlinkat(folder, entry->name, 0);
            out->bad++;
            continue;
        }
        out->files++;
        out->bytes += entry->size;
        if (out->files - 1 < i)
            e.list[out->files - 1] = *entry;
    }
    e.n = out->files;
    if (e.n > 0)
        qsort(e.list, e.n, sizeof(*e.list), by_use);
    for (size_t i = 0; max > 0 && out->bytes > max && i < e.n; i++) {
        unlinkat(folder, e.list[i].name, 0);
        out->bytes -= e.list[i].size;
        out->files--;
        out->trimmed++;
    }
    free(e.list);
    free(block);
    if (folder >= 0)
        close(folder);
}
