#include "probe/gguf.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "base/cause.h"
#include "base/mem.h"
#include "probe/gguf-read.h"
#include "probe/gguf-type.h"

/* Value types of the metadata, as the file numbers them. */
enum { V_U8, V_I8, V_U16, V_I16, V_U32, V_I32, V_F32, V_BOOL, V_STRING, V_ARRAY, V_U64, V_I64, V_F64, V_TYPES };

static const uint8_t value_bytes[V_TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

enum {
    KEY_MAX = 65535,        /* bytes, by the format's description */
    TENSOR_NAME_MAX = 1024, /* bytes of a tensor's name; the description says 64 */
};

static const char tokens_key[] = "tokenizer.ggml.tokens";

struct parser {
    struct gguf *g;
    struct gguf_reader r;
    char **cause;
};

/* The reader's own problem, if it has one, else what. */
static bool fail(struct parser *p, const char *what)
{
    cause_set(p->cause, "%s", p->r.problem ? p->r.problem : what);
    return false;
}

/* A string of at most max bytes; *text holds keep of them (NULs left out), owned by the caller. */
static bool read_text(struct parser *p, uint64_t max, uint64_t keep, char **text, uint64_t *len)
{
    uint64_t n = 0;
    if (!gguf_read_uint(&p->r, 8, &n))
        return fail(p, "");
    if (n > max || n > gguf_reader_left(&p->r))
        return fail(p, "a string is longer than it can be: the file is cut off or damaged");
    uint64_t kept = n < keep ? n : keep;
    char *s = xmalloc(kept + 1);
    if (!gguf_read(&p->r, s, kept) || !gguf_read(&p->r, NULL, n - kept)) {
        free(s);
        return fail(p, "");
    }
    size_t to = 0;
    for (size_t i = 0; i < kept; i++) {
        if (s[i])
            s[to++] = s[i];
    }
    s[to] = '\0';
    *text = s;
    if (len)
        *len = n;
    return true;
}

/* The vocabulary: for each token its length (u32, little-endian) and its bytes go into the fingerprint. */
static bool read_tokens(struct parser *p, uint64_t n)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool ok = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1;
    char *text = NULL;
    size_t size = 0;
    for (uint64_t i = 0; i < n && ok; i++) {
        char empty[32];
        uint64_t len = 0;
        ok = gguf_read_uint(&p->r, 8, &len) && len <= gguf_reader_left(&p->r) && len <= UINT32_MAX;
        if (!ok)
            break;
        if (len > size) {
            size = len < 256 ? 256 : len;
            text = xrealloc(text, size);
        }
        ok = gguf_read(&p->r, text, len);
        const char *from = text;
        if (len == 0) {
            /* llama.cpp gives a token without text this one; the node's fingerprint has it too. */
            len = (uint64_t)snprintf(empty, sizeof(empty), "[EMPTY_%" PRIu64 "]", i);
            from = empty;
        }
        const uint8_t le[4] = {(uint8_t)len, (uint8_t)(len >> 8), (uint8_t)(len >> 16), (uint8_t)(len >> 24)};
        ok = ok && EVP_DigestUpdate(md, le, 4) == 1 && EVP_DigestUpdate(md, from, len) == 1;
    }
    uint8_t sum[32];
    if (ok && EVP_DigestFinal_ex(md, sum, NULL) == 1) {
        for (size_t i = 0; i < sizeof(sum); i++)
            snprintf(p->g->vocab_fingerprint + 2 * i, 3, "%02x", sum[i]);
        p->g->n_vocab = (int64_t)n;
    }
    free(text);
    EVP_MD_CTX_free(md);
    return ok || fail(p, "the vocabulary is damaged");
}

static bool skip_strings(struct parser *p, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        uint64_t len = 0;
        if (!gguf_read_uint(&p->r, 8, &len) || !gguf_read(&p->r, NULL, len))
            return fail(p, "");
    }
    return true;
}

