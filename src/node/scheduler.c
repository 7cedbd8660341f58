#include "node/scheduler.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "node/draw.h"
#include "node/sprout.h"

enum {
    SHORT_TOKENS = 64,       /* work up to this long goes into the next pass whole; longer work is cut into chunks */
    CHUNK_MIN = 32,          /* tokens; a chunk is never cut shorter for the sake of others */
    PASS_BUSY_US = 200000,   /* how long a chunk may make others wait */
    PASS_ALONE_US = 1000000, /* how long a pass may take with nobody waiting, so that a newcomer soon has its turn */
    MEASURED_MIN = 16,       /* passes with fewer tokens say little about what a token costs */
    TAIL_MAX = 16,           /* tokens after a saved state that are computed again rather than saving another */
    SAVE_EVERY = 64,         /* tokens of a generation between saved states */
};

static bool on_cpu(const struct node_model *m)
{
    return strcmp(m->devices[0], "CPU") == 0 && m->devices[1] == NULL;
}

static bool over_network(const struct node_model *m)
{
    for (char **name = m->devices; *name != NULL; name++)
        if (strncmp(*name, "RPC", 3) == 0)
            return true;
    return false;
}

void sched_init(struct sched *s, struct llama_context *ctx, const struct node_model *model, struct outbox *outbox,
                const struct node_core_info *info, size_t n_outputs)
{
    *s = (struct sched){.ctx = ctx,
                        .model = model,
                        .outbox = outbox,
                        .n_batch = (size_t)info->batch,
                        .n_outputs = n_outputs,
                        .n_ctx = (size_t)info->n_ctx};
    outbox->live = &s->counters;
    s->sampler = sampler_create((size_t)model->n_vocab);
    s->batch = llama_batch_init(info->batch, 0, 1);
    s->segment = xcalloc((size_t)info->slots, sizeof(*s->segment));
    s->scratch = xcalloc(s->n_ctx + 1, sizeof(*s->scratch));
    s->branches = info->branches > 0;
    s->width = on_cpu(model) ? 1 : (size_t)info->slots;
    s->copies = !over_network(model);
    s->top = xcalloc((size_t)model->n_vocab, sizeof(*s->top));
    session_table_init(&s->sessions, NODE_SESSIONS_MAX);
    slot_table_init(&s->slots, ctx, (size_t)info->slots, (size_t)info->n_ctx, info->rollback);
}

void sched_finish(struct sched *s)
{
    for (size_t i = 0; i < s->n_active; i++)
        work_free(s->active[i]);
    free(s->active);
    free(s->segment);
    free(s->scratch);
    free(s->top);
    llama_batch_free(s->batch);
    sampler_destroy(s->sampler);
    session_table_finish(&s->sessions);
    slot_table_finish(&s->slots);
}

static void forget(struct session *session)
{
    if (session == NULL)
        return;
    slot_release(session->slot);
    session_free(session);
}

void sched_open(struct sched *s, int64_t id, struct sampler_params *params, size_t prompt_len)
{
    struct session *lost, *added = session_add(&s->sessions, id, params, prompt_len, &lost);
    forget(lost);
    if (added == NULL)
        sampler_params_finish(params); /* more jobs than sessions may be: the caller will hear that it is unknown */
    s->counters.sessions += added != NULL;
}

/* Takes w from its session and its slot; results go to the loop. */
static void finish(struct sched *s, struct node_work *w, enum node_job_status status, char *message)
{
    size_t i = 0;
    while (s->active[i] != w)
        i++;
    s->n_active--;
    memmove(&s->active[i], &s->active[i + 1], (s->n_active - i) * sizeof(*s->active));
    struct node_work **at = &w->session->head;
    while (*at != w)
        at = &(*at)->next_of_session;
    *at = w->next_of_session;
    if (w->slot != NULL)
        w->slot->work = NULL;
    w->slot = NULL;
    work_done(s->outbox, w, status, message);
}

void sched_close(struct sched *s, int64_t id)
{
    struct session *session = session_find(&s->sessions, id);
    if (session == NULL)
        return;
    while (session->head != NULL) {
        atomic_store(&session->head->cancelled, true);
        finish(s, session->head, NODE_JOB_OK, NULL);
    }
    session_remove(&s->sessions, session);
    forget(session);
}

