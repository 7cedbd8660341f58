#include "swarm/hashing.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "base/cause.h"
#include "base/mem.h"

enum {
    BLOCK = 256 << 10, /* bytes read at once: they stay in the processor's cache until they are hashed */
    AHEAD = 4 << 20,   /* bytes that the kernel is told of in advance */
};

struct hashing {
    struct crew *crew;
    int fd;
    struct manifest_piece *piece;
    size_t n, next, under_way;
    char *why;
    atomic_bool stop;
    atomic_uint_fast64_t bytes;
    bool cancelled;
    hashing_done_cb *done;
    void *arg;
};

struct job {
    struct hashing *h; /* the thread reads fd, and stop and bytes, which are atomic */
    size_t index;
    uint64_t offset, size;
    uint8_t sum[MANIFEST_HASH];
    char *why;
};

/* All of [at, at + n) into data; false and the job's why. */
static bool read_block(struct job *j, uint64_t at, uint8_t *data, size_t n)
{
    for (size_t have = 0; have < n;) {
        ssize_t got = pread(j->h->fd, data + have, n - have, (off_t)(at + have));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            cause_set(&j->why, "can't read it: %s", strerror(errno));
        if (got == 0)
            cause_set(&j->why, "it ends at byte %" PRIu64 ": cut off, or it has become shorter", at + have);
        if (got <= 0)
            return false;
        have += (size_t)got;
    }
    return true;
}

static bool hash_range(struct job *j, EVP_MD_CTX *md)
{
    size_t block = j->size < BLOCK ? (size_t)j->size : BLOCK;
    uint8_t *data = xmalloc(block);
    uint64_t at = 0;
    while (at < j->size && !atomic_load(&j->h->stop)) {
        size_t n = j->size - at < block ? (size_t)(j->size - at) : block;
        if (at % AHEAD == 0) {
            uint64_t from = at == 0 ? 0 : at + AHEAD; /* the first time two steps, later the one after the next */
            posix_fadvise(j->h->fd, (off_t)(j->offset + from), at == 0 ? 2 * AHEAD : AHEAD, POSIX_FADV_WILLNEED);
        }
        if (!read_block(j, j->offset + at, data, n))
            break;
        if (EVP_DigestUpdate(md, data, n) != 1)
            abort();
        at += n;
        atomic_fetch_add(&j->h->bytes, n);
    }
    free(data);
    return at == j->size;
}

static void work(void *data)
{
    struct job *j = data;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    if (md == NULL || EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1)
        abort(); /* out of memory, or libcrypto without SHA-256 */
    if (hash_range(j, md) && EVP_DigestFinal_ex(md, j->sum, NULL) != 1)
        abort();
    EVP_MD_CTX_free(md);
}

static void destroy(struct hashing *h)
{
    close(h->fd);
    free(h->why);
    free(h);
}

static void finish_job(struct job *j)
{
    j->h->under_way--;
    free(j->why);
    free(j);
}

static void on_drop(void *data)
{
    struct job *j = data;
    struct hashing *h = j->h;
    finish_job(j);
    if (h->cancelled && h->under_way == 0)
        destroy(h);
}

static void add_jobs(struct hashing *h);

static void on_done(void *data)
{
    struct job *j = data;
    struct hashing *h = j->h;
    if (j->why != NULL && h->why == NULL) {
        h->why = j->why;
        j->why = NULL;
        atomic_store(&h->stop, true);
    } else if (!h->cancelled) {
        memcpy(h->piece[j->index].sha256, j->sum, MANIFEST_HASH);
    }
    finish_job(j);
    if (!h->cancelled && h->why == NULL)
        add_jobs(h);
    if (h->under_way > 0)
        return;
    if (!h->cancelled)
        h->done(h->arg, h->why);
    destroy(h);
}

/* One more than there are threads, so that none of them waits for the loop. */
static void add_jobs(struct hashing *h)
{
    while (h->next < h->n && h->under_way <= crew_threads(h->crew)) {
        struct job *j = xcalloc(1, sizeof(*j));
        *j = (struct job){.h = h, .index = h->next, .offset = h->piece[h->next].offset, .size = h->piece[h->next].size};
        h->next++;
        h->under_way++;
        crew_add(h->crew, &(struct crew_job){.work = work, .done = on_done, .drop = on_drop, .data = j});
    }
}

struct hashing *hashing_start(struct crew *crew, int fd, struct manifest_piece *piece, size_t n, hashing_done_cb *done,
                              void *arg)
{
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (own < 0)
        return NULL;
    struct hashing *h = xcalloc(1, sizeof(*h));
    *h = (struct hashing){.crew = crew, .fd = own, .piece = piece, .n = n, .done = done, .arg = arg};
    add_jobs(h);
    return h;
}

uint64_t hashing_bytes(const struct hashing *h)
{
    return atomic_load(&h->bytes);
}

void hashing_cancel(struct hashing *h)
{
    if (h == NULL)
        return;
    h->cancelled = true;
    atomic_store(&h->stop, true);
    if (h->under_way == 0)
        destroy(h);
}
