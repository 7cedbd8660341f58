#include "node/slots.h"

#include <stdlib.h>
#include <string.h>

#include <llama.h>

#include "base/clock.h"
#include "base/mem.h"
#include "node/grove.h"
#include "node/work.h"

/* A session that worked this recently is most likely in the middle of an answer. */
enum { RECENT_US = 2000000 };

void slot_table_init(struct slot_table *t, struct llama_context *ctx, size_t n, size_t n_ctx,
                     enum node_rollback rollback)
{
    *t = (struct slot_table){
        .ctx = ctx, .rollback = rollback, .slot = xcalloc(n, sizeof(*t->slot)), .n = n, .n_ctx = n_ctx};
    for (size_t i = 0; i < n; i++) {
        t->slot[i].seq = (int32_t)i;
        t->slot[i].tokens = xcalloc(n_ctx, sizeof(*t->slot[i].tokens));
    }
}

static void drop_snapshots(struct slot *s, size_t from)
{
    for (size_t i = from; i < s->n_snapshots; i++)
        free(s->snapshot[i].data);
    s->n_snapshots = from;
}

void slot_table_finish(struct slot_table *t)
{
    for (size_t i = 0; i < t->n; i++) {
        drop_snapshots(&t->slot[i], 0);
        free(t->slot[i].tokens);
    }
    free(t->slot);
    *t = (struct slot_table){0};
}

static size_t common_prefix(const struct slot *s, const int32_t *path, size_t n)
{
    size_t most = n < s->n_kv ? n : s->n_kv, i = 0;
    while (i < most && s->tokens[i] == path[i])
        i++;
    return i;
}

/* The newest snapshot that covers at most n tokens, -1: none. */
static int find_snapshot(const struct slot *s, size_t n)
{
    int i = (int)s->n_snapshots - 1;
    while (i >= 0 && s->snapshot[i].n > n)
        i--;
    return i;
}

size_t slot_reusable(const struct slot_table *t, const struct slot *s, const int32_t *path, size_t n)
{
    size_t common = common_prefix(s, path, n);
    if (common == s->n_kv || t->rollback == NODE_ROLLBACK_TRUNCATE)
        return common;
    int i = find_snapshot(s, common);
    return i < 0 ? 0 : s->snapshot[i].n;
}

void slot_clear(struct slot_table *t, struct slot *s)
{
    llama_memory_seq_rm(llama_get_memory(t->ctx), s->seq, -1, -1);
    s->n_kv = 0;
    drop_snapshots(s, 0);
}

/* Puts the newest state back that covers at most n tokens.  false: there is none, or it did not work. */
static bool restore(struct slot_table *t, struct slot *s, size_t n)
{
    llama_memory_t mem = llama_get_memory(t->ctx);
    int i = find_snapshot(s, n);
    if (i < 0)
        return false;
    const struct snapshot *snap = &s->snapshot[i];
    size_t covers = snap->n;
    if (llama_state_seq_set_data_ext(t->ctx, snap->data, snap->size, s->seq, LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY) == 0)
        return false;
    /* The attention layers of a hybrid model still hold what came after. */
    if (!llama_memory_seq_rm(mem, s->seq, (llama_pos)covers, -1) ||
        llama_memory_seq_pos_max(mem, s->seq) != (llama_pos)covers - 1)
        return false;
    drop_snapshots(s, (size_t)i + 1);
    s->n_kv = covers;
    t->restored++;
    return true;
}

void slot_prepare(struct slot_table *t, struct slot *s, const int32_t *path, size_t n)
{
    size_t common = common_prefix(s, path, n);
    if (common == s->n_kv)
        return;
    if (t->rollback == NODE_ROLLBACK_TRUNCATE && common > 0 &&
        llama_memory_seq_rm(llama_get_memory(t->ctx), s->seq, (llama_pos)common, -1)) {
        s->n_kv = common;
        return;
    }
    if (t->rollback != NODE_ROLLBACK_SNAPSHOT || !restore(t, s, common))
        slot_clear(t, s);
}

void slot_advance(struct slot *s, const int32_t *tokens, size_t n)
{
    memcpy(s->tokens + s->n_kv, tokens, n * sizeof(*tokens));
    s->n_kv += n;
}

