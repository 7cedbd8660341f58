/* What a llama-server is: /health, /props, /v1/models; and what it can do, which is tried at the first probe and again
 * when another model or version answers. */
#include "backends/llamacpp.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"

enum { LLAMACPP_SLOTS_MAX = 4096 };

struct probe_call {
    struct backend_call c;
    struct backend_info info; /* in the making */
    int32_t token;            /* one to try things with, -1: none known */
    int32_t eos;
    char *eos_text;
};

static void release_probe(struct backend_call *c)
{
    struct probe_call *p = (struct probe_call *)c;
    backend_info_reset(&p->info);
    free(p->eos_text);
}

static void set_slots(struct backend *b, int32_t slots)
{
    struct llamacpp *l = b->state;
    if (slots <= l->slots)
        return;
    l->taken = xrealloc(l->taken, (size_t)slots);
    memset(l->taken + l->slots, 0, (size_t)(slots - l->slots));
    l->slots = slots;
}

static void probe_end(struct probe_call *p)
{
    struct backend *b = p->c.b;
    struct llamacpp *l = b->state;
    set_slots(b, p->info.slots);
    llamacpp_forget(l);
    llamacpp_set_vocab(l, p->info.n_vocab);
    l->filler = p->token;
    l->eos = p->eos;
    llamacpp_set_end(l, p->eos, true);
    backend_info_reset(&b->info);
    b->info = p->info;
    p->info = (struct backend_info){0};
    llamacpp_check(b);
    call_end_probe(&p->c);
}

static void on_eos(struct backend_call *c, const struct httpc_result *r)
{
    struct probe_call *p = (struct probe_call *)c;
    char *message = NULL;
    json_t *o = call_reply_error(c, r, &message) == BACKEND_OK ? json_parse_object(r->body, r->len, NULL) : NULL;
    json_t *ids = json_object_get(o, "tokens"), *id = json_array_get(ids, 0);
    if (json_array_size(ids) == 1 && json_is_integer(id) && json_integer_value(id) < p->info.n_vocab)
        p->eos = (int32_t)json_integer_value(id);
    json_decref(o);
    free(message);
    probe_end(p);
}

static void ask_eos(struct probe_call *p)
{
    if (p->eos_text == NULL || p->eos_text[0] == '\0')
        probe_end(p);
    else
        call_post(&p->c, "/tokenize",
                  json_pack("{s:s,s:b,s:b}", "content", p->eos_text, "add_special", 0, "parse_special", 1), on_eos);
}

/* Two prompts in one request, each with candidates that are told by id and bytes. */
static bool tells_candidates(const struct probe_call *p, const json_t *doc)
{
    for (size_t i = 0; i < 2; i++) {
        const json_t *one = json_array_get(doc, i);
        const json_t *cp = json_array_get(json_object_get(one, "completion_probabilities"), 0);
        const json_t *top = json_array_get(json_object_get(cp, "top_logprobs"), 0);
        if (json_array_size(doc) != 2 || !json_is_integer(json_object_get(one, "index")) ||
            json_integer_value(json_object_get(cp, "id")) != p->token || !json_is_integer(json_object_get(top, "id")) ||
            !json_is_array(json_object_get(top, "bytes")) || !json_is_number(json_object_get(top, "logprob")))
            return false;
    }
    return true;
}

static void on_tried_slots(struct backend_call *c, const struct httpc_result *r)
{
    struct probe_call *p = (struct probe_call *)c;
    struct backend_info *i = &p->info;
    char *message = NULL;
    json_t *doc = call_reply_error(c, r, &message) == BACKEND_OK ? json_parse_nul(r->body, r->len, NULL) : NULL;
    bool tells = tells_candidates(p, doc) && i->n_vocab > 0;
    json_decref(doc);
    free(message);
    i->caps.verify = tells && i->slots > 1;
    i->caps.generate = i->caps.relay_alone = i->caps.verify;
    if (i->caps.verify)
        i->verify_max = i->slots - 1;
    else if (!tells)
        backend_info_set_string(&i->cannot_verify,
                                "it does not tell the candidates of several prompts by their ids, as newer "
                                "llama-servers do; a tightwad-node with the same model file verifies");
    else
        backend_info_set_string(&i->cannot_verify,
                                "it has one slot, and a draft of K tokens is checked by K + 1 of them: start it with "
                                "--parallel 9 --kv-unified --cache-ram 0");
    ask_eos(p);
}

static void try_slots(struct probe_call *p)
{
    struct buf body;
    buf_init(&body, 1024);
    buf_printf(&body,
               "{\"prompt\":[[%d],[%d,%d]],\"n_predict\":1,\"n_probs\":2,\"post_sampling_probs\":false,"
               "\"logit_bias\":[[%d,1000]],",
               (int)p->token, (int)p->token, (int)p->token, (int)p->token);
    llamacpp_add_greedy(&body);
    buf_adds(&body, ",\"response_fields\":[\"index\",\"completion_probabilities\"]}");
    call_post_text(&p->c, "/completion", body.data, body.len, on_tried_slots);
    buf_finish(&body);
}

static void on_tried_draft(struct backend_call *c, const struct httpc_result *r)
{
    struct probe_call *p = (struct probe_call *)c;
    char *message = NULL;
    if (call_reply_error(c, r, &message) == BACKEND_OK) {
        json_t *o = json_parse_object(r->body, r->len, NULL);
        json_t *tokens = json_object_get(o, "tokens");
        p->info.caps.draft_tokens = json_array_size(tokens) == 1 && json_is_integer(json_array_get(tokens, 0));
        json_decref(o);
    }
    free(message);
    try_slots(p);
}

