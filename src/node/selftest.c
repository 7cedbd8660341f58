#include "node/selftest.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <llama.h>

#include "base/cause.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "node/slots.h"

enum {
    LENGTH = 66,          /* positions compared near the start */
    LENGTH_MIN = 12,      /* fewer where the model is slow */
    DEEP = 512,           /* tokens before the positions compared further on, */
    DEEP_LENGTH = 34,     /* so many */
    NEAR_US = 4000000,    /* for the positions near the start, one at a time; each comparison takes about as long */
    BUDGET_US = 10000000, /* for the one further on */
};

struct test {
    struct llama_context *ctx;
    const struct node_model *m;
    struct node_core_info *info;
    size_t n_batch, n_vocab;
    struct llama_batch batch;
    int32_t *tokens; /* of the sequence that is compared, then n_ctx others */
    int32_t *other;
    float *reference; /* LENGTH rows of logits */
    float *rows;      /* the same of another way to compute them */
    size_t length;    /* positions compared near the start */
    double single_us; /* one token */
    node_progress_fn *progress;
    void *arg;
    int done; /* comparisons */
    char **cause;
};

/* Any tokens do, but for control tokens; the same ones each time. */
static void make_tokens(const struct node_model *m, int32_t *tokens, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++) {
        size_t len;
        do {
            seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            tokens[i] = (int32_t)((seed >> 33) % (uint64_t)m->n_vocab);
            (void)node_model_piece(m, tokens[i], false, &len);
        } while (len == 0 && (seed & 0xf00) != 0); /* a vocabulary of nothing else must not hang it */
    }
}

static void batch_add(struct llama_batch *b, int32_t token, size_t pos, int32_t seq, bool output)
{
    int32_t i = b->n_tokens++;
    b->token[i] = token;
    b->pos[i] = (llama_pos)pos;
    b->n_seq_id[i] = 1;
    b->seq_id[i][0] = seq;
    b->logits[i] = output;
}

static int decode(struct test *t)
{
    int rc = llama_decode(t->ctx, t->batch);
    if (rc != 0)
        return cause_set(t->cause, "self-test: llama_decode of %d tokens returned %d", t->batch.n_tokens, rc);
    return 0;
}

static void clear(struct test *t)
{
    llama_memory_clear(llama_get_memory(t->ctx), false);
}

/* Tokens from..to of sequence 0 in passes of k, each with up to k_other of sequence 1 (0: none); logits of position p
 * go to row p - first_row (rows NULL: none are asked for). */
static int feed(struct test *t, size_t from, size_t to, size_t k, size_t k_other, float *rows, size_t first_row)
{
    for (size_t at = from, at_other = from; at < to; at += k, at_other += k_other) {
        size_t n = to - at < k ? to - at : k;
        t->batch.n_tokens = 0;
        for (size_t i = 0; i < k_other; i++)
            batch_add(&t->batch, t->other[at_other + i], at_other + i, 1, i == 0);
        int32_t first = t->batch.n_tokens;
        for (size_t i = 0; i < n; i++)
            batch_add(&t->batch, t->tokens[at + i], at + i, 0, rows != NULL);
        if (decode(t) < 0)
            return -1;
        for (size_t i = 0; rows != NULL && i < n; i++) {
            const float *logits = llama_get_logits_ith(t->ctx, first + (int32_t)i);
            if (logits == NULL)
                return cause_set(t->cause, "self-test: llama.cpp gave no logits");
            memcpy(rows + (at + i - first_row) * t->n_vocab, logits, t->n_vocab * sizeof(*rows));
        }
    }
    return 0;
}

static size_t best_of(const float *x, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (x[i] > x[best])
            best = i;
    return best;
}

static void compare(const struct test *t, const float *a, const float *b, size_t positions,
                    struct node_selftest_row *row)
{
    row->positions = (int32_t)positions;
    for (size_t p = 0; p < positions; p++, a += t->n_vocab, b += t->n_vocab) {
        if (memcmp(a, b, t->n_vocab * sizeof(*a)) == 0)
            continue;
        row->differing++;
        row->flipped += best_of(a, t->n_vocab) != best_of(b, t->n_vocab);
        for (size_t i = 0; i < t->n_vocab; i++) {
            float d = fabsf(a[i] - b[i]);
            if (!(d <= row->difference)) /* NaN counts as the largest */
                row->difference = d;
        }
    }
}

static struct node_selftest_row *add_row(struct test *t, const char *fmt, int n)
{
    struct node_selftest *st = &t->info->selftest;
    struct node_selftest_row *row = &st->row[st->rows++];
    *row = (struct node_selftest_row){0};
    snprintf(row->name, sizeof(row->name), fmt, n);
    return row;
}

