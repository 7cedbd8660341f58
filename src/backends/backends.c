/* The registered kinds, and the functions that every caller goes through. */
#include "backends/backend.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backends/calls.h"
#include "base/cause.h"
#include "base/mem.h"

const struct backend_ops *const backend_kinds[] = {
    &backend_llamacpp_ops, &backend_ngram_ops, &backend_node_ops, &backend_ollama_ops, &backend_openai_ops, NULL,
};

const struct backend_ops *backend_kind(const char *name)
{
    for (size_t i = 0; backend_kinds[i] != NULL; i++)
        if (strcmp(backend_kinds[i]->name, name) == 0)
            return backend_kinds[i];
    return NULL;
}

const char *backend_error_name(enum backend_error e)
{
    static const char *const names[] = {
        [BACKEND_OK] = "ok",
        [BACKEND_UNREACHABLE] = "unreachable",
        [BACKEND_TIMEOUT] = "timeout",
        [BACKEND_BROKEN] = "broken",
        [BACKEND_REFUSED] = "refused",
        [BACKEND_OVERLOADED] = "overloaded",
        [BACKEND_TOO_LONG] = "too long",
        [BACKEND_UNSUPPORTED] = "unsupported",
    };
    return (size_t)e < ARRAY_LEN(names) ? names[e] : "?";
}

struct backend *backend_create(struct event_base *base, struct httpc *http, const struct config_server *cfg,
                               char **cause)
{
    const char *name = cfg->backend != NULL ? cfg->backend : "auto";
    const struct backend_ops *ops = strcmp(name, "auto") == 0 ? &backend_auto_ops : backend_kind(name);
    if (ops == NULL) {
        cause_set(cause, "\"%s\" is no kind of server: node, llamacpp, ollama, openai, ngram or auto is", name);
        return NULL;
    }
    if (cfg->url == NULL && !ops->no_server) {
        cause_set(cause, "the server has no url");
        return NULL;
    }
    const char *url = ops->no_server ? "" : cfg->url;
    struct backend *b = xcalloc(1, sizeof(*b));
    b->ops = ops;
    b->base = base;
    b->http = http;
    b->cfg = (struct config_server){
        .name = xstrdup(cfg->name != NULL ? cfg->name
                        : ops->no_server  ? ops->name
                                          : url),
        .url = xstrdup(url),
        .model_name = xstrdup(cfg->model_name),
        .backend = xstrdup(name),
        .api_key = xstrdup(cfg->api_key),
    };
    b->info.noise = NAN;
    b->info.rtt_us = -1;
    if (ops->init != NULL)
        ops->init(b);
    return b;
}

void backend_destroy(struct backend *b)
{
    if (b == NULL)
        return;
    while (b->calls != NULL)
        call_cancel(b->calls);
    while (b->sessions != NULL)
        backend_session_close(b->sessions);
    if (b->ops->finish != NULL)
        b->ops->finish(b);
    backend_info_reset(&b->info);
    free(b->cfg.name);
    free(b->cfg.url);
    free(b->cfg.model_name);
    free(b->cfg.backend);
    free(b->cfg.api_key);
    free(b);
}

static struct backend_call *unsupported(struct backend *b, struct backend_session *s, enum call_kind kind,
                                        const char *what, void *arg)
{
    struct backend_call *c = call_create(sizeof(*c), b, s, kind, 0, arg);
    if (b->ops == &backend_auto_ops)
        call_fail_later(c, BACKEND_UNSUPPORTED, "%s has not said yet what kind of server it is", b->cfg.url);
    else
        call_fail_later(c, BACKEND_UNSUPPORTED, "a server of kind %s (%s) cannot %s", b->ops->name,
                        b->ops->no_server ? b->cfg.name : b->cfg.url, what);
    return c;
}

struct backend_call *backend_probe(struct backend *b, int timeout_ms, backend_probe_cb *cb, void *arg)
{
    /* another kind of server may have taken the address */
    if (b->doubted && strcmp(b->cfg.backend, "auto") == 0 && b->ops != &backend_auto_ops && b->sessions == NULL &&
        b->calls == NULL) {
        if (b->ops->finish != NULL)
            b->ops->finish(b);
        b->state = NULL;
        b->ops = &backend_auto_ops;
    }
    b->doubted = false;
    return b->ops->probe(b, timeout_ms, cb, arg);
}

