#include "node/draw.h"

#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "node/grove.h"
#include "node/sprout.h"
#include "node/tree.h"

static bool is_token(const struct sched *s, int32_t token, char **message)
{
    if (token >= 0 && token < s->model->n_vocab)
        return true;
    *message = xasprintf("%d is no token of this model (it has %d)", token, s->model->n_vocab);
    return false;
}

static enum node_job_status check(const struct sched *s, const struct node_work *w, char **message)
{
    if (w->keep > w->session->n_path)
        return NODE_JOB_SESSION_LOST;
    if (w->keep + w->n_tokens == 0) {
        *message = xstrdup("there is nothing to compute: neither tokens nor any that are kept");
        return NODE_JOB_INVALID;
    }
    for (size_t i = 0; i < w->n_branches; i++) {
        for (size_t j = 0; j < w->branch[i].n; j++)
            if (!is_token(s, w->branch[i].tokens[j], message))
                return NODE_JOB_INVALID;
    }
    for (size_t i = 0; i < w->n_tokens + w->n_draft; i++) {
        int32_t token = i < w->n_tokens ? w->tokens[i] : w->draft[i - w->n_tokens];
        if (!is_token(s, token, message))
            return NODE_JOB_INVALID;
    }
    /* Each by itself first: the sum of absurd numbers could wrap. */
    if (w->n_tokens > s->n_ctx || w->n_draft > s->n_ctx || w->keep + w->n_tokens + w->n_draft > s->n_ctx)
        return NODE_JOB_CONTEXT_FULL;
    return NODE_JOB_OK;
}

static void set_over(struct node_work *w, enum node_job_reason reason)
{
    w->over = true;
    w->reason = reason;
}

/* The line of a draft has ended.  Its branches may go on, while nobody else wants its slot. */
static void end_line(struct node_work *w, enum node_job_reason reason)
{
    w->over = !w->branching;
    w->line_over = true;
    w->reason = reason;
    if (w->slot != NULL && w->branching) {
        w->slot->work = NULL;
        w->slot = NULL;
    }
}

/* A token of the line or of a generation has come, and is in the path. */
static void take_token(struct sched *s, struct node_work *w, struct node_token t)
{
    struct session *session = w->session;
    bool draft = w->kind == NODE_JOB_DRAFT;
    w->feed = session->n_path;
    w->first_out = session->n_path - 1;
    w->eog = node_model_is_eog(s->model, t.id);
    work_emit(s->outbox, w, t, s->top);
    session->ended = w->eog && !draft; /* a draft's end may still be refused */
    if (w->eog)
        end_line(w, NODE_REASON_EOG);
    else if (w->made == w->n)
        end_line(w, NODE_REASON_N);
    else if (session->n_path >= s->n_ctx)
        end_line(w, NODE_REASON_CTX);
    if (draft && session->grove != NULL)
        sprout_tell(s, w);
}

/* The tokens of w become the path of its session. */
static void follow(struct sched *s, struct node_work *w)
{
    struct session *session = w->session;
    w->branching = w->kind == NODE_JOB_DRAFT && w->branches > 0 && s->branches;
    if (w->branching && session->grove == NULL)
        session->grove = grove_create();
    if (w->kind != NODE_JOB_DRAFT || session->grove == NULL) {
        session_set_path(session, w->keep, w->tokens, w->n_tokens);
        return;
    }
    session->grove->from = w->from;
    session->grove->most = w->branches;
    session->grove->depth = w->depth;
    grove_follow(session, w->keep, w->tokens, w->n_tokens);
}

/* What was drafted before and still holds comes at once. */
static void recall(struct sched *s, struct node_work *w)
{
    struct session *session = w->session;
    struct node_token t = {.logprob = NAN, .gap = NAN};
    sprout_tell(s, w);
    while (!w->line_over && grove_peek(session, &t.id, &t.prob)) {
        if (t.prob < w->p_min) {
            end_line(w, NODE_REASON_P_MIN);
            return;
        }
        grove_recall(session);
        take_token(s, w, t);
    }
}

/* How far the session's line is known. */
static size_t line_end(const struct session *session)
{
    const struct grove *g = session->grove;
    return g != NULL && g->n_known > session->n_path ? g->n_known : session->n_path;
}

