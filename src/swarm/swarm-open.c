/* The second step of a pull: what is here of it already, in a .part and in local models, and what that leaves. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "swarm/swarm-pull.h"

/* Missing pieces by their hashes: open addressing by the hash's own first bytes. */
struct missing {
    uint32_t *slot; /* piece + 1, 0: free */
    size_t mask;
    struct bits found;
};

static size_t first_slot(const struct missing *t, const uint8_t *hash)
{
    uint64_t word;
    memcpy(&word, hash, sizeof(word));
    return word & t->mask;
}

static void missing_init(struct missing *t, const struct swarm_pull *p, const struct share *here)
{
    const struct manifest *m = p->m;
    size_t size = 16;
    while (size < 4 * m->n_pieces)
        size *= 2;
    *t = (struct missing){.slot = xcalloc(size, sizeof(*t->slot)), .mask = size - 1};
    bits_init(&t->found, m->n_pieces);
    for (size_t i = 0; i < m->n_pieces; i++) {
        if (bits_has(&here->have, i) || (p->layers && !bits_has(&p->want, i)))
            continue;
        size_t at = first_slot(t, m->piece[i].sha256);
        while (t->slot[at] != 0)
            at = (at + 1) & t->mask;
        t->slot[at] = (uint32_t)i + 1;
    }
}

/* All missing pieces of that hash and size; there are several where a model repeats itself. */
static void missing_find(struct missing *t, const struct manifest *m, const struct manifest_piece *piece)
{
    for (size_t at = first_slot(t, piece->sha256); t->slot[at] != 0; at = (at + 1) & t->mask) {
        const struct manifest_piece *mine = &m->piece[t->slot[at] - 1];
        if (mine->size == piece->size && memcmp(mine->sha256, piece->sha256, MANIFEST_HASH) == 0)
            bits_set(&t->found, t->slot[at] - 1, true);
    }
}

/* Bytes of missing pieces that the local models have. */
static uint64_t local_bytes(const struct swarm_pull *p, const struct share *here)
{
    struct missing t;
    uint64_t bytes = 0;
    if (p->found.n == 0)
        return 0;
    missing_init(&t, p, here);
    for (size_t i = 0; i < p->found.n; i++) {
        const struct manifest *from = p->found.item[i].manifest;
        for (size_t k = 0; k < from->n_pieces; k++)
            missing_find(&t, p->m, &from->piece[k]);
    }
    for (size_t i = 0; i < p->m->n_pieces; i++)
        bytes += bits_has(&t.found, i) ? p->m->piece[i].size : 0;
    free(t.slot);
    bits_finish(&t.found);
    return bytes;
}

static void estimate(struct swarm_pull *p, struct swarm_estimate *e)
{
    const struct manifest *m = p->m;
    const struct share *here = store_share(p->store);
    uint64_t missing;
    *e = (struct swarm_estimate){.size = m->total_size, .local = local_bytes(p, here)};
    store_room(p->store, &missing, &e->room);
    for (size_t i = 0; i < m->n_pieces; i++)
        e->have += bits_has(&here->have, i) && (!p->layers || bits_has(&p->want, i)) ? m->piece[i].size : 0;
    e->fetch = missing - (e->local < missing ? e->local : missing);
}

static void copy_next(struct swarm_pull *p);

static uint64_t bytes_here(const struct swarm_pull *p)
{
    const struct share *h = p->item->share;
    uint64_t bytes = 0;
    for (size_t i = 0; i < p->m->n_pieces; i++)
        bytes += bits_has(&h->have, i) ? p->m->piece[i].size : 0;
    return bytes;
}

/* What could not be copied is fetched: no reason to end. */
static void on_copied(void *arg, enum store_result result, const char *why)
{
    struct swarm_pull *p = arg;
    if (result != STORE_OK)
        log_warn("swarm: %s: not all could be taken from %s: %s", p->m->filename, p->found.item[p->found_at].path, why);
    p->copied += bytes_here(p) - p->before_copy; /* nothing else fills it meanwhile */
    p->found_at++;
    pull_then(p, copy_next);
}

