/* A model's file stays in the page cache after its weights have gone to other devices.  Where memory is short that
 * cache is given back. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cause.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/residency.h"
#include "engines/pool-internal.h"

struct reclaim {
    struct pool *pool;
    char *path;
    bool if_short; /* only where memory is short */
    /* found */
    int64_t before, after; /* bytes of the file in memory, -1 unknown */
    bool needless;
    char *error;
};

/* Free memory, not what is free_kib: the page cache is what this is about. */
static bool memory_is_short(void)
{
    char line[128];
    long long total_kib = 0, free_kib = 0;
    FILE *f = fopen("/proc/meminfo", "re");
    if (f == NULL)
        return false;
    while (fgets(line, sizeof(line), f) != NULL) {
        if (sscanf(line, "MemTotal: %lld", &total_kib) == 1)
            continue;
        (void)sscanf(line, "MemFree: %lld", &free_kib);
    }
    fclose(f);
    return total_kib > 0 && free_kib < total_kib / 8;
}

static void work(void *arg)
{
    struct reclaim *r = arg;
    char *cause = NULL;
    r->before = r->after = -1;
    if (r->if_short && !memory_is_short()) {
        r->needless = true;
        return;
    }
    int fd = open(r->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        cause_set(&cause, "%s: %s", r->path, strerror(errno));
    } else {
        r->before = residency_bytes(r->path);
        int error = posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        if (error != 0)
            cause_set(&cause, "%s: %s", r->path, strerror(error));
        r->after = residency_bytes(r->path);
    }
    if (fd >= 0)
        close(fd);
    r->error = cause;
}

static void on_done(void *arg)
{
    struct reclaim *r = arg;
    struct pool *p = r->pool;
    p->reclaim_task = NULL;
    p->reclaim = NULL;
    if (!r->needless) {
        p->reclaims++;
        p->reclaimed = r->before >= 0 && r->after >= 0 && r->before > r->after ? r->before - r->after : 0;
        if (r->error != NULL)
            snprintf(p->reclaim_note, sizeof(p->reclaim_note), "%s", r->error);
        else
            snprintf(p->reclaim_note, sizeof(p->reclaim_note), "%.1f MiB of %s given back, %.1f MiB stay",
                     (double)p->reclaimed / 1048576, p->model, r->after < 0 ? 0 : (double)r->after / 1048576);
        log_info("page cache: %s", p->reclaim_note);
    }
    free(r->path);
    free(r->error);
    free(r);
}

static int begin(struct pool *p, bool if_short, char **cause)
{
    if (p->reclaim_task != NULL)
        return cause_set(cause, "it is being done already");
    struct reclaim *r = xcalloc(1, sizeof(*r));
    r->pool = p;
    r->path = xstrdup(p->launch->path);
    r->if_short = if_short;
    p->reclaim = r;
    p->reclaim_task = task_start(p->base, work, on_done, r);
    if (p->reclaim_task != NULL)
        return 0;
    p->reclaim = NULL;
    free(r->path);
    free(r);
    return cause_set(cause, "this machine gives no further thread");
}

int pool_reclaim(struct pool *p, char **cause)
{
    if (p->state != POOL_UP || p->launch == NULL)
        return cause_set(cause, "no model is loaded (the pool is %s)", pool_state_name(p->state));
    if (p->launch->maps_file)
        return cause_set(cause,
                         "this machine's CPU computes with %s out of the page cache: what is given back would be read "
                         "from the disk again at the next token",
                         p->launch->path);
    return begin(p, false, cause);
}

void pool_loaded(struct pool *p)
{
    const char *mode = p->cfg->pool.ram_reclaim;
    if (p->launch->maps_file || mode == NULL || strcmp(mode, "off") == 0)
        return;
    char *cause = NULL;
    if (begin(p, strcmp(mode, "auto") == 0, &cause) != 0)
        log_warn("page cache: %s", cause);
    free(cause);
}

void pool_reclaim_finish(struct pool *p)
{
    task_destroy(p->reclaim_task);
    if (p->reclaim == NULL)
        return;
    free(p->reclaim->path);
    free(p->reclaim->error);
    free(p->reclaim);
}
