/* An OpenAI API that verifies: the path and the draft are given as a prompt with echo; where the most likely token of
 * the target is the draft's, it is accepted.  So it works at temperature 0 without penalties, and only then. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backends/echo.h"
#include "backends/openai.h"
#include "backends/wire.h"
#include "base/mem.h"

struct verify_call {
    struct backend_call c;
    int32_t *tokens; /* path, then draft */
    size_t n_path, n_draft;
    int n_logprobs;
};

static void release(struct backend_call *c)
{
    free(((struct verify_call *)c)->tokens);
}

static bool is_eog(const struct openai *o, int32_t id)
{
    for (size_t i = 0; i < o->n_eog; i++)
        if (o->eog[i] == id)
            return true;
    return false;
}

bool openai_add_token(const struct openai *o, const struct echo_entry *e, int32_t id, int n_logprobs,
                      struct wire_tokens *t)
{
    if (id < 0 || id >= o->n_vocab)
        return false;
    bool end = is_eog(o, id);
    wire_tokens_add(t, id, NULL, end, NULL, o->n_vocab, NULL);
    struct backend_token *tok = &t->list[t->n - 1];
    tok->piece = end ? "" : o->piece[id];
    tok->len = end ? 0 : o->piece_len[id];
    if (n_logprobs < 0)
        return true;
    size_t n = (size_t)n_logprobs < e->n_top ? (size_t)n_logprobs : e->n_top;
    struct sampler_logprob *top = wire_tokens_own(t, xcalloc(n + 1, sizeof(*top)));
    const char **pieces = wire_tokens_own(t, xcalloc(n + 1, sizeof(*pieces)));
    size_t *lens = wire_tokens_own(t, xcalloc(n + 1, sizeof(*lens)));
    for (size_t i = 0; i < n; i++) {
        int32_t top_id = e->top[i].id;
        if (top_id < 0 || top_id >= o->n_vocab)
            return false;
        top[i] = (struct sampler_logprob){top_id, (float)e->top[i].logprob};
        pieces[i] = o->piece[top_id];
        lens[i] = o->piece_len[top_id];
    }
    tok->has_logprob = true;
    tok->logprob = (float)(e->id == id ? e->logprob : e->top[0].logprob);
    tok->top = top;
    tok->top_piece = pieces;
    tok->top_len = lens;
    tok->n_top = n;
    return true;
}

/* Walks along the draft while the target's best token is the draft's. */
static bool judge(const struct verify_call *v, const struct echo_answer *a, struct wire_tokens *t,
                  struct backend_verdict *verdict)
{
    double margin = INFINITY;
    for (size_t i = v->n_path;; i++) {
        bool last = i == v->n_path + v->n_draft;
        if (i >= a->n)
            return false;
        const struct echo_entry *e = &a->list[i];
        int32_t best = last && e->n_top == 0 ? e->id : e->top[0].id;
        if (e->n_top > 1 && e->top[0].logprob - e->top[1].logprob < margin)
            margin = e->top[0].logprob - e->top[1].logprob;
        if (!openai_add_token(v->c.b->state, e, best, v->n_logprobs, t))
            return false;
        if (last || best != v->tokens[i] || t->list[t->n - 1].end)
            break;
    }
    verdict->accepted = t->n - 1;
    verdict->tokens = t->list;
    verdict->margin = isinf(margin) ? NAN : (float)margin;
    return true;
}

static void on_reply(struct backend_call *c, const struct httpc_result *r)
{
    struct verify_call *v = (struct verify_call *)c;
    const struct openai *o = c->b->state;
    struct backend_verdict verdict = {.margin = NAN};
    struct echo_answer a;
    struct wire_tokens t;
    char *message = NULL;
    enum backend_error e = call_reply_error(c, r, &message);
    if (e != BACKEND_OK) {
        call_fail(c, e, "%s", message);
        free(message);
        return;
    }
    wire_tokens_init(&t);
    if (echo_read(r, v->n_path + v->n_draft, o->n_vocab, &a) < 0 || !judge(v, &a, &t, &verdict))
        call_fail(c, BACKEND_BROKEN, "verdict from %s: log probabilities that do not cover the draft", c->b->cfg.url);
    else
        call_end_verify(c, &verdict);
    echo_finish(&a);
    wire_tokens_finish(&t);
}

bool openai_is_greedy(const struct sampler_params *p)
{
    return p->temperature == 0 && p->repeat_penalty == 1 && p->frequency_penalty == 0 && p->presence_penalty == 0 &&
           p->n_bias == 0;
}

struct backend_call *openai_verify(struct backend_session *s, const int32_t *path, size_t n_path, const int32_t *draft,
                                   size_t n_draft, int n_logprobs, int timeout_ms, backend_verify_cb *cb, void *arg)
{
    struct backend *b = s->b;
    struct openai *o = b->state;
    struct verify_call *v = call_create(sizeof(*v), b, s, CALL_VERIFY, timeout_ms, arg);
    v->c.cb.verify = cb;
    v->c.release = release;
    if (!o->caps.verify || !openai_is_greedy(&s->params) || n_path == 0) {
        call_fail_later(&v->c, BACKEND_UNSUPPORTED, "%s",
                        !o->caps.verify ? o->cannot_verify != NULL ? o->cannot_verify : "it has not been asked yet"
                        : n_path == 0   ? "nothing to continue: no token"
                                        : "it verifies at temperature 0 without penalties only");
        return &v->c;
    }
    char *why = backend_check_tokens(b, path, n_path);
    if (why != NULL) {
        call_fail_later(&v->c, BACKEND_UNSUPPORTED, "%s", why);
        free(why);
        return &v->c;
    }
    v->tokens = xmalloc((n_path + n_draft) * sizeof(*v->tokens));
    memcpy(v->tokens, path, n_path * sizeof(*path));
    v->n_path = n_path;
    v->n_logprobs = n_logprobs;
    /* an id that the target does not have ends the draft: it could not be accepted */
    while (v->n_draft < n_draft && draft[v->n_draft] >= 0 && draft[v->n_draft] < o->n_vocab) {
        v->tokens[n_path + v->n_draft] = draft[v->n_draft];
        v->n_draft++;
    }
    char url[64], *body = echo_body(b->cfg.model_name != NULL ? b->cfg.model_name : b->info.model, v->tokens,
                                    n_path + v->n_draft, n_logprobs > 2 ? n_logprobs : 2);
    snprintf(url, sizeof(url), "%s/completions", o->prefix);
    call_post_text(&v->c, url, body, strlen(body), on_reply);
    free(body);
    return &v->c;
}