static bool read_number(struct parser *p, uint64_t type, struct gguf_kv *kv)
{
    uint64_t bits = 0;
    if (!gguf_read_uint(&p->r, value_bytes[type], &bits))
        return fail(p, "");
    unsigned shift = 64 - 8u * value_bytes[type];
    if (type == V_F32) {
        float f;
        uint32_t half = (uint32_t)bits;
        memcpy(&f, &half, sizeof(f));
        kv->kind = GGUF_FLOAT;
        kv->f = f;
    } else if (type == V_F64) {
        kv->kind = GGUF_FLOAT;
        memcpy(&kv->f, &bits, sizeof(kv->f));
    } else if (type == V_I8 || type == V_I16 || type == V_I32 || type == V_I64) {
        kv->kind = GGUF_INT;
        kv->i = (int64_t)(bits << shift) >> shift;
    } else {
        kv->kind = type == V_BOOL ? GGUF_BOOL : GGUF_UINT;
        kv->u = type == V_BOOL ? bits != 0 : bits;
    }
    return true;
}

static bool read_array(struct parser *p, struct gguf_kv *kv)
{
    uint64_t type = 0, n = 0;
    if (!gguf_read_uint(&p->r, 4, &type) || !gguf_read_uint(&p->r, 8, &n))
        return fail(p, "");
    if (type >= V_TYPES || type == V_ARRAY)
        return fail(p, "an array in the metadata has elements of a type that GGUF does not have");
    uint64_t least = type == V_STRING ? 8 : value_bytes[type];
    if (n > gguf_reader_left(&p->r) / least)
        return fail(p, "an array in the metadata is longer than the file");
    kv->kind = GGUF_ARRAY;
    kv->len = n;
    if (type == V_STRING)
        return strcmp(kv->key, tokens_key) == 0 ? read_tokens(p, n) : skip_strings(p, n);
    if (type == V_F32 || type == V_F64 || n > GGUF_INTS_KEPT)
        return gguf_read(&p->r, NULL, n * least) || fail(p, "");
    kv->ints = xcalloc(n + 1, sizeof(*kv->ints));
    for (uint64_t i = 0; i < n; i++) {
        struct gguf_kv one = {0};
        if (!read_number(p, type, &one))
            return false;
        kv->ints[i] = one.i;
    }
    return true;
}

static bool read_kv(struct parser *p, struct gguf_kv *kv)
{
    uint64_t type = 0;
    if (!read_text(p, KEY_MAX, KEY_MAX, &kv->key, NULL))
        return false;
    if (!gguf_read_uint(&p->r, 4, &type))
        return fail(p, "");
    for (const struct gguf_kv *other = p->g->kvs; other < kv; other++) {
        if (strcmp(other->key, kv->key) == 0)
            return fail(p, "a key is twice in the metadata");
    }
    if (type == V_STRING) {
        kv->kind = GGUF_STRING;
        return read_text(p, UINT64_MAX, GGUF_TEXT_KEPT, &kv->text, &kv->len);
    }
    if (type == V_ARRAY)
        return read_array(p, kv);
    return type < V_TYPES ? read_number(p, type, kv)
                          : fail(p, "the metadata has a value of a type that GGUF does not have");
}

/* Elements and bytes of a tensor from its dims; false when they can't be. */
static bool measure(struct gguf_tensor *t)
{
    uint32_t block = 1, bytes = 1;
    if (!gguf_tensor_type_name(t->type, &block, &bytes))
        return false;
    t->elements = 1;
    for (size_t i = 0; i < GGUF_DIMS_MAX; i++) {
        if (t->dims[i] > INT64_MAX || __builtin_mul_overflow(t->elements, t->dims[i], &t->elements))
            return false;
    }
    return t->dims[0] % block == 0 && !__builtin_mul_overflow(t->elements / block, (uint64_t)bytes, &t->size);
}

static bool read_tensor(struct parser *p, struct gguf_tensor *t)
{
    uint64_t n = 0, type = 0;
    if (!read_text(p, TENSOR_NAME_MAX, TENSOR_NAME_MAX, &t->name, NULL))
        return false;
    if (!gguf_read_uint(&p->r, 4, &n))
        return fail(p, "");
    if (n > GGUF_DIMS_MAX)
        return fail(p, "a tensor has more than 4 dimensions");
    t->n_dims = (uint32_t)n;
    for (size_t i = 0; i < GGUF_DIMS_MAX; i++) {
        t->dims[i] = 1;
        if (i < n && !gguf_read_uint(&p->r, 8, &t->dims[i]))
            return fail(p, "");
    }
    if (!gguf_read_uint(&p->r, 4, &type) || !gguf_read_uint(&p->r, 8, &t->offset))
        return fail(p, "");
    t->type = (uint32_t)type;
    if (!gguf_tensor_type_name(t->type, NULL, NULL)) {
        cause_set(p->cause, "tensor %.64s has type %" PRIu64 ", which is not known here: a newer format, or damaged",
                  t->name, type);
        return false;
    }
    if (!measure(t)) {
        cause_set(p->cause, "tensor %.64s has a shape that can't be", t->name);
        return false;
    }
    return true;
}

