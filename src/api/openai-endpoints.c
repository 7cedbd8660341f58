#include "api/openai-endpoints.h"

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"

/* Text of an answer that is sent in one piece. */
enum { TEXT_MAX = 64 * 1024 * 1024 };

enum exchange_state {
    EXCHANGE_OPEN,   /* submitted; nothing has been sent, so an error may still choose its status */
    EXCHANGE_STREAM, /* the head and some events have been sent */
    EXCHANGE_GONE,   /* the client went away: the work is cancelled, the ender will free */
    EXCHANGE_FULL,   /* the text is too long to be kept: the ender cancels and replies */
};

/* One request and its reply. */
struct exchange {
    TAILQ_ENTRY(exchange) entry;
    struct endpoints *endpoints;
    enum exchange_state state;
    struct httpd_request *request;
    struct proxy_answer *answer;
    struct oai_reply reply;
    bool want_logprobs, want_detail;
    bool any_model;      /* none was named: the reply tells which one it was */
    struct buf text;     /* of a reply in one piece */
    struct event *ender; /* ends the exchange outside the callback that found a reason to */
};

struct endpoints {
    struct event_base *base;
    struct proxy *proxy;
    struct oai_limits limits;
    int64_t created; /* seconds since 1970, for the models */
    TAILQ_HEAD(, exchange) exchanges;
    size_t n_exchanges;
};

static void exchange_free(struct exchange *x)
{
    TAILQ_REMOVE(&x->endpoints->exchanges, x, entry);
    x->endpoints->n_exchanges--;
    oai_reply_finish(&x->reply);
    buf_finish(&x->text);
    event_free(x->ender);
    free(x);
}

/* Ends the reply with an error, in the form that is still possible, and frees the exchange. */
static void exchange_fail(struct exchange *x, int status, const char *type, const char *code, const char *message)
{
    if (x->state == EXCHANGE_STREAM) {
        char *event = oai_stream_error(type, message);
        httpd_stream_send(x->request, event, strlen(event));
        free(event);
        httpd_stream_end(x->request);
    } else {
        httpd_reply_error(x->request, status, NULL, code, "%s", message);
    }
    exchange_free(x);
}

static const char *mode_of(const struct proxy_answer *a)
{
    return proxy_mode_name(proxy_answer_mode(a));
}

static const char *exactness_of(const struct proxy_answer *a)
{
    return proxy_mode_is_approximate(proxy_answer_mode(a)) ? "approximate" : NULL;
}

/* A value as a header can carry it: names may be in any script.  Owned by the caller. */
static char *header_text(const char *value)
{
    char *safe = xstrdup(value);
    for (char *p = safe; *p; p++) {
        if ((unsigned char)*p < 0x20 || (unsigned char)*p > 0x7e)
            *p = '?';
    }
    return safe;
}

/* What is said of an answer beside its text: how it was really served, in the head of the reply as far as it is known
 * by then, and in its "tightwad". */
static const struct fact {
    const char *header, *key;
    const char *(*of)(const struct proxy_answer *a); /* NULL: nothing to say */
} facts[] = {
    {"x-tightwad-mode", "mode", mode_of},
    {"x-tightwad-exactness", "exactness", exactness_of},
    {"x-tightwad-gate", "gate", proxy_answer_outcome},
    {"x-tightwad-agent", "agent", proxy_answer_agent},
};

static void add_headers(struct exchange *x, const struct proxy_answer *a)
{
    for (size_t i = 0; i < ARRAY_LEN(facts); i++) {
        const char *value = facts[i].of(a);
        char *safe = value ? header_text(value) : NULL;
        if (safe)
            httpd_add_header(x->request, facts[i].header, safe);
        free(safe);
    }
}

static void add_about(struct exchange *x, const struct proxy_answer *a)
{
    json_decref(x->reply.about);
    x->reply.about = json_object();
    for (size_t i = 0; i < ARRAY_LEN(facts); i++) {
        const char *value = facts[i].of(a);
        if (value)
            json_object_set_new(x->reply.about, facts[i].key, json_string(value));
    }
}

static void begin_stream(struct exchange *x)
{
    if (x->state != EXCHANGE_OPEN)
        return;
    x->state = EXCHANGE_STREAM;
    add_headers(x, x->answer);
    httpd_add_header(x->request, "Cache-Control", "no-cache");
    httpd_stream_start(x->request, 200, "text/event-stream");
}

static void stream_event(struct exchange *x, char *event)
{
    begin_stream(x);
    httpd_stream_send(x->request, event, strlen(event));
    free(event);
}

