/* The llama.cpp context in the set-up where batched and single passes give the same bits. */
#ifndef TIGHTWAD_NODE_CONTEXT_H
#define TIGHTWAD_NODE_CONTEXT_H

#include <stddef.h>

#include "node/core.h"
#include "node/model.h"

struct llama_context;

/* Settles what the options leave open and fills n_ctx, slots, threads, threads_batch and batch of info.  *n_outputs:
 * most logits of one pass.  NULL and a cause. */
struct llama_context *context_create(const struct node_model *m, const struct node_core_options *o,
                                     struct node_core_info *info, size_t *n_outputs, char **cause);

#endif
