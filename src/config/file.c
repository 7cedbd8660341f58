#include "config/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cause.h"

int file_read(const char *path, size_t max, struct buf *b, char **cause)
{
    buf_init(b, max);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return cause_set(cause, "%s", errno == ENOENT ? "there is no such file" : strerror(errno));
    char chunk[16384];
    ssize_t n;
    int rc = 0;
    while (rc == 0 && (n = read(fd, chunk, sizeof(chunk))) != 0) {
        if (n > 0 && !buf_add(b, chunk, (size_t)n))
            rc = cause_set(cause, "the file is larger than %zu KiB", max >> 10);
        else if (n < 0 && errno != EINTR)
            rc = cause_set(cause, "%s", errno == EISDIR ? "it is a folder, not a file" : strerror(errno));
    }
    close(fd);
    return rc;
}