void sched_submit(struct sched *s, struct node_work *w)
{
    struct session *session = session_find(&s->sessions, w->session_id);
    s->counters.jobs++;
    w->reason = NODE_REASON_SUPERSEDED;
    if (session == NULL) {
        work_done(s->outbox, w, NODE_JOB_SESSION_LOST, NULL);
        return;
    }
    if (w->kind == NODE_JOB_DRAFT) {
        if (w->epoch < session->epoch) {
            work_done(s->outbox, w, NODE_JOB_OK, NULL);
            return;
        }
        session->epoch = w->epoch;
    }
    w->session = session;
    struct node_work **at = &session->head;
    for (; *at != NULL; at = &(*at)->next_of_session)
        (*at)->superseded |= (*at)->kind == NODE_JOB_DRAFT || (*at)->kind == NODE_JOB_GENERATE;
    *at = w;
    if (s->n_active == s->cap_active) {
        s->cap_active = s->cap_active * 2 + 16;
        s->active = xreallocarray(s->active, s->cap_active, sizeof(*s->active));
    }
    s->active[s->n_active++] = w;
}

/* Starts and ends works.  One that is broken off before it began still sets its session's path: whoever sends the next
 * one goes on from there. */
static void sweep(struct sched *s)
{
    for (size_t i = 0; i < s->n_active;) {
        struct node_work *w = s->active[i];
        if (w->session->head != w) {
            i++;
            continue;
        }
        char *message = NULL;
        enum node_job_status status = NODE_JOB_OK;
        bool stop = w->superseded || atomic_load(&w->cancelled);
        if (!w->begun)
            status = draw_begin(s, w, &message);
        if (stop)
            w->reason = NODE_REASON_SUPERSEDED;
        if (w->line_over && !sprout_alive(s, w))
            w->over = true;
        if (!stop && status == NODE_JOB_OK && !w->over) {
            i++;
            continue;
        }
        struct session *session = w->session;
        finish(s, w, status, message);
        if (session->head != NULL)
            i = 0; /* the next one of the session may stand before this place */
    }
}

static bool wants_slot(const struct node_work *w)
{
    return w->begun && w->slot == NULL && !w->line_over && !atomic_load(&w->paused);
}

static void place(struct sched *s)
{
    for (size_t i = 0; i < s->n_active; i++) {
        struct node_work *w = s->active[i];
        if (!wants_slot(w))
            continue;
        struct slot *slot = w->session->slot;
        bool evicted = false;
        if (slot == NULL)
            slot = slot_take(&s->slots, w->session, w->session->path, w->first_out, &evicted);
        if (slot == NULL)
            continue;
        s->counters.evictions += evicted;
        w->slot = slot;
        slot->work = w;
        slot_prepare(&s->slots, slot, w->session->path, w->first_out);
    }
}

/* How far the next pass should go with w.  Where the cache can't be cut, a draft only follows a saved state. */
static size_t stop_at(const struct sched *s, const struct node_work *w)
{
    if (w->early)
        return w->feed - 1;
    if (s->slots.rollback != NODE_ROLLBACK_SNAPSHOT || w->kind != NODE_JOB_VERIFY || w->n_draft == 0)
        return w->feed;
    return w->slot->n_kv + TAIL_MAX < w->base - 1 ? w->base - 1 : w->feed;
}

/* Saves the state where w is likely to come back to. */
static void save_state(struct sched *s, const struct node_work *w)
{
    size_t n = w->slot->n_kv;
    bool save = false;
    switch (w->kind) {
    case NODE_JOB_VERIFY:
        save = w->n_draft > 0 && n + TAIL_MAX >= w->base - 1 && n < w->base;
        break;
    case NODE_JOB_DRAFT:
        save = n == w->base;
        break;
    case NODE_JOB_GENERATE:
        save = n >= w->base && (n - w->base) % SAVE_EVERY == 0;
        break;
    case NODE_JOB_SCORE:
        break;
    }
    if (save)
        slot_save(&s->slots, w->slot);
}

