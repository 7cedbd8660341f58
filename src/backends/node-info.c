/* tightwad-node as a backend: what it says of itself, and its tokenizer. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backends/node.h"
#include "backends/wire.h"
#include "base/cause.h"
#include "base/json.h"
#include "base/mem.h"

enum { NODE_PROTOCOL = 1, NODE_EOG_MAX = 1000 };

static bool is_hex(const char *s)
{
    return strlen(s) == 64 && strspn(s, "0123456789abcdef") == 64;
}

static int read_numbers(struct backend_info *i, const json_t *o, char **cause)
{
    int64_t n_vocab = 0, n_ctx = 0, slots = 0, branches = 0;
    if (json_get_int(o, "n_vocab", 1, INT32_MAX, &n_vocab, cause) < 0 ||
        json_get_int(o, "n_ctx", 0, INT32_MAX, &n_ctx, cause) < 0 ||
        json_get_int(o, "slots", 0, 100000, &slots, cause) < 0 ||
        json_get_int(o, "branches", 0, 100000, &branches, cause) < 0)
        return -1;
    i->n_vocab = (int32_t)n_vocab;
    i->n_ctx = (int32_t)n_ctx;
    i->slots = (int32_t)slots;
    i->caps.verify_branches = branches > 0;
    json_t *invariant = json_object_get(o, "batch_invariant");
    i->batch_invariant_known = json_is_boolean(invariant);
    i->batch_invariant = json_is_true(invariant);
    json_t *noise = json_object_get(o, "noise");
    i->noise = json_is_number(noise) ? json_number_value(noise) : NAN;
    return 0;
}

static int read_info(struct backend *b, json_t *o, int64_t rtt_us, char **cause)
{
    struct backend_info i = {.rtt_us = rtt_us};
    int64_t protocol = -1;
    const char *model = NULL, *arch = NULL, *version = NULL, *llama = NULL, *print = NULL;
    bool templated = false;
    if (json_get_int(o, "protocol", 0, INT32_MAX, &protocol, cause) < 0 ||
        json_get_string(o, "model", &model, cause) < 0 || json_get_string(o, "architecture", &arch, cause) < 0 ||
        json_get_string(o, "version", &version, cause) < 0 || json_get_string(o, "llama", &llama, cause) < 0 ||
        json_get_string(o, "fingerprint", &print, cause) < 0 ||
        json_get_bool(o, "chat_template", &templated, cause) < 0 || read_numbers(&i, o, cause) < 0)
        return -1;
    if (protocol != NODE_PROTOCOL)
        return cause_set(cause, "it speaks version %lld of the node protocol, this program speaks %d",
                         (long long)protocol, NODE_PROTOCOL);
    if (i.n_vocab == 0)
        return cause_set(cause, "it does not say how many tokens its vocabulary has");
    if (print != NULL && is_hex(print))
        memcpy(i.fingerprint, print, 65);
    i.model = xstrdup(model);
    i.architecture = xstrdup(arch);
    i.version = xasprintf("tightwad-node %s%s%s", version != NULL ? version : "?", llama != NULL ? ", llama.cpp " : "",
                          llama != NULL ? llama : "");
    bool branches = i.caps.verify_branches;
    i.caps = (struct backend_caps){
        .draft_tokens = true,
        .verify = true,
        .draft_stream = true,
        .draft_branches = branches,
        .verify_branches = branches,
        .score = true,
        .generate = true,
        .chat = true,
        .tokenize = true,
        .templated = templated,
        .shared_noise = true,
    };
    if (wire_get_tokens(json_object_get(o, "eog"), "eog", i.n_vocab, NODE_EOG_MAX, &i.eog, &i.n_eog, NULL) < 0)
        i.n_eog = 0; /* unknown */
    i.raw = json_incref(o);
    backend_info_reset(&b->info);
    b->info = i;
    return 0;
}

static void on_info(struct backend_call *c, const struct httpc_result *r)
{
    char *cause = NULL;
    int64_t rtt_us = r->elapsed_us;
    json_t *o = call_reply_object(c, r);
    if (o == NULL)
        return;
    int ok = read_info(c->b, o, rtt_us, &cause);
    json_decref(o);
    if (ok < 0)
        call_fail(c, BACKEND_BROKEN, "%s is no tightwad-node that can be used: %s", c->b->cfg.url, cause);
    else
        call_end_probe(c);
    free(cause);
}

struct backend_call *node_probe(struct backend *b, int timeout_ms, backend_probe_cb *cb, void *arg)
{
    struct backend_call *c = call_create(sizeof(*c), b, NULL, CALL_PROBE, timeout_ms, arg);
    c->cb.probe = cb;
    call_get(c, "/v1/node", on_info);
    return c;
}

