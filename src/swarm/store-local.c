/* Pieces that other files on this machine hold. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cause.h"
#include "base/log.h"
#include "base/mem.h"
#include "swarm/store-internal.h"

static int by_hash(const void *a, const void *b)
{
    const struct manifest_piece *const *x = a, *const *y = b;
    int c = memcmp((*x)->sha256, (*y)->sha256, MANIFEST_HASH);

    if (c != 0 || (*x)->size == (*y)->size)
        return c;
    return (*x)->size < (*y)->size ? -1 : 1;
}

/* Pointers to those of `from` that may be taken, in the order of their hashes. */
static const struct manifest_piece **sorted(const struct manifest *from, const struct bits *had, size_t *n)
{
    const struct manifest_piece **list = xcalloc(from->n_pieces + 1, sizeof(struct manifest_piece *));

    *n = 0;
    for (size_t i = 0; i < from->n_pieces; i++) {
        if (!had || bits_has(had, i))
            list[(*n)++] = &from->piece[i];
    }
    qsort(list, *n, sizeof(struct manifest_piece *), by_hash);
    return list;
}

struct store_source *store_source(struct store *s, const struct manifest *from, const struct bits *had, store_cb *done,
                                  void *arg, uint64_t *found)
{
    struct store_source *src = xcalloc(1, sizeof(*src));
    size_t n;
    const struct manifest_piece **list = sorted(from, had, &n);

    *src = (struct store_source){
        .store = s, .size = from->total_size, .fd = -1, .result = STORE_OK, .done = done, .arg = arg};
    src->match = xcalloc(s->manifest->n_pieces + 1, sizeof(*src->match));
    *found = 0;
    for (size_t i = 0; i < s->manifest->n_pieces; i++) {
        const struct manifest_piece *mine = &s->manifest->piece[i], **hit;

        if (bits_has(&s->share->have, i) || !bits_has(&s->want, i))
            continue;
        hit = bsearch(&mine, list, n, sizeof(struct manifest_piece *), by_hash);
        if (!hit)
            continue;
        src->match[src->n_matches++] = (struct store_match){.piece = i, .at = (*hit)->offset};
        *found += mine->size;
    }
    free(list);
    TAILQ_INSERT_TAIL(&s->sources, src, entry);
    return src;
}

void store_source_free(struct store_source *src)
{
    TAILQ_REMOVE(&src->store->sources, src, entry);
    if (src->path && src->fd >= 0)
        close(src->fd);
    free(src->match);
    free(src->path);
    free(src->why);
    free(src);
}

static void pump(struct store_source *src);

/* A piece that is not what the source's manifest says, or can't be read there, is fetched like any other. */
static void copied(void *arg, enum store_result result, const char *why)
{
    struct store_source *src = arg;

    src->under_way--;
    if (result == STORE_FULL && src->result == STORE_OK) {
        src->result = result;
        src->why = xstrdup(why);
    } else if (result != STORE_OK) {
        log_info("swarm: a piece of a local file is of no use: %s", why);
    }
    pump(src);
}

/* Some at a time: bytes that come from peers wait behind them. */
static void pump(struct store_source *src)
{
    struct store *s = src->store;
    size_t threads = crew_threads(s->crew), most = threads > 2 ? threads - 1 : threads;

    while (src->result == STORE_OK && src->next < src->n_matches && src->under_way < most) {
        const struct store_match *m = &src->match[src->next++];
        struct store_op *op = store_op(OP_COPY, copied, src);

        op->at = m->at;
        op->source = src->fd;
        src->under_way++;
        store_add_op(s, m->piece, op);
    }
    if (src->under_way > 0)
        return;
    src->done(src->arg, src->result, src->why ? src->why : "");
    store_source_free(src);
}

void store_source_start(struct store_source *src)
{
    pump(src);
}

static void open_work(void *arg)
{
    struct store_source *src = arg;
    struct stat st, mine;

    src->fd = open(src->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    src->result = STORE_FAILED;
    if (src->fd < 0 || fstat(src->fd, &st) != 0 || fstat(src->store->fd, &mine) != 0)
        cause_set(&src->why, "%s: could not be opened: %s", src->path, strerror(errno));
    else if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != src->size)
        cause_set(&src->why, "%s: is not what its manifest says", src->path);
    else if (st.st_dev == mine.st_dev && st.st_ino == mine.st_ino)
        cause_set(&src->why, "%s: is the file that is to be filled", src->path);
    else
        src->result = STORE_OK;
}

static void source_opened(void *arg)
{
    pump(arg);
}

void store_take_local(struct store *s, const struct manifest *from, const char *path, uint64_t *found, store_cb *done,
                      void *arg)
{
    struct store_source *src = store_source(s, from, NULL, done, arg, found);

    src->path = xstrdup(path);
    store_run(s, s->complete ? NULL : open_work, source_opened, src);
}
