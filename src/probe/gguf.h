/* Reads the front of a GGUF file (versions 2 and 3, little-endian): metadata and tensor infos, never the weights.
 * Written after the format's description in ggml's docs/gguf.md; libllama is not needed.  Everything is checked against
 * the file's size before it is used, and no allocation is larger than what the file really holds. */
#ifndef TIGHTWAD_PROBE_GGUF_H
#define TIGHTWAD_PROBE_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    GGUF_DIMS_MAX = 4,
    GGUF_KVS_MAX = 8192,
    GGUF_TENSORS_MAX = 65536,
    GGUF_TEXT_KEPT = 4096, /* bytes that are kept of a string in the metadata */
    GGUF_INTS_KEPT = 4096, /* a longer array of numbers is not kept */
    GGUF_TYPES = 64,       /* tensor types have smaller numbers than this */
};

enum gguf_kind { GGUF_INT, GGUF_UINT, GGUF_FLOAT, GGUF_BOOL, GGUF_STRING, GGUF_ARRAY };

struct gguf_kv {
    char *key;
    enum gguf_kind kind;
    union {
        int64_t i;
        uint64_t u; /* GGUF_BOOL: 0 or 1 */
        double f;
    };
    char *text;    /* GGUF_STRING: its beginning, may hold any bytes but NUL (those are left out) */
    uint64_t len;  /* GGUF_STRING: bytes in the file; GGUF_ARRAY: elements */
    int64_t *ints; /* GGUF_ARRAY of len integers or booleans, at most GGUF_INTS_KEPT; else NULL */
};

struct gguf_tensor {
    char *name;
    uint32_t type; /* see gguf_tensor_type_name */
    uint32_t n_dims;
    uint64_t dims[GGUF_DIMS_MAX]; /* 1 where there is none */
    uint64_t offset;              /* bytes from the start of the file */
    uint64_t size;                /* bytes */
    uint64_t elements;
};

struct gguf {
    uint32_t version;
    uint64_t file_size;  /* bytes */
    uint64_t data_start; /* bytes from the start of the file */
    uint32_t alignment;
    struct gguf_kv *kvs;
    size_t n_kvs;
    struct gguf_tensor *tensors;
    size_t n_tensors;

    /* Taken from the above. */
    const char *architecture; /* never NULL; "" in the later parts of a split model, which need not say it */
    const char *name;         /* general.name, NULL: none */
    const char *license;      /* general.license, NULL: none */
    const char *file_type;    /* "Q4_K_M", NULL: not given or not known */
    int64_t n_layers, n_ctx_train, n_embd, n_heads, n_heads_kv, n_experts; /* -1: not given */
    uint64_t n_params;                                                     /* elements of all tensors */
    uint64_t tensor_bytes;                                                 /* of all tensors */
    uint64_t type_count[GGUF_TYPES];                                       /* tensors of each type */
    uint64_t type_bytes[GGUF_TYPES];
    const char *tokenizer;      /* tokenizer.ggml.model, NULL: none */
    int64_t n_vocab;            /* -1: no vocabulary in the file */
    char vocab_fingerprint[65]; /* SHA-256, hex; "" without a vocabulary */
    bool chat_template;
    int64_t n_splits; /* files that the model is split into, 1 normally */
};

/* NULL and a cause for a file that is not GGUF, is cut off, or is not sound.  Owned by the caller. */
struct gguf *gguf_open(const char *path, char **cause);
/* The same from memory. */
struct gguf *gguf_parse(const void *data, size_t len, char **cause);
void gguf_destroy(struct gguf *g);

const struct gguf_kv *gguf_get(const struct gguf *g, const char *key); /* NULL: not there */
int64_t gguf_get_int(const struct gguf *g, const char *key);           /* -1: not there, or not a number >= 0 */
const char *gguf_get_text(const struct gguf *g, const char *key);      /* NULL: not there */

#endif
