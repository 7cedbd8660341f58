#include "swarm/needed.h"

#include <stdlib.h>
#include <string.h>

#include "base/cause.h"
#include "base/mem.h"

enum {
    HEAD_MAX = 1 << 30, /* bytes: no head is longer */
    LAYERS_MAX = 4096,
};

/* ---- what is asked for ---- */

static const char *number(const char *at, int *out)
{
    char *end;
    if (*at < '0' || *at > '9')
        return NULL;
    long n = strtol(at, &end, 10);
    *out = (int)n;
    return n < LAYERS_MAX ? end : NULL;
}

int needed_read(struct needed *n, const char *text, char **cause)
{
    static const char output[] = "output";
    const char *at = text;
    *n = (struct needed){.last = -1};
    if (strcmp(text, output) != 0) {
        at = number(at, &n->first);
        n->last = n->first;
        if (at != NULL && *at == '-')
            at = number(at + 1, &n->last);
        if (at == NULL || n->last < n->first || (*at != '\0' && *at != ','))
            goto wrong;
        if (*at == '\0')
            return 0;
        at++;
    }
    if (strcmp(at, output) != 0)
        goto wrong;
    n->output = true;
    return 0;
wrong:
    return cause_set(
        cause, "layers \"%.80s\": expected FIRST-LAST (from 0), as 0-15, or with the output layer, as 16-31,output",
        text);
}

int needed_check(const struct gguf *g, const struct needed *n, char **cause)
{
    bool none = n->last < n->first;
    if (g->n_layers < 1)
        return cause_set(cause, "the file does not say how many layers the model has");
    if (n->first < 0 || (none && !n->output))
        return cause_set(cause, "layers %d to %d: no such layers", n->first, n->last);
    if (!none && n->last >= g->n_layers)
        return cause_set(cause, "layers %d to %d: the model has %lld layers, 0 to %lld", n->first, n->last,
                         (long long)g->n_layers, (long long)g->n_layers - 1);
    return 0;
}

/* ---- tensors ---- */

static bool starts(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* The layer of "blk.7.attn_k.weight"; -1: of no layer. */
static long layer_of(const char *name)
{
    int layer;
    const char *end = starts(name, "blk.") ? number(name + 4, &layer) : NULL;
    return end != NULL && *end == '.' ? layer : -1;
}

static bool has_output(const struct gguf *g)
{
    for (size_t i = 0; i < g->n_tensors; i++) {
        if (strcmp(g->tensors[i].name, "output.weight") == 0)
            return true;
    }
    return false;
}

bool needed_tensor(const struct gguf *g, const struct gguf_tensor *t, const struct needed *n)
{
    long layer = layer_of(t->name);
    if (layer >= 0)
        return layer >= n->first && layer <= n->last;
    if (starts(t->name, "rope_")) /* factors that each layer reads */
        return n->last >= n->first;
    if (starts(t->name, "output") || starts(t->name, "cls") || starts(t->name, "dec.output"))
        return n->output;
    return n->output && strcmp(t->name, "token_embd.weight") == 0 && !has_output(g);
}

static void add_span(const struct manifest *m, uint64_t offset, uint64_t size, struct bits *want)
{
    size_t first, end;
    manifest_span(m, offset, size, &first, &end);
    for (size_t i = first; i < end; i++)
        bits_set(want, i, true);
}

void needed_pieces(const struct manifest *m, const struct gguf *g, const struct needed *n, struct bits *want)
{
    add_span(m, 0, g->data_start, want);
    for (size_t i = 0; i < g->n_tensors; i++) {
        if (needed_tensor(g, &g->tensors[i], n))
            add_span(m, g->tensors[i].offset, g->tensors[i].size, want);
    }
}

void needed_head(const struct manifest *m, struct bits *want)
{
    if (m->n_pieces > 0)
        bits_set(want, 0, true);
}

/* ---- on the crew ---- */

struct needed_search {
    struct manifest *manifest;
    char *path;
    struct bits have, want;
    struct needed needed;
    needed_cb *done;
    void *arg;
    bool cancelled; /* by the loop alone */
    /* found */
    bool ok, more;
    char *why;
};

static void search_free(void *data)
{
    struct needed_search *s = data;
    manifest_destroy(s->manifest);
    bits_finish(&s->have);
    bits_finish(&s->want);
    free(s->path);
    free(s->why);
    free(s);
}

/* Bytes from the start of the file that are here. */
static uint64_t front(const struct needed_search *s, size_t *pieces)
{
    uint64_t bytes = 0;
    size_t i = 0;
    for (; i < s->manifest->n_pieces && bits_has(&s->have, i); i++)
        bytes += s->manifest->piece[i].size;
    *pieces = i;
    return bytes;
}

/* What is not here yet reads as zeros: a head that was read to its end without reaching them is right, all else (a
 * file that is not sound, too) may be for want of more. */
static void search(void *data)
{
    struct needed_search *s = data;
    size_t pieces;
    uint64_t here = front(s, &pieces);
    char *cause = NULL;
    struct gguf *g = pieces > 0 ? gguf_open(s->path, &cause) : NULL;
    if (g != NULL && g->data_start <= here) {
        s->ok = needed_check(g, &s->needed, &s->why) == 0;
        if (s->ok)
            needed_pieces(s->manifest, g, &s->needed, &s->want);
    } else if (pieces < s->manifest->n_pieces && here < HEAD_MAX) {
        s->ok = s->more = true;
        for (size_t i = 0; i < 2 * pieces + 1; i++) /* bits_set knows where they end */
            bits_set(&s->want, i, true);
    } else {
        s->why = cause != NULL ? cause : xasprintf("%s: the head of the file can't be read", s->path);
        cause = NULL;
    }
    gguf_destroy(g);
    free(cause);
}

static void found(void *data)
{
    struct needed_search *s = data;
    if (!s->cancelled)
        s->done(s->arg, s->ok ? &s->want : NULL, s->more, s->why != NULL ? s->why : "");
    search_free(s);
}

struct needed_search *needed_find(struct crew *crew, struct manifest *m, const char *path, const struct bits *have,
                                  const struct needed *n, needed_cb *done, void *arg)
{
    struct needed_search *s = xcalloc(1, sizeof(*s));
    *s = (struct needed_search){
        .manifest = manifest_keep(m), .path = xstrdup(path), .needed = *n, .done = done, .arg = arg};
    bits_copy(&s->have, have);
    bits_init(&s->want, m->n_pieces);
    crew_add(crew, &(struct crew_job){.work = search, .done = found, .drop = search_free, .data = s});
    return s;
}

void needed_cancel(struct needed_search *s)
{
    if (s != NULL)
        s->cancelled = true;
}