static int by_name(const void *a, const void *b)
{
    const struct gguf_tensor *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static bool names_differ(struct parser *p)
{
    struct gguf *g = p->g;
    const struct gguf_tensor **list = xcalloc(g->n_tensors + 1, sizeof(*list));
    for (size_t i = 0; i < g->n_tensors; i++)
        list[i] = &g->tensors[i];
    qsort(list, g->n_tensors, sizeof(*list), by_name);
    bool ok = true;
    for (size_t i = 1; i < g->n_tensors && ok; i++)
        ok = strcmp(list[i - 1]->name, list[i]->name) != 0;
    free(list);
    return ok || fail(p, "two tensors have the same name");
}

/* Offsets from the start of the file, checked against its end, and the sums. */
static bool place_tensors(struct parser *p)
{
    struct gguf *g = p->g;
    uint64_t start = p->r.pos + (g->alignment - p->r.pos % g->alignment) % g->alignment;
    g->data_start = start;
    for (size_t i = 0; i < g->n_tensors; i++) {
        struct gguf_tensor *t = &g->tensors[i];
        uint64_t end = 0;
        if (t->offset % g->alignment != 0) {
            cause_set(p->cause, "tensor %.64s does not lie on a multiple of %" PRIu32 " bytes", t->name, g->alignment);
            return false;
        }
        if (__builtin_add_overflow(t->offset, start, &t->offset) || __builtin_add_overflow(t->offset, t->size, &end) ||
            end > g->file_size) {
            cause_set(p->cause, "tensor %.64s lies beyond the end of the file: it is cut off (an unfinished download?)",
                      t->name);
            return false;
        }
        if (__builtin_add_overflow(g->n_params, t->elements, &g->n_params) ||
            __builtin_add_overflow(g->tensor_bytes, t->size, &g->tensor_bytes))
            return fail(p, "the tensors are larger than can be");
        g->type_count[t->type]++;
        g->type_bytes[t->type] += t->size;
    }
    return true;
}

static bool read_head(struct parser *p, uint64_t *n_tensors, uint64_t *n_kvs)
{
    char magic[4];
    uint64_t version = 0;
    if (!gguf_read(&p->r, magic, 4) || memcmp(magic, "GGUF", 4) != 0) {
        cause_set(p->cause, "not a GGUF file (it does not begin with \"GGUF\")");
        return false;
    }
    if (!gguf_read_uint(&p->r, 4, &version) || !gguf_read_uint(&p->r, 8, n_tensors) || !gguf_read_uint(&p->r, 8, n_kvs))
        return fail(p, "");
    p->g->version = (uint32_t)version;
    if (version != 0 && (version & 0xffff) == 0)
        return fail(p, "a GGUF file of a big-endian machine, which can't be used here");
    if (version != 2 && version != 3) {
        cause_set(p->cause, "GGUF version %" PRIu64 ": versions 2 and 3 can be read", version);
        return false;
    }
    /* A key-value pair takes at least 13 bytes, a tensor at least 24. */
    if (*n_kvs > GGUF_KVS_MAX || *n_kvs > gguf_reader_left(&p->r) / 13)
        return fail(p, "more metadata is announced than can be");
    if (*n_tensors > GGUF_TENSORS_MAX || *n_tensors > gguf_reader_left(&p->r) / 24)
        return fail(p, "more tensors are announced than can be");
    return true;
}

static int64_t arch_int(const struct gguf *g, const char *leaf)
{
    char key[256];
    int n = snprintf(key, sizeof(key), "%s.%s", g->architecture, leaf);
    return n > 0 && (size_t)n < sizeof(key) ? gguf_get_int(g, key) : -1;
}

static bool sum_up(struct parser *p)
{
    struct gguf *g = p->g;
    g->architecture = gguf_get_text(g, "general.architecture");
    if (!g->architecture && gguf_get_int(g, "split.no") > 0)
        g->architecture = ""; /* llama-gguf-split leaves it to the first part */
    if (!g->architecture)
        return fail(p, "the metadata has no general.architecture: not a model");
    g->name = gguf_get_text(g, "general.name");
    g->license = gguf_get_text(g, "general.license");
    g->file_type = gguf_file_type_name(gguf_get_int(g, "general.file_type"));
    g->n_layers = arch_int(g, "block_count");
    g->n_ctx_train = arch_int(g, "context_length");
    g->n_embd = arch_int(g, "embedding_length");
    g->n_heads = arch_int(g, "attention.head_count");
    g->n_heads_kv = arch_int(g, "attention.head_count_kv");
    g->n_experts = arch_int(g, "expert_count");
    g->tokenizer = gguf_get_text(g, "tokenizer.ggml.model");
    const char *template = gguf_get_text(g, "tokenizer.chat_template");
    g->chat_template = template && *template;
    int64_t splits = gguf_get_int(g, "split.count");
    g->n_splits = splits > 1 ? splits : 1;
    return true;
}

static bool parse(struct parser *p)
{
    struct gguf *g = p->g;
    uint64_t n_tensors = 0, n_kvs = 0;
    if (!read_head(p, &n_tensors, &n_kvs))
        return false;
    g->kvs = xcalloc(n_kvs + 1, sizeof(*g->kvs));
    while (g->n_kvs < n_kvs) {
        if (!read_kv(p, &g->kvs[g->n_kvs++]))
            return false;
    }
    const struct gguf_kv *align = gguf_get(g, "general.alignment");
    if (align) {
        int64_t a = gguf_get_int(g, "general.alignment");
        if (a < 1 || a > 1 << 20 || (a & (a - 1)) != 0)
            return fail(p, "general.alignment is not a power of two");
        g->alignment = (uint32_t)a;
    }
    g->tensors = xcalloc(n_tensors + 1, sizeof(*g->tensors));
    while (g->n_tensors < n_tensors) {
        if (!read_tensor(p, &g->tensors[g->n_tensors++]))
            return false;
    }
    return names_differ(p) && place_tensors(p) && sum_up(p);
}

/* Parses from p->r, which it finishes. */
static struct gguf *run(struct parser *p)
{
    struct gguf *g = p->g = xcalloc(1, sizeof(*p->g));
    g->file_size = p->r.end;
    g->alignment = 32;
    g->n_vocab = -1;
    bool ok = parse(p);
    gguf_reader_finish(&p->r);
    if (ok)
        return g;
    gguf_destroy(g);
    return NULL;
}

struct gguf *gguf_parse(const void *data, size_t len, char **cause)
{
    struct parser p = {.cause = cause};
    gguf_reader_init_memory(&p.r, data, len);
    return run(&p);
}

struct gguf *gguf_open(const char *path, char **cause)
{
    struct parser p = {.cause = cause};
    struct gguf *g = NULL;
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) != 0) {
        cause_set(cause, "%s", errno == ENOENT ? "there is no such file" : strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        cause_set(cause, "not a file");
    } else {
        gguf_reader_init_file(&p.r, fd, (uint64_t)st.st_size);
        g = run(&p);
    }
    if (fd >= 0)
        close(fd);
    if (!g)
        cause_prefix(cause, "%s", path);
    return g;
}

void gguf_destroy(struct gguf *g)
{
    if (!g)
        return;
    for (size_t i = 0; i < g->n_kvs; i++) {
        free(g->kvs[i].key);
        free(g->kvs[i].text);
        free(g->kvs[i].ints);
    }
    for (size_t i = 0; i < g->n_tensors; i++)
        free(g->tensors[i].name);
    free(g->kvs);
    free(g->tensors);
    free(g);
}

const struct gguf_kv *gguf_get(const struct gguf *g, const char *key)
{
    for (size_t i = 0; i < g->n_kvs; i++) {
        if (g->kvs[i].key && strcmp(g->kvs[i].key, key) == 0)
            return &g->kvs[i];
    }
    return NULL;
}

int64_t gguf_get_int(const struct gguf *g, const char *key)
{
    const struct gguf_kv *kv = gguf_get(g, key);
    if (!kv || (kv->kind != GGUF_INT && kv->kind != GGUF_UINT) || kv->u > INT64_MAX)
        return -1;
    return (int64_t)kv->u;
}

const char *gguf_get_text(const struct gguf *g, const char *key)
{
    const struct gguf_kv *kv = gguf_get(g, key);
    return kv && kv->kind == GGUF_STRING ? kv->text : NULL;
}
