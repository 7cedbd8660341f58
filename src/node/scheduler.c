#include "node/scheduler.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "node/draw.h"
#include "node/sprout.h"
#include "node/tree.h"

enum {
    SHORT_TOKENS = 64,       /* work up to this long goes into the next pass whole; longer work is cut into chunks */
    CHUNK_MIN = 32,          /* tokens; a chunk is never cut shorter for the sake of others */
    PASS_BUSY_US = 200000,   /* how long a chunk may make others wait */
    PASS_ALONE_US = 1000000, /* how long a pass may take with nobody waiting, so that a newcomer soon has its turn */
    MEASURED_MIN = 16,       /* passes with fewer tokens say little about what a token costs */
    TAIL_MAX = 16,           /* tokens after a saved state that are computed again rather than saving another */
    SAVE_EVERY = 64,         /* tokens of a generation between saved states */
    SMALL_ROW = 32768,       /* bytes: logits of one token that are small beside a trip, */
    SPARE_BYTES = 131072,    /* and those of so many that nobody needs */
    WARM_TOKENS = 40,        /* passes of each length up to this are made known to other machines at load, */
    WARM_US = 2000000,       /* as many as this time allows */
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
    s->networked = over_network(model);
    s->cuts = info->rollback == NODE_ROLLBACK_TRUNCATE;
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
        if (w->superseded && w->kind == NODE_JOB_DRAFT && w->begun && !w->over)
            session->drafting_us = w->ready_us;
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

void sched_add(struct sched *s, struct segment g)
{
    size_t first_out = g.first_out > g.from ? g.first_out : g.from;
    s->segment[s->n_segments++] = g;
    s->n_tokens += g.to - g.from;
    s->outputs += g.to > first_out ? g.to - first_out : 0;
    g.slot->in_pass = true;
}

/* Puts at most `most` tokens of w into the pass. */
static void add_segment(struct sched *s, struct node_work *w, size_t most)
{
    size_t left = s->n_batch - s->n_tokens, from = w->slot->n_kv, to = stop_at(s, w);
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
    sched_add(s, (struct segment){.work = w, .slot = w->slot, .from = from, .to = to, .first_out = w->first_out});
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

static void begin_pass(struct sched *s)
{
    s->batch.n_tokens = 0;
    s->n_segments = s->n_tokens = s->outputs = s->copied = 0;
    s->wake_us = 0;
    s->turn++;
    for (size_t i = 0; i < s->slots.n; i++)
        s->slots.slot[i].in_pass = false;
}

/* Chooses what goes into the pass: first whatever is short, whole, so that no prefill delays it by more than its share
 * of a pass; then chunks of the long ones, alike for all; then branches.  Whose turn it is goes round. */
static void fill(struct sched *s)
{
    size_t n_long = 0;
    begin_pass(s);
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
    size_t share = tokens_within(s, s->n_segments > 0 ? PASS_BUSY_US : PASS_ALONE_US) / (n_long > 0 ? n_long : 1);
    for (size_t i = 0; i < s->n_active && n_long > 0; i++) {
        struct node_work *w = s->active[(s->turn + i) % s->n_active];
        if (sched_runnable(w) && !is_short(w) && !(s->one_by_one && s->n_segments > 0))
            add_segment(s, w, share > CHUNK_MIN ? share : CHUNK_MIN);
    }
    tree_attach(s);
}

static const int32_t *segment_path(struct sched *s, const struct segment *g)
{
    return g->branch != NULL ? tree_path(s, g->work, g->branch) : g->work->session->path;
}

static void add_token(struct llama_batch *b, int32_t token, size_t pos, int32_t seq, bool output)
{
    b->token[b->n_tokens] = token;
    b->pos[b->n_tokens] = (llama_pos)pos;
    b->n_seq_id[b->n_tokens] = 1;
    b->seq_id[b->n_tokens][0] = seq;
    b->logits[b->n_tokens] = output;
    b->n_tokens++;
}

/* Gives a pass of one step over the network a shape that was seen before, where that is cheaper than a new one. */
static void shape(struct sched *s, const size_t *most, size_t *padded)
{
    struct shape least = {0};
    size_t longest = SIZE_MAX;
    for (size_t i = 0; i < s->slots.n; i++) {
        if (padded[i] == 0)
            continue;
        least.sequences++;
        least.length = padded[i];
        least.cells = least.cells > s->slots.slot[i].n_kv ? least.cells : s->slots.slot[i].n_kv;
        longest = longest < most[i] ? longest : most[i];
    }
    least.cells += least.length;
    /* Where logits are small a pass takes them all: then their number makes no shapes of its own. */
    size_t all = least.length * least.sequences, row = (size_t)s->model->n_vocab * sizeof(float);
    if (row <= SMALL_ROW)
        least.outputs = (all - s->outputs) * row <= SPARE_BYTES && all <= s->n_outputs ? all : s->outputs;
    longest = longest < s->n_outputs / least.sequences ? longest : s->n_outputs / least.sequences;
    longest = longest > least.length ? longest : least.length;
    s->shape = s->cuts ? shapes_choose(&s->shapes, &s->cost, least, longest) : least;
    for (size_t i = 0; i < s->slots.n; i++)
        padded[i] = padded[i] > 0 ? s->shape.length : 0;
}

/* A pass of several steps over the network most likely has a shape of its own.  Makes it one of one step where the
 * tokens that this takes cost less than that.  Returns the steps saved. */
static size_t level(struct sched *s, const size_t *most, size_t *padded)
{
    size_t *one = xcalloc(s->slots.n, sizeof(*one)), steps = s->steps, more;
    bool can = s->cuts && s->cost.known && pass_level(padded, most, s->slots.n, s->n_batch, one, &more);
    can = can && (double)more * s->cost.token_us <
                     shapes_new_us(&s->shapes, &s->cost) + (double)(steps - 1) * pass_cost_step(&s->cost);
    if (can)
        memcpy(padded, one, s->slots.n * sizeof(*one));
    free(one);
    s->counters.trips_saved += can ? steps - 1 : 0;
    return can ? steps - 1 : 0;
}

/* How long each slot's part of the pass is best made. */
static void pad(struct sched *s, size_t *padded)
{
    size_t *len = xcalloc(s->slots.n * 2, sizeof(*len)), *most = len + s->slots.n;
    for (size_t i = 0; i < s->slots.n; i++)
        most[i] = s->n_ctx - s->slots.slot[i].n_kv;
    for (size_t i = 0; i < s->n_segments; i++)
        len[s->segment[i].slot->seq] = s->segment[i].to - s->segment[i].from;
    size_t saved = s->cuts ? pass_pad(&s->cost, len, most, s->slots.n, s->n_batch, padded) : 0;
    if (saved == 0)
        memcpy(padded, len, s->slots.n * sizeof(*padded));
    s->steps = pass_steps(padded, s->slots.n);
    s->shape = (struct shape){.outputs = s->outputs};
    if (s->networked && s->steps > 1)
        s->steps -= level(s, most, padded);
    if (s->networked && s->steps == 1)
        shape(s, most, padded);
    s->counters.trips_saved += saved;
    free(len);
}

/* Writes the batch, slot by slot: llama.cpp computes those together whose numbers follow one another. */
static void compose(struct sched *s)
{
    size_t *padded = xcalloc(s->slots.n, sizeof(*padded));
    pad(s, padded);
    /* logits that nobody needs, for the shape's sake */
    size_t more = s->shape.outputs > s->outputs ? s->shape.outputs - s->outputs : 0;
    for (size_t i = 0; i < s->slots.n; i++) {
        struct slot *slot = &s->slots.slot[i];
        struct segment *g = NULL;
        for (size_t j = 0; j < s->n_segments && g == NULL; j++)
            g = s->segment[j].slot == slot ? &s->segment[j] : NULL;
        size_t len = g != NULL ? g->to - g->from : 0;
        const int32_t *path = g != NULL ? segment_path(s, g) : NULL;
        if (g != NULL)
            g->first = s->batch.n_tokens;
        for (size_t pos = slot->n_kv; pos < slot->n_kv + padded[i]; pos++) {
            bool real = pos < slot->n_kv + len;
            bool needed = real && pos >= g->first_out;
            add_token(&s->batch, real ? path[pos] : 0, pos, slot->seq, needed || more > 0);
            more -= !needed && more > 0;
        }
        slot->padded = padded[i] > len;
    }
    s->counters.padded += (size_t)s->batch.n_tokens - s->n_tokens;
    free(padded);
}

/* Cuts off what only made a pass even. */
static void cut_padding(struct sched *s)
{
    llama_memory_t mem = llama_get_memory(s->ctx);
    for (size_t i = 0; i < s->slots.n; i++) {
        struct slot *slot = &s->slots.slot[i];
        if (slot->padded && !llama_memory_seq_rm(mem, slot->seq, (llama_pos)slot->n_kv, -1))
            slot_clear(&s->slots, slot);
        slot->padded = false;
    }
}

static void count_sharers(struct sched *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_segments; i++)
        n += s->segment[i].branch == NULL;
    s->counters.batches += n > 1;
    for (size_t i = 0; i < s->n_segments && n > 1; i++) {
        if (s->segment[i].branch != NULL)
            continue;
        s->counters.jobs_shared += !s->segment[i].work->shared;
        s->segment[i].work->shared = true;
    }
}

static void count_pass(struct sched *s, int64_t us)
{
    s->counters.decodes++;
    s->counters.trips += s->steps;
    s->counters.tokens += (uint64_t)s->n_tokens;
    s->counters.decode_us += (uint64_t)us;
    s->counters.restored = s->slots.restored;
    count_sharers(s);
    if (s->outputs == 0)
        return;
    if (s->copied > 0) {
        double plain =
            s->cost.first_us + s->cost.token_us * s->batch.n_tokens + (double)(s->steps - 1) * pass_cost_step(&s->cost);
        double extra = (double)us > plain ? ((double)us - plain) / (double)s->copied : 0;
        s->copy_us = s->copy_known ? 0.7 * s->copy_us + 0.3 * extra : extra;
        s->copy_known = true;
        return;
    }
    double plain = s->cost.first_us + s->cost.token_us * s->batch.n_tokens;
    if (s->shape.sequences > 0 && shapes_add(&s->shapes, s->shape, s->cost.known ? (double)us - plain : 0)) {
        s->counters.shapes++;
        return;
    }
    pass_cost_add(&s->cost, s->steps, (size_t)s->batch.n_tokens, (double)us);
    s->counters.first_us = s->cost.first_us;
    s->counters.token_us = s->cost.token_us;
    s->counters.step_us = pass_cost_step(&s->cost);
    if (s->batch.n_tokens >= MEASURED_MIN) {
        double cost = (double)us / s->batch.n_tokens;
        s->us_per_token = s->us_per_token > 0 ? 0.7 * s->us_per_token + 0.3 * cost : cost;
    }
}

/* Sequences that were in the pass for nothing but to make it even: nobody knows what they hold. */
static void drop_padding(struct sched *s)
{
    for (size_t i = 0; i < s->slots.n; i++)
        if (s->slots.slot[i].padded)
            slot_clear(&s->slots, &s->slots.slot[i]);
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
    if (rc != 1)
        drop_padding(s);
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
        slot_advance(g->slot, segment_path(s, g) + g->from, g->to - g->from);
        g->slot->used_us = now;
        g->work->retried = false;
    }
    cut_padding(s);
}

