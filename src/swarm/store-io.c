#include "swarm/store-io.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/mem.h"

enum {
    STEP = 512 * 1024,   /* bytes read at once */
    COPY_STEP = 4 << 20, /* bytes that the kernel copies at once: it can't be stopped within */
    CLONE_BLOCK = 4096,  /* ranges that are cloned must begin at blocks; where those are larger, bytes are copied */
};

int store_io_read(int fd, void *data, size_t len, uint64_t at)
{
    char *p = data;

    while (len > 0) {
        ssize_t n = pread(fd, p, len, (off_t)at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            errno = EIO;
        if (n <= 0)
            return -1;
        p += n;
        at += (uint64_t)n;
        len -= (size_t)n;
    }
    return 0;
}

int store_io_write(int fd, const void *data, size_t len, uint64_t at)
{
    const char *p = data;

    while (len > 0) {
        ssize_t n = pwrite(fd, p, len, (off_t)at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            errno = ENOSPC;
        if (n <= 0)
            return -1;
        p += n;
        at += (uint64_t)n;
        len -= (size_t)n;
    }
    return 0;
}

static bool stopped(const atomic_bool *stop)
{
    if (!atomic_load_explicit(stop, memory_order_relaxed))
        return false;
    errno = ECANCELED;
    return true;
}

int store_io_hash(EVP_MD_CTX *hash, int fd, uint64_t from, uint64_t to, const atomic_bool *stop)
{
    void *buffer;
    int rc = 0;

    if (from >= to)
        return 0;
    buffer = xmalloc(STEP);
    for (uint64_t at = from; at < to && rc == 0; at += STEP) {
        size_t len = to - at < STEP ? (size_t)(to - at) : STEP;

        rc = stopped(stop) || store_io_read(fd, buffer, len, at) != 0 ? -1 : 0;
        if (rc == 0)
            EVP_DigestUpdate(hash, buffer, len);
    }
    free(buffer);
    return rc;
}

static int copy_by_hand(int to, uint64_t to_at, int from, uint64_t from_at, uint64_t size, const atomic_bool *stop)
{
    void *buffer = xmalloc(STEP);
    int rc = 0;

    for (uint64_t done = 0; done < size && rc == 0; done += STEP) {
        size_t len = size - done < STEP ? (size_t)(size - done) : STEP;

        if (stopped(stop) || store_io_read(from, buffer, len, from_at + done) != 0 ||
            store_io_write(to, buffer, len, to_at + done) != 0)
            rc = -1;
    }
    free(buffer);
    return rc;
}

static int copy_by_kernel(int to, uint64_t to_at, int from, uint64_t from_at, uint64_t size, const atomic_bool *stop)
{
    off_t in = (off_t)from_at, out = (off_t)to_at;

    while (size > 0) {
        ssize_t n;

        if (stopped(stop))
            return -1;
        n = copy_file_range(from, &in, to, &out, size < COPY_STEP ? (size_t)size : COPY_STEP, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && store_io_is_full(errno))
            return -1;
        if (n <= 0) /* not between these two, or not here: whatever can be done is done by hand */
            return copy_by_hand(to, (uint64_t)out, from, (uint64_t)in, size, stop);
        size -= (uint64_t)n;
    }
    return 0;
}

int store_io_copy(int to, uint64_t to_at, int from, uint64_t from_at, uint64_t size, const atomic_bool *stop)
{
    uint64_t before = (CLONE_BLOCK - from_at % CLONE_BLOCK) % CLONE_BLOCK, middle;

    if (to_at % CLONE_BLOCK != from_at % CLONE_BLOCK || size < before + CLONE_BLOCK)
        return copy_by_kernel(to, to_at, from, from_at, size, stop);
    middle = (size - before) / CLONE_BLOCK * CLONE_BLOCK;
    if (ioctl(to, FICLONERANGE,
              &(struct file_clone_range){.src_fd = from,
                                         .src_offset = from_at + before,
                                         .src_length = middle,
                                         .dest_offset = to_at + before}) != 0)
        return copy_by_kernel(to, to_at, from, from_at, size, stop);
    if (copy_by_kernel(to, to_at, from, from_at, before, stop) != 0)
        return -1;
    return copy_by_kernel(to, to_at + before + middle, from, from_at + before + middle, size - before - middle, stop);
}

int store_io_reserve(int fd, uint64_t at, uint64_t size)
{
    int rc;

    do
        rc = fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)at, (off_t)size);
    while (rc != 0 && errno == EINTR);
    return rc != 0 && store_io_is_full(errno) ? -1 : 0;
}

void store_io_release(int fd, uint64_t at, uint64_t size)
{
    while (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at, (off_t)size) != 0 && errno == EINTR)
        ;
}

int store_io_rename(int dir, const char *from, const char *to)
{
    if (renameat2(dir, from, dir, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -1;
    /* A file system without it: a second name is never put over another file either. */
    if (linkat(dir, from, dir, to, 0) == 0)
        return unlinkat(dir, from, 0);
    if (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS)
        return -1;
    /* Nor links (FAT): what is left is to look before. */
    if (faccessat(dir, to, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
        errno = EEXIST;
        return -1;
    }
    return renameat(dir, from, dir, to);
}

bool store_io_is_full(int error)
{
    return error == ENOSPC || error == EDQUOT || error == EFBIG;
}