static void on_tried_tokenize(struct backend_call *c, const struct httpc_result *r)
{
    struct probe_call *p = (struct probe_call *)c;
    char *message = NULL;
    json_t *o = call_reply_error(c, r, &message) == BACKEND_OK ? json_parse_object(r->body, r->len, NULL) : NULL;
    json_t *id = json_array_get(json_object_get(o, "tokens"), 0);
    free(message);
    if (json_is_integer(id) && json_integer_value(id) >= 0 && json_integer_value(id) <= INT32_MAX) {
        p->info.caps.tokenize = true;
        p->token = (int32_t)json_integer_value(id);
    }
    json_decref(o);
    call_post(c, "/completion",
              json_pack("{s:[i],s:i,s:i,s:b,s:b,s:[s]}", "prompt", p->token, "n_predict", 1, "temperature", 0,
                        "return_tokens", 1, "cache_prompt", 0, "response_fields", "tokens"),
              on_tried_draft);
}

/* "/models/qwen-0.6b.gguf" → "qwen-0.6b" */
static char *model_name(const char *id)
{
    const char *slash = strrchr(id, '/');
    size_t len;
    if (slash != NULL && strlen(id) > 5 && strcmp(id + strlen(id) - 5, ".gguf") == 0)
        id = slash + 1;
    len = strlen(id);
    if (len > 5 && strcmp(id + len - 5, ".gguf") == 0)
        len -= 5;
    return xstrndup(id, len);
}

static void on_models(struct backend_call *c, const struct httpc_result *r)
{
    struct probe_call *p = (struct probe_call *)c;
    json_t *o = call_reply_object(c, r);
    if (o == NULL)
        return;
    json_t *one = json_array_get(json_object_get(o, "data"), 0);
    const char *id = json_string_value(json_object_get(one, "id"));
    json_int_t n_vocab = json_integer_value(json_object_get(json_object_get(one, "meta"), "n_vocab"));
    if (id != NULL && p->info.model == NULL)
        p->info.model = model_name(id);
    if (n_vocab > 0 && n_vocab <= INT32_MAX)
        p->info.n_vocab = (int32_t)n_vocab;
    json_decref(o);
    call_post(c, "/tokenize", json_pack("{s:s,s:b}", "content", "a", "add_special", 0), on_tried_tokenize);
}

static int read_props(struct backend_info *i, json_t *o, char **cause)
{
    const json_t *settings = json_object_get(o, "default_generation_settings");
    const char *build = NULL, *template = NULL, *path = NULL;
    int64_t slots = 0, n_ctx = 0;
    if (json_get_int(o, "total_slots", 0, LLAMACPP_SLOTS_MAX, &slots, cause) < 0 ||
        json_get_int(settings, "n_ctx", 0, INT32_MAX, &n_ctx, cause) < 0 ||
        json_get_string(o, "build_info", &build, cause) < 0 || json_get_string(o, "model_path", &path, cause) < 0 ||
        json_get_string(o, "chat_template", &template, cause) < 0)
        return -1;
    i->slots = (int32_t)slots;
    i->n_ctx = (int32_t)n_ctx;
    i->version = build != NULL ? xasprintf("llama-server %s", build) : xstrdup("llama-server");
    i->model = path != NULL && path[0] != '\0' ? model_name(path) : NULL;
    i->caps.chat = true;
    i->caps.templated = template != NULL && template[0] != '\0';
    i->raw = json_incref(o);
    return 0;
}

static bool same_server(const struct backend_info *a, const struct backend_info *b)
{
    return a->known && a->version != NULL && b->version != NULL && strcmp(a->version, b->version) == 0 &&
           a->slots == b->slots && a->n_ctx == b->n_ctx && (a->model == NULL) == (b->model == NULL) &&
           (a->model == NULL || strcmp(a->model, b->model) == 0);
}

static void on_props(struct backend_call *c, const struct httpc_result *r)
{
    struct probe_call *p = (struct probe_call *)c;
    char *cause = NULL;
    json_t *o = call_reply_object(c, r);
    if (o == NULL)
        return;
    int ok = read_props(&p->info, o, &cause);
    const char *eos = json_string_value(json_object_get(o, "eos_token"));
    p->eos_text = xstrdup(eos);
    json_decref(o);
    if (ok < 0) {
        call_fail(c, BACKEND_BROKEN, "%s answers /props, but not as llama-server does: %s", c->b->cfg.url, cause);
        free(cause);
    } else if (same_server(&c->b->info, &p->info)) {
        c->b->info.rtt_us = p->info.rtt_us;
        llamacpp_check(c->b);
        call_end_probe(c);
    } else {
        call_get(c, "/v1/models", on_models);
    }
}

static void on_health(struct backend_call *c, const struct httpc_result *r)
{
    char *message = NULL;
    enum backend_error e = call_reply_error(c, r, &message);
    ((struct probe_call *)c)->info.rtt_us = r->elapsed_us;
    if (e != BACKEND_OK)
        call_fail(c, e, "%s", message);
    else
        call_get(c, "/props", on_props);
    free(message);
}

struct backend_call *llamacpp_probe(struct backend *b, int timeout_ms, backend_probe_cb *cb, void *arg)
{
    struct probe_call *p = call_create(sizeof(*p), b, NULL, CALL_PROBE, timeout_ms, arg);
    p->c.cb.probe = cb;
    p->c.release = release_probe;
    p->info.noise = NAN;
    p->eos = -1;
    call_get(&p->c, "/health", on_health);
    return &p->c;
}
