#include "node/preflight.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cause.h"
#include "base/log.h"
#include "base/mem.h"
#include "probe/gguf.h"
#include "probe/memory.h"

enum {
    CTX_UNSET_MAX = 4096, /* tokens, where no --ctx-size is given */
    CACHE_BYTES = 2,      /* of one cached number: llama.cpp's default is f16 */
};

/* Bytes that a program may still take; 0: unknown. */
static uint64_t memory_free(void)
{
    struct memory m;
    memory_read(&m, "");
    return m.available > 0 ? (uint64_t)m.available : 0;
}

/* Length of a key or value of one head. */
static double head_length(const struct gguf *g, const char *which)
{
    char *key = xasprintf("%s.attention.%s_length", g->architecture, which);
    int64_t n = gguf_get_int(g, key);
    free(key);
    return n > 0 ? (double)n : (double)g->n_embd / (double)g->n_heads;
}

/* Bytes of the KV cache for one token: a key and a value for each head of each layer.  0: can't be told. */
static double cache_per_token(const struct gguf *g)
{
    int64_t heads = g->n_heads_kv > 0 ? g->n_heads_kv : g->n_heads;
    char *key = xasprintf("%s.ssm.state_size", g->architecture);
    bool recurrent = gguf_get(g, key) != NULL;
    free(key);
    if (recurrent || g->n_layers <= 0 || heads <= 0 || g->n_heads <= 0 || g->n_embd <= 0)
        return 0;
    return (double)g->n_layers * (double)heads * (head_length(g, "key") + head_length(g, "value")) * CACHE_BYTES;
}

static double gib(double bytes)
{
    return bytes / (1024.0 * 1024.0 * 1024.0);
}

static int check_memory(const struct preflight *p, const struct gguf *g, char **cause)
{
    int64_t trained = g->n_ctx_train > 0 ? g->n_ctx_train : CTX_UNSET_MAX;
    int64_t ctx = p->ctx > 0 ? p->ctx : p->ctx == 0 || trained < CTX_UNSET_MAX ? trained : CTX_UNSET_MAX;
    double cache = cache_per_token(g) * (double)ctx * (double)p->slots, available = (double)memory_free();
    double weights = p->mmap ? 0 : (double)g->tensor_bytes;
    if (available <= 0 || cache + weights <= available) {
        if (available > 0 && p->mmap && (double)g->tensor_bytes > available)
            log_warn(
                "the model has %.1f GiB and %.1f GiB of memory are free: it will be read from disk again and again",
                gib((double)g->tensor_bytes), gib(available));
        return 0;
    }
    return cause_set(cause,
                     "too little memory: %" PRId64 " slot%s of %" PRId64
                     " tokens need %.1f GiB%s and %.1f GiB are free. "
                     "A smaller --ctx-size or fewer --slots need less",
                     p->slots, p->slots == 1 ? "" : "s", ctx, gib(cache + weights),
                     weights > 0 ? " with the model itself (--no-mmap)" : "", gib(available));
}

int preflight_check(const struct preflight *p, char **cause)
{
    struct stat st;
    if (stat(p->path, &st) != 0)
        return cause_set(cause, "%s: %s", p->path, strerror(errno));
    if (S_ISDIR(st.st_mode))
        return cause_set(cause, "%s is a folder: name the GGUF file in it", p->path);
    struct gguf *g = gguf_open(p->path, cause);
    if (g == NULL) {
        if (cause != NULL && *cause != NULL && strstr(*cause, p->path) == NULL)
            cause_prefix(cause, "%s", p->path);
        return -1;
    }
    int rc = p->elsewhere ? 0 : check_memory(p, g, cause);
    gguf_destroy(g);
    return rc;
}
