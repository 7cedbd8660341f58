/* An OpenAI API, a cloud's or another program's.  By name it can chat; everything else is found by asking: has it a
 * tokenizer, does it return log probabilities of a given text with token ids, are the bytes of its tokens to be had. */
#include "backends/openai.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backends/chat.h"
#include "backends/echo.h"
#include "backends/wire.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"

enum { OPENAI_VOCAB_MAX = 1 << 20 };

static bool cut_suffix(char *s, const char *suffix)
{
    size_t n = strlen(s), k = strlen(suffix);
    if (n < k || strcmp(s + n - k, suffix) != 0)
        return false;
    s[n - k] = '\0';
    return true;
}

static void init(struct backend *b)
{
    struct openai *o = xcalloc(1, sizeof(*o));
    o->prefix = "/v1";
    /* "…/v1" is as good as "…": the tokenizer's endpoints stand beside /v1 */
    o->prefix_known = cut_suffix(b->cfg.url, "/v1");
    b->state = o;
}

static void forget(struct openai *o)
{
    for (int32_t i = 0; i < o->n_vocab && o->piece != NULL; i++)
        free(o->piece[i]);
    free(o->piece);
    free(o->piece_len);
    free(o->eog);
    free(o->cannot_verify);
    *o = (struct openai){.prefix = o->prefix, .prefix_known = o->prefix_known};
}

static void finish(struct backend *b)
{
    forget(b->state);
    free(b->state);
}

/* --- probe --- */

struct probe_call {
    struct backend_call c;
    struct backend_info info; /* in the making */
    enum openai_dialect trying;
    int32_t token; /* one to try with */
    char version[96];
};

static void release_probe(struct backend_call *c)
{
    backend_info_reset(&((struct probe_call *)c)->info);
}

static void probe_end(struct probe_call *p)
{
    struct backend *b = p->c.b;
    struct openai *o = b->state;
    o->tried = true;
    p->info.caps = o->caps;
    p->info.caps.chat = true;
    p->info.n_vocab = p->info.n_vocab > 0 ? p->info.n_vocab : o->n_vocab;
    p->info.cannot_verify = xstrdup(o->cannot_verify);
    if (o->caps.verify && o->n_eog > 0) {
        p->info.eog = xmemdup(o->eog, o->n_eog * sizeof(*o->eog));
        p->info.n_eog = o->n_eog;
    }
    if (p->info.version == NULL)
        p->info.version = xstrdup("OpenAI API");
    backend_info_reset(&b->info);
    b->info = p->info;
    p->info = (struct backend_info){0};
    call_end_probe(&p->c);
}

static void cannot_verify(struct probe_call *p, const char *why)
{
    struct openai *o = p->c.b->state;
    backend_info_set_string(&o->cannot_verify, why);
    probe_end(p);
}

/* The bytes of all tokens, asked once. */
static void on_pieces(struct backend_call *c, const struct httpc_result *r)
{
    struct probe_call *p = (struct probe_call *)c;
    struct openai *o = c->b->state;
    json_t *doc = r->error == HTTPC_OK && r->status == 200 ? json_parse_object(r->body, r->len, NULL) : NULL;
    json_t *pieces = json_object_get(doc, "pieces");
    bool ok = json_array_size(pieces) == (size_t)p->info.n_vocab;
    if (ok) {
        o->n_vocab = p->info.n_vocab;
        o->piece = xcalloc((size_t)o->n_vocab, sizeof(*o->piece));
        o->piece_len = xcalloc((size_t)o->n_vocab, sizeof(*o->piece_len));
        for (int32_t i = 0; i < o->n_vocab && ok; i++)
            ok = json_piece_get(json_array_get(pieces, (size_t)i), &o->piece[i], &o->piece_len[i]) == 0;
    }
    json_decref(doc);
    if (!ok) {
        cannot_verify(p, "it does not tell the bytes of its tokens");
        return;
    }
    o->caps.verify = o->caps.verify_greedy_only = o->caps.score = o->caps.generate = true;
    backend_info_set_string(&o->cannot_verify, NULL);
    probe_end(p);
}

