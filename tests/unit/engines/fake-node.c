#include "fake-node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "http/httpd.h"

int32_t fake_next(const struct fake_node *f, const int32_t *path, size_t n)
{
    uint64_t h = 1469598103934665603u;
    size_t from = n > 6 ? n - 6 : 0;
    for (size_t i = from; i < n; i++)
        h = (h ^ (uint64_t)path[i]) * 1099511628211u;
    h ^= h >> 29;
    h *= 0xbf58476d1ce4e5b9u;
    h ^= h >> 32;
    if (!f->long_answers && h % 83 == 0)
        return FAKE_EOG;
    return (int32_t)(3 + h % (FAKE_VOCAB - 3));
}

const char *fake_piece(int32_t token)
{
    static char text[8][16];
    static unsigned at;
    char *out = text[at++ % 8];
    /* Some tokens are halves of a character. */
    if (token % 50 == 7)
        snprintf(out, 16, "\xc3");
    else if (token % 50 == 8)
        snprintf(out, 16, "\xa9");
    else
        snprintf(out, 16, " t%d", token);
    return out;
}

static unsigned chance(struct fake_node *f)
{
    f->random = f->random * 1664525u + 1013904223u;
    return (f->random >> 8) % 100;
}

static json_t *piece(int32_t token)
{
    const char *text = token == FAKE_EOG ? "" : fake_piece(token);
    return json_piece(text, strlen(text));
}

static void on_info(struct httpd_request *r, void *arg)
{
    struct fake_node *f = arg;
    httpd_reply_json(r, 200,
                     json_pack("{s:i,s:s,s:s,s:s,s:s,s:s,s:i,s:i,s:i,s:b,s:f,s:[i],s:b,s:b,s:i}", "protocol", 1,
                               "version", "0", "llama", "fake", "model", "fake", "architecture", "hash", "fingerprint",
                               f->fingerprint, "n_vocab", FAKE_VOCAB, "n_ctx", f->n_ctx, "slots", 4, "batch_invariant",
                               1, "noise", 0.0, "eog", FAKE_EOG, "add_bos", 0, "chat_template", 1, "branches",
                               f->branches));
}

static void on_health(struct httpd_request *r, void *arg)
{
    (void)arg;
    httpd_reply_json(r, 200, json_pack("{s:s}", "status", "ok"));
}

/* Faults: an error object, garbage, or a connection that closes at once. */
static bool faulty(struct fake_node *f, struct httpd_request *r)
{
    if (f->mute) {
        f->held[f->n_held++ % 64] = r;
        return true;
    }
    if (chance(f) >= f->fault_percent)
        return false;
    switch (chance(f) % 4) {
    case 0:
        httpd_reply_error(r, 500, NULL, NULL, "a fault by chance");
        break;
    case 1:
        httpd_reply_text(r, 200, "application/json", "{\"accepted\":-7,", 15);
        break;
    case 2:
        httpd_reply_text(r, 200, "application/json", "[1,2,3]", 7);
        break;
    default:
        f->next_session += 100; /* as a restarted node: it knows no session any more */
        for (size_t i = 0; i < 64; i++)
            f->session[i].id = -1;
        httpd_reply_json(
            r, 409,
            json_pack("{s:{s:s,s:s},s:i}", "error", "message", "no such session", "code", "session_lost", "have", 0));
    }
    return true;
}

/* Text and messages become one token a byte. */
static json_t *byte_tokens(const char *text)
{
    json_t *list = json_array();
    for (; *text != '\0'; text++)
        json_array_append_new(list, json_integer(3 + (unsigned char)*text));
    return list;
}

/* The text of a request: its first message, or its text; NULL when it has neither. */
static const char *request_text(const json_t *body)
{
    const json_t *messages = json_object_get(body, "messages");
    if (messages != NULL)
        return json_string_value(json_object_get(json_array_get(messages, 0), "content"));
    return json_string_value(json_object_get(body, "text"));
}

static void on_session(struct httpd_request *r, void *arg)
{
    struct fake_node *f = arg;
    size_t len;
    const char *text = httpd_body(r, &len);
    json_t *body = json_parse_object(text, len, NULL), *reply;
    int id = f->next_session++;
    f->session[id % 64].id = id;
    f->session[id % 64].n = 0;
    reply = json_pack("{s:i}", "session", id);
    if (request_text(body) != NULL)
        json_object_set_new(reply, "tokens", byte_tokens(request_text(body)));
    json_decref(body);
    httpd_reply_json(r, 200, reply);
}