static const struct segment *segment_of(const struct sched *s, const struct branch *b)
{
    size_t i = 0;
    while (s->segment[i].branch != b)
        i++;
    return &s->segment[i];
}

/* Draws along the segment, and along a branch where the target goes into one. */
static void draw_segment(struct sched *s, const struct segment *g)
{
    struct node_work *w = g->work;
    for (size_t pos = g->from > g->first_out ? g->from : g->first_out; pos < g->to; pos++) {
        const float *logits = llama_get_logits_ith(s->ctx, g->first + (int32_t)(pos - g->from));
        if (logits == NULL) {
            finish(s, w, NODE_JOB_FAILED, xstrdup("llama.cpp gave no logits"));
            return;
        }
        draw_token(s, w, pos, logits);
        if (w->over) {
            finish(s, w, NODE_JOB_OK, NULL);
            return;
        }
        if (w->taken != g->branch)
            g = segment_of(s, w->taken);
    }
}

/* Branches of drafts first: the line may drop one that has got no token yet. */
static void on_success(struct sched *s)
{
    s->one_by_one = false;
    advance(s);
    for (size_t i = 0; i < s->n_segments; i++)
        if (s->segment[i].branch != NULL && s->segment[i].work->kind == NODE_JOB_DRAFT)
            sprout_draw(s, &s->segment[i]);
    for (size_t i = 0; i < s->n_segments; i++)
        if (s->segment[i].branch == NULL)
            draw_segment(s, &s->segment[i]);
}

