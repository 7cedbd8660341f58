/* Replies in the OpenAI shapes; requests are parsed in openai-request.c. */
#include "http/openai.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/utf8.h"

/* What OpenAI writes for a probability of 0, whose logarithm JSON can't hold. */
static const double LOGPROB_NEVER = -9999.0;

void oai_reply_init(struct oai_reply *r, const struct oai_request *q, const char *model)
{
    uint64_t random[2] = {0};

    memset(r, 0, sizeof(*r));
    if (getrandom(random, sizeof(random), 0) != sizeof(random))
        random[0] = (uintptr_t)r ^ (uint64_t)time(NULL);
    snprintf(r->id, sizeof(r->id), "%s-%016" PRIx64 "%08" PRIx32, q->chat ? "chatcmpl" : "cmpl", random[0],
             (uint32_t)random[1]);
    r->created = time(NULL);
    r->model = xstrdup(model);
    r->chat = q->chat;
    r->stream = q->stream;
    r->include_usage = q->include_usage;
    r->tokens_as_ids = q->tokens_as_ids;
    r->seed = q->sampling.seed;
}

void oai_reply_set_model(struct oai_reply *r, const char *model)
{
    free(r->model);
    r->model = xstrdup(model);
}

void oai_reply_finish(struct oai_reply *r)
{
    free(r->model);
    json_decref(r->logprobs);
    json_decref(r->about);
    memset(r, 0, sizeof(*r));
}

static json_t *text_json(const char *s, size_t len)
{
    json_t *v = json_stringn(s, len);

    if (!v) {
        struct buf repaired;

        buf_init(&repaired, SIZE_MAX);
        utf8_add_repaired(&repaired, s, len);
        v = json_stringn(repaired.data, repaired.len);
        buf_finish(&repaired);
    }
    return v;
}

/* The name of a token in logprobs.  One that is only a part of a character is written as its bytes in hexadecimal. */
static json_t *token_json(const struct oai_reply *r, int32_t id, const char *s, size_t len)
{
    struct buf name;
    json_t *v;

    if (!r->tokens_as_ids && utf8_valid(s, len))
        return json_stringn(s, len);
    buf_init(&name, SIZE_MAX);
    if (r->tokens_as_ids) {
        buf_printf(&name, "token_id:%" PRId32, id);
    } else {
        buf_adds(&name, r->chat ? "" : "bytes:");
        for (size_t i = 0; i < len; i++)
            buf_printf(&name, "\\x%02x", (unsigned char)s[i]);
    }
    v = json_stringn(name.data, name.len);
    buf_finish(&name);
    return v;
}

static json_t *bytes_json(const char *s, size_t len)
{
    json_t *list = json_array();

    for (size_t i = 0; i < len; i++)
        json_array_append_new(list, json_integer((unsigned char)s[i]));
    return list;
}

/* Six digits say all that a float's logprob is good for; a token without one (the first of an echoed prompt) has null.
 */
static json_t *logprob_json(float logprob)
{
    char text[32];

    if (isnan(logprob))
        return json_null();
    if (isinf(logprob))
        return json_real(LOGPROB_NEVER);
    snprintf(text, sizeof(text), "%.6g", (double)logprob);
    return json_real(strtod(text, NULL));
}

static json_t *chat_entry(const struct oai_reply *r, int32_t id, const char *piece, size_t len, float logprob)
{
    return json_pack("{s:o,s:o,s:o}", "token", token_json(r, id, piece, len), "logprob", logprob_json(logprob), "bytes",
                     bytes_json(piece, len));
}

static void add_chat_token(const struct oai_reply *r, json_t *logprobs, const struct oai_token *t)
{
    json_t *entry = chat_entry(r, t->id, t->piece, t->len, t->logprob), *top = json_array();

    for (size_t i = 0; i < t->n_top; i++)
        json_array_append_new(top, chat_entry(r, t->top[i].id, t->top[i].piece, t->top[i].len, t->top[i].logprob));
    json_object_set_new(entry, "top_logprobs", top);
    json_array_append_new(json_object_get(logprobs, "content"), entry);
}

