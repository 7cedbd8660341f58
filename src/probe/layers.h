/* What a model asks of the devices that share it: the bytes of each layer, and of its part of the cache.  From the
 * file's own tensors and metadata; a model that is split into several files is read from all of them. */
#ifndef TIGHTWAD_PROBE_LAYERS_H
#define TIGHTWAD_PROBE_LAYERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct layer {
    uint64_t weights;   /* bytes of its tensors */
    uint64_t kv;        /* bytes of cache for each token in it, in half precision; 0: it has no attention */
    uint64_t state;     /* bytes for each sequence that do not grow with its length (recurrent layers) */
    bool sliding;       /* its attention looks back only `window` tokens */
    uint64_t n_tensors; /* tensors with weights */
};

struct layers {
    char *name;           /* of the model: general.name, else the file's */
    char *architecture;   /* never NULL */
    struct layer *list;   /* one a layer, in order */
    size_t n;             /* layers */
    uint64_t input;       /* bytes that stay in the memory of the process: the table of the tokens */
    uint64_t output;      /* bytes of the output layer; that table again where the model uses it for both */
    uint64_t tensors;     /* bytes of all tensors, each counted once */
    uint64_t window;      /* tokens; 0: none, or not known */
    int64_t n_embd, n_ff; /* -1: not given */
    int64_t n_heads;      /* the most of any layer; -1: not given */
    int64_t n_vocab;      /* -1: not given */
    int64_t n_ctx_train;  /* -1: not given */
    bool experts;         /* a mixture of experts */
};

/* NULL and a cause that names the file.  Blocks for as long as the heads of the files take to read.  Owned by the
 * caller. */
struct layers *layers_open(const char *path, char **cause);
void layers_destroy(struct layers *l);

/* How much of a request's cache a sliding layer keeps, in tokens: window + one pass of ubatch, rounded up as llama.cpp
 * does; at most ctx. */
uint64_t layers_window(const struct layers *l, uint64_t ctx, uint64_t ubatch);

#endif