/* The session's path after keep and tokens were applied; NULL when the request was answered already. */
static int32_t *apply(struct fake_node *f, struct httpd_request *r, json_t **body, size_t **n)
{
    size_t len;
    const char *text = httpd_body(r, &len);
    *body = json_parse_object(text, len, NULL);
    int id = (int)json_integer_value(json_object_get(*body, "session"));
    size_t keep = (size_t)json_integer_value(json_object_get(*body, "keep"));
    size_t have = f->session[id % 64].id == id ? f->session[id % 64].n : 0;
    if (f->session[id % 64].id != id || keep > have) {
        httpd_reply_json(r, 409,
                         json_pack("{s:{s:s,s:s},s:i}", "error", "message", "no such session", "code", "session_lost",
                                   "have", (int)have));
        json_decref(*body);
        return NULL;
    }
    int32_t *path = f->session[id % 64].path;
    *n = &f->session[id % 64].n;
    **n = keep;
    json_t *tokens = json_object_get(*body, "tokens");
    for (size_t i = 0; i < json_array_size(tokens); i++)
        path[(**n)++] = (int32_t)json_integer_value(json_array_get(tokens, i));
    return path;
}

/* The token that it drafts. */
static int32_t guess(struct fake_node *f, const int32_t *path, size_t n)
{
    bool knows = f->half == 0 || n / 8 % 2 == f->half - 1;
    return chance(f) < f->agreement && knows ? fake_next(f, path, n) : (int32_t)(3 + chance(f));
}

/* As a stream, a token a line; the session's path has the drafted tokens afterwards. */
static void stream_draft(struct fake_node *f, struct httpd_request *r, int32_t *path, size_t *n, json_int_t want)
{
    json_int_t made = 0;
    bool breaks = chance(f) < f->fault_percent;
    httpd_stream_start(r, 200, "application/x-ndjson");
    while (made < want && *n < 4000) {
        char line[80];
        int32_t t = guess(f, path, *n);
        path[(*n)++] = t;
        made++;
        httpd_stream_send(r, line, (size_t)snprintf(line, sizeof(line), "{\"t\":[%d],\"p\":[0.8]}\n", (int)t));
        if (t == FAKE_EOG || (breaks && made == 3))
            break;
    }
    if (!breaks)
        httpd_stream_send(r, "{\"done\":true,\"n\":0,\"reason\":\"n\"}\n", 34);
    httpd_stream_end(r);
}

static void on_draft(struct httpd_request *r, void *arg)
{
    struct fake_node *f = arg;
    json_t *body;
    size_t *n;
    f->drafts++;
    if (faulty(f, r))
        return;
    int32_t *path = apply(f, r, &body, &n);
    if (path == NULL)
        return;
    json_int_t want = json_integer_value(json_object_get(body, "n"));
    bool stream = json_is_true(json_object_get(body, "stream"));
    json_decref(body);
    if (stream) {
        stream_draft(f, r, path, n, want);
        return;
    }
    json_t *tokens = json_array(), *probs = json_array();
    for (; want > 0 && *n < 4000; want--) {
        path[*n] = guess(f, path, *n);
        json_array_append_new(tokens, json_integer(path[*n]));
        json_array_append_new(probs, json_real(0.5));
        if (path[(*n)++] == FAKE_EOG)
            break;
    }
    httpd_reply_json(r, 200, json_pack("{s:o,s:o}", "tokens", tokens, "probs", probs));
}

/* Whether tokens, in the place of the draft's from `at` on, go along with the accepted part of path, and by next. */
static bool goes_on(const json_t *tokens, size_t at, const int32_t *path, size_t accepted, int32_t next)
{
    if (at > accepted || json_integer_value(json_array_get(tokens, accepted - at)) != next)
        return false;
    for (size_t i = at; i < accepted; i++) {
        if (json_integer_value(json_array_get(tokens, i - at)) != path[i])
            return false;
    }
    return true;
}

/* Which draft has next behind the accepted tokens: 0 the line, -1 none, else 1 + a branch of the list.  A branch holds
 * only where the line was right until there. */
static int who_has(const json_t *draft, const json_t *branches, const int32_t *path, size_t accepted, int32_t next)
{
    if (goes_on(draft, 0, path, accepted, next))
        return 0;
    for (size_t i = 0; i < json_array_size(branches); i++) {
        const json_t *b = json_array_get(branches, i);
        size_t at = (size_t)json_integer_value(json_object_get(b, "at")), line = 0;
        while (line < accepted && json_integer_value(json_array_get(draft, line)) == path[line])
            line++;
        if (at <= line && goes_on(json_object_get(b, "t"), at, path, accepted, next))
            return (int)i + 1;
    }
    return -1;
}

/* How many different tokens a draft and its branches have, where branches share what they begin with alike. */
static unsigned different(const json_t *draft, const json_t *branches)
{
    size_t n = json_array_size(draft);
    for (size_t i = 0; i < json_array_size(branches); i++) {
        const json_t *b = json_array_get(branches, i), *t = json_object_get(b, "t");
        size_t had = 0;
        for (size_t j = 0; j < i; j++) {
            const json_t *other = json_array_get(branches, j);
            size_t same = 0;
            while (json_equal(json_object_get(b, "at"), json_object_get(other, "at")) && same < json_array_size(t) &&
                   json_equal(json_array_get(t, same), json_array_get(json_object_get(other, "t"), same)))
                same++;
            had = same > had ? same : had;
        }
        n += json_array_size(t) - had;
    }
    return (unsigned)n;
}

