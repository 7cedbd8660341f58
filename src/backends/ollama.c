/* Ollama: drafts text (it tells no token ids and has no tokenizer to ask), answers chats by itself. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backends/calls.h"
#include "backends/chat.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"

/* --- probe: /api/version, /api/tags, /api/show --- */

struct probe_call {
    struct backend_call c;
    struct backend_info info; /* in the making */
};

static void release_probe(struct backend_call *c)
{
    backend_info_reset(&((struct probe_call *)c)->info);
}

static void on_show(struct backend_call *c, const struct httpc_result *r)
{
    struct probe_call *p = (struct probe_call *)c;
    char key[128];
    json_t *o = call_reply_object(c, r);
    if (o == NULL)
        return;
    json_t *meta = json_object_get(o, "model_info");
    const char *arch = json_string_value(json_object_get(meta, "general.architecture"));
    if (arch == NULL)
        arch = json_string_value(json_object_get(json_object_get(o, "details"), "family"));
    if (arch != NULL) {
        p->info.architecture = xstrdup(arch);
        snprintf(key, sizeof(key), "%s.context_length", arch);
        json_int_t n_ctx = json_integer_value(json_object_get(meta, key));
        if (n_ctx > 0 && n_ctx <= INT32_MAX)
            p->info.n_ctx = (int32_t)n_ctx;
        snprintf(key, sizeof(key), "%s.vocab_size", arch);
        json_int_t n_vocab = json_integer_value(json_object_get(meta, key));
        if (n_vocab > 0 && n_vocab <= INT32_MAX)
            p->info.n_vocab = (int32_t)n_vocab;
    }
    p->info.caps.draft_text = true;
    p->info.caps.chat = true;
    p->info.cannot_verify = xstrdup("Ollama tells no token ids and no log probabilities of a given text; "
                                    "`tightwad node -m ollama:NAME` serves the same model and verifies");
    p->info.raw = json_incref(o);
    json_decref(o);
    backend_info_reset(&c->b->info);
    c->b->info = p->info;
    p->info = (struct backend_info){0};
    call_end_probe(c);
}

/* "qwen3" is there as "qwen3:latest" */
static bool same_model(const char *have, const char *want)
{
    size_t n = strlen(want);
    if (strcmp(have, want) == 0)
        return true;
    return strchr(want, ':') == NULL && strncmp(have, want, n) == 0 && strcmp(have + n, ":latest") == 0;
}

static void on_tags(struct backend_call *c, const struct httpc_result *r)
{
    struct probe_call *p = (struct probe_call *)c;
    const char *want = c->b->cfg.model_name, *found = NULL;
    struct buf names;
    json_t *one, *o = call_reply_object(c, r);
    size_t i;
    if (o == NULL)
        return;
    buf_init(&names, 300);
    json_array_foreach(json_object_get(o, "models"), i, one)
    {
        const char *name = json_string_value(json_object_get(one, "name"));
        if (name == NULL)
            continue;
        buf_printf(&names, "%s%s", names.len > 0 ? ", " : "", name);
        if (found == NULL && (want == NULL || same_model(name, want)))
            found = name;
    }
    if (found != NULL) {
        p->info.model = xstrdup(found);
        call_post(c, "/api/show", json_pack("{s:s}", "model", found), on_show);
    } else if (want != NULL) {
        call_fail(c, BACKEND_REFUSED, "Ollama at %s has no model \"%s\": run `ollama pull %s` there (it has: %s)",
                  c->b->cfg.url, want, want, names.len > 0 ? names.data : "none");
    } else {
        call_fail(c, BACKEND_REFUSED, "Ollama at %s has no models: run `ollama pull NAME` there", c->b->cfg.url);
    }
    buf_finish(&names);
    json_decref(o);
}

static void on_version(struct backend_call *c, const struct httpc_result *r)
{
    struct probe_call *p = (struct probe_call *)c;
    json_t *o = call_reply_object(c, r);
    if (o == NULL)
        return;
    const char *version = json_string_value(json_object_get(o, "version"));
    p->info.version = xasprintf("Ollama %.60s", version != NULL ? version : "?");
    p->info.rtt_us = r->elapsed_us;
    json_decref(o);
    call_get(c, "/api/tags", on_tags);
}

static struct backend_call *probe(struct backend *b, int timeout_ms, backend_probe_cb *cb, void *arg)
{
    struct probe_call *p = call_create(sizeof(*p), b, NULL, CALL_PROBE, timeout_ms, arg);
    p->c.cb.probe = cb;
    p->c.release = release_probe;
    p->info.noise = NAN;
    call_get(&p->c, "/api/version", on_version);
    return &p->c;
}

/* --- drafts --- */

static const char *model_of(const struct backend *b)
{
    return b->info.model != NULL ? b->info.model : b->cfg.model_name != NULL ? b->cfg.model_name : "";
}

static void on_draft(struct backend_call *c, const struct httpc_result *r)
{
    json_t *o = call_reply_object(c, r);
    if (o == NULL)
        return;
    json_t *text = json_object_get(o, "response");
    if (!json_is_string(text))
        call_fail(c, BACKEND_BROKEN, "draft from %s: no \"response\"", c->b->cfg.url);
    else
        call_end_draft(c,
                       &(struct backend_draft){.text = json_string_value(text), .text_len = json_string_length(text)});
    json_decref(o);
}

static void no_draft(struct backend_call *c)
{
    call_end_draft(c, &(struct backend_draft){.text = ""});
}