struct backend_call *backend_tokenize(struct backend *b, const char *text, size_t len, bool special,
                                      backend_tokens_cb *cb, void *arg)
{
    if (b->ops->tokenize != NULL)
        return b->ops->tokenize(b, text, len, special, cb, arg);
    struct backend_call *c = unsupported(b, NULL, CALL_TOKENS, "tokenize", arg);
    c->cb.tokens = cb;
    return c;
}

struct backend_call *backend_detokenize(struct backend *b, const int32_t *tokens, size_t n, backend_text_cb *cb,
                                        void *arg)
{
    if (b->ops->detokenize != NULL)
        return b->ops->detokenize(b, tokens, n, cb, arg);
    struct backend_call *c = unsupported(b, NULL, CALL_TEXT, "detokenize", arg);
    c->cb.text = cb;
    return c;
}

struct backend_call *backend_pieces(struct backend *b, const int32_t *tokens, size_t n, backend_pieces_cb *cb,
                                    void *arg)
{
    if (b->ops->pieces != NULL)
        return b->ops->pieces(b, tokens, n, cb, arg);
    struct backend_call *c = unsupported(b, NULL, CALL_PIECES, "tell the texts of single tokens", arg);
    c->cb.pieces = cb;
    return c;
}

struct backend_call *backend_render(struct backend *b, const json_t *messages, backend_tokens_cb *cb, void *arg)
{
    if (b->ops->render != NULL)
        return b->ops->render(b, messages, cb, arg);
    struct backend_call *c = unsupported(b, NULL, CALL_TOKENS, "turn messages into tokens", arg);
    c->cb.tokens = cb;
    return c;
}

/* A session_start made of two calls, for kinds that have no such function. */
struct start_call {
    struct backend_call c;
    struct sampler_params params;
    struct backend_call *inner;
};

static void release_start(struct backend_call *c)
{
    struct start_call *s = (struct start_call *)c;
    sampler_params_finish(&s->params);
    if (s->inner != NULL)
        call_cancel(s->inner);
}

static void start_tokens(void *arg, const struct backend_status *st, const int32_t *tokens, size_t n)
{
    struct start_call *s = arg;
    s->inner = NULL;
    s->c.bytes_out = st->bytes_out;
    s->c.bytes_in = st->bytes_in;
    if (st->error != BACKEND_OK)
        call_fail(&s->c, st->error, "%s", st->message);
    else
        call_end_start(&s->c, backend_session_open(s->c.b, &s->params, n), tokens, n);
}

struct backend_call *backend_session_start(struct backend *b, const struct sampler_params *p, const json_t *messages,
                                           const char *text, size_t len, backend_start_cb *cb, void *arg)
{
    if (b->ops->session_start != NULL)
        return b->ops->session_start(b, p, messages, text, len, cb, arg);
    struct start_call *s = call_create(sizeof(*s), b, NULL, CALL_START, 0, arg);
    s->c.cb.start = cb;
    s->c.release = release_start;
    sampler_params_copy(&s->params, p);
    s->inner = messages != NULL ? backend_render(b, messages, start_tokens, s)
                                : backend_tokenize(b, text, len, true, start_tokens, s);
    return &s->c;
}

struct backend_session *backend_session_open(struct backend *b, const struct sampler_params *p, size_t prompt_len)
{
    if (b->ops->session_open != NULL)
        return b->ops->session_open(b, p, prompt_len);
    return session_create(sizeof(struct backend_session), b, p, prompt_len);
}

void backend_session_close(struct backend_session *s)
{
    if (s == NULL)
        return;
    struct backend_call *c = s->b->calls;
    while (c != NULL) {
        if (c->s != s) {
            c = c->next;
            continue;
        }
        call_cancel(c); /* which may cancel others: from the start again */
        c = s->b->calls;
    }
    if (s->ops->session_close != NULL)
        s->ops->session_close(s);
    else
        session_finish(s);
}

struct backend_call *backend_draft(struct backend_session *s, const int32_t *path, size_t n_path, size_t n, float p_min,
                                   int timeout_ms, backend_draft_cb *cb, void *arg)
{
    if (s->ops->draft != NULL)
        return s->ops->draft(s, path, n_path, n, p_min, timeout_ms, cb, arg);
    struct backend_call *c = unsupported(s->b, s, CALL_DRAFT, "draft tokens", arg);
    c->cb.draft = cb;
    return c;
}