static int step_done(struct test *t)
{
    if (t->progress != NULL && !t->progress(++t->done / 8.0, t->arg))
        return cause_set(t->cause, "the self-test was stopped");
    return 0;
}

/* One token at a time, which all else is compared with.  How much depends on how long the first ones take. */
static int run_reference(struct test *t)
{
    clear(t);
    if (feed(t, 0, 2, 1, 0, NULL, 0) < 0) /* the first pass reads the model from the disk */
        return -1;
    clear(t);
    int64_t start = clock_us();
    if (feed(t, 0, LENGTH_MIN / 2, 1, 0, t->reference, 0) < 0)
        return -1;
    t->single_us = (double)(clock_us() - start) / (LENGTH_MIN / 2);
    while (t->length > LENGTH_MIN && t->single_us * (double)t->length > NEAR_US)
        t->length--;
    return feed(t, LENGTH_MIN / 2, t->length, 1, 0, t->reference, 0);
}

static int run_batches(struct test *t, size_t k)
{
    struct node_selftest_row *row = add_row(t, "batch %d", (int)k);
    row->skipped = k > t->n_batch || (k > 9 && t->length <= LENGTH_MIN);
    if (row->skipped)
        return 0;
    clear(t);
    if (feed(t, 0, t->length, k, 0, t->rows, 0) < 0)
        return -1;
    compare(t, t->reference, t->rows, t->length, row);
    return step_done(t);
}

static int run_beside(struct test *t)
{
    struct node_selftest_row *row = add_row(t, "beside another", 0);
    row->skipped = t->info->slots < 2 || t->n_batch < 14;
    if (row->skipped)
        return 0;
    clear(t);
    if (feed(t, 0, t->length, 9, 5, t->rows, 0) < 0)
        return -1;
    compare(t, t->reference, t->rows, t->length, row);
    return step_done(t);
}

/* Deep in the context, on top of one and the same prefill: one at a time against batches.  The prefill is what takes
 * long on a slow model, so it is timed on its first chunk. */
static int run_deep(struct test *t)
{
    size_t n_ctx = (size_t)t->info->n_ctx, room = n_ctx > DEEP_LENGTH + 8 ? n_ctx - DEEP_LENGTH - 8 : 0;
    size_t deep = room < DEEP ? room : DEEP;
    struct node_selftest_row *row = add_row(t, "beyond %d", (int)deep);
    row->skipped = deep < LENGTH || t->single_us * DEEP_LENGTH > BUDGET_US;
    if (row->skipped)
        return 0;
    size_t chunk = t->n_batch < 64 ? t->n_batch : 64;
    for (int pass = 0; pass < 2; pass++) {
        clear(t);
        int64_t start = clock_us();
        if (feed(t, 0, chunk, chunk, 0, NULL, 0) < 0)
            return -1;
        row->skipped = pass == 0 && (double)(clock_us() - start) * (double)deep / (double)chunk > BUDGET_US;
        if (row->skipped)
            return 0;
        if (feed(t, chunk, deep, chunk, 0, NULL, 0) < 0 || feed(t, deep, deep + DEEP_LENGTH,
                                                                pass == 0         ? 1
                                                                : t->n_batch < 17 ? t->n_batch
                                                                                  : 17,
                                                                0, pass == 0 ? t->reference : t->rows, deep) < 0)
            return -1;
    }
    compare(t, t->reference, t->rows, DEEP_LENGTH, row);
    return step_done(t);
}

/* A wrong draft of 5 is computed and taken back, twice; all one token at a time, so that only going back is tested. */
static int run_rollback(struct test *t, enum node_rollback rollback)
{
    struct node_selftest_row *row = add_row(t, "rollback", 0);
    struct slot_table slots;
    int rc = -1;
    clear(t);
    slot_table_init(&slots, t->ctx, 1, (size_t)t->info->n_ctx, rollback);
    struct slot *slot = &slots.slot[0];
    for (size_t at = 0, step = 4; at < LENGTH_MIN; at += step) {
        int32_t wrong[LENGTH_MIN + 5];
        slot_prepare(&slots, slot, t->tokens, at);
        if (feed(t, slot->n_kv, at + step, 1, 0, t->rows, 0) < 0)
            goto out;
        slot_advance(slot, t->tokens + slot->n_kv, at + step - slot->n_kv);
        slot_save(&slots, slot);
        memcpy(wrong, t->tokens, (at + step) * sizeof(*wrong));
        make_tokens(t->m, wrong + at + step, 5, at + 99);
        int32_t *right = t->tokens;
        t->tokens = wrong;
        rc = feed(t, at + step, at + step + 5, 1, 0, NULL, 0);
        t->tokens = right;
        if (rc < 0)
            goto out;
        rc = -1;
        slot_advance(slot, wrong + at + step, 5);
        slot_prepare(&slots, slot, t->tokens, at + step - 1); /* back by one more than the draft */
        if (slot->n_kv > at + step - 1) {
            cause_set(t->cause, "self-test: the cache holds more than it should after going back");
            goto out;
        }
    }
    compare(t, t->reference, t->rows, LENGTH_MIN, row);
    rc = step_done(t);
out:
    slot_table_finish(&slots);
    return rc;
}

