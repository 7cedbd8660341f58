#include "base/log-writer.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"

struct waiting {
    STAILQ_ENTRY(waiting) entry;
    int fd;
    size_t len;
    char text[];
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t thread;
    pthread_cond_t idle;
    bool running, ends, writing;
    STAILQ_HEAD(, waiting) lines;
    size_t bytes;
    uint64_t dropped; /* since the last line that told */
    char *path, *old; /* the file that is turned over, and what it becomes; NULL */
    int64_t max;
} writer = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER, .idle = PTHREAD_COND_INITIALIZER};

static void write_all(int fd, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, text, len);
        if (n < 0 && errno != EINTR)
            return; /* there is nobody to tell */
        text += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
}

/* Whether standard error is that file, and too long.  It leads elsewhere while a dashboard has the terminal. */
static bool is_full(void)
{
    struct stat ours, named;
    return writer.path != NULL && fstat(STDERR_FILENO, &ours) == 0 && S_ISREG(ours.st_mode) &&
           ours.st_size > writer.max && stat(writer.path, &named) == 0 && ours.st_ino == named.st_ino &&
           ours.st_dev == named.st_dev;
}

static void turn_over(void)
{
    if (rename(writer.path, writer.old) != 0)
        return;
    int fd = open(writer.path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return; /* it goes on in the old one */
    dup2(fd, STDERR_FILENO);
    close(fd);
}

static void *work(void *arg)
{
    pthread_mutex_lock(&writer.lock);
    for (;;) {
        struct waiting *w = STAILQ_FIRST(&writer.lines);
        if (w == NULL && writer.ends)
            break;
        if (w == NULL) {
            pthread_cond_broadcast(&writer.idle);
            pthread_cond_wait(&writer.wake, &writer.lock);
            continue;
        }
        uint64_t dropped = writer.dropped;
        STAILQ_REMOVE_HEAD(&writer.lines, entry);
        writer.bytes -= w->len;
        writer.dropped = 0;
        writer.writing = true;
        pthread_mutex_unlock(&writer.lock);
        if (w->fd == STDERR_FILENO && is_full())
            turn_over();
        write_all(w->fd, w->text, w->len);
        if (dropped > 0) {
            char note[80];
            int n = snprintf(note, sizeof(note), "(%llu lines could not be written)\n", (unsigned long long)dropped);
            write_all(STDERR_FILENO, note, (size_t)n);
        }
        free(w);
        pthread_mutex_lock(&writer.lock);
        writer.writing = false;
    }
    pthread_mutex_unlock(&writer.lock);
    return arg;
}

static struct timespec in(int ms)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += ms % 1000 * 1000000L;
    if (t.tv_nsec >= 1000000000L) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000L;
    }
    return t;
}

void log_writer_turns_over(const char *path, int64_t max)
{
    free(writer.path);
    free(writer.old);
    writer.path = xstrdup(path);
    writer.old = path != NULL ? xasprintf("%s.1", path) : NULL;
    writer.max = max;
}

void log_writer_start(void)
{
    pthread_mutex_lock(&writer.lock);
    if (!writer.running) {
        STAILQ_INIT(&writer.lines);
        writer.bytes = 0;
        writer.ends = false;
        writer.running = pthread_create(&writer.thread, NULL, work, NULL) == 0;
    }
    pthread_mutex_unlock(&writer.lock);
}

bool log_writer_stop(int patience_ms)
{
    pthread_mutex_lock(&writer.lock);
    bool running = writer.running;
    writer.running = false;
    writer.ends = true;
    pthread_cond_signal(&writer.wake);
    pthread_mutex_unlock(&writer.lock);
    if (!running)
        return true;
    struct timespec until = in(patience_ms);
    if (pthread_timedjoin_np(writer.thread, NULL, &until) == 0)
        return true;
    pthread_detach(writer.thread); /* it hangs in a write, and ends with the program */
    return false;
}

void log_writer_flush(int patience_ms)
{
    struct timespec until = in(patience_ms);
    int rc = 0;
    pthread_mutex_lock(&writer.lock);
    while (writer.running && (writer.writing || writer.bytes > 0) && rc == 0)
        rc = pthread_cond_timedwait(&writer.idle, &writer.lock, &until);
    pthread_mutex_unlock(&writer.lock);
}

bool log_writer_put(int fd, const char *text, size_t len)
{
    pthread_mutex_lock(&writer.lock);
    bool running = writer.running;
    if (running && writer.bytes + len > LOG_WRITER_BYTES) {
        writer.dropped++;
    } else if (running) {
        struct waiting *w = xmalloc(sizeof(*w) + len);
        w->fd = fd;
        w->len = len;
        memcpy(w->text, text, len);
        STAILQ_INSERT_TAIL(&writer.lines, w, entry);
        writer.bytes += len;
        pthread_cond_signal(&writer.wake);
    }
    pthread_mutex_unlock(&writer.lock);
    return running;
}