void sched_add_token(struct sched *s, int32_t token, size_t pos, int32_t seq, bool output)
{
    struct llama_batch *b = &s->batch;
    b->token[b->n_tokens] = token;
    b->pos[b->n_tokens] = (llama_pos)pos;
    b->n_seq_id[b->n_tokens] = 1;
    b->seq_id[b->n_tokens][0] = seq;
    b->logits[b->n_tokens] = output;
    b->n_tokens++;
}

/* Puts at most `most` tokens of w into the pass. */
static void add_segment(struct sched *s, struct node_work *w, size_t most)
{
    size_t left = s->n_batch - (size_t)s->batch.n_tokens, from = w->slot->n_kv, to = stop_at(s, w);
    if (most > left)
        most = left;
    if (to - from > most)
        to = from + most;
    size_t first_out = w->first_out > from ? w->first_out : from;
    if (to > first_out && to - first_out > s->n_outputs - s->outputs)
        to = first_out + (s->n_outputs - s->outputs);
    if (to <= from)
        return;
    save_state(s, w);
    s->segment[s->n_segments++] =
        (struct segment){.work = w, .slot = w->slot, .from = from, .to = to, .first = s->batch.n_tokens};
    for (size_t pos = from; pos < to; pos++)
        sched_add_token(s, w->session->path[pos], pos, w->slot->seq, pos >= w->first_out);
    if (to > first_out)
        s->outputs += to - first_out;
}

bool sched_runnable(const struct node_work *w)
{
    return w->slot != NULL && w->feed > w->slot->n_kv && !w->hold && !atomic_load(&w->paused);
}

/* A draft to verify is not cut, so that it is one pass. */
static bool is_short(const struct node_work *w)
{
    return w->feed - w->slot->n_kv <= SHORT_TOKENS + w->n_draft;
}

/* Tokens that fit into so much time, going by recent passes. */
static size_t tokens_within(const struct sched *s, double us)
{
    double n = s->us_per_token > 0 ? us / s->us_per_token : (double)s->n_batch;
    return n < CHUNK_MIN ? CHUNK_MIN : n > (double)s->n_batch ? s->n_batch : (size_t)n;
}

/* Fills the batch: first whatever is short, whole, so that no prefill delays it by more than its share of a pass; then
 * chunks of the long ones, alike for all.  Whose turn it is goes round. */
static void fill(struct sched *s)
{
    size_t n_long = 0;
    s->batch.n_tokens = 0;
    s->n_segments = s->outputs = 0;
    s->wake_us = 0;
    s->copied = false;
    s->turn++;
    for (size_t i = 0; i < s->n_active; i++)
        sprout_plan(s, s->active[i]);
    for (size_t i = 0; i < s->n_active; i++) {
        struct node_work *w = s->active[(s->turn + i) % s->n_active];
        if (!sched_runnable(w) || (s->one_by_one && s->n_segments > 0))
            continue;
        if (is_short(w))
            add_segment(s, w, s->n_batch);
        else
            n_long++;
    }
    if (n_long == 0)
        return;
    size_t share = tokens_within(s, s->n_segments > 0 ? PASS_BUSY_US : PASS_ALONE_US) / n_long;
    for (size_t i = 0; i < s->n_active; i++) {
        struct node_work *w = s->active[(s->turn + i) % s->n_active];
        if (sched_runnable(w) && !is_short(w) && !(s->one_by_one && s->n_segments > 0))
            add_segment(s, w, share > CHUNK_MIN ? share : CHUNK_MIN);
    }
}

static void count_pass(struct sched *s, int64_t us)
{
    s->counters.decodes++;
    s->counters.tokens += (uint64_t)s->batch.n_tokens;
    s->counters.decode_us += (uint64_t)us;
    s->counters.restored = s->slots.restored;
    if (s->n_segments > 1) {
        s->counters.batches++;
        for (size_t i = 0; i < s->n_segments; i++) {
            s->counters.jobs_shared += !s->segment[i].work->shared;
            s->segment[i].work->shared = true;
        }
    }
    if (s->copied && s->us_per_token > 0) {
        double extra = (double)us - s->us_per_token * s->batch.n_tokens;
        s->copy_us = 0.7 * s->copy_us + 0.3 * (extra > 0 ? extra : 0);
    }
    if (s->batch.n_tokens >= MEASURED_MIN && !s->copied) {
        double cost = (double)us / s->batch.n_tokens;
        s->us_per_token = s->us_per_token > 0 ? 0.7 * s->us_per_token + 0.3 * cost : cost;
    }
}