/* A node tells its vocabulary and the tokens that end a generation. */
static void on_vocabulary(struct backend_call *c, const struct httpc_result *r)
{
    struct probe_call *p = (struct probe_call *)c;
    struct openai *o = c->b->state;
    json_t *doc = r->error == HTTPC_OK && r->status == 200 ? json_parse_object(r->body, r->len, NULL) : NULL;
    json_int_t n = json_integer_value(json_object_get(doc, "n_vocab"));
    json_int_t n_ctx = json_integer_value(json_object_get(doc, "n_ctx"));
    json_int_t slots = json_integer_value(json_object_get(doc, "slots"));
    int eog = doc != NULL && n > 0 && n <= OPENAI_VOCAB_MAX
                  ? wire_get_tokens(json_object_get(doc, "eog"), "eog", (int32_t)n, 1000, &o->eog, &o->n_eog, NULL)
                  : -1;
    const char *print = json_string_value(json_object_get(doc, "fingerprint"));
    json_t *invariant = json_object_get(doc, "batch_invariant"), *noise = json_object_get(doc, "noise");
    if (print != NULL && strlen(print) == 64)
        memcpy(p->info.fingerprint, print, 65);
    p->info.batch_invariant_known = json_is_boolean(invariant);
    p->info.batch_invariant = json_is_true(invariant);
    if (json_is_number(noise))
        p->info.noise = json_number_value(noise);
    if (n_ctx > 0 && n_ctx <= INT32_MAX)
        p->info.n_ctx = (int32_t)n_ctx;
    if (slots > 0 && slots <= INT32_MAX)
        p->info.slots = (int32_t)slots;
    json_decref(doc);
    if (eog < 0) {
        cannot_verify(p, "it does not tell its vocabulary");
        return;
    }
    p->info.n_vocab = (int32_t)n;
    int32_t *all = xmalloc((size_t)n * sizeof(*all));
    for (int32_t i = 0; i < (int32_t)n; i++)
        all[i] = i;
    call_post(c, "/v1/node/detokenize", json_pack("{s:o}", "tokens", json_tokens(all, (size_t)n)), on_pieces);
    free(all);
}

static void on_echo(struct backend_call *c, const struct httpc_result *r)
{
    struct probe_call *p = (struct probe_call *)c;
    struct openai *o = c->b->state;
    struct echo_answer a;
    int ok = echo_read(r, 2, 0, &a);
    bool ids = a.ids;
    echo_finish(&a);
    if (ok < 0)
        cannot_verify(p, "it returns no log probabilities of a given text (echo), so it can only generate");
    else if (!ids)
        cannot_verify(p, "it returns log probabilities of a given text, but not which token ids they belong to");
    else if (o->dialect != OPENAI_NODE)
        cannot_verify(p, "it returns log probabilities of a given text, but not the exact bytes of its tokens");
    else
        call_get(c, "/v1/node", on_vocabulary);
}

static void try_dialect(struct probe_call *p);

static void on_tried_tokenize(struct backend_call *c, const struct httpc_result *r)
{
    struct probe_call *p = (struct probe_call *)c;
    struct openai *o = c->b->state;
    json_t *doc = r->error == HTTPC_OK && r->status == 200 ? json_parse_object(r->body, r->len, NULL) : NULL;
    json_t *id = json_array_get(json_object_get(doc, "tokens"), 0);
    bool ok = json_is_integer(id) && json_integer_value(id) >= 0 && json_integer_value(id) <= INT32_MAX;
    if (ok)
        p->token = (int32_t)json_integer_value(id);
    json_decref(doc);
    if (!ok && p->trying < OPENAI_VLLM) {
        p->trying++;
        try_dialect(p);
        return;
    }
    if (!ok) {
        cannot_verify(p, "it has no tokenizer to ask, so drafts cannot be put to it as tokens");
        return;
    }
    o->dialect = p->trying;
    o->caps.tokenize = true;
    o->caps.templated = true;
    char path[64], *body = echo_body(c->b->cfg.model_name != NULL ? c->b->cfg.model_name : p->info.model,
                                     (int32_t[]){p->token, p->token}, 2, 2);
    snprintf(path, sizeof(path), "%s/completions", o->prefix);
    call_post_text(c, path, body, strlen(body), on_echo);
    free(body);
}