/* Puts who wrote what into a finished chunk ("data: {…}\n\n"). */
static char *add_detail(char *event, const struct oai_token *tokens, const bool *drafted, size_t n)
{
    size_t len = strlen(event);
    if (len < 3 || strcmp(event + len - 3, "}\n\n") != 0)
        return event;
    json_t *pieces = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(
            pieces, json_pack("[o, i]", json_piece(tokens[i].piece, tokens[i].len), drafted && drafted[i] ? 1 : 0));
    char *list = json_dumps(pieces, JSON_COMPACT);
    json_decref(pieces);
    char *out = xasprintf("%.*s,\"tightwad\":{\"pieces\":%s}}\n\n", (int)(len - 3), event, list);
    free(list);
    free(event);
    return out;
}

static bool on_text(void *arg, const char *text, size_t len, const struct oai_token *tokens, const bool *drafted,
                    size_t n)
{
    struct exchange *x = arg;
    bool logprobs = x->want_logprobs && n > 0;
    if (!x->reply.stream) {
        if (logprobs)
            oai_reply_add_tokens(&x->reply, tokens, n);
        if (buf_add(&x->text, text, len))
            return true;
        x->state = EXCHANGE_FULL;
        event_active(x->ender, EV_TIMEOUT, 0);
        return false;
    }
    if (len == 0 && !logprobs && !x->want_detail)
        return true;
    char *event = oai_stream_chunk(&x->reply, text, len, logprobs ? tokens : NULL, logprobs ? n : 0);
    if (x->want_detail)
        event = add_detail(event, tokens, drafted, n);
    stream_event(x, event);
    return httpd_stream_pending(x->request) <= HTTPD_HIGH_WATER; /* above it on_drain is certain to come */
}

static void on_done(void *arg, enum answer_finish finish, const struct oai_usage *usage)
{
    struct exchange *x = arg;
    add_about(x, x->answer);
    if (x->reply.stream) {
        stream_event(x, oai_stream_end(&x->reply, finish, usage));
        httpd_stream_end(x->request);
    } else {
        add_headers(x, x->answer);
        httpd_reply_json(x->request, 200, oai_reply_json(&x->reply, x->text.data, x->text.len, finish, usage));
    }
    exchange_free(x);
}

static void on_error(void *arg, int status, const char *type, const char *code, const char *message)
{
    struct exchange *x = arg;
    if (x->state == EXCHANGE_OPEN)
        add_headers(x, x->answer);
    x->answer = NULL;
    exchange_fail(x, status, type, code, message);
}

/* Something is heard of a stream that waits for a review, or a client and what is between would think that it is dead.
 * With it the status is chosen. */
static void on_wait(void *arg)
{
    static const char comment[] = ": waiting\n\n";
    struct exchange *x = arg;
    if (!x->reply.stream || x->state > EXCHANGE_STREAM)
        return;
    begin_stream(x);
    if (httpd_stream_pending(x->request) <= HTTPD_HIGH_WATER)
        httpd_stream_send(x->request, comment, sizeof(comment) - 1);
}

static void on_start(void *arg, int64_t prompt_tokens)
{
    struct exchange *x = arg;
    /* Nothing is sent yet: a target that dies before the first token is still a plain 503.  While the request waited
     * another model may have come. */
    if (x->any_model)
        oai_reply_set_model(&x->reply, proxy_model(x->endpoints->proxy));
}

static const struct proxy_ops answer_ops = {
    .on_start = on_start,
    .on_text = on_text,
    .on_done = on_done,
    .on_error = on_error,
    .on_wait = on_wait,
};

static void on_drain(void *arg)
{
    struct exchange *x = arg;
    if (x->answer)
        proxy_answer_resume(x->answer);
}

/* The client is gone: the servers stop working for it now, the rest is cleared up after this callback. */
static void on_close(void *arg)
{
    struct exchange *x = arg;
    if (x->answer)
        proxy_answer_cancel(x->answer);
    x->answer = NULL;
    if (x->state != EXCHANGE_STREAM)
        x->state = EXCHANGE_GONE;
    event_active(x->ender, EV_TIMEOUT, 0);
}

static void on_ender(evutil_socket_t fd, short what, void *arg)
{
    struct exchange *x = arg;
    if (x->answer)
        proxy_answer_cancel(x->answer);
    exchange_fail(x, x->state == EXCHANGE_FULL ? 500 : 503, "server_error", NULL,
                  x->state == EXCHANGE_FULL ? "the answer is too long for a reply in one piece: ask for a stream"
                                            : "the client went away");
}

static void refuse(struct httpd_request *r, struct oai_error *err)
{
    httpd_reply_error(r, err->status, err->param, err->code, "%s", err->message ? err->message : "refused");
    oai_error_finish(err);
}