struct backend_call *node_tokenize(struct backend *b, const char *text, size_t len, bool special, backend_tokens_cb *cb,
                                   void *arg)
{
    struct backend_call *c = call_create(sizeof(*c), b, NULL, CALL_TOKENS, CALL_TIMEOUT_MS, arg);
    c->cb.tokens = cb;
    json_t *body = json_pack("{s:o}", "text", json_piece(text, len));
    if (special) {
        json_object_set_new(body, "special", json_true());
        json_object_set_new(body, "bos", json_true());
    }
    call_post(c, "/v1/node/tokenize", body, call_reply_tokens);
    return c;
}

static void on_text(struct backend_call *c, const struct httpc_result *r)
{
    char *text = NULL;
    size_t len;
    json_t *o = call_reply_object(c, r);
    if (o == NULL)
        return;
    int ok = json_piece_get(json_object_get(o, "text"), &text, &len);
    json_decref(o);
    if (ok < 0)
        call_fail(c, BACKEND_BROKEN, "%s: \"text\" is neither a string nor a list of bytes", c->b->cfg.url);
    else
        call_end_text(c, text, len);
    free(text);
}

struct backend_call *node_detokenize(struct backend *b, const int32_t *tokens, size_t n, backend_text_cb *cb, void *arg)
{
    struct backend_call *c = call_create(sizeof(*c), b, NULL, CALL_TEXT, CALL_TIMEOUT_MS, arg);
    c->cb.text = cb;
    call_post(c, "/v1/node/detokenize", json_pack("{s:o}", "tokens", json_tokens(tokens, n)), on_text);
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

static bool ends(const struct backend_info *info, int32_t token)
{
    for (size_t i = 0; i < info->n_eog; i++) {
        if (info->eog[i] == token)
            return true;
    }
    return false;
}

static int read_pieces(const struct pieces_call *p, const json_t *o, struct wire_tokens *t, char **cause)
{
    const json_t *pieces = json_object_get(o, "pieces");
    const struct backend_info *info = &p->c.b->info;
    if (json_array_size(pieces) != p->n)
        return cause_set(cause, "%zu texts for %zu tokens", json_array_size(pieces), p->n);
    for (size_t i = 0; i < p->n; i++) {
        bool end = ends(info, p->tokens[i]);
        if (wire_tokens_add(t, p->tokens[i], end ? NULL : json_array_get(pieces, i), end, NULL, info->n_vocab, cause) <
            0)
            return -1;
    }
    return 0;
}

static void on_pieces(struct backend_call *c, const struct httpc_result *r)
{
    struct wire_tokens t;
    char *cause = NULL;
    json_t *o = call_reply_object(c, r);
    if (o == NULL)
        return;
    wire_tokens_init(&t);
    int ok = read_pieces((struct pieces_call *)c, o, &t, &cause);
    json_decref(o);
    if (ok < 0)
        call_fail(c, BACKEND_BROKEN, "%s: %s", c->b->cfg.url, cause);
    else
        call_end_pieces(c, t.list, t.n);
    free(cause);
    wire_tokens_finish(&t);
}

struct backend_call *node_pieces(struct backend *b, const int32_t *tokens, size_t n, backend_pieces_cb *cb, void *arg)
{
    struct pieces_call *p = call_create(sizeof(*p), b, NULL, CALL_PIECES, CALL_TIMEOUT_MS, arg);
    p->c.cb.pieces = cb;
    p->c.release = release_pieces;
    p->tokens = xmemdup(tokens, n * sizeof(*tokens));
    p->n = n;
    if (b->info.eog == NULL)
        call_fail_later(&p->c, BACKEND_UNSUPPORTED, "%s does not say which tokens end an answer", b->cfg.url);
    else
        call_post(&p->c, "/v1/node/detokenize", json_pack("{s:o,s:b}", "tokens", json_tokens(tokens, n), "special", 0),
                  on_pieces);
    return &p->c;
}

struct backend_call *node_render(struct backend *b, const json_t *messages, backend_tokens_cb *cb, void *arg)
{
    struct backend_call *c = call_create(sizeof(*c), b, NULL, CALL_TOKENS, CALL_TIMEOUT_MS, arg);
    c->cb.tokens = cb;
    call_post(c, "/v1/node/template", json_pack("{s:o}", "messages", json_deep_copy(messages)), call_reply_tokens);
    return c;
}

static void on_prefix(struct backend_call *c, const struct httpc_result *r)
{
    json_t *o = call_reply_object(c, r);
    if (o == NULL)
        return;
    const char *print = json_string_value(json_object_get(o, "fingerprint"));
    if (print == NULL || !is_hex(print))
        call_fail(c, BACKEND_BROKEN, "%s: a fingerprint that is none", c->b->cfg.url);
    else
        call_end_text(c, print, 64);
    json_decref(o);
}

struct backend_call *node_vocab_prefix(struct backend *b, int32_t n, backend_text_cb *cb, void *arg)
{
    char path[64];
    struct backend_call *c = call_create(sizeof(*c), b, NULL, CALL_TEXT, CALL_TIMEOUT_MS, arg);
    c->cb.text = cb;
    snprintf(path, sizeof(path), "/v1/node/vocab?n=%d", n);
    call_get(c, path, on_prefix);
    return c;
}
