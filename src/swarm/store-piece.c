/* A piece on the crew: written in whatever order its bytes come, hashed as far as it is there from its start. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "swarm/store-internal.h"
#include "swarm/store-io.h"
#include "swarm/store-part.h"

static const struct manifest_piece *entry_of(const struct store *s, const struct store_piece *p)
{
    return &s->manifest->piece[p->index];
}

static int file_of(const struct store *s)
{
    return s->fd >= 0 ? s->fd : s->share->fd;
}

static void forget(struct store_piece *p)
{
    free(p->range);
    p->range = NULL;
    p->n_ranges = 0;
    EVP_MD_CTX_free(p->hash);
    p->hash = NULL;
    p->hashed = 0;
    p->full = false;
}

void store_piece_finish(struct store_piece *p)
{
    forget(p);
}

static bool covered(const struct store *s, const struct store_piece *p)
{
    return p->n_ranges == 1 && p->range[0].from == 0 && p->range[0].to == entry_of(s, p)->size;
}

/* The ranges from the first to the last that [from, to) overlaps or touches become one with it. */
static void add_range(struct store_piece *p, uint64_t from, uint64_t to)
{
    size_t first = 0, end;

    while (first < p->n_ranges && p->range[first].to < from)
        first++;
    for (end = first; end < p->n_ranges && p->range[end].from <= to; end++) {
        from = p->range[end].from < from ? p->range[end].from : from;
        to = p->range[end].to > to ? p->range[end].to : to;
    }
    if (end == first) {
        p->range = xreallocarray(p->range, p->n_ranges + 1, sizeof(*p->range));
        memmove(&p->range[first + 1], &p->range[first], (p->n_ranges - first) * sizeof(*p->range));
        p->n_ranges++;
    } else {
        memmove(&p->range[first + 1], &p->range[end], (p->n_ranges - end) * sizeof(*p->range));
        p->n_ranges -= end - first - 1;
    }
    p->range[first] = (struct store_range){from, to};
}

/* The next part of [from, to) that is not written yet. */
static bool next_gap(const struct store_piece *p, uint64_t from, uint64_t to, struct store_range *gap)
{
    for (size_t i = 0; i < p->n_ranges && from < to; i++) {
        if (p->range[i].to <= from)
            continue;
        if (p->range[i].from > from) {
            *gap = (struct store_range){from, p->range[i].from < to ? p->range[i].from : to};
            return true;
        }
        from = p->range[i].to;
    }
    *gap = (struct store_range){from, to};
    return from < to;
}

static void hash_begin(struct store_piece *p)
{
    if (p->hash)
        return;
    p->hash = EVP_MD_CTX_new();
    if (!p->hash || EVP_DigestInit_ex(p->hash, EVP_sha256(), NULL) != 1)
        abort(); /* no memory */
}

/* Hashes what is written behind the hashed part without a gap: bytes that came before those that they follow.  What
 * could not be read has left the hash in between: it begins anew. */
static int hash_on(struct store *s, struct store_piece *p)
{
    uint64_t start = entry_of(s, p)->offset;

    if (p->n_ranges == 0 || p->range[0].from > 0 || p->range[0].to <= p->hashed)
        return 0;
    hash_begin(p);
    if (store_io_hash(p->hash, file_of(s), start + p->hashed, start + p->range[0].to, &s->stop) != 0) {
        EVP_MD_CTX_free(p->hash);
        p->hash = NULL;
        p->hashed = 0;
        return -1;
    }
    p->hashed = p->range[0].to;
    return 0;
}

/* What was written once is not written again, as it may be hashed already: of two senders the first counts. */
static int write_gaps(struct store *s, struct store_piece *p, const struct store_op *op)
{
    uint64_t start = entry_of(s, p)->offset, end = op->at + op->len;
    struct store_range gap;

    while (next_gap(p, op->at, end, &gap)) {
        const char *data = (const char *)op->data + (gap.from - op->at);
        size_t len = (size_t)(gap.to - gap.from);

        if (store_io_write(s->fd, data, len, start + gap.from) != 0)
            return -1;
        if (gap.from == p->hashed) {
            hash_begin(p);
            EVP_DigestUpdate(p->hash, data, len);
            p->hashed = gap.to;
        }
        add_range(p, gap.from, gap.to);
    }
    return hash_on(s, p);
}

static void write_op(struct store *s, struct store_piece *p, struct store_op *op)
{
    const struct manifest_piece *e = entry_of(s, p);
    int rc = 0;

    if (p->had)
        return;
    if (op->at > e->size || op->len > e->size - op->at) {
        op->result = STORE_FAILED;
        op->why = xasprintf("%s: bytes that lie outside piece %zu", s->part, p->index);
        return;
    }
    if (!p->reserved)
        rc = store_io_reserve(s->fd, e->offset, e->size);
    if (rc == 0) {
        p->reserved = true;
        rc = write_gaps(s, p, op);
    }
    if (rc != 0)
        op->result = store_part_error(s->dir_fd, s->part, errno, "could not be written", &op->why);
    /* Until the piece is whole: a smaller write that still fits changes nothing. */
    p->full |= op->result == STORE_FULL;
}

/* The whole piece is written: is it right?  What can't be read is of no use: it is to be written anew. */
static void judge(struct store *s, struct store_piece *p, struct store_op *op)
{
    uint8_t hash[EVP_MAX_MD_SIZE];

    if (hash_on(s, p) != 0) {
        op->result = store_part_error(s->dir_fd, s->part, errno, "could not be read", &op->why);
        forget(p);
        return;
    }
    EVP_DigestFinal_ex(p->hash, hash, NULL);
    p->had = memcmp(hash, entry_of(s, p)->sha256, MANIFEST_HASH) == 0;
    forget(p);
    if (!p->had) {
        op->result = STORE_CORRUPT;
        op->why = xasprintf("%s: piece %zu is not what its hash says", s->part, p->index);
    }
}

static void check_op(struct store *s, struct store_piece *p, struct store_op *op)
{
    if (p->had)
        return;
    if (!covered(s, p)) {
        op->result = p->full ? STORE_FULL : STORE_FAILED;
        op->why = xasprintf("%s: bytes of piece %zu are missing", s->part, p->index);
        return;
    }
    p->full = false;
    judge(s, p, op);
    op->had = p->had;
    /* The map is a hint: where it can't be written the piece is here all the same. */
    if (p->had)
        store_map_note(&s->map, p->index, true);
}

static void verify_op(struct store *s, struct store_piece *p, struct store_op *op)
{
    forget(p);
    add_range(p, 0, entry_of(s, p)->size);
    judge(s, p, op);
    op->had = p->had;
}

/* Bytes of a peer go before: they are under way. */
static void copy_op(struct store *s, struct store_piece *p, struct store_op *op)
{
    const struct manifest_piece *e = entry_of(s, p);

    if (p->had || p->n_ranges > 0)
        return;
    if (store_io_copy(s->fd, e->offset, op->source, op->at, e->size, &s->stop) != 0) {
        op->result = store_part_error(s->dir_fd, s->part, errno, "could not be copied into", &op->why);
        return;
    }
    add_range(p, 0, e->size);
    check_op(s, p, op);
}

void store_piece_run(struct store *s, struct store_piece *p, struct store_op *op)
{
    static void (*const run[])(struct store * s, struct store_piece * p, struct store_op * op) = {
        [OP_WRITE] = write_op,
        [OP_CHECK] = check_op,
        [OP_VERIFY] = verify_op,
        [OP_COPY] = copy_op,
    };

    if (op->kind == OP_FORGET)
        forget(p);
    else
        run[op->kind](s, p, op);
}