static struct backend_call *draft_text(struct backend_session *s, const char *text, size_t len, size_t n,
                                       int timeout_ms, backend_draft_cb *cb, void *arg)
{
    struct backend_call *c = call_create(sizeof(*c), s->b, s, CALL_DRAFT, timeout_ms, arg);
    const struct sampler_params *p = &s->params;
    json_t *prompt = json_stringn(text, len);
    c->cb.draft = cb;
    if (prompt == NULL) {
        call_fail_later(c, BACKEND_UNSUPPORTED, "Ollama continues valid UTF-8 only");
        return c;
    }
    if (n == 0) {
        json_decref(prompt);
        call_defer(c, no_draft);
        return c;
    }
    /* Greedy at any temperature: without shared noise the most likely text is the one that agrees most often. */
    json_t *options = json_pack("{s:I,s:i,s:I}", "num_predict", (json_int_t)n, "temperature", 0, "seed",
                                (json_int_t)(p->seed & INT32_MAX));
    if (p->repeat_penalty != 1)
        json_object_set_new(options, "repeat_last_n", json_integer(p->repeat_last_n));
    json_object_set_new(options, "repeat_penalty", json_real(p->repeat_penalty));
    call_post(c, "/api/generate",
              json_pack("{s:s,s:o,s:b,s:b,s:s,s:o}", "model", model_of(s->b), "prompt", prompt, "raw", 1, "stream", 0,
                        "keep_alive", "30m", "options", options),
              on_draft);
    return c;
}

/* --- chats --- */

static const struct {
    const char *openai, *ollama;
} option_names[] = {
    {"temperature", "temperature"},
    {"top_p", "top_p"},
    {"top_k", "top_k"},
    {"min_p", "min_p"},
    {"seed", "seed"},
    {"stop", "stop"},
    {"max_tokens", "num_predict"},
    {"max_completion_tokens", "num_predict"},
    {"frequency_penalty", "frequency_penalty"},
    {"presence_penalty", "presence_penalty"},
    {"repeat_penalty", "repeat_penalty"},
    {"repeat_last_n", "repeat_last_n"},
};

/* What Ollama has no such thing for, and would ignore without a word. */
static const char *unsupported_parameter(const json_t *request)
{
    static const char *const names[] = {"logit_bias", "logprobs", "top_logprobs"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const json_t *v = json_object_get(request, names[i]);
        bool nothing = v == NULL || json_is_null(v) || json_is_false(v) ||
                       (json_is_object(v) && json_object_size(v) == 0) ||
                       (json_is_integer(v) && json_integer_value(v) == 0 && strcmp(names[i], "top_logprobs") == 0);
        if (!nothing)
            return names[i];
    }
    return NULL;
}

static json_t *chat_options(const json_t *request)
{
    json_t *options = json_object(), *v;
    for (size_t i = 0; i < ARRAY_LEN(option_names); i++)
        if ((v = json_object_get(request, option_names[i].openai)) != NULL && !json_is_null(v))
            json_object_set(options, option_names[i].ollama, v);
    v = json_object_get(options, "stop");
    if (json_is_string(v)) /* Ollama wants a list */
        json_object_set_new(options, "stop", json_pack("[O]", v));
    return options;
}

/* A message's text: OpenAI also allows a list of parts, Ollama does not. */
static json_t *message_text(const json_t *content)
{
    struct buf b;
    const json_t *part;
    size_t i;
    if (json_is_string(content))
        return json_copy((json_t *)content);
    buf_init(&b, 64 << 20);
    json_array_foreach(content, i, part)
    {
        const char *text = json_string_value(json_object_get(part, "text"));
        if (text != NULL)
            buf_adds(&b, text);
    }
    json_t *out = json_string(b.data);
    buf_finish(&b);
    return out;
}

static json_t *chat_messages(const json_t *messages)
{
    json_t *out = json_array();
    const json_t *m;
    size_t i;
    json_array_foreach(messages, i, m)
    {
        const char *role = json_string_value(json_object_get(m, "role"));
        json_array_append_new(out, json_pack("{s:s,s:o}", "role", role != NULL ? role : "user", "content",
                                             message_text(json_object_get(m, "content"))));
    }
    return out;
}

/* Through Ollama's own endpoints: its OpenAI ones leave out some parameters without a word, and put the model's
 * template around a plain completion. */
static struct backend_call *chat(struct backend *b, const json_t *request, bool is_chat, int idle_timeout_ms,
                                 backend_chat_text_cb *on_text, backend_chat_done_cb *cb, void *arg)
{
    const char *bad = unsupported_parameter(request);
    json_t *prompt = json_object_get(request, "prompt");
    if (bad != NULL || (!is_chat && !json_is_string(prompt))) {
        struct backend_call *c = call_create(sizeof(*c), b, NULL, CALL_CHAT, 0, arg);
        c->cb.chat = cb;
        if (bad != NULL)
            call_fail_later(c, BACKEND_REFUSED, "%s: Ollama has no such parameter", bad);
        else
            call_fail_later(c, BACKEND_REFUSED, "prompt: Ollama takes it as text, not as tokens");
        return c;
    }
    json_t *body =
        json_pack("{s:s,s:s,s:o}", "model", model_of(b), "keep_alive", "30m", "options", chat_options(request));
    if (is_chat) {
        json_object_set_new(body, "messages", chat_messages(json_object_get(request, "messages")));
    } else {
        json_object_set(body, "prompt", prompt);
        json_object_set_new(body, "raw", json_true());
    }
    return chat_start_ollama(b, is_chat ? "/api/chat" : "/api/generate", body, idle_timeout_ms, on_text, cb, arg);
}

const struct backend_ops backend_ollama_ops = {
    .name = "ollama",
    .probe = probe,
    .draft_text = draft_text,
    .chat = chat,
};
