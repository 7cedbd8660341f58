#include "swarm/library.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/mem.h"
#include "probe/gguf.h"
#include "probe/models-here.h"
#include "swarm/manifest-make.h"

enum {
    SEARCH_MS = 10000, /* for the look into the folders */
    FOUND_MAX = 16,    /* models that are told of */
    HASHED_MAX = 8,    /* models that are hashed because they could hold something */
    WORTH = 20,        /* a model is hashed where pieces of the right size hold a part of this of what is wanted */
};

struct candidate {
    char *path;
    uint64_t could; /* bytes of m's pieces that are as large as some of it */
};

struct library_search {
    struct crew *crew;
    struct manifest *m; /* kept; the threads only read it */
    char **folders;
    size_t n_folders;
    library_cb *done;
    void *arg;

    /* The crew's, while busy; the loop's otherwise. */
    struct library_found found;
    struct candidate unknown[HASHED_MAX]; /* those that could hold most first */
    size_t n_unknown, next;
    struct library_item fresh; /* just made, to be compared */

    bool busy, cancelled;
    atomic_bool stop;
    struct manifest_making *making;
};

static void destroy(struct library_search *l)
{
    for (size_t i = 0; i < l->n_folders; i++)
        free(l->folders[i]);
    free(l->folders);
    for (size_t i = 0; i < l->n_unknown; i++)
        free(l->unknown[i].path);
    free(l->fresh.path);
    manifest_destroy(l->fresh.manifest);
    library_found_finish(&l->found);
    manifest_destroy(l->m);
    free(l);
}

void library_found_finish(struct library_found *f)
{
    for (size_t i = 0; i < f->n; i++) {
        free(f->item[i].path);
        manifest_destroy(f->item[i].manifest);
    }
    free(f->item);
    *f = (struct library_found){0};
}

/* ---- on a thread ---- */

static int by_hash(const void *a, const void *b)
{
    const struct manifest_piece *x = a, *y = b;
    return memcmp(x->sha256, y->sha256, MANIFEST_HASH);
}

static int by_size(const void *a, const void *b)
{
    const struct manifest_piece *x = a, *y = b;
    return x->size < y->size ? -1 : x->size > y->size;
}

/* Bytes of m's pieces that are among these, by that order. */
static uint64_t shared(const struct manifest *m, const struct manifest_piece *piece, size_t n,
                       int (*order)(const void *, const void *))
{
    struct manifest_piece *sorted = xmemdup(piece, n * sizeof(*piece));
    uint64_t bytes = 0;
    qsort(sorted, n, sizeof(*sorted), order);
    for (size_t i = 0; i < m->n_pieces; i++) {
        if (bsearch(&m->piece[i], sorted, n, sizeof(*sorted), order) != NULL)
            bytes += m->piece[i].size;
    }
    free(sorted);
    return bytes;
}

/* Takes path and manifest over. */
static void add_found(struct library_search *l, struct library_item item)
{
    size_t at = 0;
    item.bytes = shared(l->m, item.manifest->piece, item.manifest->n_pieces, by_hash);
    while (at < l->found.n && l->found.item[at].bytes >= item.bytes)
        at++;
    if (item.bytes == 0 || at == FOUND_MAX) {
        free(item.path);
        manifest_destroy(item.manifest);
        return;
    }
    if (l->found.n == FOUND_MAX) {
        l->found.n--;
        free(l->found.item[l->found.n].path);
        manifest_destroy(l->found.item[l->found.n].manifest);
    }
    if (l->found.item == NULL)
        l->found.item = xcalloc(FOUND_MAX, sizeof(*l->found.item));
    memmove(&l->found.item[at + 1], &l->found.item[at], (l->found.n - at) * sizeof(item));
    l->found.item[at] = item;
    l->found.n++;
}

static void add_unknown(struct library_search *l, const char *path, uint64_t could)
{
    size_t at = 0;
    while (at < l->n_unknown && l->unknown[at].could >= could)
        at++;
    if (at == HASHED_MAX)
        return;
    if (l->n_unknown == HASHED_MAX)
        free(l->unknown[--l->n_unknown].path);
    memmove(&l->unknown[at + 1], &l->unknown[at], (l->n_unknown - at) * sizeof(l->unknown[0]));
    l->unknown[at] = (struct candidate){.path = xstrdup(path), .could = could};
    l->n_unknown++;
}