static void copy_next(struct swarm_pull *p)
{
    uint64_t promised;
    p->phase = PULL_COPYING;
    if (p->found_at >= p->found.n) {
        pull_fetch(p);
        return;
    }
    const struct library_item *from = &p->found.item[p->found_at];
    p->before_copy = bytes_here(p);
    store_take_local(p->item->store, from->manifest, from->path, &promised, on_copied, p);
}

static void take_store(struct swarm_pull *p)
{
    p->item = swarm_item_add(p->swarm, store_share(p->store), p->store);
    p->item->pull = p;
    p->store = NULL;
    copy_next(p);
}

static void on_settled(void *arg, enum store_result result, const char *why)
{
    struct swarm_pull *p = arg;
    if (result == STORE_OK)
        pull_then(p, take_store);
    else
        pull_end(p, false, NULL, why);
}

/* While the head is read, which layers need what is not known, nor what it takes: another model's .part stays. */
static void begin(struct swarm_pull *p)
{
    struct swarm_estimate e;
    char *why = NULL;
    estimate(p, &e);
    if (!p->head && p->calls.on_estimate != NULL && !p->calls.on_estimate(p->calls.arg, p->m, &e, &why)) {
        store_discard(p->store, false);
        pull_end(p, false, NULL, why != NULL ? why : "what it would have taken was not wanted");
        free(why);
        return;
    }
    if (p->head)
        take_store(p);
    else
        store_settle(p->store, on_settled, p);
}

static void on_library(void *arg, struct library_found *found)
{
    struct swarm_pull *p = arg;
    p->library = NULL;
    p->found = *found;
    p->compared = true;
    p->found_at = 0;
    pull_then(p, begin);
}

static void opened(struct swarm_pull *p)
{
    struct swarm *s = p->swarm;
    if (store_complete(p->store)) {
        p->item = swarm_item_add(s, store_share(p->store), p->store);
        p->item->pull = p;
        p->store = NULL;
        pull_end(p, true, store_path(p->item->store), "");
        return;
    }
    if (p->no_local || p->head || p->compared || bits_full(&store_share(p->store)->have)) {
        begin(p);
        return;
    }
    const char **folders = xcalloc(s->n_folders + 1, sizeof(*folders));
    folders[0] = p->dir;
    for (size_t i = 0; i < s->n_folders; i++)
        folders[i + 1] = s->folders[i];
    p->phase = PULL_COMPARING;
    p->library = library_find(s->crew, p->m, folders, s->n_folders + 1, on_library, p);
    free(folders);
}

static void on_open(void *arg, enum store_result result, const char *why)
{
    struct swarm_pull *p = arg;
    if (result == STORE_OK)
        pull_then(p, opened);
    else
        pull_end(p, false, NULL, why);
}

void pull_open(struct swarm_pull *p)
{
    struct swarm *s = p->swarm;
    struct swarm_item *item = swarm_item_of(s, p->m->id);
    if (item != NULL && item->pull != NULL && item->pull != p) {
        pull_end(p, false, NULL, "it is being pulled already");
        return;
    }
    if (item != NULL && bits_full(&item->share->have) && item->pull == NULL) {
        pull_end(p, true, item->share->path, "");
        return;
    }
    if (p->dir == NULL) {
        pull_end(p, false, NULL, "there is no home to put models in: name a folder");
        return;
    }
    if (item != NULL)
        swarm_item_remove(item);
    p->item = NULL;
    if (p->layers && p->want.n == 0) {
        bits_init(&p->want, p->m->n_pieces);
        needed_head(p->m, &p->want);
        p->head = true;
    }
    p->phase = PULL_OPENING;
    const struct store_opts o = {.dir = p->dir, .want = p->layers ? &p->want : NULL};
    p->store = store_open(s->base, s->crew, p->m, &o, on_open, p);
}
