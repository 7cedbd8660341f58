#include "base/residency.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

/* Address space is mapped so much at a time; nothing is read. */
enum { PIECE = 1 << 30 };

/* -1: unknown. */
static int64_t count(int fd, int64_t at, size_t len, unsigned char *in, int64_t page)
{
    int64_t n = 0;
    void *map = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, at);
    if (map == MAP_FAILED)
        return -1;
    if (mincore(map, len, in) != 0)
        n = -1;
    for (size_t i = 0; n >= 0 && i < (len + (size_t)page - 1) / (size_t)page; i++)
        n += (in[i] & 1) * page;
    munmap(map, len);
    return n;
}

int64_t residency_bytes(const char *path)
{
    struct stat st;
    int64_t page = sysconf(_SC_PAGESIZE), n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    unsigned char *in = xmalloc(PIECE / (size_t)page);
    for (int64_t at = 0; at < st.st_size && n >= 0; at += PIECE) {
        int64_t part = count(fd, at, (size_t)(st.st_size - at < PIECE ? st.st_size - at : PIECE), in, page);
        n = part < 0 ? -1 : n + part;
    }
    free(in);
    close(fd);
    return n > st.st_size ? st.st_size : n;
}
