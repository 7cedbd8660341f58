/* The text itself as a drafter (base/ngram.h): no server, no network, every vocabulary. */
#include <math.h>
#include <stdlib.h>

#include "backends/calls.h"
#include "base/mem.h"
#include "base/ngram.h"

struct text_session {
    struct backend_session s;
    struct ngram *index; /* made by the first draft */
};

struct text_call {
    struct backend_call c;
    int32_t *tokens;
    float *probs;
    size_t n;
};

static void init(struct backend *b)
{
    b->state = xcalloc(1, sizeof(struct ngram_record));
}

static void finish(struct backend *b)
{
    free(b->state);
}

static void probed(struct backend_call *c)
{
    struct backend_info *info = &c->b->info;
    backend_info_reset(info);
    backend_info_set_string(&info->model, "the text itself");
    info->caps = (struct backend_caps){.draft_tokens = true, .draft_stream = true, .any_vocabulary = true};
    info->cannot_verify = xstrdup("it is no model: it only drafts");
    call_end_probe(c);
}

static struct backend_call *probe(struct backend *b, int timeout_ms, backend_probe_cb *cb, void *arg)
{
    struct backend_call *c = call_create(sizeof(*c), b, NULL, CALL_PROBE, 0, arg);
    c->cb.probe = cb;
    call_defer(c, probed);
    return c;
}

static struct backend_session *session_open(struct backend *b, const struct sampler_params *p, size_t prompt_len)
{
    return session_create(sizeof(struct text_session), b, p, prompt_len);
}

static void session_close(struct backend_session *s)
{
    ngram_destroy(((struct text_session *)s)->index);
    session_finish(s);
}

static void release(struct backend_call *c)
{
    struct text_call *t = (struct text_call *)c;
    free(t->tokens);
    free(t->probs);
}

/* Proposes n tokens behind the path, of which the first `known` tokens are right. */
static struct text_call *propose(struct backend_session *s, enum call_kind kind, const int32_t *path, size_t n_path,
                                 size_t known, size_t n, void *arg)
{
    struct text_session *x = (struct text_session *)s;
    struct text_call *t = call_create(sizeof(*t), s->b, s, kind, 0, arg);
    if (x->index == NULL)
        x->index = ngram_create(s->b->state, s->prompt_len);
    if (known > n_path)
        known = n_path;
    if (n > NGRAM_MOST)
        n = NGRAM_MOST;
    t->c.release = release;
    t->tokens = xmalloc(n * sizeof(*t->tokens));
    t->probs = xmalloc(n * sizeof(*t->probs));
    ngram_follow(x->index, path, known);
    t->n = ngram_propose(x->index, path + known, n_path - known, n, t->tokens, t->probs);
    return t;
}

static void drafted(struct backend_call *c)
{
    struct text_call *t = (struct text_call *)c;
    call_end_draft(c, &(struct backend_draft){.tokens = t->tokens, .probs = t->probs, .n = t->n});
}

static struct backend_call *draft(struct backend_session *s, const int32_t *path, size_t n_path, size_t n, float p_min,
                                  int timeout_ms, backend_draft_cb *cb, void *arg)
{
    struct text_call *t = propose(s, CALL_DRAFT, path, n_path, n_path, n, arg);
    size_t sure = 0;
    while (sure < t->n && t->probs[sure] >= p_min)
        sure++;
    t->n = sure;
    t->c.cb.draft = cb;
    call_defer(&t->c, drafted);
    return &t->c;
}

static void streamed(struct backend_call *c)
{
    struct text_call *t = (struct text_call *)c;
    struct backend_drafted d = {.tokens = t->tokens, .probs = t->probs, .n = t->n};
    if (t->n > 0 && call_stream_drafted(c, &d) < 0)
        return;
    call_end_generate(c);
}

static struct backend_call *draft_stream(struct backend_session *s, const int32_t *path, size_t n_path,
                                         const struct backend_draft_ask *ask, int idle_timeout_ms,
                                         backend_drafted_cb *on_tokens, backend_done_cb *cb, void *arg)
{
    struct text_call *t = propose(s, CALL_GENERATE, path, n_path, ask->from, ask->n, arg);
    t->c.stream.drafted = on_tokens;
    t->c.cb.generate = cb;
    call_defer(&t->c, streamed);
    return &t->c;
}

const struct backend_ops backend_ngram_ops = {
    .name = "ngram",
    .no_server = true,
    .init = init,
    .finish = finish,
    .probe = probe,
    .session_open = session_open,
    .session_close = session_close,
    .draft = draft,
    .draft_stream = draft_stream,
};
