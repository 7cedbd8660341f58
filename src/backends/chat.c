#include "backends/chat.h"

#include <stdlib.h>
#include <string.h>

#include "base/cause.h"
#include "base/json.h"
#include "base/mem.h"
#include "http/lines.h"

enum { CHAT_EVENT_MAX = 1 << 20 };

struct chat_piece {
    char *text;
    size_t len;
    json_t *logprobs;
};

struct chat_call {
    struct backend_call c;
    char *path;
    json_t *body;
    bool is_chat, ndjson;
    int idle_timeout_ms;
    struct lines *lines;
    struct chat_piece *pieces; /* come, not yet taken: those from first on */
    size_t first, n_pieces, size;
    bool paused, ended, done, without_usage;
    char finish[16];
    int64_t prompt_tokens, completion_tokens;
    char *bad; /* why the stream is nonsense */
    enum backend_error bad_error;
};

static void release(struct backend_call *call)
{
    struct chat_call *c = (struct chat_call *)call;
    for (size_t i = c->first; i < c->n_pieces; i++) {
        free(c->pieces[i].text);
        json_decref(c->pieces[i].logprobs);
    }
    free(c->pieces);
    free(c->path);
    free(c->bad);
    json_decref(c->body);
    lines_destroy(c->lines);
}

static void add_piece(struct chat_call *c, const json_t *text, const json_t *logprobs)
{
    size_t len = json_string_length(text);
    bool with_logprobs = json_is_object(logprobs) || json_is_array(logprobs);
    if (len == 0 && !with_logprobs)
        return;
    if (c->n_pieces == c->size) {
        c->size = c->size > 0 ? c->size * 2 : 16;
        c->pieces = xreallocarray(c->pieces, c->size, sizeof(*c->pieces));
    }
    c->pieces[c->n_pieces++] = (struct chat_piece){
        .text = xstrndup(len > 0 ? json_string_value(text) : "", len),
        .len = len,
        .logprobs = with_logprobs ? json_deep_copy(logprobs) : NULL,
    };
}

static void read_usage(struct chat_call *c, const json_t *usage)
{
    const json_t *p = json_object_get(usage, "prompt_tokens"), *n = json_object_get(usage, "completion_tokens");
    if (json_is_integer(p) && json_integer_value(p) >= 0)
        c->prompt_tokens = json_integer_value(p);
    if (json_is_integer(n) && json_integer_value(n) >= 0)
        c->completion_tokens = json_integer_value(n);
}

static bool read_error(struct chat_call *c, const json_t *o)
{
    const json_t *e = json_object_get(o, "error");
    if (e == NULL || json_is_null(e))
        return false;
    const char *words = json_is_string(e) ? json_string_value(e) : json_string_value(json_object_get(e, "message"));
    cause_set(&c->bad, "%.400s", words != NULL ? words : "an error without a reason");
    c->bad_error = BACKEND_BROKEN;
    return true;
}

static void set_finish(struct chat_call *c, const char *reason)
{
    snprintf(c->finish, sizeof(c->finish), "%s", strcmp(reason, "length") == 0 ? "length" : "stop");
}

static void read_openai_event(struct chat_call *c, const json_t *o)
{
    const json_t *choice = json_array_get(json_object_get(o, "choices"), 0);
    const json_t *text = json_object_get(choice, "text");
    const char *finish = json_string_value(json_object_get(choice, "finish_reason"));
    if (c->is_chat)
        text = json_object_get(json_object_get(choice, "delta"), "content");
    add_piece(c, text, json_object_get(choice, "logprobs"));
    if (finish != NULL)
        set_finish(c, finish);
    read_usage(c, json_object_get(o, "usage"));
}

static void read_ollama_line(struct chat_call *c, const json_t *o)
{
    const char *reason = json_string_value(json_object_get(o, "done_reason"));
    const json_t *p = json_object_get(o, "prompt_eval_count"), *n = json_object_get(o, "eval_count");
    const json_t *message = json_object_get(o, "message");
    add_piece(c, message != NULL ? json_object_get(message, "content") : json_object_get(o, "response"), NULL);
    if (!json_is_true(json_object_get(o, "done")))
        return;
    c->done = true;
    set_finish(c, reason != NULL ? reason : "stop");
    if (json_is_integer(p))
        c->prompt_tokens = json_integer_value(p);
    if (json_is_integer(n))
        c->completion_tokens = json_integer_value(n);
}

static void on_line(void *arg, const char *data, size_t len)
{
    struct chat_call *c = arg;
    if (c->bad != NULL || c->done)
        return;
    if (!c->ndjson && len == 6 && memcmp(data, "[DONE]", 6) == 0) {
        c->done = true;
        return;
    }
    json_t *o = json_parse_object(data, len, &c->bad);
    if (o == NULL) {
        cause_prefix(&c->bad, "the stream is not JSON");
        c->bad_error = BACKEND_BROKEN;
        return;
    }
    if (!read_error(c, o)) {
        if (c->ndjson)
            read_ollama_line(c, o);
        else
            read_openai_event(c, o);
    }
    json_decref(o);
}

/* Gives what has come.  False: the call is gone. */
static bool deliver(struct chat_call *c)
{
    c->paused = false;
    while (c->first < c->n_pieces) {
        struct chat_piece *p = &c->pieces[c->first];
        int taken = call_stream_text(&c->c, p->text, p->len, p->logprobs);
        if (taken < 0)
            return false;
        if (taken == 0) {
            c->paused = true;
            return true;
        }
        free(p->text);
        json_decref(p->logprobs);
        c->first++;
    }
    c->first = c->n_pieces = 0;
    return true;
}