struct backend_call *backend_draft_text(struct backend_session *s, const char *text, size_t len, size_t n,
                                        int timeout_ms, backend_draft_cb *cb, void *arg)
{
    if (s->ops->draft_text != NULL)
        return s->ops->draft_text(s, text, len, n, timeout_ms, cb, arg);
    struct backend_call *c = unsupported(s->b, s, CALL_DRAFT, "draft text", arg);
    c->cb.draft = cb;
    return c;
}

struct backend_call *backend_verify(struct backend_session *s, const int32_t *path, size_t n_path, const int32_t *draft,
                                    size_t n_draft, int n_logprobs, int timeout_ms, backend_verify_cb *cb, void *arg)
{
    if (s->ops->verify != NULL)
        return s->ops->verify(s, path, n_path, draft, n_draft, n_logprobs, timeout_ms, cb, arg);
    struct backend_call *c = unsupported(s->b, s, CALL_VERIFY, "verify a draft", arg);
    c->cb.verify = cb;
    return c;
}

size_t backend_verify_most(const struct backend_session *s)
{
    return s->ops->verify_most != NULL ? s->ops->verify_most(s) : SIZE_MAX;
}

struct backend_call *backend_verify_tree(struct backend_session *s, const int32_t *path, size_t n_path,
                                         const struct backend_tree *tree, int n_logprobs, int timeout_ms,
                                         backend_verify_cb *cb, void *arg)
{
    if (s->ops->verify_tree != NULL)
        return s->ops->verify_tree(s, path, n_path, tree, n_logprobs, timeout_ms, cb, arg);
    return backend_verify(s, path, n_path, tree->draft, tree->n_draft, n_logprobs, timeout_ms, cb, arg);
}

struct backend_call *backend_score(struct backend_session *s, const int32_t *path, size_t n_path, size_t n,
                                   int timeout_ms, backend_score_cb *cb, void *arg)
{
    if (s->ops->score != NULL)
        return s->ops->score(s, path, n_path, n, timeout_ms, cb, arg);
    struct backend_call *c = unsupported(s->b, s, CALL_SCORE, "say how likely tokens are", arg);
    c->cb.score = cb;
    return c;
}

struct backend_call *backend_draft_stream(struct backend_session *s, const int32_t *path, size_t n_path,
                                          const struct backend_draft_ask *ask, int idle_timeout_ms,
                                          backend_drafted_cb *on_tokens, backend_done_cb *cb, void *arg)
{
    if (s->ops->draft_stream != NULL)
        return s->ops->draft_stream(s, path, n_path, ask, idle_timeout_ms, on_tokens, cb, arg);
    struct backend_call *c = unsupported(s->b, s, CALL_GENERATE, "draft as a stream", arg);
    c->cb.generate = cb;
    return c;
}

struct backend_call *backend_generate(struct backend_session *s, const int32_t *path, size_t n_path, size_t n,
                                      int n_logprobs, int idle_timeout_ms, backend_stream_cb *on_tokens,
                                      backend_done_cb *cb, void *arg)
{
    if (s->ops->generate != NULL)
        return s->ops->generate(s, path, n_path, n, n_logprobs, idle_timeout_ms, on_tokens, cb, arg);
    struct backend_call *c = unsupported(s->b, s, CALL_GENERATE, "generate from tokens", arg);
    c->cb.generate = cb;
    return c;
}

struct backend_call *backend_chat(struct backend *b, const json_t *request, bool is_chat, int idle_timeout_ms,
                                  backend_chat_text_cb *on_text, backend_chat_done_cb *cb, void *arg)
{
    if (b->ops->chat != NULL)
        return b->ops->chat(b, request, is_chat, idle_timeout_ms, on_text, cb, arg);
    struct backend_call *c = unsupported(b, NULL, CALL_CHAT, "be passed a chat", arg);
    c->cb.chat = cb;
    return c;
}

void backend_cancel(struct backend_call *call)
{
    if (call != NULL)
        call_cancel(call);
}

void backend_hang_up(struct backend *b)
{
    for (struct backend_call *c = b->calls, *next; c != NULL; c = next) {
        next = c->next;
        if (c->aside)
            call_cancel(c);
    }
}

void backend_resume(struct backend_call *call)
{
    if (call->resume != NULL)
        call->resume(call);
}
