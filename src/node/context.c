#include "node/context.h"

#include <stdlib.h>

#include <llama.h>

#include "base/cause.h"
#include "base/log.h"
#include "node/cores.h"
#include "node/llama-log.h"

enum {
    CTX_PRESET_MAX = 4096,   /* tokens per slot when nobody says */
    CTX_FALLBACK = 2048,     /* where the model does not say what it was trained with */
    LOGITS_BYTES = 64 << 20, /* logits of one pass may take so much, */
    OUTPUTS_MIN = 128,       /* but so many rows must be possible, for drafts of several sessions */
};

static int settle(const struct node_model *m, const struct node_core_options *o, struct node_core_info *info,
                  char **cause)
{
    int32_t trained = m->n_ctx_train > 0 ? m->n_ctx_train : CTX_FALLBACK;
    int32_t preset = trained < CTX_PRESET_MAX ? trained : CTX_PRESET_MAX;
    info->n_ctx = o->ctx > 0 ? o->ctx : o->ctx == 0 ? trained : preset;
    info->slots = o->slots > 0 ? o->slots : 1;
    info->threads = o->threads > 0 ? o->threads : node_physical_cores();
    info->threads_batch = o->threads_batch > 0 ? o->threads_batch : info->threads;
    info->batch = o->batch > 0 ? o->batch : 1;
    if (info->batch < info->slots)
        info->batch = info->slots; /* every slot gets a token into each pass */
    info->ubatch = o->ubatch > 0 && o->ubatch < info->batch ? o->ubatch : info->batch;
    if ((size_t)info->slots > llama_max_parallel_sequences())
        return cause_set(cause, "%d slots: llama.cpp allows %zu", info->slots, llama_max_parallel_sequences());
    if ((int64_t)info->n_ctx * info->slots > INT32_MAX)
        return cause_set(cause, "%d slots of %d tokens are too much", info->slots, info->n_ctx);
    if (info->n_ctx > trained)
        log_warn("%s was trained with %d tokens of context: beyond that, expect nonsense", m->name, trained);
    return 0;
}

struct llama_context *context_create(const struct node_model *m, const struct node_core_options *o,
                                     struct node_core_info *info, size_t *n_outputs, char **cause)
{
    if (settle(m, o, info, cause) < 0)
        return NULL;
    size_t rows = LOGITS_BYTES / ((size_t)m->n_vocab * sizeof(float));
    *n_outputs = rows < OUTPUTS_MIN ? OUTPUTS_MIN : rows;
    if (*n_outputs > (size_t)info->batch)
        *n_outputs = (size_t)info->batch;

    struct llama_context_params p = llama_context_default_params();
    p.n_ctx = (uint32_t)(info->n_ctx * info->slots);
    p.n_batch = (uint32_t)info->batch;
    p.n_ubatch = (uint32_t)info->ubatch;
    p.n_seq_max = (uint32_t)info->slots;
    p.n_outputs_max = (uint32_t)*n_outputs;
    p.n_threads = info->threads;
    p.n_threads_batch = info->threads_batch;
    p.flash_attn_type = o->flash == NODE_FLASH_OFF  ? LLAMA_FLASH_ATTN_TYPE_DISABLED
                        : o->flash == NODE_FLASH_ON ? LLAMA_FLASH_ATTN_TYPE_ENABLED
                                                    : LLAMA_FLASH_ATTN_TYPE_AUTO;
    p.kv_unified = false; /* with one cache for all, who else is resident changes the bits */
    p.swa_full = true;    /* a window that forgets could not be cut back */
    p.no_perf = true;
    free(llama_log_take_error());
    struct llama_context *ctx = llama_init_from_model(m->llama, p);
    if (ctx == NULL) {
        char *error = llama_log_take_error();
        cause_set(cause, "%s: no context of %d slots with %d tokens each: %s", m->path, info->slots, info->n_ctx,
                  error != NULL ? error : "not enough memory");
        free(error);
        return NULL;
    }
    if (llama_n_ctx_seq(ctx) < (uint32_t)info->n_ctx)
        info->n_ctx = (int32_t)llama_n_ctx_seq(ctx);
    return ctx;
}
