/* The self-test at load: does a pass of many tokens give the same bits as one token at a time, and does going back
 * work? */
#ifndef TIGHTWAD_NODE_SELFTEST_H
#define TIGHTWAD_NODE_SELFTEST_H

#include <stdbool.h>

#include "node/core.h"
#include "node/model.h"

struct llama_context;

/* How the cache of this context can go back, found by trying.  Leaves the cache empty.  -1 and a cause when not even a
 * few tokens can be computed. */
int selftest_rollback(struct llama_context *ctx, const struct node_model *m, enum node_rollback *out, char **cause);

/* Fills info->selftest, batch_invariant and noise; info->rollback becomes REPREFILL where saved states turn out wrong.
 * n_outputs: most logits of one pass.  Bounded in time: comparisons that would take longer than some seconds are marked
 * as skipped.  Leaves the cache empty.  progress may be NULL.  -1 and a cause: stopped by it, or a pass failed. */
int selftest_run(struct llama_context *ctx, const struct node_model *m, size_t n_outputs, struct node_core_info *info,
                 node_progress_fn *progress, void *arg, char **cause);

#endif