static bool check_bad(struct chat_call *c)
{
    if (c->bad == NULL)
        return true;
    call_fail(&c->c, c->bad_error, "%s: %s", c->c.b->cfg.url, c->bad);
    return false;
}

static void finish(struct chat_call *c)
{
    if (!check_bad(c))
        return;
    if (!c->done && c->finish[0] == '\0')
        call_fail(&c->c, BACKEND_BROKEN, "%s: the stream breaks off", c->c.b->cfg.url);
    else
        call_end_chat(&c->c, c->finish[0] != '\0' ? c->finish : "stop", c->prompt_tokens, c->completion_tokens);
}

static bool on_data(void *arg, const char *data, size_t len)
{
    struct chat_call *c = arg;
    if (c->paused)
        return false;
    if (!lines_feed(c->lines, data, len) && c->bad == NULL) {
        cause_set(&c->bad, "an event of more than %d bytes", CHAT_EVENT_MAX);
        c->bad_error = BACKEND_BROKEN;
    }
    if (deliver(c) && !c->paused)
        check_bad(c);
    return true;
}

static void request(struct chat_call *c);

/* Older servers do not know stream_options: asked once more without. */
static bool retry_without_usage(struct chat_call *c, const struct httpc_result *r)
{
    if (r->error != HTTPC_OK || (r->status != 400 && r->status != 422) || c->without_usage ||
        strstr(r->body, "stream_options") == NULL)
        return false;
    c->without_usage = true;
    json_object_del(c->body, "stream_options");
    request(c);
    return true;
}

static void on_end(struct backend_call *call, const struct httpc_result *r)
{
    struct chat_call *c = (struct chat_call *)call;
    char *message = NULL;
    if (retry_without_usage(c, r))
        return;
    enum backend_error e = call_reply_error(call, r, &message);
    if (e != BACKEND_OK && !c->done) {
        call_fail(call, e, "%s", message);
        free(message);
        return;
    }
    free(message);
    lines_end(c->lines);
    c->ended = true;
    if (!c->paused && deliver(c) && !c->paused)
        finish(c);
}

static void go_on(struct backend_call *call)
{
    struct chat_call *c = (struct chat_call *)call;
    if (!deliver(c) || c->paused)
        return;
    if (c->ended)
        finish(c);
    else if (check_bad(c) && call->http != NULL)
        httpc_resume(call->http);
}

static void resume(struct backend_call *call)
{
    if (((struct chat_call *)call)->paused)
        call_defer(call, go_on);
}

static void request(struct chat_call *c)
{
    char *text = json_dumps(c->body, JSON_COMPACT);
    struct httpc_opts o = {
        .body = text,
        .len = strlen(text),
        .idle_timeout_ms = c->idle_timeout_ms,
        .on_data = on_data,
    };
    call_request(&c->c, c->path, &o, on_end);
    free(text);
}

static struct chat_call *chat_create(struct backend *b, const char *path, json_t *body, int idle_timeout_ms,
                                     backend_chat_text_cb *on_text, backend_chat_done_cb *cb, void *arg)
{
    struct chat_call *c = call_create(sizeof(*c), b, NULL, CALL_CHAT, 0, arg);
    c->c.cb.chat = cb;
    c->c.stream.text = on_text;
    c->c.resume = resume;
    c->c.release = release;
    c->path = xstrdup(path);
    c->body = body;
    c->idle_timeout_ms = idle_timeout_ms;
    c->prompt_tokens = c->completion_tokens = -1;
    json_object_set_new(body, "stream", json_true());
    return c;
}

struct backend_call *chat_start(struct backend *b, const char *path, json_t *body, bool is_chat, int idle_timeout_ms,
                                backend_chat_text_cb *on_text, backend_chat_done_cb *cb, void *arg)
{
    struct chat_call *c = chat_create(b, path, body, idle_timeout_ms, on_text, cb, arg);
    c->is_chat = is_chat;
    c->lines = lines_create(LINES_SSE, CHAT_EVENT_MAX, on_line, c);
    json_object_set_new(body, "stream_options", json_pack("{s:b}", "include_usage", 1));
    request(c);
    return &c->c;
}

struct backend_call *chat_start_ollama(struct backend *b, const char *path, json_t *body, int idle_timeout_ms,
                                       backend_chat_text_cb *on_text, backend_chat_done_cb *cb, void *arg)
{
    struct chat_call *c = chat_create(b, path, body, idle_timeout_ms, on_text, cb, arg);
    c->ndjson = true;
    c->lines = lines_create(LINES_NDJSON, CHAT_EVENT_MAX, on_line, c);
    request(c);
    return &c->c;
}

json_t *chat_body(const struct backend *b, const json_t *request)
{
    json_t *body = json_deep_copy(request);
    const char *model = b->cfg.model_name != NULL ? b->cfg.model_name : b->info.model;
    if (model != NULL)
        json_object_set_new(body, "model", json_string(model));
    else
        json_object_del(body, "model");
    json_object_del(body, "stream_options");
    return body;
}

struct backend_call *chat_pass_on(struct backend *b, const json_t *request, bool is_chat, int idle_timeout_ms,
                                  backend_chat_text_cb *on_text, backend_chat_done_cb *cb, void *arg)
{
    return chat_start(b, is_chat ? "/v1/chat/completions" : "/v1/completions", chat_body(b, request), is_chat,
                      idle_timeout_ms, on_text, cb, arg);
}
