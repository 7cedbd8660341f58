#include "probe/layers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cause.h"
#include "base/mem.h"
#include "probe/gguf.h"
#include "probe/parts.h"

enum {
    LAYERS_MAX = 4096,
    HALF = 2,         /* bytes of a number in the cache */
    SINGLE = 4,       /* bytes of a number in a recurrent layer's state */
    WINDOW_PAD = 256, /* llama.cpp rounds the cache of a window up to this many tokens */
};

/* How often a layer with full attention comes among those with a window: every n-th.  llama.cpp has these numbers in
 * its sources, for the files do not. */
static const struct {
    const char *architecture;
    size_t every;
} patterns[] = {{"cohere2", 4}, {"exaone4", 4}, {"gemma2", 2}, {"gemma3", 6}, {"gpt-oss", 2}, {"olmo2", 4}};

/* ---- metadata ---- */

static const struct gguf_kv *kv_of(const struct gguf *g, const char *leaf)
{
    char key[256];
    int n = snprintf(key, sizeof(key), "%s.%s", g->architecture, leaf);
    return n > 0 && (size_t)n < sizeof(key) ? gguf_get(g, key) : NULL;
}

/* A number that may be given once or for each layer; -1: not given. */
static int64_t number(const struct gguf *g, const char *leaf, size_t layer)
{
    const struct gguf_kv *kv = kv_of(g, leaf);
    if (kv == NULL)
        return -1;
    if (kv->kind == GGUF_ARRAY)
        return kv->ints != NULL && layer < kv->len && kv->ints[layer] >= 0 ? kv->ints[layer] : -1;
    return gguf_get_int(g, kv->key);
}

static int64_t number_or(const struct gguf *g, const char *leaf, size_t layer, int64_t otherwise)
{
    int64_t v = number(g, leaf, layer);
    return v >= 0 ? v : otherwise;
}

/* The largest of those of all layers. */
static int64_t largest(const struct gguf *g, const char *leaf, size_t n)
{
    int64_t most = -1;
    for (size_t i = 0; i < n; i++) {
        int64_t v = number(g, leaf, i);
        if (v > most)
            most = v;
    }
    return most;
}

static bool is_sliding(const struct gguf *g, size_t layer)
{
    const struct gguf_kv *kv = kv_of(g, "attention.sliding_window_pattern");
    if (kv != NULL && kv->kind == GGUF_ARRAY)
        return kv->ints != NULL && layer < kv->len && kv->ints[layer] != 0;
    int64_t given = kv != NULL ? gguf_get_int(g, kv->key) : -1;
    size_t every = given > 0 ? (size_t)given : 0;
    for (size_t i = 0; i < ARRAY_LEN(patterns) && every == 0; i++) {
        if (strcmp(patterns[i].architecture, g->architecture) == 0)
            every = patterns[i].every;
    }
    return every > 0 && layer % every != every - 1;
}

/* ---- tensors ---- */

/* The layer of "blk.7.attn_k.weight" and what follows its number; -1: of no layer. */
static long layer_of(const char *name, const char **rest)
{
    char *end;
    if (strncmp(name, "blk.", 4) != 0 || name[4] < '0' || name[4] > '9')
        return -1;
    long layer = strtol(name + 4, &end, 10);
    if (*end != '.' || layer >= LAYERS_MAX)
        return -1;
    *rest = end + 1;
    return layer;
}