static void sum_up(struct node_core_info *info, const struct node_model *m)
{
    info->batch_invariant = true;
    info->noise = 0;
    for (size_t i = 0; i < info->selftest.rows; i++) {
        const struct node_selftest_row *row = &info->selftest.row[i];
        if (row->skipped) {
            log_info("%s: self-test %s: skipped (it would take too long, or does not fit)", m->name, row->name);
            continue;
        }
        log_debug("%s: self-test %s: %d of %d positions differ, %d other best tokens, by up to %g", m->name, row->name,
                  row->differing, row->positions, row->flipped, (double)row->difference);
        info->batch_invariant &= row->differing == 0;
        if (!((double)row->difference <= info->noise))
            info->noise = (double)row->difference;
    }
}

int selftest_rollback(struct llama_context *ctx, const struct node_model *m, enum node_rollback *out, char **cause)
{
    int32_t tokens[3];
    llama_memory_t mem = llama_get_memory(ctx);
    if (mem == NULL)
        return cause_set(cause, "%s keeps no state between tokens: it is not a model that writes", m->path);
    make_tokens(m, tokens, 3, 1);
    int rc = llama_decode(ctx, llama_batch_get_one(tokens, 3));
    if (rc != 0)
        return cause_set(cause, "%s: the first tokens could not be computed (llama_decode returned %d)", m->path, rc);
    if (llama_memory_seq_rm(mem, 0, 2, -1) && llama_memory_seq_pos_max(mem, 0) == 1)
        *out = NODE_ROLLBACK_TRUNCATE;
    else if (llama_state_seq_get_size_ext(ctx, 0, LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY) > 0)
        *out = NODE_ROLLBACK_SNAPSHOT;
    else
        *out = NODE_ROLLBACK_REPREFILL;
    llama_memory_clear(mem, true);
    return 0;
}

static int run_all(struct test *t)
{
    static const size_t sizes[] = {2, 9, 64};
    if (run_reference(t) < 0)
        return -1;
    if (run_rollback(t, t->info->rollback) < 0)
        return -1;
    struct node_selftest *st = &t->info->selftest;
    if (st->row[st->rows - 1].differing > 0 && t->info->rollback == NODE_ROLLBACK_SNAPSHOT) {
        log_warn("%s: a state that was saved and put back is not the same: computing again from the start instead",
                 t->m->name);
        t->info->rollback = NODE_ROLLBACK_REPREFILL;
        st->rows--;
        if (run_rollback(t, NODE_ROLLBACK_REPREFILL) < 0)
            return -1;
    }
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        if (run_batches(t, sizes[i]) < 0)
            return -1;
    return run_beside(t) < 0 || run_deep(t) < 0 ? -1 : 0;
}

int selftest_run(struct llama_context *ctx, const struct node_model *m, size_t n_outputs, struct node_core_info *info,
                 node_progress_fn *progress, void *arg, char **cause)
{
    int64_t start = clock_us();
    size_t n_ctx = (size_t)info->n_ctx, batch = (size_t)info->batch < n_outputs ? (size_t)info->batch : n_outputs;
    struct test t = {.ctx = ctx,
                     .m = m,
                     .info = info,
                     .n_batch = batch,
                     .n_vocab = (size_t)m->n_vocab,
                     .progress = progress,
                     .arg = arg,
                     .cause = cause};
    info->selftest.rows = 0;
    t.length = n_ctx < LENGTH ? n_ctx : LENGTH;
    if (n_ctx < LENGTH_MIN + 6)
        return cause_set(cause, "a context of %zu tokens is too small: at least %d", n_ctx, LENGTH_MIN + 6);
    t.batch = llama_batch_init((int32_t)(batch + 8), 0, 1);
    t.tokens = xcalloc(n_ctx, sizeof(*t.tokens));
    t.other = xcalloc(n_ctx + 8, sizeof(*t.other));
    t.reference = xcalloc(LENGTH * t.n_vocab, sizeof(*t.reference));
    t.rows = xcalloc(LENGTH * t.n_vocab, sizeof(*t.rows));
    make_tokens(m, t.tokens, n_ctx, 7);
    make_tokens(m, t.other, n_ctx + 8, 11);
    int rc = run_all(&t);
    clear(&t);
    llama_batch_free(t.batch);
    free(t.tokens);
    free(t.other);
    free(t.reference);
    free(t.rows);
    if (rc == 0)
        sum_up(info, m);
    info->selftest.elapsed_us = clock_us() - start;
    return rc;
}
