/* The end of a store, on the crew: from MODEL.gguf.part to MODEL.gguf. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/cause.h"
#include "base/log.h"
#include "base/mem.h"
#include "swarm/manifest-make.h"
#include "swarm/store-internal.h"
#include "swarm/store-io.h"

static void save_manifest(const struct store *s)
{
    char *cause = NULL, *path = manifest_path(s->path);

    if (manifest_save(s->manifest, path, &cause) != 0)
        log_warn("swarm: %s", cause);
    manifest_note(s->manifest, s->path);
    free(cause);
    free(path);
}

void store_land_work(void *store)
{
    struct store *s = store;
    struct store_call *l = &s->landing;

    if (fdatasync(s->fd) != 0) {
        /* The kernel gives up pages that it could not write, and keeps them looking written: the next start reads what
         * is really on the disk. */
        int error = errno;

        posix_fadvise(s->fd, 0, 0, POSIX_FADV_DONTNEED);
        l->result = store_error(s, error, "could not be put on the disk", &l->why);
        if (l->result == STORE_FULL)
            l->result = STORE_FAILED;
        return;
    }
    if (store_io_rename(s->dir_fd, s->part_name, s->manifest->filename) != 0) {
        l->result = STORE_FAILED;
        if (errno == EEXIST)
            cause_set(&l->why, STORE_OTHER_FILE, s->path);
        else
            cause_set(&l->why, "%s: could not be renamed: %s", s->part, strerror(errno));
        return;
    }
    fsync(s->dir_fd);
    unlinkat(s->dir_fd, s->map_name, 0);
    save_manifest(s);
    flock(s->fd, LOCK_UN);
}