static void try_dialect(struct probe_call *p)
{
    call_post(&p->c, openai_tokenize_path(p->trying), openai_tokenize_body(p->c.b, p->trying, "a", 1, false),
              on_tried_tokenize);
}

/* "models/gemini" is meant by "gemini" too */
static bool same_model(const char *have, const char *want)
{
    const char *slash = strrchr(have, '/');
    return strcmp(have, want) == 0 || (slash != NULL && strcmp(slash + 1, want) == 0);
}

static void on_models(struct backend_call *c, const struct httpc_result *r);

static void ask_models(struct backend_call *c)
{
    char path[64];
    snprintf(path, sizeof(path), "%s/models", ((struct openai *)c->b->state)->prefix);
    call_get(c, path, on_models);
}

static void read_models(struct probe_call *p, const json_t *doc, struct buf *names)
{
    const char *want = p->c.b->cfg.model_name;
    json_t *one;
    size_t i;
    json_array_foreach(json_object_get(doc, "data"), i, one)
    {
        const char *id = json_string_value(json_object_get(one, "id"));
        if (id == NULL)
            continue;
        buf_printf(names, "%s%s", names->len > 0 ? ", " : "", id);
        if (p->info.model == NULL && (want == NULL || same_model(id, want)))
            p->info.model = xstrdup(id);
    }
}

static void on_models(struct backend_call *c, const struct httpc_result *r)
{
    struct probe_call *p = (struct probe_call *)c;
    struct openai *o = c->b->state;
    const char *want = c->b->cfg.model_name;
    struct buf names;
    p->info.rtt_us = r->elapsed_us;
    if (r->error == HTTPC_OK && r->status == 404 && !o->prefix_known && o->prefix[0] != '\0') {
        o->prefix = "";
        ask_models(c);
        return;
    }
    json_t *doc = call_reply_object(c, r);
    if (doc == NULL)
        return;
    if (!json_is_array(json_object_get(doc, "data"))) {
        call_fail(c, BACKEND_BROKEN, "%s%s/models answers without a list of models", c->b->cfg.url, o->prefix);
        json_decref(doc);
        return;
    }
    o->prefix_known = true;
    buf_init(&names, 300);
    read_models(p, doc, &names);
    json_decref(doc);
    if (p->info.model == NULL && want != NULL) {
        call_fail(c, BACKEND_REFUSED, "%s has no model \"%s\"; it has: %s", c->b->cfg.url, want,
                  names.len > 0 ? names.data : "none");
    } else if (p->info.model == NULL) {
        call_fail(c, BACKEND_REFUSED, "%s has no model", c->b->cfg.url);
    } else if (o->tried && c->b->info.known && strcmp(c->b->info.model, p->info.model) == 0) {
        c->b->info.rtt_us = p->info.rtt_us;
        call_end_probe(c);
    } else {
        forget(o);
        p->trying = OPENAI_NODE;
        try_dialect(p);
    }
    buf_finish(&names);
}

static struct backend_call *probe(struct backend *b, int timeout_ms, backend_probe_cb *cb, void *arg)
{
    struct probe_call *p = call_create(sizeof(*p), b, NULL, CALL_PROBE, timeout_ms, arg);
    p->c.cb.probe = cb;
    p->c.release = release_probe;
    p->info.noise = NAN;
    ask_models(&p->c);
    return &p->c;
}

static struct backend_call *chat(struct backend *b, const json_t *request, bool is_chat, int idle_timeout_ms,
                                 backend_chat_text_cb *on_text, backend_chat_done_cb *cb, void *arg)
{
    char path[64];
    snprintf(path, sizeof(path), "%s%s", ((struct openai *)b->state)->prefix,
             is_chat ? "/chat/completions" : "/completions");
    return chat_start(b, path, chat_body(b, request), is_chat, idle_timeout_ms, on_text, cb, arg);
}

const struct backend_ops backend_openai_ops = {
    .name = "openai",
    .init = init,
    .finish = finish,
    .probe = probe,
    .tokenize = openai_tokenize,
    .detokenize = openai_detokenize,
    .pieces = openai_pieces,
    .render = openai_render,
    .verify = openai_verify,
    .score = openai_score,
    .generate = openai_generate,
    .chat = chat,
};
