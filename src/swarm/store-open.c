/* The beginning of a store, on the crew: what is there, whose it is, and the lock. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cause.h"
#include "base/mem.h"
#include "swarm/manifest-make.h"
#include "swarm/store-internal.h"

enum { TRIES = 8, PART_FLAGS = O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC };

static int failed(struct store *s, int error, const char *doing)
{
    s->opening.call.result = store_error(s, error, doing, &s->opening.call.why);
    return -1;
}

#define FAIL(s, ...) ((s)->opening.call.result = STORE_FAILED, cause_set(&(s)->opening.call.why, __VA_ARGS__))

static int make_folder(struct store *s)
{
    char *path = xstrdup(s->dir);
    int error = 0;

    for (char *p = path + 1; error == 0 && path[0] != '\0'; p++) {
        char c = *p;

        if (c != '/' && c != '\0')
            continue;
        *p = '\0';
        if (mkdir(path, 0777) != 0 && errno != EEXIST)
            error = errno;
        *p = c;
        if (c == '\0')
            break;
    }
    free(path);
    /* What stands in the way of a folder that is there already (EACCES, EROFS) is none. */
    s->dir_fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->dir_fd < 0)
        return FAIL(s, "%s: the folder can't be used: %s", s->dir, strerror(error ? error : errno));
    return 0;
}

/* The complete file: 1 it is there and may be the one, 0 there is none. */
static int look_whole(struct store *s)
{
    struct store_opening *o = &s->opening;
    const char *name = s->manifest->filename;
    struct manifest *stored;
    struct stat st;

    if (fstatat(s->dir_fd, name, &st, 0) != 0) {
        if (errno != ENOENT)
            return FAIL(s, "%s: %s", s->path, strerror(errno));
        if (fstatat(s->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
            return FAIL(s, "%s is a link that leads nowhere: remove it", s->path);
        return 0;
    }
    if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != s->manifest->total_size)
        return FAIL(s, STORE_OTHER_FILE, s->path);
    o->whole_fd = openat(s->dir_fd, name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (o->whole_fd < 0)
        return FAIL(s, "%s: %s", s->path, strerror(errno));
    stored = manifest_stored(s->path);
    if (stored && strcmp(stored->id, s->manifest->id) != 0)
        o->wrong = true;
    else if (!stored)
        bits_fill(&o->check);
    manifest_destroy(stored);
    if (o->wrong)
        return FAIL(s, STORE_OTHER_FILE, s->path);
    o->whole = true;
    return 1;
}

/* Who has locked that file, as the kernel tells; 0: not known. */
static long holder_of(const struct stat *st)
{
    FILE *f = fopen("/proc/locks", "re");
    char line[256];
    long found = 0;

    while (f && fgets(line, sizeof(line), f)) {
        unsigned major, minor;
        unsigned long long inode;
        long pid;

        if (sscanf(line, "%*s FLOCK %*s WRITE %ld %x:%x:%llu", &pid, &major, &minor, &inode) == 4 &&
            inode == st->st_ino && major == major(st->st_dev) && minor == minor(st->st_dev) && pid > 0)
            found = pid;
    }
    if (f)
        fclose(f);
    return found;
}

static int lock(struct store *s, int fd, const char *path)
{
    struct stat st;
    long pid;

    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EINTR)
            continue;
        if (errno != EWOULDBLOCK)
            return FAIL(s, "%s: can't be locked on this file system (%s): use another folder", path, strerror(errno));
        pid = fstat(fd, &st) == 0 ? holder_of(&st) : 0;
        if (pid > 0)
            return FAIL(s, "%s: process %ld is working on it", path, pid);
        return FAIL(s, "%s: another process is working on it", path);
    }
    return 0;
}

/* Opens and locks a file of ours.  1: it has gone meanwhile. */
static int open_part(struct store *s, const char *name, int *fd)
{
    struct stat st, now;

    *fd = openat(s->dir_fd, name, PART_FLAGS, 0666);
    if (*fd < 0 && errno == ELOOP)
        return FAIL(s, "%s/%s is a symbolic link: remove it", s->dir, name);
    if (*fd < 0)
        return failed(s, errno, "could not be opened");
    if (fstat(*fd, &st) != 0 || !S_ISREG(st.st_mode))
        return FAIL(s, "%s/%s is no file: remove it", s->dir, name);
    if (lock(s, *fd, s->part) != 0)
        return -1;
    if (fstatat(s->dir_fd, name, &now, AT_SYMLINK_NOFOLLOW) == 0 && now.st_ino == st.st_ino && now.st_dev == st.st_dev)
        return now.st_nlink == 1 ? 0 : FAIL(s, "%s/%s has another name too: remove it", s->dir, name);
    close(*fd);
    *fd = -1;
    return 1;
}

/* The pieces without a hole in them.  False where the file system does not tell of holes. */
static bool without_holes(const struct store *s, struct bits *full)
{
    const struct manifest *m = s->manifest;
    off_t end = (off_t)m->total_size, at = 0;
    struct stat st;
    bool any = false;

    while (at < end) {
        off_t data = lseek(s->fd, at, SEEK_DATA), hole;

        if (data < 0 && errno != ENXIO)
            return false;
        hole = data < 0 ? -1 : lseek(s->fd, data, SEEK_HOLE);
        any |= data != at || hole < end;
        if (hole < 0)
            break;
        for (size_t i = 0; i < m->n_pieces; i++) {
            if (m->piece[i].offset >= (uint64_t)data && m->piece[i].offset + m->piece[i].size <= (uint64_t)hole)
                bits_set(full, i, true);
        }
        at = hole;
    }
    return any || (fstat(s->fd, &st) == 0 && (uint64_t)st.st_blocks * 512 >= m->total_size);
}