static void on_verify(struct httpd_request *r, void *arg)
{
    struct fake_node *f = arg;
    json_t *body;
    size_t *n;
    f->verifies++;
    if (faulty(f, r))
        return;
    int32_t *path = apply(f, r, &body, &n);
    if (path == NULL)
        return;
    const json_t *draft = json_object_get(body, "draft"), *branches = json_object_get(body, "branches");
    json_t *text = json_array();
    size_t accepted = 0, base = *n;
    int32_t next = fake_next(f, path, *n);
    int which = 0, who;
    while (next != FAKE_EOG && (who = who_has(draft, branches, path + base, accepted, next)) >= 0) {
        which = who;
        path[(*n)++] = next;
        json_array_append_new(text, piece(next));
        accepted++;
        next = fake_next(f, path, *n);
    }
    json_array_append_new(text, piece(next));
    f->drafted += (unsigned)json_array_size(draft);
    f->accepted += (unsigned)accepted;
    json_t *reply =
        json_pack("{s:i,s:i,s:o,s:f}", "accepted", (int)accepted, "next", next, "text", text, "margin", 1.0);
    if (next == FAKE_EOG)
        json_object_set_new(reply, "eog", json_true());
    if (branches != NULL)
        json_object_set_new(reply, "branches", json_integer((json_int_t)json_array_size(branches)));
    if (which > 0)
        json_object_set_new(reply, "branch", json_integer(which - 1));
    f->branched += json_array_size(branches) > 0;
    f->most_checked = different(draft, branches) > f->most_checked ? different(draft, branches) : f->most_checked;
    json_decref(body);
    httpd_reply_json(r, 200, reply);
}

static void on_generate(struct httpd_request *r, void *arg)
{
    struct fake_node *f = arg;
    json_t *body;
    size_t *n;
    f->generates++;
    if (faulty(f, r))
        return;
    int32_t *path = apply(f, r, &body, &n);
    if (path == NULL)
        return;
    json_int_t want = json_integer_value(json_object_get(body, "n")), made = 0;
    bool breaks = chance(f) < f->fault_percent;
    const char *reason = "n";
    httpd_stream_start(r, 200, "application/x-ndjson");
    while (made < want) {
        int32_t t = fake_next(f, path, *n);
        path[(*n)++] = t;
        made++;
        json_t *line = json_pack("{s:[i],s:[o]}", "t", t, "s", piece(t));
        if (t == FAKE_EOG)
            json_object_set_new(line, "eog", json_true());
        char *s = json_dumps(line, JSON_COMPACT);
        httpd_stream_send(r, s, strlen(s));
        httpd_stream_send(r, "\n", 1);
        free(s);
        json_decref(line);
        if (t == FAKE_EOG || (breaks && made == 5)) {
            reason = "eog";
            break;
        }
    }
    json_decref(body);
    if (!breaks) {
        char end[80];
        httpd_stream_send(
            r, end,
            (size_t)snprintf(end, sizeof(end), "{\"done\":true,\"n\":%d,\"reason\":\"%s\"}\n", (int)made, reason));
    }
    httpd_stream_end(r);
}

static void on_tokenize(struct httpd_request *r, void *arg)
{
    (void)arg;
    size_t len;
    const char *text = httpd_body(r, &len);
    json_t *body = json_parse_object(text, len, NULL);
    const char *s = request_text(body);
    httpd_reply_json(r, 200, json_pack("{s:s,s:o}", "text", s, "tokens", byte_tokens(s)));
    json_decref(body);
}

void fake_node_start(struct fake_node *f, struct event_base *base, uint32_t seed)
{
    *f = (struct fake_node){
        .base = base, .random = seed, .agreement = 80, .n_ctx = 4000, .fingerprint = FAKE_PRINT, .next_session = 1};
    for (size_t i = 0; i < 64; i++)
        f->session[i].id = -1;
    struct httpd_opts opts = {.max_body = 1 << 20, .max_headers = 1 << 14, .idle_timeout_s = 60};
    f->http = httpd_create(base, &opts);
    httpd_route(f->http, HTTPD_GET, "/health", true, on_health, f);
    httpd_route(f->http, HTTPD_GET, "/v1/node", true, on_info, f);
    httpd_route(f->http, HTTPD_POST, "/v1/node/session", true, on_session, f);
    httpd_route(f->http, HTTPD_POST, "/v1/node/draft", true, on_draft, f);
    httpd_route(f->http, HTTPD_POST, "/v1/node/verify", true, on_verify, f);
    httpd_route(f->http, HTTPD_POST, "/v1/node/generate", true, on_generate, f);
    httpd_route(f->http, HTTPD_POST, "/v1/node/tokenize", true, on_tokenize, f);
    httpd_route(f->http, HTTPD_POST, "/v1/node/template", true, on_tokenize, f);
    f->port = httpd_listen(f->http, "127.0.0.1", 0, NULL);
}

void fake_node_stop(struct fake_node *f)
{
    for (size_t i = 0; i < f->n_held; i++)
        httpd_reply_error(f->held[i], 503, NULL, NULL, "stopped");
    f->n_held = 0;
    httpd_destroy(f->http);
    f->http = NULL;
}
