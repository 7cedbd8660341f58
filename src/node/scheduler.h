/* The scheduler: puts the work of all sessions together into passes (llama_decode) and draws tokens from what comes
 * out. For the inference thread alone. */
#ifndef TIGHTWAD_NODE_SCHEDULER_H
#define TIGHTWAD_NODE_SCHEDULER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <llama.h>

#include "node/core.h"
#include "node/passes.h"
#include "node/session.h"
#include "node/shapes.h"
#include "node/slots.h"
#include "node/work.h"

/* What one pass carries of one work: the tokens from..to of its path, or of a branch of it. */
struct segment {
    struct node_work *work;
    struct slot *slot;
    struct branch *branch; /* NULL: the path */
    size_t from, to;
    size_t first_out; /* logits are asked for from this position on, */
    int32_t first;    /* and the position `from` is here in the batch */
};

struct sched {
    struct llama_context *ctx;
    const struct node_model *model;
    struct outbox *outbox;
    struct sampler *sampler;
    struct session_table sessions;
    struct slot_table slots;
    struct node_work **active; /* in order of arrival */
    size_t n_active, cap_active;
    struct llama_batch batch;
    struct segment *segment;
    size_t n_segments;
    size_t n_batch, n_outputs, n_ctx; /* most tokens in a pass, most logits in one, tokens per slot */
    size_t outputs;                   /* logits asked for in the pass in the making */
    int32_t *scratch;                 /* n_ctx of room: the path of a branch */
    bool branches;                    /* drafts and verdicts may have them */
    size_t width;                     /* tokens drafted for a session in one pass where that costs as much as one */
    bool networked;                   /* devices are on other machines */
    size_t copied;                    /* caches that are copied from slot to slot in the pass in the making */
    bool copy_known;                  /* what that takes was measured: */
    double copy_us;
    double draft_us;       /* time that a drafted token has to take, 0: as long as it does */
    int64_t draft_free_us; /* until then it has worked, at that rate */
    int64_t wake_us;       /* when there is something to do that is held back until then, 0: nothing */
    size_t turn;           /* who is first in the pass: goes round */
    bool one_by_one;       /* the last pass did not fit */
    struct pass_cost cost;
    struct shapes shapes;
    struct shape shape;  /* of the pass in the making; 0 sequences: none that is kept account of */
    size_t n_tokens;     /* in the segments of the pass in the making */
    size_t steps;        /* that it takes */
    bool cuts;           /* the end of a sequence can be cut off */
    double us_per_token; /* of recent passes with many tokens, 0: not known */
    struct sampler_logprob *top;
    struct node_core_counters counters;
};

/* n_outputs: as the context was made for. */
void sched_init(struct sched *s, struct llama_context *ctx, const struct node_model *model, struct outbox *outbox,
                const struct node_core_info *info, size_t n_outputs);
void sched_finish(struct sched *s); /* frees the works that are left, too */
/* Where devices are on other machines: makes the usual shapes of passes known to them, and measures what they take. */
void sched_warm_up(struct sched *s);

void sched_open(struct sched *s, int64_t id, struct sampler_params *params, size_t prompt_len); /* params: taken over */
void sched_close(struct sched *s, int64_t id);
void sched_submit(struct sched *s, struct node_work *w); /* taken over */

/* At most one pass.  false: there was nothing to do, and there will be nothing until something is submitted, cancelled
 * or resumed. */
bool sched_step(struct sched *s);

/* For sprout.c and tree.c: puts a segment (all but `first` filled) into the pass in the making; whether a work has
 * something to put into it. */
void sched_add(struct sched *s, struct segment g);
bool sched_runnable(const struct node_work *w);

#endif
