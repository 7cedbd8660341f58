/* A stock llama-server: drafts token ids through /completion, verifies drafts through its slots (llamacpp-ask.c),
 * answers chats by itself.
 *
 * Drafts are not streamed: a stream leaves out the ids of tokens that end inside a character.  They are greedy at any
 * temperature: without shared noise the most likely token is the one that agrees most often. */
#include "backends/llamacpp.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backends/chat.h"
#include "backends/wire.h"
#include "base/cause.h"
#include "base/json.h"
#include "base/mem.h"

static void init(struct backend *b)
{
    struct llamacpp *l = xcalloc(1, sizeof(*l));
    llamacpp_forget(l);
    b->state = l;
}

static void finish(struct backend *b)
{
    struct llamacpp *l = b->state;
    llamacpp_forget(l);
    free(l->taken);
    free(l);
}

void llamacpp_forget(struct llamacpp *l)
{
    free(l->ends);
    l->ends = NULL;
    l->n_ends = 0;
    l->filler = l->eos = -1;
    l->checked = l->invariant_known = false;
    l->noise = NAN;
    free(l->advice);
    l->advice = NULL;
}

void llamacpp_set_vocab(struct llamacpp *l, int32_t n_vocab)
{
    free(l->ends);
    l->ends = xcalloc(n_vocab > 0 ? (size_t)n_vocab : 1, 1);
    l->n_ends = n_vocab;
}

void llamacpp_set_end(struct llamacpp *l, int32_t token, bool ends)
{
    if (token >= 0 && token < l->n_ends)
        l->ends[token] = ends ? LLAMACPP_ENDS : LLAMACPP_GOES_ON;
}

/* --- the tokenizer --- */

static void ask_tokens(struct backend_call *c, const char *text, size_t len, bool special)
{
    json_t *content = json_stringn(text, len);
    if (content == NULL)
        call_fail_later(c, BACKEND_UNSUPPORTED, "llama-server tokenizes valid UTF-8 only");
    else
        call_post(c, "/tokenize",
                  json_pack("{s:o,s:b,s:b}", "content", content, "add_special", special, "parse_special", special),
                  call_reply_tokens);
}

static struct backend_call *tokenize(struct backend *b, const char *text, size_t len, bool special,
                                     backend_tokens_cb *cb, void *arg)
{
    struct backend_call *c = call_create(sizeof(*c), b, NULL, CALL_TOKENS, CALL_TIMEOUT_MS, arg);
    c->cb.tokens = cb;
    ask_tokens(c, text, len, special);
    return c;
}

static void on_detokenized(struct backend_call *c, const struct httpc_result *r)
{
    json_t *o = call_reply_object(c, r);
    if (o == NULL)
        return;
    json_t *text = json_object_get(o, "content");
    if (!json_is_string(text))
        call_fail(c, BACKEND_BROKEN, "%s: /detokenize without \"content\"", c->b->cfg.url);
    else
        call_end_text(c, json_string_value(text), json_string_length(text));
    json_decref(o);
}

static struct backend_call *detokenize(struct backend *b, const int32_t *tokens, size_t n, backend_text_cb *cb,
                                       void *arg)
{
    struct backend_call *c = call_create(sizeof(*c), b, NULL, CALL_TEXT, CALL_TIMEOUT_MS, arg);
    c->cb.text = cb;
    call_post(c, "/detokenize", json_pack("{s:o}", "tokens", json_tokens(tokens, n)), on_detokenized);
    return c;
}

static void on_rendered(struct backend_call *c, const struct httpc_result *r)
{
    json_t *o = call_reply_object(c, r);
    if (o == NULL)
        return;
    json_t *prompt = json_object_get(o, "prompt");
    if (!json_is_string(prompt))
        call_fail(c, BACKEND_BROKEN, "%s: /apply-template without \"prompt\"", c->b->cfg.url);
    else
        ask_tokens(c, json_string_value(prompt), json_string_length(prompt), true);
    json_decref(o);
}

static struct backend_call *render(struct backend *b, const json_t *messages, backend_tokens_cb *cb, void *arg)
{
    struct backend_call *c = call_create(sizeof(*c), b, NULL, CALL_TOKENS, CALL_TIMEOUT_MS, arg);
    c->cb.tokens = cb;
    call_post(c, "/apply-template", json_pack("{s:o}", "messages", json_deep_copy(messages)), on_rendered);
    return c;
}

/* --- drafts --- */

static struct backend_session *session_open(struct backend *b, const struct sampler_params *p, size_t prompt_len)
{
    struct llamacpp *l = b->state;
    struct llamacpp_session *s = session_create(sizeof(*s), b, p, prompt_len);
    s->slot = -1;
    for (int32_t i = 0; i < l->slots && s->slot < 0; i++)
        if (!l->taken[i])
            s->slot = i;
    if (s->slot >= 0)
        l->taken[s->slot] = 1;
    return &s->s;
}

static void session_close(struct backend_session *s)
{
    struct llamacpp *l = s->b->state;
    int32_t slot = ((struct llamacpp_session *)s)->slot;
    if (slot >= 0)
        l->taken[slot] = 0;
    session_finish(s);
}

struct draft_call {
    struct backend_call c;
    size_t n;
    float p_min;
};

/* The drafter's probabilities, as far as they are told: tokens that end inside a character have no entry of their own.
 * Returns how many tokens stand before the first one under p_min. */