static struct exchange *exchange_create(struct endpoints *e, struct httpd_request *r, const struct oai_request *q)
{
    struct exchange *x = xcalloc(1, sizeof(*x));
    x->endpoints = e;
    x->request = r;
    x->want_logprobs = q->logprobs >= 0;
    const char *detail = httpd_header(r, "x-tightwad-detail");
    x->want_detail = q->stream && detail && strcmp(detail, "1") == 0;
    x->any_model = q->model == NULL;
    const char *model = q->model ? q->model : proxy_model(e->proxy);
    oai_reply_init(&x->reply, q, model ? model : "");
    buf_init(&x->text, TEXT_MAX);
    x->ender = event_new(e->base, -1, 0, on_ender, x);
    TAILQ_INSERT_TAIL(&e->exchanges, x, entry);
    e->n_exchanges++;
    return x;
}

static void handle_completion(struct endpoints *e, struct httpd_request *r, bool chat)
{
    size_t len;
    const char *body = httpd_body(r, &len);
    struct oai_request q;
    struct oai_error err = {0};
    if (oai_request_parse(&q, chat, body, len, &e->limits, &err) < 0) {
        oai_request_finish(&q);
        refuse(r, &err);
        return;
    }
    if (q.echo) { /* a node serves it: there the prompt's tokens and logprobs are at hand */
        httpd_reply_error(r, 400, "echo", "unsupported_parameter", "echo is not supported here: ask the node directly");
        oai_request_finish(&q);
        return;
    }
    struct exchange *x = exchange_create(e, r, &q);
    x->answer = proxy_submit(e->proxy, &q, &answer_ops, x, &err);
    oai_request_finish(&q);
    if (!x->answer) {
        exchange_free(x);
        refuse(r, &err);
        return;
    }
    httpd_on_close(r, on_close, x);
    httpd_on_drain(r, on_drain, x);
}

static void handle_chat(struct httpd_request *r, void *arg)
{
    handle_completion(arg, r, true);
}

static void handle_text(struct httpd_request *r, void *arg)
{
    handle_completion(arg, r, false);
}

static json_t *model_json(const struct endpoints *e, const char *name)
{
    return json_pack("{s:s, s:s, s:I, s:s}", "id", name, "object", "model", "created", (json_int_t)e->created,
                     "owned_by", "tightwad");
}

static void handle_models(struct httpd_request *r, void *arg)
{
    struct endpoints *e = arg;
    json_t *names = proxy_models(e->proxy), *data = json_array(), *name;
    size_t i;
    json_array_foreach(names, i, name) json_array_append_new(data, model_json(e, json_string_value(name)));
    json_decref(names);
    httpd_reply_json(r, 200, json_pack("{s:s, s:o}", "object", "list", "data", data));
}

/* GET /v1/models/NAME; names may hold slashes. */
static void handle_model(struct httpd_request *r, void *arg)
{
    struct endpoints *e = arg;
    const char *wanted = httpd_path(r) + strlen("/v1/models/");
    json_t *names = proxy_models(e->proxy), *name, *found = NULL;
    size_t i;
    json_array_foreach(names, i, name)
    {
        if (!found && strcmp(json_string_value(name), wanted) == 0)
            found = model_json(e, wanted);
    }
    json_decref(names);
    if (found)
        httpd_reply_json(r, 200, found);
    else
        httpd_reply_error(r, 404, "model", "model_not_found", "there is no such model: GET /v1/models lists them");
}

struct endpoints *endpoints_create(struct event_base *base, struct proxy *p, const struct oai_limits *limits)
{
    struct endpoints *e = xcalloc(1, sizeof(*e));
    e->base = base;
    e->proxy = p;
    e->limits = *limits;
    e->created = clock_wall_ms() / 1000;
    TAILQ_INIT(&e->exchanges);
    return e;
}

void endpoints_destroy(struct endpoints *e)
{
    if (!e)
        return;
    while (!TAILQ_EMPTY(&e->exchanges)) {
        struct exchange *x = TAILQ_FIRST(&e->exchanges);
        if (x->answer)
            proxy_answer_cancel(x->answer);
        exchange_fail(x, 503, "server_error", NULL, "Tightwad is stopping");
    }
    free(e);
}

void endpoints_set_limits(struct endpoints *e, const struct oai_limits *limits)
{
    e->limits = *limits;
}

size_t endpoints_open(const struct endpoints *e)
{
    return e->n_exchanges;
}

void endpoints_route(struct endpoints *e, struct httpd *h)
{
    httpd_route(h, HTTPD_POST, "/v1/chat/completions", false, handle_chat, e);
    httpd_route(h, HTTPD_POST, "/v1/completions", false, handle_text, e);
    httpd_route(h, HTTPD_GET, "/v1/models", false, handle_models, e);
    httpd_route(h, HTTPD_GET, "/v1/models/", false, handle_model, e);
}