/* What is to be verified: what the map names, and what lies there in full though the map (lost with the power, say)
 * does not know it. */
static void plan_check(struct store *s, const struct bits *named)
{
    struct bits full = {0};
    bool told;

    bits_init(&full, s->manifest->n_pieces);
    told = without_holes(s, &full);
    for (size_t i = 0; i < s->manifest->n_pieces; i++) {
        if (bits_has(named, i) || (bits_has(&full, i) && (told || named->n == 0)))
            bits_set(&s->opening.check, i, true);
    }
    bits_finish(&full);
}

/* Another manifest's .part: what is filled is a new file beside it. */
static int begin_replacing(struct store *s)
{
    s->opening.old_fd = s->fd;
    s->fd = -1;
    unlinkat(s->dir_fd, s->new_name, 0); /* of a process that was killed: who has the lock of the .part owns it */
    switch (open_part(s, s->new_name, &s->fd)) {
    case 0:
        return 0;
    case 1:
        return FAIL(s, "%s/%s comes and goes: another process is working on it", s->dir, s->new_name);
    default:
        return -1;
    }
}

static int set_size(struct store *s, const struct stat *st)
{
    if ((uint64_t)st->st_size == s->manifest->total_size)
        return 0;
    if (ftruncate(s->fd, (off_t)s->manifest->total_size) == 0)
        return 0;
    if (errno == EFBIG)
        return FAIL(s, "%s: a file of %" PRIu64 " bytes is larger than is allowed there", s->part,
                    s->manifest->total_size);
    return failed(s, errno, "could not be made as long as the model");
}

static int prepare(struct store *s)
{
    struct store_opening *o = &s->opening;
    struct bits had = {0};
    struct stat st;
    int rc = 0;
    bool mapped = store_map_read(s->dir_fd, s->map_name, s->manifest, &had, &o->old);

    if (fstat(s->fd, &st) != 0) {
        rc = failed(s, errno, "could not be looked at");
    } else if (o->old) {
        o->old_had = had;
        had = (struct bits){0};
        rc = begin_replacing(s);
        st.st_size = 0;
    } else if (!mapped && st.st_blocks > 0) {
        o->foreign = true;
        if ((uint64_t)st.st_size != s->manifest->total_size)
            rc = FAIL(s, "%s is there and is not of this model: move it away", s->part);
    }
    if (rc == 0)
        rc = set_size(s, &st);
    if (rc == 0 && !o->old)
        plan_check(s, &had);
    bits_finish(&had);
    return rc;
}

/* The model is complete: what a landing that was killed has left goes, and the .part that was just made. */
static void tidy(struct store *s)
{
    struct stat part, whole;
    bool there = fstatat(s->dir_fd, s->part_name, &part, AT_SYMLINK_NOFOLLOW) == 0;

    if (there && fstat(s->opening.whole_fd, &whole) == 0 &&
        ((part.st_ino == whole.st_ino && part.st_dev == whole.st_dev) || (s->fd >= 0 && part.st_blocks == 0)))
        there = unlinkat(s->dir_fd, s->part_name, 0) != 0;
    if (!there)
        unlinkat(s->dir_fd, s->map_name, 0);
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

void store_open_begin(void *store)
{
    struct store *s = store;
    int rc = 0, tries = 0;

    if (!manifest_name_ok(s->manifest->filename)) {
        FAIL(s, "the model's file name is not one that may be used here");
        return;
    }
    if (make_folder(s) != 0)
        return;
    store_look_room(s);
    rc = look_whole(s);
    for (tries = 0; rc == 0 && s->fd < 0 && tries < TRIES; tries++) {
        if (open_part(s, s->part_name, &s->fd) < 0)
            return;
    }
    if (rc == 0 && s->fd < 0) {
        FAIL(s, "%s comes and goes: another process is working on it", s->part);
        return;
    }
    if (rc == 0)
        rc = look_whole(s); /* it may have landed while we came */
    if (rc == 0)
        prepare(s);
    else if (rc > 0)
        tidy(s);
}

static void end_whole(struct store *s)
{
    char *cause = NULL, *path;

    if (s->opening.check.count == 0)
        return;
    path = manifest_path(s->path);
    manifest_save(s->manifest, path, &cause); /* of use, but no more */
    manifest_note(s->manifest, s->path);
    free(cause);
    free(path);
}

void store_open_end(void *store)
{
    struct store *s = store;

    if (s->opening.whole) {
        end_whole(s);
        return;
    }
    if (store_map_write(&s->map, s->dir_fd, s->map_name, s->manifest, &s->opening.good) != 0)
        failed(s, errno, "the map beside it could not be written");
    else if (s->opening.old && renameat(s->dir_fd, s->new_name, s->dir_fd, s->part_name) != 0)
        failed(s, errno, "could not be renamed");
}
