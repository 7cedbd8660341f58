/* The beginning of a store, on the crew: what is there, whose it is, and the lock. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cause.h"
#include "base/mem.h"
#include "swarm/manifest-make.h"
#include "swarm/store-internal.h"
#include "swarm/store-io.h"
#include "swarm/store-part.h"

static int failed(struct store *s, int error, const char *doing)
{
    s->opening.call.result = store_part_error(s->dir_fd, s->part, error, doing, &s->opening.call.why);
    return -1;
}

#define FAIL(s, ...) ((s)->opening.call.result = STORE_FAILED, cause_set(&(s)->opening.call.why, __VA_ARGS__))

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

static int open_part(struct store *s, const char *name)
{
    struct store_call *c = &s->opening.call;

    c->result = store_part_open(s->dir_fd, name, s->part, &s->fd, &c->why);
    return c->result == STORE_OK ? 0 : -1;
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
    if (open_part(s, s->new_name) != 0)
        return -1;
    s->opening.replacing = true;
    return 0;
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

/* Of a process that was killed; who has the lock of the .part owns it.  As long as there is a .part.new it had not
 * replaced the .part, nor its map; with none a new map is that of the .part. */
static void clear_up(struct store *s)
{
    struct stat st;

    if (fstatat(s->dir_fd, s->new_name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        store_map_find_new(s->dir_fd, s->map_name);
        return;
    }
    store_map_drop_new(s->dir_fd, s->map_name); /* in that order */
    unlinkat(s->dir_fd, s->new_name, 0);
}

static int prepare(struct store *s)
{
    struct store_opening *o = &s->opening;
    struct bits had = {0};
    struct stat st;
    int rc = 0;
    bool mapped;

    clear_up(s);
    mapped = store_map_read(s->dir_fd, s->map_name, s->manifest, &had, &o->old);
    if (fstat(s->fd, &st) != 0) {
        rc = failed(s, errno, "could not be looked at");
    } else if (o->old && st.st_size == 0) { /* it was just made: the map is of one that is gone */
        manifest_destroy(o->old);
        o->old = NULL;
        bits_finish(&had);
        had = (struct bits){0};
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
    int rc;

    if (!manifest_name_ok(s->manifest->filename)) {
        FAIL(s, "the model's file name is not one that may be used here");
        return;
    }
    s->dir_fd = store_part_folder(s->dir, &s->opening.call.why);
    if (s->dir_fd < 0) {
        s->opening.call.result = STORE_FAILED;
        return;
    }
    store_look_room(s);
    rc = look_whole(s);
    if (rc == 0)
        rc = open_part(s, s->part_name);
    if (rc == 0)
        rc = look_whole(s); /* it may have landed while we came */
    if (rc == 0)
        prepare(s);
    else if (rc > 0)
        tidy(s);
}

/* Blocks of pieces that were under way when their process ended would count twice: as taken, and as room that is still
 * needed. */
static void release_rest(struct store *s)
{
    const struct manifest *m = s->manifest;

    for (size_t i = 0; i < m->n_pieces; i++) {
        if (!bits_has(&s->opening.good, i))
            store_io_release(s->fd, m->piece[i].offset, m->piece[i].size);
    }
    store_look_room(s);
}

void store_open_end(void *store)
{
    struct store *s = store;

    if (s->opening.whole) {
        if (s->opening.check.count > 0)
            store_part_save(s->manifest, s->path);
        return;
    }
    if (!s->opening.replacing && store_map_write(&s->map, s->dir_fd, s->map_name, s->manifest, &s->opening.good) != 0)
        failed(s, errno, "the map beside it could not be written");
    else
        release_rest(s);
}

/* Wherever this is ended, the next start (clear_up) finds a .part with the map that belongs to it. */
void store_open_settle(void *store)
{
    struct store *s = store;
    struct store_call *c = &s->settling;

    if (store_map_write_new(&s->map, s->dir_fd, s->map_name, s->manifest, &s->opening.good) != 0) {
        c->result = store_part_error(s->dir_fd, s->part, errno, "the map beside it could not be written", &c->why);
        return;
    }
    if (renameat(s->dir_fd, s->new_name, s->dir_fd, s->part_name) != 0) {
        c->result = store_part_error(s->dir_fd, s->part, errno, "could not be replaced", &c->why);
        return;
    }
    s->opening.replacing = false;
    if (fsync(s->dir_fd) != 0 || store_map_take_new(s->dir_fd, s->map_name) != 0)
        c->result = store_part_error(s->dir_fd, s->part, errno, "the map beside it could not be renamed", &c->why);
}
