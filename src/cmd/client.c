#include "cmd/client.h"

#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cause.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "http/lines.h"

enum {
    MAX_ANSWER = 16 * 1024 * 1024, /* bytes of one answer's text */
    IDLE_MS = 300000,              /* most time without a byte: a queue, a target that is waited for, a slow prefill */
    LOOK_TIMEOUT_MS = 10000,
    LOOK_MS = 100,   /* between looks at the status, */
    LOOKS = 100,     /* and how many */
    BURST_US = 1000, /* what comes within this of the first text came with it */
};

/* One request while it runs. */
struct run {
    struct client *client;
    struct httpc_call *call;
    bool over;
    char *failure; /* NULL: fine */
    /* a reply in one piece */
    int status;
    json_t *reply;
    /* a chat */
    const struct client_chat *chat;
    struct client_answer *answer;
    struct lines *lines;
    int64_t started_us, ended_us;
    int64_t first_us, burst_us, last_us; /* the first text, what came with it, and the end of the answer */
    int64_t burst_tokens;
    bool done_marker;
    struct piece {
        size_t len; /* bytes of text that this token brought and that were not shown yet */
        enum paint_who who;
    } * pieces;
    size_t n_pieces, size_pieces, next_piece;
};

static void init(struct client *c)
{
    c->base = event_base_new();
    c->http = httpc_create(c->base);
}

void client_init(struct client *c, const struct config *cfg, const char *url)
{
    *c = (struct client){0};
    if (url != NULL) {
        size_t len = strlen(url);
        while (len > 0 && url[len - 1] == '/')
            len--;
        bool schemed = strstr(url, "://") != NULL;
        c->url = xasprintf("%s%.*s", schemed ? "" : "http://", (int)len, url);
    } else {
        const char *host = cfg->proxy.host;
        if (strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0)
            host = host[0] == '0' ? "127.0.0.1" : "::1";
        bool six = strchr(host, ':') != NULL && host[0] != '[';
        c->url = xasprintf("http://%s%s%s:%d", six ? "[" : "", host, six ? "]" : "", (int)cfg->proxy.port);
    }
    if (cfg != NULL)
        c->token = xstrdup(cfg->proxy.auth_token);
    init(c);
}

void client_init_unix(struct client *c, const char *path)
{
    *c = (struct client){.url = xstrdup("http://tightwad"), .unix_socket = xstrdup(path)};
    init(c);
}

void client_finish(struct client *c)
{
    httpc_destroy(c->http);
    if (c->base != NULL)
        event_base_free(c->base);
    free(c->url);
    free(c->token);
    free(c->unix_socket);
    *c = (struct client){0};
}