static int64_t characters(const char *s, size_t len)
{
    int64_t n = 0;

    for (size_t i = 0; i < len; i++)
        n += ((unsigned char)s[i] & 0xc0) != 0x80;
    return n;
}

static void set_top(const struct oai_reply *r, json_t *o, int32_t id, const char *piece, size_t len, float logprob)
{
    json_t *key = token_json(r, id, piece, len);

    if (!json_object_get(o, json_string_value(key)))
        json_object_set_new(o, json_string_value(key), logprob_json(logprob));
    json_decref(key);
}

static void add_completions_token(struct oai_reply *r, json_t *logprobs, const struct oai_token *t)
{
    json_t *top = json_null();

    if (!isnan(t->logprob)) {
        /* The token itself is always among them, as OpenAI has it. */
        top = json_object();
        for (size_t i = 0; i < t->n_top; i++)
            set_top(r, top, t->top[i].id, t->top[i].piece, t->top[i].len, t->top[i].logprob);
        set_top(r, top, t->id, t->piece, t->len, t->logprob);
    }
    json_array_append_new(json_object_get(logprobs, "tokens"), token_json(r, t->id, t->piece, t->len));
    json_array_append_new(json_object_get(logprobs, "token_logprobs"), logprob_json(t->logprob));
    json_array_append_new(json_object_get(logprobs, "top_logprobs"), top);
    json_array_append_new(json_object_get(logprobs, "text_offset"), json_integer(r->text_offset));
    r->text_offset += characters(t->piece, t->len);
}

static json_t *new_logprobs(const struct oai_reply *r)
{
    if (r->chat)
        return json_pack("{s:[],s:n}", "content", "refusal");
    return json_pack("{s:[],s:[],s:[],s:[]}", "tokens", "token_logprobs", "top_logprobs", "text_offset");
}

static void add_tokens(struct oai_reply *r, json_t *logprobs, const struct oai_token *tokens, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (r->chat)
            add_chat_token(r, logprobs, &tokens[i]);
        else
            add_completions_token(r, logprobs, &tokens[i]);
    }
}

static json_t *usage_json(const struct oai_usage *u)
{
    json_t *o = json_pack("{s:I,s:I,s:I}", "prompt_tokens", (json_int_t)u->prompt_tokens, "completion_tokens",
                          (json_int_t)u->completion_tokens, "total_tokens",
                          (json_int_t)(u->prompt_tokens + u->completion_tokens));

    if (u->drafted_tokens < 0 || u->accepted_tokens < 0)
        return o;
    json_object_set_new(o, "completion_tokens_details",
                        json_pack("{s:I,s:I}", "accepted_prediction_tokens", (json_int_t)u->accepted_tokens,
                                  "rejected_prediction_tokens", (json_int_t)(u->drafted_tokens - u->accepted_tokens)));
    json_object_set_new(o, "tightwad",
                        json_pack("{s:I,s:I}", "drafted_tokens", (json_int_t)u->drafted_tokens, "accepted_tokens",
                                  (json_int_t)u->accepted_tokens));
    return o;
}

static json_t *finish_json(enum answer_finish finish)
{
    const char *name = answer_finish_name(finish);

    return name ? json_string(name) : json_null();
}

/* What all replies begin with; choices is stolen. */
static json_t *envelope(const struct oai_reply *r, const char *object, json_t *choices)
{
    return json_pack("{s:s,s:s,s:I,s:s,s:o}", "id", r->id, "object", object, "created", (json_int_t)r->created, "model",
                     r->model, "choices", choices);
}

static json_t *about_json(const struct oai_reply *r)
{
    json_t *o = json_pack("{s:I}", "seed", (json_int_t)r->seed);

    if (r->about)
        json_object_update(o, r->about);
    return o;
}

