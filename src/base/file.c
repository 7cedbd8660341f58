#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cause.h"
#include "base/mem.h"

static int read_all(int fd, size_t max, struct buf *b, char **cause)
{
    char chunk[16384];
    ssize_t n;
    int rc = 0;
    while (rc == 0 && (n = read(fd, chunk, sizeof(chunk))) != 0) {
        if (n > 0 && !buf_add(b, chunk, (size_t)n))
            rc = cause_set(cause, "the file is larger than %zu KiB", max >> 10);
        else if (n < 0 && errno != EINTR)
            rc = cause_set(cause, "%s", errno == EISDIR ? "it is a folder, not a file" : strerror(errno));
    }
    return rc;
}

static int read_file(const char *path, bool plain, size_t max, struct buf *b, char **cause)
{
    struct stat st;
    buf_init(b, max);
    int fd = open(path, O_RDONLY | O_CLOEXEC | (plain ? O_NONBLOCK : 0));
    if (fd < 0)
        return cause_set(cause, "%s", errno == ENOENT ? "there is no such file" : strerror(errno));
    int rc = plain && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) ? cause_set(cause, "it is no plain file")
                                                                    : read_all(fd, max, b, cause);
    close(fd);
    return rc;
}

int file_read(const char *path, size_t max, struct buf *b, char **cause)
{
    return read_file(path, false, max, b, cause);
}

int file_read_plain(const char *path, size_t max, struct buf *b, char **cause)
{
    return read_file(path, true, max, b, cause);
}

static bool write_all(int fd, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, text, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        text += n;
        len -= (size_t)n;
    }
    return true;
}

/* Makes the renaming itself last. */
static void sync_folder(const char *folder)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
}

static int replace(const char *real, const char *text, size_t len, mode_t mode, char **cause)
{
    char *copy = xstrdup(real);
    const char *folder = dirname(copy);
    char *temp = xasprintf("%s.XXXXXX", real);
    struct stat st;
    bool there = lstat(real, &st) == 0 && S_ISREG(st.st_mode);
    int rc = 0;
    int fd = mkostemp(temp, O_CLOEXEC);
    if (fd < 0) {
        rc = cause_set(cause, "can't write in %s: %s", folder, strerror(errno));
        goto out;
    }
    if (fchmod(fd, there ? st.st_mode & 07777 : mode) != 0)
        rc = cause_set(cause, "can't give it its mode: %s", strerror(errno));
    if (there && (st.st_uid != geteuid() || st.st_gid != getegid()) && fchown(fd, st.st_uid, st.st_gid) != 0 &&
        st.st_uid != geteuid())
        rc = cause_set(cause, "the file belongs to another user");
    if (rc == 0 && (!write_all(fd, text, len) || fsync(fd) != 0))
        rc = cause_set(cause, "can't write it: %s", strerror(errno));
    close(fd);
    if (rc == 0 && rename(temp, real) != 0)
        rc = cause_set(cause, "can't replace it: %s", strerror(errno));
    if (rc == 0)
        sync_folder(folder);
    else
        unlink(temp);
out:
    free(temp);
    free(copy);
    return rc;
}

int file_replace(const char *path, const char *text, size_t len, mode_t mode, char **cause)
{
    char *real = realpath(path, NULL); /* the file behind a link, which keeps pointing there */
    int rc = replace(real ? real : path, text, len, mode, cause);
    free(real);
    return rc;
}

int file_replace_plain(const char *path, const char *text, size_t len, mode_t mode, char **cause)
{
    struct stat st;
    if (lstat(path, &st) == 0 && !S_ISREG(st.st_mode))
        return cause_set(cause, "%s is there: remove it",
                         S_ISLNK(st.st_mode) ? "a symbolic link" : "something that is no plain file");
    return replace(path, text, len, mode, cause);
}