enum node_job_status draw_begin(struct sched *s, struct node_work *w, char **message)
{
    struct session *session = w->session;
    w->begun = true;
    session->ended = false;
    w->have = session->n_path;
    enum node_job_status status = check(s, w, message);
    if (status != NODE_JOB_OK)
        return status;
    size_t known = line_end(session);
    follow(s, w);
    w->base = w->feed = session->n_path;
    w->first_out = w->base - 1;
    /* The token that a broken off draft was at is the next one of this draft, where it goes on from there. */
    w->ready_us = session->drafting_us != 0 && line_end(session) >= known ? session->drafting_us : clock_us();
    session->drafting_us = 0;
    switch (w->kind) {
    case NODE_JOB_VERIFY:
        if (w->n_draft > 0)
            memcpy(session_room(session, w->n_draft), w->draft, w->n_draft * sizeof(*w->draft));
        w->feed += w->n_draft;
        for (size_t i = 0; i < w->n_branches; i++)
            w->branch[i].at += w->base;
        break;
    case NODE_JOB_DRAFT:
    case NODE_JOB_GENERATE:
        if (w->n == 0)
            end_line(w, NODE_REASON_N);
        else if (w->base >= s->n_ctx)
            end_line(w, NODE_REASON_CTX);
        if (w->kind == NODE_JOB_DRAFT && session->grove != NULL)
            recall(s, w);
        break;
    case NODE_JOB_SCORE: {
        /* The logits at a position say what follows: the last token's are not needed, the first token has none. */
        w->feed = w->base - 1;
        size_t from = w->n > 0 && w->n < w->base - w->keep ? w->base - w->n : w->keep;
        w->first_out = from > 0 ? from - 1 : 0;
        if (from == 0) {
            struct sampler_logprob none[1 + NODE_TOP_MAX];
            for (size_t i = 0; i < w->n_top; i++)
                none[i] = (struct sampler_logprob){.token = -1, .logprob = NAN};
            work_emit(s->outbox, w, (struct node_token){.id = w->tokens[0], .prob = NAN, .logprob = NAN, .gap = NAN},
                      none);
        }
        if (w->first_out >= w->feed || w->n_tokens == 0)
            set_over(w, NODE_REASON_N);
        break;
    }
    }
    return NODE_JOB_OK;
}

/* The token as it goes out, with the logprobs asked for (s->top gets the alternatives). */
static struct node_token describe(struct sched *s, const struct node_work *w, int32_t id, const float *logits)
{
    struct node_token t = {.id = id, .prob = NAN, .logprob = NAN, .gap = NAN};
    if (w->n_logprobs >= 0 || w->kind == NODE_JOB_SCORE || w->kind == NODE_JOB_DRAFT)
        sampler_logprobs(logits, (size_t)s->model->n_vocab, id, &t.logprob, s->top, w->n_top);
    return t;
}

/* Whether the draft, along the branch that was taken, has this token at its place i. */
static bool expects(const struct node_work *w, size_t i, int32_t token)
{
    const struct branch *b = w->taken;
    if (b == NULL)
        return i < w->n_draft && w->draft[i] == token;
    size_t at = b->at - w->base;
    return i - at < b->n && b->tokens[i - at] == token;
}

static void draw_verify(struct sched *s, struct node_work *w, size_t pos, const float *logits)
{
    struct session *session = w->session;
    struct sampler_pick pick =
        sampler_pick(s->sampler, &session->params, logits, session->path, pos + 1, session->prompt_len);
    size_t i = pos + 1 - w->base;
    w->eog = node_model_is_eog(s->model, pick.token);
    if (pick.margin < w->margin)
        w->margin = pick.margin;
    work_emit(s->outbox, w, describe(s, w, pick.token, logits), s->top);
    if (!w->eog && (expects(w, i, pick.token) || tree_turn(s, w, pick.token))) {
        w->accepted++;
        session->n_path++;
        return;
    }
    s->counters.verified += w->n_draft;
    s->counters.branches += w->branches_used;
    s->counters.accepted += w->accepted;
    session->ended = w->eog;
    set_over(w, w->eog ? NODE_REASON_EOG : NODE_REASON_N);
}

static void draw_next(struct sched *s, struct node_work *w, const float *logits)
{
    struct session *session = w->session;
    bool draft = w->kind == NODE_JOB_DRAFT;
    int32_t *to = session_room(session, 1);
    struct sampler_pick pick =
        sampler_pick(s->sampler, &session->params, logits, session->path, session->n_path, session->prompt_len);
    struct node_token t = describe(s, w, pick.token, logits);
    struct sampler_choice choice[GROVE_CHOICES];
    size_t n = 0;
    if (draft && (session->grove != NULL || session->params.temperature > 0)) {
        n = sampler_choices(s->sampler, &session->params, logits, session->path, session->n_path, session->prompt_len,
                            pick.token, choice, GROVE_CHOICES);
        t.prob = choice[0].chance;
    } else if (draft) {
        t.prob = expf(t.logprob);
    }
    if (draft && t.prob < w->p_min) {
        end_line(w, NODE_REASON_P_MIN);
        return;
    }
    *to = pick.token;
    session->n_path++;
    if (n > 0 && session->grove != NULL)
        grove_add(session, choice, n);
    *(draft ? &s->counters.drafted : &s->counters.generated) += 1;
    if (draft)
        sprout_count(s, w, 1);
    take_token(s, w, t);
}

static void draw_score(struct sched *s, struct node_work *w, size_t pos, const float *logits)
{
    int32_t id = w->session->path[pos + 1];
    struct node_token t = describe(s, w, id, logits);
    float best = -INFINITY;
    for (int32_t i = 0; i < s->model->n_vocab; i++)
        if (logits[i] > best)
            best = logits[i];
    t.gap = best - logits[id];
    work_emit(s->outbox, w, t, s->top);
    s->counters.scored++;
    if (pos + 2 == w->base)
        set_over(w, NODE_REASON_N);
}

void draw_token(struct sched *s, struct node_work *w, size_t pos, const float *logits)
{
    if (w->kind == NODE_JOB_VERIFY)
        draw_verify(s, w, pos, logits);
    else if (w->kind == NODE_JOB_SCORE)
        draw_score(s, w, pos, logits);
    else
        draw_next(s, w, logits);
}