void slot_save(struct slot_table *t, struct slot *s)
{
    if (t->rollback != NODE_ROLLBACK_SNAPSHOT || s->n_kv == 0)
        return;
    if (s->n_snapshots > 0 && s->snapshot[s->n_snapshots - 1].n == s->n_kv)
        return;
    size_t size = llama_state_seq_get_size_ext(t->ctx, s->seq, LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY);
    uint8_t *data = size > 0 ? malloc(size) : NULL;
    if (data == NULL)
        return; /* then it is computed again from an older one */
    if (llama_state_seq_get_data_ext(t->ctx, data, size, s->seq, LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY) != size) {
        free(data);
        return;
    }
    if (s->n_snapshots == SLOT_SNAPSHOTS) {
        /* The oldest one stays: it is where another answer to the same prompt would begin. */
        free(s->snapshot[1].data);
        memmove(&s->snapshot[1], &s->snapshot[2], (SLOT_SNAPSHOTS - 2) * sizeof(s->snapshot[0]));
        s->n_snapshots--;
    }
    s->snapshot[s->n_snapshots++] = (struct snapshot){.n = s->n_kv, .size = size, .data = data};
}

/* How unwilling one should be to take this slot: 0 nobody's, 1 of a session that rests or is at its end, 2 of one that
 * was just at work, 3 of a reader that holds its answer, 4 not to be had. */
static int rank(const struct slot *s, int64_t now)
{
    if (s->work != NULL)
        return atomic_load(&s->work->paused) && s->work->stream ? 3 : 4;
    if (s->owner == NULL)
        return 0;
    return !s->owner->ended && now - s->used_us < RECENT_US ? 2 : 1;
}

/* Ranks 0 and 1 compete for the longest prefix worth keeping; otherwise it is the rank, then the least recent use. */
struct slot *slot_take(struct slot_table *t, struct session *s, const int32_t *path, size_t n, bool *evicted)
{
    int64_t now = clock_us();
    struct slot *best = NULL;
    int best_rank = 4;
    size_t best_reuse = 0;
    for (size_t i = 0; i < t->n; i++) {
        struct slot *at = &t->slot[i];
        int r = rank(at, now);
        size_t reuse = r <= 1 ? slot_reusable(t, at, path, n) : 0;
        if (reuse < n / 4)
            reuse = 0; /* a few tokens that all prompts begin with are no reason */
        if (r == 4 || (best != NULL && reuse < best_reuse))
            continue;
        if (best == NULL || reuse > best_reuse || r < best_rank || (r == best_rank && at->used_us < best->used_us)) {
            best = at;
            best_rank = r;
            best_reuse = reuse;
        }
    }
    if (best == NULL)
        return NULL;
    *evicted = best->owner != NULL;
    if (best->owner != NULL)
        best->owner->slot = NULL;
    if (best->work != NULL)
        best->work->slot = NULL;
    slot_unlend(best);
    best->work = NULL;
    best->owner = s;
    s->slot = best;
    return best;
}

void slot_release(struct slot *s)
{
    if (s == NULL)
        return;
    s->owner = NULL;
    s->work = NULL;
}

bool slot_is_idle(const struct slot *s, int64_t now)
{
    return s->work == NULL && rank(s, now) <= 1;
}

void slot_free(struct slot *s)
{
    slot_unlend(s);
    if (s->owner != NULL)
        s->owner->slot = NULL;
    s->owner = NULL;
}

void slot_lend(struct slot *s, struct branch *b)
{
    slot_free(s);
    s->branch = b;
    b->slot = s;
}

void slot_unlend(struct slot *s)
{
    if (s == NULL || s->branch == NULL)
        return;
    s->branch->slot = NULL;
    s->branch = NULL;
}

void slot_swap(struct session *s, struct slot *to)
{
    struct slot *old = s->slot;
    if (to == NULL || to == old)
        return;
    slot_unlend(to);
    to->owner = s;
    to->work = old != NULL ? old->work : NULL;
    if (to->work != NULL)
        to->work->slot = to;
    s->slot = to;
    slot_release(old);
}

void slot_copy(struct slot_table *t, const struct slot *from, struct slot *to)
{
    slot_clear(t, to);
    llama_memory_seq_cp(llama_get_memory(t->ctx), from->seq, to->seq, -1, -1);
    memcpy(to->tokens, from->tokens, from->n_kv * sizeof(*to->tokens));
    to->n_kv = from->n_kv;
}