/* llama.cpp could not.  1: no room in its cache, nothing has changed; the works go on one by one, and only one that
 * does not fit alone fails.  Else the cache may be half written: it is emptied, each work has one more try. */
static void on_failure(struct sched *s, int rc)
{
    bool again = rc == 1 && !s->one_by_one && s->n_segments > 1;
    s->one_by_one = true;
    if (rc != 2) /* 2: broken off on purpose */
        log_warn("llama_decode of %d tokens for %zu sessions returned %d%s", s->batch.n_tokens, s->n_segments, rc,
                 again ? "; trying them one by one" : "");
    if (again)
        return;
    for (size_t i = 0; i < s->n_segments; i++) {
        struct node_work *w = s->segment[i].work;
        if (s->segment[i].branch != NULL) {
            slot_clear(&s->slots, s->segment[i].slot);
            continue;
        }
        if (rc != 1 || w->retried)
            slot_clear(&s->slots, s->segment[i].slot);
        if (w->retried || rc == 1)
            finish(s, w, NODE_JOB_FAILED,
                   xasprintf(rc == 1 ? "no room in the KV cache (llama_decode returned %d)"
                                     : "the model could not be computed (llama_decode returned %d)",
                             rc));
        else
            w->retried = true;
    }
}

/* What stood in the pass stands in the caches now. */
static void advance(struct sched *s)
{
    int64_t now = clock_us();
    for (size_t i = 0; i < s->n_segments; i++) {
        struct segment *g = &s->segment[i];
        const int32_t *path = g->branch != NULL ? sprout_path(s, g->work, g->branch) : g->work->session->path;
        slot_advance(g->slot, path + g->from, g->to - g->from);
        g->slot->used_us = now;
        g->work->retried = false;
    }
}

static void draw_segment(struct sched *s, const struct segment *g)
{
    for (size_t pos = g->from > g->work->first_out ? g->from : g->work->first_out; pos < g->to; pos++) {
        const float *logits = llama_get_logits_ith(s->ctx, g->first + (int32_t)(pos - g->from));
        if (logits == NULL) {
            finish(s, g->work, NODE_JOB_FAILED, xstrdup("llama.cpp gave no logits"));
            return;
        }
        draw_token(s, g->work, pos, logits);
        if (g->work->over) {
            finish(s, g->work, NODE_JOB_OK, NULL);
            return;
        }
    }
}

/* Branches first: the line may drop one that has got no token yet. */
static void on_success(struct sched *s)
{
    s->one_by_one = false;
    advance(s);
    for (size_t i = 0; i < s->n_segments; i++)
        if (s->segment[i].branch != NULL)
            sprout_draw(s, &s->segment[i]);
    for (size_t i = 0; i < s->n_segments; i++)
        if (s->segment[i].branch == NULL)
            draw_segment(s, &s->segment[i]);
}

static void count_now(struct sched *s)
{
    int32_t busy = 0, idle = 0; /* idle: works of which only branches are left */
    for (size_t i = 0; i < s->slots.n; i++)
        busy += s->slots.slot[i].work != NULL;
    s->counters.slots_busy = busy;
    s->counters.sessions_now = (int32_t)s->sessions.n;
    for (size_t i = 0; i < s->n_active; i++)
        idle += s->active[i]->line_over;
    s->counters.jobs_waiting = (int32_t)s->n_active - busy - idle;
}

bool sched_step(struct sched *s)
{
    sweep(s);
    place(s);
    fill(s);
    count_now(s);
    if (s->batch.n_tokens == 0) {
        bool again = s->one_by_one; /* branches were left out for it */
        s->one_by_one = false;
        return again;
    }
    int64_t start = clock_us();
    int rc = llama_decode(s->ctx, s->batch);
    count_pass(s, clock_us() - start);
    if (rc != 0)
        on_failure(s, rc);
    else
        on_success(s);
    return true;
}