/* Adds o as an event; steals it. */
static void add_event(struct buf *out, json_t *o)
{
    char *text = json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(15));

    json_decref(o);
    buf_adds(out, "data: ");
    buf_adds(out, text);
    buf_adds(out, "\n\n");
    free(text);
}

/* delta (chat) or text (completions) and logprobs are stolen. */
static json_t *chunk(struct oai_reply *r, json_t *content, json_t *logprobs, json_t *finish)
{
    json_t *choice = json_pack("{s:i,s:o,s:o,s:o}", "index", 0, r->chat ? "delta" : "text", content, "logprobs",
                               logprobs, "finish_reason", finish);
    json_t *o = envelope(r, r->chat ? "chat.completion.chunk" : "text_completion", json_pack("[o]", choice));

    if (r->include_usage)
        json_object_set_new(o, "usage", json_null());
    return o;
}

static json_t *content_json(struct oai_reply *r, const char *text, size_t len)
{
    json_t *delta;

    if (!r->chat)
        return text_json(text, len);
    delta = json_object();
    if (!r->started)
        json_object_set_new(delta, "role", json_string("assistant"));
    json_object_set_new(delta, "content", text_json(text, len));
    return delta;
}

char *oai_stream_chunk(struct oai_reply *r, const char *text, size_t len, const struct oai_token *tokens, size_t n)
{
    json_t *logprobs = json_null();
    struct buf out;

    if (tokens) {
        logprobs = new_logprobs(r);
        add_tokens(r, logprobs, tokens, n);
    }
    buf_init(&out, SIZE_MAX);
    add_event(&out, chunk(r, content_json(r, text, len), logprobs, json_null()));
    r->started = true;
    return buf_steal(&out);
}

char *oai_stream_end(struct oai_reply *r, enum answer_finish finish, const struct oai_usage *usage)
{
    struct buf out;
    json_t *o;

    buf_init(&out, SIZE_MAX);
    if (r->chat && !r->started) /* no text came, but the role is still owed */
        add_event(&out, chunk(r, content_json(r, "", 0), json_null(), json_null()));
    r->started = true;
    o = chunk(r, r->chat ? json_object() : json_string(""), json_null(), finish_json(finish));
    json_object_set_new(o, "tightwad", about_json(r));
    add_event(&out, o);
    if (r->include_usage) {
        o = envelope(r, r->chat ? "chat.completion.chunk" : "text_completion", json_array());
        json_object_set_new(o, "usage", usage_json(usage));
        add_event(&out, o);
    }
    buf_adds(&out, "data: [DONE]\n\n");
    return buf_steal(&out);
}

char *oai_stream_error(const char *type, const char *message)
{
    struct buf out;

    buf_init(&out, SIZE_MAX);
    add_event(&out, json_pack("{s:{s:o,s:s,s:n,s:n}}", "error", "message", text_json(message, strlen(message)), "type",
                              type, "param", "code"));
    return buf_steal(&out);
}

void oai_reply_add_tokens(struct oai_reply *r, const struct oai_token *tokens, size_t n)
{
    if (!r->logprobs)
        r->logprobs = new_logprobs(r);
    add_tokens(r, r->logprobs, tokens, n);
}

json_t *oai_reply_json(struct oai_reply *r, const char *text, size_t len, enum answer_finish finish,
                       const struct oai_usage *usage)
{
    json_t *logprobs = r->logprobs ? json_incref(r->logprobs) : json_null(), *content = text_json(text, len), *choice,
           *o;

    if (r->chat)
        content = json_pack("{s:s,s:o,s:n}", "role", "assistant", "content", content, "refusal");
    choice = json_pack("{s:i,s:o,s:o,s:o}", "index", 0, r->chat ? "message" : "text", content, "logprobs", logprobs,
                       "finish_reason", finish_json(finish));
    o = envelope(r, r->chat ? "chat.completion" : "text_completion", json_pack("[o]", choice));
    json_object_set_new(o, "usage", usage_json(usage));
    json_object_set_new(o, "tightwad", about_json(r));
    return o;
}