static bool starts(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* What the walk over the tensors finds out beside the sums. */
struct seen {
    uint64_t token_table; /* bytes of token_embd.weight */
    bool output;          /* the model has an output matrix of its own */
    bool *attention, *recurrent;
};

static void take_tensor(struct layers *l, struct seen *s, const struct gguf_tensor *t)
{
    const char *rest;
    long layer = layer_of(t->name, &rest);
    l->tensors += t->size;
    if (layer >= 0 && (size_t)layer < l->n) {
        l->list[layer].weights += t->size;
        l->list[layer].n_tensors++;
        s->attention[layer] |= starts(rest, "attn_k") || starts(rest, "attn_qkv") || starts(rest, "attn_kv");
        s->recurrent[layer] |= starts(rest, "ssm_") || starts(rest, "time_mix") || starts(rest, "shortconv");
    } else if (starts(t->name, "output") || starts(t->name, "cls") || starts(t->name, "dec.output")) {
        l->output += t->size;
        s->output |= strcmp(t->name, "output.weight") == 0;
    } else {
        l->input += t->size;
        if (strcmp(t->name, "token_embd.weight") == 0) {
            s->token_table = t->size;
            if (l->n_vocab < 0 && t->n_dims >= 2)
                l->n_vocab = (int64_t)t->dims[1];
        }
    }
}

/* Bytes of one token in the layer's cache: a key and a value for each of its heads.  A model with latent attention
 * gives the length of the latent as that of its one head. */
static uint64_t kv_bytes(const struct gguf *g, size_t layer)
{
    int64_t heads = number_or(g, "attention.head_count", layer, 0);
    int64_t heads_kv = number_or(g, "attention.head_count_kv", layer, heads);
    int64_t one = heads > 0 && g->n_embd > 0 ? g->n_embd / heads : 0;
    int64_t key = number_or(g, "attention.key_length", layer, one);
    int64_t value = number_or(g, "attention.value_length", layer, one);
    uint64_t sum;
    if (__builtin_add_overflow((uint64_t)key, (uint64_t)value, &sum) ||
        __builtin_mul_overflow(sum, (uint64_t)heads_kv * HALF, &sum))
        return UINT64_MAX / LAYERS_MAX / 2;
    return sum;
}

/* Bytes of a recurrent layer's state: the convolution's last inputs and the state proper. */
static uint64_t state_bytes(const struct gguf *g, size_t layer)
{
    int64_t conv = number_or(g, "ssm.conv_kernel", layer, 1), inner = number_or(g, "ssm.inner_size", layer, g->n_embd);
    int64_t state = number_or(g, "ssm.state_size", layer, 1), groups = number_or(g, "ssm.group_count", layer, 0);
    double bytes = ((double)(conv > 0 ? conv - 1 : 0) * ((double)inner + 2.0 * (double)groups * (double)state) +
                    (double)state * (double)inner) *
                   SINGLE;
    return bytes > 0 && bytes < 1e15 ? (uint64_t)bytes : 0;
}

static void describe_layers(struct layers *l, const struct gguf *g, const struct seen *s)
{
    for (size_t i = 0; i < l->n; i++) {
        struct layer *y = &l->list[i];
        /* Tensors of unknown names: a cache that is too large in the plan is better than one that is left out. */
        if (s->attention[i] || !s->recurrent[i])
            y->kv = y->n_tensors > 0 ? kv_bytes(g, i) : 0;
        if (s->recurrent[i])
            y->state = state_bytes(g, i);
        y->sliding = l->window > 0 && is_sliding(g, i);
    }
    if (!s->output)
        l->output += s->token_table;
}

/* ---- files ---- */

/* "model-00002-of-00003.gguf" for part 1 of "model-00001-of-00003.gguf"; NULL when the name is not of that form.  Owned
 * by the caller. */
static char *part_path(const char *path, int64_t part, int64_t parts)
{
    int own;
    return parts_of(path, &own) == parts && own == 1 ? parts_path(path, (int)part + 1) : NULL;
}

static int take_parts(struct layers *l, struct seen *s, const struct gguf *first, const char *path, char **cause)
{
    for (size_t i = 0; i < first->n_tensors; i++)
        take_tensor(l, s, &first->tensors[i]);
    for (int64_t part = 1; part < first->n_splits; part++) {
        char *at = part_path(path, part, first->n_splits);
        if (at == NULL) {
            return cause_set(cause,
                             "%s: the model is split into %lld files; name the first, whose name ends in "
                             "-00001-of-%05lld.gguf",
                             path, (long long)first->n_splits, (long long)first->n_splits);
        }
        struct gguf *g = gguf_open(at, cause);
        free(at);
        if (g == NULL)
            return -1;
        for (size_t i = 0; i < g->n_tensors; i++)
            take_tensor(l, s, &g->tensors[i]);
        gguf_destroy(g);
    }
    return 0;
}

static char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return xstrdup(slash != NULL ? slash + 1 : path);
}

struct layers *layers_open(const char *path, char **cause)
{
    struct gguf *g = gguf_open(path, cause);
    if (g == NULL)
        return NULL;
    if (g->n_layers < 1 || g->n_layers > LAYERS_MAX) {
        cause_set(cause, "%s: the file does not say how many layers the model has", path);
        gguf_destroy(g);
        return NULL;
    }
    struct layers *l = xcalloc(1, sizeof(*l));
    struct seen s = {0};
    l->n = (size_t)g->n_layers;
    l->list = xcalloc(l->n, sizeof(*l->list));
    s.attention = xcalloc(l->n, sizeof(bool));
    s.recurrent = xcalloc(l->n, sizeof(bool));
    l->name = g->name != NULL ? xstrdup(g->name) : file_name(path);
    l->architecture = xstrdup(g->architecture);
    l->n_embd = g->n_embd;
    l->n_ff = largest(g, "feed_forward_length", l->n);
    l->n_heads = largest(g, "attention.head_count", l->n);
    l->n_vocab = g->n_vocab;
    l->n_ctx_train = g->n_ctx_train;
    l->experts = g->n_experts > 0;
    int64_t window = number(g, "attention.sliding_window", 0);
    l->window = window > 0 ? (uint64_t)window : 0;
    int rc = take_parts(l, &s, g, path, cause);
    describe_layers(l, g, &s);
    free(s.attention);
    free(s.recurrent);
    gguf_destroy(g);
    if (rc == 0)
        return l;
    layers_destroy(l);
    return NULL;
}

void layers_destroy(struct layers *l)
{
    if (l == NULL)
        return;
    free(l->list);
    free(l->name);
    free(l->architecture);
    free(l);
}

uint64_t layers_window(const struct layers *l, uint64_t ctx, uint64_t ubatch)
{
    uint64_t n = (l->window + ubatch + WINDOW_PAD - 1) / WINDOW_PAD * WINDOW_PAD;
    return l->window == 0 || n > ctx ? ctx : n;
}