static void fail(struct run *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void fail(struct run *r, const char *fmt, ...)
{
    if (r->failure != NULL)
        return;
    va_list ap;
    va_start(ap, fmt);
    r->failure = xvasprintf(fmt, ap);
    va_end(ap);
}

static void end(struct run *r)
{
    r->over = true;
    r->ended_us = clock_us();
    event_base_loopbreak(r->client->base);
}

static void fail_transport(struct run *r, const struct httpc_result *res)
{
    const char *at = r->client->unix_socket != NULL ? r->client->unix_socket : r->client->url;
    if (res->error == HTTPC_UNREACHABLE)
        fail(r, "nothing answers at %s (%s): start it with `tightwad proxy start`, or name another one with --url", at,
             res->message);
    else if (res->error == HTTPC_TIMEOUT)
        fail(r, "%s took too long (%s)", at, res->message);
    else
        fail(r, "%s: %s", at, res->message);
}

/* The message of an OpenAI error object, or of Ollama's {"error":"…"}; NULL when it is neither.  Borrowed. */
static const char *error_text(const json_t *o)
{
    const json_t *e = json_object_get(o, "error");
    const char *text = json_is_string(e) ? json_string_value(e) : json_string_value(json_object_get(e, "message"));
    return text;
}

static void fail_status(struct run *r, int status, const char *body, size_t len)
{
    json_t *o = json_parse(body, len, NULL);
    const char *text = error_text(o);
    if (status == 401 || status == 403)
        fail(r,
             "%s refuses: %s (status %d): the token is proxy.auth_token of the configuration, or TIGHTWAD_PROXY_TOKEN",
             r->client->url, text != NULL ? text : "no right to do that", status);
    else if (text != NULL && r->client->unix_socket != NULL)
        fail(r, "%s", text);
    else if (text != NULL)
        fail(r, "%s (status %d from %s)", text, status, r->client->url);
    else
        fail(r, "status %d from %s, which is not what an OpenAI-compatible endpoint answers", status, r->client->url);
    json_decref(o);
}

/* Runs the loop until the call is over or interrupted. */
static int wait_for(struct run *r, char **cause)
{
    struct client *c = r->client;
    c->interrupted = false;
    while (!r->over && !c->interrupted)
        event_base_loop(c->base, EVLOOP_ONCE);
    if (!r->over) {
        httpc_cancel(r->call);
        r->ended_us = clock_us();
        fail(r, "interrupted");
    }
    if (r->failure == NULL)
        return 0;
    cause_set(cause, "%s", r->failure);
    free(r->failure);
    return -1;
}

static void asked(void *arg, const struct httpc_result *res)
{
    struct run *r = arg;
    if (res->error != HTTPC_OK) {
        fail_transport(r, res);
    } else {
        r->status = res->status;
        r->reply = json_parse(res->body, res->len, NULL);
    }
    end(r);
}

int client_ask(struct client *c, const char *path, const json_t *body, int timeout_ms, int *status, json_t **reply,
               char **cause)
{
    struct run r = {.client = c};
    char *url = xasprintf("%s%s", c->url, path);
    char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
    struct httpc_opts o = {.url = url,
                           .unix_socket = c->unix_socket,
                           .bearer = c->token,
                           .body = text,
                           .len = text != NULL ? strlen(text) : 0,
                           .timeout_ms = timeout_ms,
                           .on_done = asked,
                           .arg = &r};
    r.call = httpc_start(c->http, &o);
    free(url);
    free(text);
    int rc = wait_for(&r, cause);
    *status = r.status;
    *reply = r.reply;
    return rc;
}

json_t *client_get(struct client *c, const char *path, const json_t *body, int timeout_ms, char **cause)
{
    int status;
    json_t *reply = NULL;
    if (client_ask(c, path, body, timeout_ms, &status, &reply, cause) != 0)
        return NULL;
    if (status == 200 && reply != NULL)
        return reply;
    struct run r = {.client = c};
    char *text = reply != NULL ? json_dumps(reply, JSON_COMPACT) : xstrdup("");
    fail_status(&r, status, text, strlen(text));
    cause_set(cause, "%s", r.failure);
    free(r.failure);
    free(text);
    json_decref(reply);
    return NULL;
}

static int64_t number(const json_t *o, const char *key, int64_t otherwise)
{
    const json_t *v = json_object_get(o, key);
    return json_is_number(v) ? (int64_t)json_number_value(v) : otherwise;
}

json_t *client_settled(struct client *c, char **cause)
{
    int64_t first = -1;
    for (int looks = 0;; looks++) {
        json_t *status = client_get(c, "/v1/tightwad/status", NULL, LOOK_TIMEOUT_MS, cause);
        int64_t tick = number(status, "tick", -1);
        bool still = number(status, "running", 0) == 0 && number(status, "queued", 0) == 0;
        if (first < 0 || !still)
            first = tick;
        if (status == NULL || looks == LOOKS || (still && tick > first + 1))
            return status;
        json_decref(status);
        event_base_loopexit(c->base, &(struct timeval){0, LOOK_MS * 1000});
        event_base_loop(c->base, EVLOOP_NO_EXIT_ON_EMPTY);
    }
}

char *client_model(struct client *c, char **cause)
{
    json_t *o = client_get(c, "/v1/models", NULL, 10000, cause);
    if (o == NULL)
        return NULL;
    const json_t *first = json_array_get(json_object_get(o, "data"), 0);
    const char *id = json_string_value(json_object_get(first, "id"));
    char *name = id != NULL ? xstrdup(id) : NULL;
    if (name == NULL)
        cause_set(cause, "%s/v1/models names no model", c->url);
    json_decref(o);
    return name;
}

static void add_piece(struct run *r, size_t len, enum paint_who who)
{
    if (r->n_pieces == r->size_pieces) {
        r->size_pieces = r->size_pieces ? r->size_pieces * 2 : 64;
        r->pieces = xreallocarray(r->pieces, r->size_pieces, sizeof(*r->pieces));
    }
    r->pieces[r->n_pieces++] = (struct piece){len, who};
}

/* Text may be held back (a stop string that has only begun), so the tokens it is made of are kept in a line of lengths
 * and the text is painted as it comes. */
static void show(struct run *r, const char *text, size_t len)
{
    if (!buf_add(&r->answer->text, text, len)) {
        fail(r, "the answer is over %d MiB", MAX_ANSWER / 1048576);
        return;
    }
    if (r->chat->on_text == NULL)
        return;
    while (len > 0) {
        enum paint_who who = PAINT_UNKNOWN;
        size_t take = len;
        while (r->next_piece < r->n_pieces && r->pieces[r->next_piece].len == 0)
            r->next_piece++;
        if (r->next_piece < r->n_pieces) {
            struct piece *p = &r->pieces[r->next_piece];
            who = p->who;
            take = p->len < len ? p->len : len;
            p->len -= take;
        }
        r->chat->on_text(r->chat->arg, text, take, who);
        text += take;
        len -= take;
    }
}

static void take_usage(struct client_answer *a, const json_t *o)
{
    const json_t *usage = json_object_get(o, "usage");
    if (!json_is_object(usage))
        return;
    a->prompt_tokens = number(usage, "prompt_tokens", -1);
    a->completion_tokens = number(usage, "completion_tokens", -1);
    const json_t *details = json_object_get(usage, "completion_tokens_details");
    int64_t rejected = number(details, "rejected_prediction_tokens", -1);
    a->accepted = number(details, "accepted_prediction_tokens", -1);
    a->drafted = a->accepted >= 0 && rejected >= 0 ? a->accepted + rejected : -1;
}

/* llama-server's own way to tell the same. */
static void take_timings(struct client_answer *a, const json_t *o)
{
    const json_t *timings = json_object_get(o, "timings");
    if (a->drafted >= 0 || !json_is_object(timings))
        return;
    a->accepted = number(timings, "draft_n_accepted", -1);
    a->drafted = number(timings, "draft_n", -1);
}

/* When an event's tokens came, and how many came with the first. */
static void take_time(struct run *r, const json_t *o)
{
    const json_t *choice = json_array_get(json_object_get(o, "choices"), 0);
    const json_t *content = json_object_get(json_object_get(choice, "delta"), "content");
    const json_t *pieces = json_object_get(json_object_get(o, "tightwad"), "pieces");
    bool text = json_is_string(content) && json_string_length(content) > 0;
    if (!text && !json_is_string(json_object_get(choice, "finish_reason")))
        return;
    r->last_us = clock_us();
    if (text && r->first_us == 0)
        r->first_us = r->last_us;
    if (text && r->last_us - r->first_us <= BURST_US) {
        r->burst_us = r->last_us;
        r->burst_tokens += json_is_array(pieces) ? (int64_t)json_array_size(pieces) : 1;
    }
}

static void settle_time(struct run *r)
{
    struct client_answer *a = r->answer;
    if (r->first_us == 0 || a->completion_tokens <= r->burst_tokens || r->last_us <= r->burst_us)
        return;
    a->generation_seconds = (double)(r->last_us - r->burst_us) / 1e6;
    a->generation_tokens = a->completion_tokens - r->burst_tokens;
}

static void take_choice(struct run *r, const json_t *o, const char *part)
{
    struct client_answer *a = r->answer;
    const json_t *choice = json_array_get(json_object_get(o, "choices"), 0);
    const json_t *content = json_object_get(json_object_get(choice, part), "content");
    if (json_is_string(content) && json_string_length(content) > 0) {
        if (isnan(a->first_seconds))
            a->first_seconds = (double)(clock_us() - r->started_us) / 1e6;
        show(r, json_string_value(content), json_string_length(content));
    }
    const char *finish = json_string_value(json_object_get(choice, "finish_reason"));
    if (finish != NULL && a->finish == NULL)
        a->finish = xstrdup(finish);
}

static void take_pieces(struct run *r, const json_t *o)
{
    struct client_answer *a = r->answer;
    const json_t *pieces = json_object_get(json_object_get(o, "tightwad"), "pieces");
    size_t i;
    json_t *pair;
    if (json_is_array(pieces) && a->by_drafter < 0)
        a->by_drafter = a->by_target = 0;
    json_array_foreach(pieces, i, pair)
    {
        const json_t *flag = json_array_get(pair, 1);
        bool drafted = json_is_true(flag) || json_integer_value(flag) == 1;
        *(drafted ? &a->by_drafter : &a->by_target) += 1;
        /* A piece that is part of a character comes as an array of byte values. */
        const json_t *piece = json_array_get(pair, 0);
        size_t len = json_is_array(piece) ? json_array_size(piece) : json_string_length(piece);
        add_piece(r, len, drafted ? PAINT_DRAFTED : PAINT_TARGET);
    }
}

static void take_word(char *to, size_t size, const json_t *about, const char *key)
{
    const char *word = json_string_value(json_object_get(about, key));
    if (word != NULL)
        snprintf(to, size, "%s", word);
}

/* How it was served. */
static void take_about(struct client_answer *a, const json_t *o)
{
    const json_t *about = json_object_get(o, "tightwad");
    take_word(a->mode, sizeof(a->mode), about, "mode");
    take_word(a->outcome, sizeof(a->outcome), about, "gate");
    take_word(a->agent, sizeof(a->agent), about, "agent");
}

static void on_event(void *arg, const char *data, size_t len)
{
    struct run *r = arg;
    if (r->failure != NULL)
        return;
    if (strcmp(data, "[DONE]") == 0) {
        r->done_marker = true;
        return;
    }
    json_t *o = json_parse_object(data, len, NULL);
    if (o == NULL) {
        fail(r, "%s sent an event that is not a JSON object: %.80s", r->client->url, data);
        return;
    }
    const char *error = error_text(o);
    if (json_object_get(o, "error") != NULL)
        fail(r, "%s", error != NULL ? error : "the server broke off with an error that has no words");
    take_time(r, o);
    take_pieces(r, o);
    take_about(r->answer, o);
    take_choice(r, o, "delta");
    take_usage(r->answer, o);
    take_timings(r->answer, o);
    json_decref(o);
}

static bool on_data(void *arg, const char *data, size_t len)
{
    struct run *r = arg;
    if (!lines_feed(r->lines, data, len))
        fail(r, "%s sent an event that is too long", r->client->url);
    return true;
}

static void on_done(void *arg, const struct httpc_result *res)
{
    struct run *r = arg;
    if (res->error != HTTPC_OK) {
        fail_transport(r, res);
    } else if (res->status != 200) {
        fail_status(r, res->status, res->body, res->len);
    } else if (r->lines != NULL) {
        lines_end(r->lines);
        if (!r->done_marker)
            fail(r, "%s broke off in the middle of the answer", r->client->url);
    } else {
        json_t *o = json_parse_object(res->body, res->len, NULL);
        if (json_object_get(o, "choices") == NULL)
            fail(r, "%s answered something that is no chat completion: %.80s", r->client->url, res->body);
        take_about(r->answer, o);
        take_choice(r, o, "message");
        take_usage(r->answer, o);
        r->answer->first_seconds = NAN;
        json_decref(o);
    }
    end(r);
}

static char *request_body(const struct client_chat *q)
{
    json_t *o = json_object();
    if (q->model != NULL)
        json_object_set_new(o, "model", json_string(q->model));
    json_object_set(o, "messages", (json_t *)q->messages);
    if (q->max_tokens >= 0)
        json_object_set_new(o, "max_tokens", json_integer(q->max_tokens));
    if (!isnan(q->temperature))
        json_object_set_new(o, "temperature", json_real(q->temperature));
    if (q->seed >= 0)
        json_object_set_new(o, "seed", json_integer(q->seed));
    if (q->stream) {
        json_object_set_new(o, "stream", json_true());
        json_object_set_new(o, "stream_options", json_pack("{s:b}", "include_usage", 1));
    }
    char *text = json_dumps(o, JSON_COMPACT);
    json_decref(o);
    return text;
}

int client_chat(struct client *c, const struct client_chat *q, struct client_answer *out, char **cause)
{
    static const char *const detail[] = {"x-tightwad-detail: 1", NULL};
    *out = (struct client_answer){.prompt_tokens = -1,
                                  .completion_tokens = -1,
                                  .drafted = -1,
                                  .accepted = -1,
                                  .by_drafter = -1,
                                  .by_target = -1,
                                  .first_seconds = NAN,
                                  .generation_seconds = NAN,
                                  .generation_tokens = -1};
    buf_init(&out->text, MAX_ANSWER);
    struct run r = {.client = c, .chat = q, .answer = out, .started_us = clock_us()};
    if (q->stream)
        r.lines = lines_create(LINES_SSE, 1024 * 1024, on_event, &r);
    char *url = xasprintf("%s/v1/chat/completions", c->url);
    char *body = request_body(q);
    struct httpc_opts o = {.url = url,
                           .unix_socket = c->unix_socket,
                           .bearer = c->token,
                           .headers = q->stream ? detail : NULL,
                           .body = body,
                           .len = strlen(body),
                           .idle_timeout_ms = IDLE_MS,
                           .on_data = q->stream ? on_data : NULL,
                           .on_done = on_done,
                           .arg = &r};
    r.call = httpc_start(c->http, &o);
    free(url);
    free(body);
    int rc = wait_for(&r, cause);
    out->seconds = (double)(r.ended_us - r.started_us) / 1e6;
    settle_time(&r);
    lines_destroy(r.lines);
    free(r.pieces);
    return rc;
}

bool client_answer_same(const struct client_answer *a, const struct client_answer *b)
{
    bool finish = a->finish != NULL && b->finish != NULL && strcmp(a->finish, b->finish) == 0;
    return finish && a->text.len == b->text.len && memcmp(a->text.data, b->text.data, a->text.len) == 0;
}

void client_answer_finish(struct client_answer *a)
{
    buf_finish(&a->text);
    free(a->finish);
    *a = (struct client_answer){0};
}

static void on_interrupt(evutil_socket_t fd, short what, void *arg)
{
    struct client *c = arg;
    c->interrupted = true;
    event_base_loopbreak(c->base);
}

struct event *client_interrupt_event(struct client *c)
{
    return evsignal_new(c->base, SIGINT, on_interrupt, c);
}