static size_t read_probs(const json_t *list, const int32_t *tokens, size_t n, float p_min, float *probs)
{
    size_t entry = 0;
    for (size_t i = 0; i < n; i++) {
        const json_t *e = json_array_get(list, entry), *lp = json_object_get(e, "logprob");
        probs[i] = NAN;
        if (!json_is_number(lp) || json_integer_value(json_object_get(e, "id")) != tokens[i])
            continue;
        probs[i] = expf((float)json_number_value(lp));
        entry++;
        if (probs[i] < p_min)
            return i;
    }
    return n;
}

static void on_draft(struct backend_call *c, const struct httpc_result *r)
{
    struct draft_call *d = (struct draft_call *)c;
    int32_t *tokens = NULL;
    float *probs = NULL;
    char *cause = NULL;
    struct backend_draft draft = {0};
    json_t *o = call_reply_object(c, r);
    if (o == NULL)
        return;
    int ok =
        wire_get_tokens(json_object_get(o, "tokens"), "tokens", c->b->info.n_vocab, d->n, &tokens, &draft.n, &cause);
    if (ok == 0 && d->p_min > 0) {
        probs = xcalloc(draft.n + 1, sizeof(*probs));
        draft.n = read_probs(json_object_get(o, "completion_probabilities"), tokens, draft.n, d->p_min, probs);
    }
    json_decref(o);
    draft.tokens = tokens;
    draft.probs = probs;
    if (ok < 0)
        call_fail(c, BACKEND_BROKEN, "draft from %s: %s", c->b->cfg.url, cause);
    else
        call_end_draft(c, &draft);
    free(cause);
    free(tokens);
    free(probs);
}

/* Parameters that move the most likely token: the draft should follow them as the target does. */
static void add_params(struct buf *b, const struct sampler_params *p)
{
    bool counted = p->frequency_penalty != 0 || p->presence_penalty != 0;
    if (p->repeat_penalty != 1)
        buf_printf(b, ",\"repeat_penalty\":%.6g", p->repeat_penalty);
    if (counted)
        buf_printf(b, ",\"frequency_penalty\":%.6g,\"presence_penalty\":%.6g", p->frequency_penalty,
                   p->presence_penalty);
    if (p->repeat_penalty != 1 || counted)
        buf_printf(b, ",\"repeat_last_n\":%d", counted ? -1 : p->repeat_last_n);
    if (p->n_bias == 0)
        return;
    buf_adds(b, ",\"logit_bias\":[");
    for (size_t i = 0; i < p->n_bias; i++)
        buf_printf(b, "%s[%d,%.6g]", i > 0 ? "," : "", p->bias[i].token, (double)p->bias[i].bias);
    buf_addc(b, ']');
}

static void no_draft(struct backend_call *c)
{
    call_end_draft(c, &(struct backend_draft){0});
}

static struct backend_call *draft(struct backend_session *s, const int32_t *path, size_t n_path, size_t n, float p_min,
                                  int timeout_ms, backend_draft_cb *cb, void *arg)
{
    struct draft_call *d = call_create(sizeof(*d), s->b, s, CALL_DRAFT, timeout_ms, arg);
    char *why = backend_check_tokens(s->b, path, n_path);
    struct buf body;
    d->c.cb.draft = cb;
    d->n = n;
    d->p_min = p_min;
    if (why != NULL || n_path == 0) {
        call_fail_later(&d->c, BACKEND_UNSUPPORTED, "%s", why != NULL ? why : "nothing to continue: no token");
        free(why);
        return &d->c;
    }
    if (n == 0) { /* the server makes one even of none */
        call_defer(&d->c, no_draft);
        return &d->c;
    }
    buf_init(&body, LLAMACPP_BODY_MAX);
    buf_adds(&body, "{\"prompt\":");
    wire_add_tokens(&body, path, n_path);
    buf_printf(&body,
               ",\"n_predict\":%zu,\"temperature\":0,\"return_tokens\":true,\"cache_prompt\":true,\"id_slot\":%d,"
               "\"response_fields\":[\"tokens\"%s]%s",
               n, ((struct llamacpp_session *)s)->slot, p_min > 0 ? ",\"completion_probabilities\"" : "",
               p_min > 0 ? ",\"n_probs\":1" : "");
    add_params(&body, &s->params);
    buf_addc(&body, '}');
    call_post_text(&d->c, "/completion", body.data, body.len, on_draft);
    buf_finish(&body);
    return &d->c;
}

/* --- chats --- */

static struct backend_call *chat(struct backend *b, const json_t *request, bool is_chat, int idle_timeout_ms,
                                 backend_chat_text_cb *on_text, backend_chat_done_cb *cb, void *arg)
{
    json_t *body = chat_body(b, request);
    /* what a model thinks aloud stays in the text instead of a field that is not passed on */
    json_object_set_new(body, "reasoning_format", json_string("none"));
    return chat_start(b, is_chat ? "/v1/chat/completions" : "/v1/completions", body, is_chat, idle_timeout_ms, on_text,
                      cb, arg);
}

const struct backend_ops backend_llamacpp_ops = {
    .name = "llamacpp",
    .init = init,
    .finish = finish,
    .probe = llamacpp_probe,
    .tokenize = tokenize,
    .detokenize = detokenize,
    .render = render,
    .session_open = session_open,
    .session_close = session_close,
    .draft = draft,
    .verify = llamacpp_verify,
    .verify_most = llamacpp_verify_most,
    .generate = llamacpp_generate,
    .chat = chat,
};