/* One pass of so many sequences of n tokens, each with its logits. */
static bool warm_up(struct sched *s, size_t n, size_t sequences)
{
    s->batch.n_tokens = 0;
    for (size_t i = 0; i < sequences; i++)
        for (size_t pos = 0; pos < n; pos++)
            add_token(&s->batch, 0, pos, s->slots.slot[i].seq, true);
    int64_t start = clock_us();
    bool ok = llama_decode(s->ctx, s->batch) == 0;
    llama_synchronize(s->ctx);
    double us = (double)(clock_us() - start), plain = s->cost.first_us + s->cost.token_us * (double)(n * sequences);
    for (size_t i = 0; i < sequences; i++)
        slot_clear(&s->slots, &s->slots.slot[i]);
    struct shape shape = {.sequences = sequences, .length = n, .outputs = n * sequences, .cells = n};
    if ((size_t)s->model->n_vocab * sizeof(float) > SMALL_ROW)
        shape.outputs = 0;
    if (ok && !shapes_add(&s->shapes, shape, s->cost.known ? us - plain : 0))
        pass_cost_add(&s->cost, 1, n * sequences, us);
    return ok;
}

void sched_warm_up(struct sched *s)
{
    static const size_t lengths[] = {1, 8, 16, 24, 32, WARM_TOKENS};
    if (!s->networked || !s->cuts)
        return;
    size_t most = s->n_outputs < s->n_ctx ? s->n_outputs : s->n_ctx;
    int64_t start = clock_us();
    for (size_t i = 0; i < ARRAY_LEN(lengths) && lengths[i] <= most; i++)
        for (int again = 0; again < 2; again++)
            if (!warm_up(s, lengths[i], 1))
                return;
    for (size_t i = 1; i < ARRAY_LEN(lengths) && 2 * lengths[i] <= most && s->slots.n > 1; i++)
        if (clock_us() - start < WARM_US && !warm_up(s, lengths[i], 2))
            return;
    for (size_t n = 2; n < WARM_TOKENS && n <= most && clock_us() - start < WARM_US; n++)
        if (!warm_up(s, n, 1))
            return;
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
    if (s->n_segments == 0) {
        bool again = s->one_by_one; /* branches were left out for it */
        s->one_by_one = false;
        return again;
    }
    compose(s);
    int64_t start = clock_us();
    int rc = llama_decode(s->ctx, s->batch);
    if (s->outputs > 0)
        llama_synchronize(s->ctx); /* else a device may still be at it */
    count_pass(s, clock_us() - start);
    if (rc != 0)
        on_failure(s, rc);
    else
        on_success(s);
    return true;
}
