#include "swarm/store-part.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cause.h"
#include "base/log.h"
#include "base/mem.h"
#include "swarm/manifest-make.h"
#include "swarm/store-io.h"

enum { TRIES = 8, PART_FLAGS = O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC };

int64_t store_part_room(int dir)
{
    struct statvfs v;

    return dir >= 0 && fstatvfs(dir, &v) == 0 ? (int64_t)v.f_bavail * (int64_t)v.f_frsize : -1;
}

static void size_words(char *text, size_t size, int64_t bytes)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double n = (double)bytes;
    size_t unit = 0;

    for (; n >= 1024 && unit + 1 < ARRAY_LEN(units); unit++)
        n /= 1024;
    snprintf(text, size, unit == 0 ? "%.0f %s" : "%.1f %s", n, units[unit]);
}

enum store_result store_part_fits(int dir, const char *path, uint64_t bytes, char **why)
{
    int64_t room = store_part_room(dir);
    char needed[32], left[32];

    if (room < 0 || bytes <= (uint64_t)room || bytes > INT64_MAX)
        return STORE_OK;
    size_words(needed, sizeof(needed), (int64_t)bytes);
    size_words(left, sizeof(left), room);
    cause_set(why, "%s: no room: it needs %s, and %s are free; make room, or name another folder", path, needed, left);
    return STORE_FAILED;
}

enum store_result store_part_error(int dir, const char *path, int error, const char *doing, char **why)
{
    int64_t room;
    char left[32] = "nothing";

    if (!store_io_is_full(error)) {
        cause_set(why, "%s: %s: %s", path, doing, strerror(error));
        return STORE_FAILED;
    }
    room = store_part_room(dir);
    if (room > 0)
        size_words(left, sizeof(left), room);
    if (error == ENOSPC)
        cause_set(why, "%s: no room is left on that file system (%s free); what has come is kept", path, left);
    else if (error == EDQUOT)
        cause_set(why, "%s: the quota is used up; what has come is kept", path);
    else
        cause_set(why, "%s: the file would be larger than is allowed here; what has come is kept", path);
    return STORE_FULL;
}

int store_part_folder(const char *dir, char **cause)
{
    char *path = xstrdup(dir);
    int error = 0, fd;

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
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        cause_set(cause, "%s: the folder can't be used: %s", dir, strerror(error ? error : errno));
    return fd;
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

#define FAIL(why, ...) (cause_set(why, __VA_ARGS__), STORE_FAILED)

static enum store_result lock(int fd, const char *path, char **why)
{
    struct stat st;
    long pid;

    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EINTR)
            continue;
        if (errno != EWOULDBLOCK)
            return FAIL(why, "%s: can't be locked on this file system (%s): use another folder", path, strerror(errno));
        pid = fstat(fd, &st) == 0 ? holder_of(&st) : 0;
        if (pid > 0)
            return FAIL(why, "%s: process %ld is working on it", path, pid);
        return FAIL(why, "%s: another process is working on it", path);
    }
    return STORE_OK;
}

/* *fd is -1 with STORE_OK: it has gone meanwhile. */
static enum store_result open_once(int dir, const char *name, const char *path, int *fd, char **why)
{
    struct stat st, now;
    enum store_result result;

    *fd = openat(dir, name, PART_FLAGS, 0666);
    if (*fd < 0 && errno == ELOOP)
        return FAIL(why, "%s is a symbolic link: remove it", path);
    if (*fd < 0)
        return store_part_error(dir, path, errno, "could not be opened", why);
    if (fstat(*fd, &st) != 0 || !S_ISREG(st.st_mode))
        return FAIL(why, "%s is no file: remove it", path);
    result = lock(*fd, path, why);
    if (result != STORE_OK)
        return result;
    if (fstatat(dir, name, &now, AT_SYMLINK_NOFOLLOW) == 0 && now.st_ino == st.st_ino && now.st_dev == st.st_dev)
        return now.st_nlink == 1 ? STORE_OK : FAIL(why, "%s has another name too: remove it", path);
    close(*fd);
    *fd = -1;
    return STORE_OK;
}

enum store_result store_part_open(int dir, const char *name, const char *path, int *fd, char **why)
{
    *fd = -1;
    for (int i = 0; i < TRIES && *fd < 0; i++) {
        enum store_result result = open_once(dir, name, path, fd, why);

        if (result == STORE_OK)
            continue;
        if (*fd >= 0)
            close(*fd);
        *fd = -1;
        return result;
    }
    return *fd >= 0 ? STORE_OK : FAIL(why, "%s comes and goes: another process is working on it", path);
}

void store_part_save(const struct manifest *m, const char *model)
{
    char *cause = NULL, *path = manifest_path(model);

    if (manifest_save(m, path, &cause) != 0) /* of use, but no more */
        log_warn("swarm: the manifest is kept in the cache alone: %s", cause);
    manifest_note(m, model);
    free(cause);
    free(path);
}

enum store_result store_part_sync(int dir, const char *path, int fd, char **why)
{
    if (fdatasync(fd) == 0)
        return STORE_OK;
    store_part_error(dir, path, errno, "could not be put on the disk", why);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    return STORE_FAILED;
}

enum store_result store_part_land(const struct store_part_names *n, int fd, const struct manifest *m, char **why)
{
    if (store_io_rename(n->dir, n->part, n->name) != 0) {
        if (errno == EEXIST)
            return FAIL(why, STORE_OTHER_FILE, n->path);
        return FAIL(why, "%s: could not get that name: %s", n->path, strerror(errno));
    }
    fsync(n->dir);
    unlinkat(n->dir, n->map, 0);
    store_part_save(m, n->path);
    flock(fd, LOCK_UN);
    return STORE_OK;
}
