#include "probe/worker-note.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "base/cause.h"
#include "base/folders.h"
#include "base/json.h"
#include "base/mem.h"

enum { NOTE_MAX = 16 * 1024, TRIES = 25 };

static char *path_of(int port)
{
    char *dir = folder_runtime(), *path = xasprintf("%s/worker-%d.json", dir, port);
    free(dir);
    return path;
}

/* A reader holds the lock for a moment, to see whether it can. */
static bool lock(int fd)
{
    for (int i = 0; i < TRIES; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return true;
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
    return false;
}

/* Never renamed: whoever has the file open has the one that is locked. */
int worker_note_write(int port, const struct worker_note *n, char **cause)
{
    if (folder_runtime_make(cause) != 0)
        return -1;
    char *path = path_of(port);
    int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    json_t *j = json_pack("{s:s?, s:I}", "cache", n->cache, "cache_max", (json_int_t)n->cache_max);
    char *text = json_dumps(j, JSON_COMPACT);
    size_t len = strlen(text);
    if (fd < 0 || !lock(fd) || ftruncate(fd, 0) != 0 || write(fd, text, len) != (ssize_t)len) {
        cause_set(cause, "%s can't be written: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        fd = -1;
    }
    free(text);
    json_decref(j);
    free(path);
    return fd;
}

void worker_note_remove(int port, int fd)
{
    if (fd < 0)
        return;
    char *path = path_of(port);
    unlink(path);
    close(fd);
    free(path);
}

static json_t *read_locked(int fd)
{
    char text[NOTE_MAX];
    struct stat st;
    bool alive =
        fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == getuid() && flock(fd, LOCK_SH | LOCK_NB) != 0;
    ssize_t n = alive ? read(fd, text, sizeof(text)) : -1;
    return n > 0 ? json_parse_object(text, (size_t)n, NULL) : NULL;
}

int worker_note_read(int port, struct worker_note *n, char **cause)
{
    char *path = path_of(port);
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    json_t *j = fd >= 0 ? read_locked(fd) : NULL;
    const char *cache = json_string_value(json_object_get(j, "cache"));
    json_int_t max = json_integer_value(json_object_get(j, "cache_max"));
    *n = (struct worker_note){.cache = xstrdup(cache), .cache_max = max > 0 ? (uint64_t)max : 0};
    if (fd >= 0)
        close(fd);
    free(path);
    if (j == NULL)
        cause_set(cause, "no `tightwad worker` of this user runs at port %d", port);
    json_decref(j);
    return j != NULL ? 0 : -1;
}

void worker_note_finish(struct worker_note *n)
{
    free(n->cache);
    *n = (struct worker_note){0};
}
