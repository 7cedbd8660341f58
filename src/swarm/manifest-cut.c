/* Where a model file is cut into pieces: at its tensors, so that the same tensors give the same pieces wherever in a
 * file they lie. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "swarm/manifest.h"

enum { NO_LAYER = -1, LAYER_MAX = 1 << 20 };

/* A tensor with the padding behind it. */
struct unit {
    uint64_t start, end;
    int layer;
};

struct cutting {
    struct manifest_piece *piece; /* NULL: they are counted */
    size_t n;
    uint64_t size;       /* of the largest */
    uint64_t start, end; /* of the piece that is being put together */
};

/* "blk.12.attn_q.weight": 12. */
static int layer_of(const char *name)
{
    char *end;
    if (strncmp(name, "blk.", 4) != 0 || !isdigit((unsigned char)name[4]))
        return NO_LAYER;
    unsigned long n = strtoul(name + 4, &end, 10);
    return *end == '.' && n < LAYER_MAX ? (int)n : NO_LAYER;
}

static int by_offset(const void *a, const void *b)
{
    const struct gguf_tensor *x = *(const struct gguf_tensor *const *)a, *y = *(const struct gguf_tensor *const *)b;
    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    if (x->size != y->size)
        return x->size < y->size ? -1 : 1; /* empty ones first: those that hold the bytes give the layer */
    return strcmp(x->name, y->name);
}

/* The tensors in the order of their offsets, each up to where the next begins; those without a byte of their own are
 * left out.  Owned by the caller. */
static struct unit *units_of(const struct gguf *g, size_t *n)
{
    const struct gguf_tensor **list = xcalloc(g->n_tensors + 1, sizeof(*list));
    struct unit *u = xcalloc(g->n_tensors + 1, sizeof(*u));
    for (size_t i = 0; i < g->n_tensors; i++)
        list[i] = &g->tensors[i];
    qsort(list, g->n_tensors, sizeof(*list), by_offset);
    *n = 0;
    for (size_t i = 0; i < g->n_tensors; i++) {
        uint64_t end = i + 1 < g->n_tensors ? list[i + 1]->offset : g->file_size;
        if (end > list[i]->offset)
            u[(*n)++] = (struct unit){.start = list[i]->offset, .end = end, .layer = layer_of(list[i]->name)};
    }
    free(list);
    return u;
}

/* What has been put together becomes a piece; where it is too large, several. */
static void flush(struct cutting *c)
{
    while (c->start < c->end) {
        uint64_t size = c->end - c->start < c->size ? c->end - c->start : c->size;
        if (c->piece != NULL)
            c->piece[c->n] = (struct manifest_piece){.offset = c->start, .size = size};
        c->n++;
        c->start += size;
    }
}

static void cut(struct cutting *c, const struct unit *u, size_t n, uint64_t total, bool at_layers)
{
    c->n = 0;
    c->start = 0;
    c->end = n > 0 ? u[0].start : total; /* the header */
    flush(c);
    for (size_t i = 0; i < n; i++) {
        bool border = i > 0 && at_layers && u[i].layer != u[i - 1].layer;
        if (border || u[i].end - c->start > c->size)
            flush(c);
        c->end = u[i].end;
        if (c->end - c->start > c->size)
            flush(c);
    }
    flush(c);
}

struct manifest_piece *manifest_cut(const struct gguf *g, uint64_t piece_size, size_t *n)
{
    struct cutting c = {.size = piece_size};
    size_t n_units;
    bool at_layers = true;
    if (g->file_size / piece_size >= MANIFEST_PIECES_MAX) {
        *n = 0;
        return NULL;
    }
    struct unit *u = units_of(g, &n_units);
    cut(&c, u, n_units, g->file_size, at_layers);
    if (c.n > MANIFEST_PIECES_MAX) /* layers without number */
        cut(&c, u, n_units, g->file_size, at_layers = false);
    if (c.n <= MANIFEST_PIECES_MAX) {
        c.piece = xcalloc(c.n, sizeof(*c.piece));
        cut(&c, u, n_units, g->file_size, at_layers);
    }
    free(u);
    *n = c.piece != NULL ? c.n : 0;
    return c.piece;
}
