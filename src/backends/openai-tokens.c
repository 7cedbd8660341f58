/* An OpenAI API: its tokenizer, where it has one. */
#include <stdlib.h>
#include <string.h>

#include "backends/openai.h"
#include "backends/wire.h"
#include "base/json.h"
#include "base/mem.h"

const char *openai_tokenize_path(enum openai_dialect d)
{
    return d == OPENAI_NODE ? "/v1/node/tokenize" : "/tokenize";
}

static const char *model_of(const struct backend *b)
{
    return b->cfg.model_name != NULL ? b->cfg.model_name : b->info.model;
}

static void set_model(const struct backend *b, json_t *body)
{
    if (model_of(b) != NULL)
        json_object_set_new(body, "model", json_string(model_of(b)));
}

json_t *openai_tokenize_body(const struct backend *b, enum openai_dialect d, const char *text, size_t len, bool special)
{
    json_t *body, *value = json_stringn(text, len);
    if (value == NULL)
        return NULL;
    switch (d) {
    case OPENAI_NODE:
        return json_pack("{s:o,s:b,s:b}", "text", value, "special", special, "bos", special);
    case OPENAI_TOKENIZE:
        return json_pack("{s:o,s:b,s:b}", "content", value, "add_special", special, "parse_special", special);
    default:
        body = json_pack("{s:o,s:b}", "prompt", value, "add_special_tokens", special);
        set_model(b, body);
        return body;
    }
}

static void ask_tokens(struct backend_call *c, const char *text, size_t len, bool special)
{
    const struct openai *o = c->b->state;
    json_t *body = openai_tokenize_body(c->b, o->dialect, text, len, special);
    if (body == NULL)
        call_fail_later(c, BACKEND_UNSUPPORTED, "%s tokenizes valid UTF-8 only", c->b->cfg.url);
    else
        call_post(c, openai_tokenize_path(o->dialect), body, call_reply_tokens);
}

static bool has_tokenizer(struct backend_call *c)
{
    if (((struct openai *)c->b->state)->dialect != OPENAI_PLAIN)
        return true;
    call_fail_later(c, BACKEND_UNSUPPORTED, "%s has no tokenizer to ask", c->b->cfg.url);
    return false;
}

struct backend_call *openai_tokenize(struct backend *b, const char *text, size_t len, bool special,
                                     backend_tokens_cb *cb, void *arg)
{
    struct backend_call *c = call_create(sizeof(*c), b, NULL, CALL_TOKENS, CALL_TIMEOUT_MS, arg);
    c->cb.tokens = cb;
    if (has_tokenizer(c))
        ask_tokens(c, text, len, special);
    return c;
}

static void on_text(struct backend_call *c, const struct httpc_result *r)
{
    static const char *const keys[] = {"text", "content", "prompt"};
    char *text = NULL;
    size_t len = 0;
    json_t *o = call_reply_object(c, r);
    if (o == NULL)
        return;
    for (size_t i = 0; i < 3 && text == NULL; i++)
        json_piece_get(json_object_get(o, keys[i]), &text, &len);
    json_decref(o);
    if (text == NULL)
        call_fail(c, BACKEND_BROKEN, "%s: an answer without the text of the tokens", c->b->cfg.url);
    else
        call_end_text(c, text, len);
    free(text);
}

struct backend_call *openai_detokenize(struct backend *b, const int32_t *tokens, size_t n, backend_text_cb *cb,
                                       void *arg)
{
    struct backend_call *c = call_create(sizeof(*c), b, NULL, CALL_TEXT, CALL_TIMEOUT_MS, arg);
    c->cb.text = cb;
    if (!has_tokenizer(c))
        return c;
    json_t *body = json_pack("{s:o}", "tokens", json_tokens(tokens, n));
    set_model(b, body);
    call_post(c, ((struct openai *)b->state)->dialect == OPENAI_NODE ? "/v1/node/detokenize" : "/detokenize", body,
              on_text);
    return c;
}

struct pieces_call {
    struct backend_call c;
    int32_t *tokens; /* asked about */
    size_t n;
};

static void release_pieces(struct backend_call *c)
{
    free(((struct pieces_call *)c)->tokens);
}

/* All texts were read when the vocabulary was found. */
static void tell_pieces(struct backend_call *c)
{
    const struct pieces_call *p = (struct pieces_call *)c;
    const struct openai *o = c->b->state;
    struct wire_tokens t;
    bool ok = o->piece != NULL;
    wire_tokens_init(&t);
    for (size_t i = 0; i < p->n && ok; i++)
        ok = openai_add_token(o, NULL, p->tokens[i], -1, &t);
    if (ok)
        call_end_pieces(c, t.list, t.n);
    else
        call_fail(c, BACKEND_UNSUPPORTED, "%s does not tell the texts of single tokens", c->b->cfg.url);
    wire_tokens_finish(&t);
}

struct backend_call *openai_pieces(struct backend *b, const int32_t *tokens, size_t n, backend_pieces_cb *cb, void *arg)
{
    struct pieces_call *p = call_create(sizeof(*p), b, NULL, CALL_PIECES, CALL_TIMEOUT_MS, arg);
    p->c.cb.pieces = cb;
    p->c.release = release_pieces;
    p->tokens = xmemdup(tokens, n * sizeof(*tokens));
    p->n = n;
    call_defer(&p->c, tell_pieces);
    return &p->c;
}

/* llama-server renders to text, which is then tokenized. */
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

struct backend_call *openai_render(struct backend *b, const json_t *messages, backend_tokens_cb *cb, void *arg)
{
    struct backend_call *c = call_create(sizeof(*c), b, NULL, CALL_TOKENS, CALL_TIMEOUT_MS, arg);
    c->cb.tokens = cb;
    if (!has_tokenizer(c))
        return c;
    json_t *body = json_pack("{s:o}", "messages", json_deep_copy(messages));
    switch (((struct openai *)b->state)->dialect) {
    case OPENAI_NODE:
        call_post(c, "/v1/node/template", body, call_reply_tokens);
        break;
    case OPENAI_TOKENIZE:
        call_post(c, "/apply-template", body, on_rendered);
        break;
    default:
        set_model(b, body);
        json_object_set_new(body, "add_generation_prompt", json_true());
        call_post(c, "/tokenize", body, call_reply_tokens);
    }
    return c;
}