/* A model of the same architecture that is cut into pieces of the same sizes may well be another version of it. */
static void judge(struct library_search *l, const char *path)
{
    struct gguf *g = gguf_open(path, NULL);
    size_t n = 0;
    if (g == NULL)
        return;
    bool same = l->m->architecture == NULL || strcmp(g->architecture, l->m->architecture) == 0;
    struct manifest_piece *piece = same ? manifest_cut(g, l->m->piece_size, &n) : NULL;
    uint64_t could = piece != NULL ? shared(l->m, piece, n, by_size) : 0;
    if (could > 0 && could >= l->m->total_size / WORTH)
        add_unknown(l, path, could);
    free(piece);
    gguf_destroy(g);
}

static bool take_path(void *arg, const char *path)
{
    struct library_search *l = arg;
    if (atomic_load(&l->stop))
        return false;
    struct manifest *m = manifest_stored(path);
    if (m != NULL)
        add_found(l, (struct library_item){.path = xstrdup(path), .manifest = m});
    else
        judge(l, path);
    return true;
}

static void work_scan(void *data)
{
    struct library_search *l = data;
    models_here_each(&(struct models_here){.folders = (const char *const *)l->folders,
                                           .n_folders = l->n_folders,
                                           .timeout_ms = SEARCH_MS,
                                           .stop = &l->stop},
                     take_path, l);
}

static void work_compare(void *data)
{
    struct library_search *l = data;
    add_found(l, l->fresh);
    l->fresh = (struct library_item){0};
}

/* ---- on the loop ---- */

static void on_drop(void *data)
{
    struct library_search *l = data;
    l->busy = false;
    if (l->cancelled)
        destroy(l);
}

static void go_on(void *data);

static void add_job(struct library_search *l, void (*work)(void *))
{
    l->busy = true;
    crew_add(l->crew, &(struct crew_job){.work = work, .done = go_on, .drop = on_drop, .data = l});
}

static void on_made(void *arg, struct manifest *m, uint64_t hashed, const char *why)
{
    struct library_search *l = arg;
    l->making = NULL;
    struct candidate *c = &l->unknown[l->next++];
    if (m == NULL) {
        log_debug("%s", why);
        go_on(l);
        return;
    }
    log_debug("%s: %" PRIu64 " bytes hashed", c->path, hashed);
    l->fresh = (struct library_item){.path = xstrdup(c->path), .manifest = m};
    add_job(l, work_compare);
}

/* The next one to hash, or the end. */
static void go_on(void *data)
{
    struct library_search *l = data;
    l->busy = false;
    if (l->cancelled) {
        destroy(l);
        return;
    }
    if (l->next < l->n_unknown) {
        l->making = manifest_make(l->crew, &(struct manifest_make_opts){.path = l->unknown[l->next].path}, on_made, l);
        return;
    }
    struct library_found found = l->found;
    l->found = (struct library_found){0};
    l->done(l->arg, &found);
    destroy(l);
}

struct library_search *library_find(struct crew *crew, struct manifest *m, const char *const *folders, size_t n_folders,
                                    library_cb *done, void *arg)
{
    struct library_search *l = xcalloc(1, sizeof(*l));
    *l = (struct library_search){.crew = crew, .m = manifest_keep(m), .done = done, .arg = arg};
    l->folders = xcalloc(n_folders + 1, sizeof(*l->folders));
    while (l->n_folders < n_folders) {
        l->folders[l->n_folders] = xstrdup(folders[l->n_folders]);
        l->n_folders++;
    }
    add_job(l, work_scan);
    return l;
}

void library_cancel(struct library_search *l)
{
    if (l == NULL)
        return;
    l->cancelled = true;
    atomic_store(&l->stop, true);
    manifest_making_cancel(l->making);
    l->making = NULL;
    if (!l->busy)
        destroy(l);
}
