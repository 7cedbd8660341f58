/* tightwad-node as a backend: sessions by difference. */
#include "backends/node.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backends/chat.h"
#include "base/cause.h"
#include "base/json.h"
#include "base/mem.h"

enum { NODE_BODY_MAX = 64 << 20, NODE_RETRIES = 2, CLOSED_MAX = 64 };

static size_t common_prefix(const int32_t *a, size_t n_a, const int32_t *b, size_t n_b)
{
    size_t n = n_a < n_b ? n_a : n_b, i = 0;
    while (i < n && a[i] == b[i])
        i++;
    return i;
}

static void session_set_path(struct node_session *s, size_t keep, const int32_t *tokens, size_t n)
{
    if (keep + n > s->size) {
        s->size = (keep + n) * 2;
        s->path = xreallocarray(s->path, s->size, sizeof(*s->path));
    }
    if (n > 0)
        memcpy(s->path + keep, tokens, n * sizeof(*tokens));
    s->n_path = keep + n;
}

static void session_forget(struct node_session *s)
{
    s->id = -1;
    s->n_path = 0;
    s->safe = 0;
}

static struct node_call *find_waiting(struct node_session *s)
{
    for (struct backend_call *c = s->s.b->calls; c != NULL; c = c->next)
        if (c->s == &s->s && ((struct node_call *)c)->waiting)
            return (struct node_call *)c;
    return NULL;
}

static int read_session_id(const json_t *o, int64_t *id)
{
    char *cause = NULL;
    *id = -1;
    json_get_int(o, "session", 0, INT64_MAX, id, &cause);
    free(cause);
    return *id >= 0 ? 0 : -1;
}

static void open_done(void *arg, const struct httpc_result *r)
{
    struct node_session *s = arg;
    struct node_call *n = find_waiting(s);
    bool gone = false;
    s->opening = NULL;
    if (n == NULL)
        return;
    char *message = NULL;
    enum backend_error e = call_reply_error(&n->c, r, &message);
    n->c.bytes_out += r->bytes_out;
    n->c.bytes_in += r->bytes_in;
    if (e == BACKEND_OK) {
        json_t *o = json_parse_object(r->body, r->len, NULL);
        session_forget(s);
        if (read_session_id(o, &s->id) < 0) {
            e = BACKEND_BROKEN;
            message = xasprintf("%s opens a session and does not say its number", n->c.b->cfg.url);
        }
        json_decref(o);
    }
    s->gone = &gone;
    while (!gone && (n = find_waiting(s)) != NULL) {
        n->waiting = false;
        if (e == BACKEND_OK)
            node_call_send(n);
        else
            call_fail(&n->c, e, "%s", message);
    }
    if (!gone)
        s->gone = NULL;
    free(message);
}

/* Sessions that were closed here and that the server does not know of yet: it is told with the next one. */
struct node_state {
    int64_t closed[CLOSED_MAX];
    size_t n_closed;
};

static void node_init(struct backend *b)
{
    b->state = xcalloc(1, sizeof(struct node_state));
}

static void node_finish(struct backend *b)
{
    free(b->state);
}

static void tell_closed(struct backend *b, json_t *body)
{
    struct node_state *state = b->state;
    /* Nodes of a former version know neither branches nor this. */
    if (state == NULL || state->n_closed == 0 || json_object_get(b->info.raw, "branches") == NULL)
        return;
    json_t *list = json_array();
    for (size_t i = 0; i < state->n_closed; i++)
        json_array_append_new(list, json_integer(state->closed[i]));
    json_object_set_new(body, "closed", list);
    state->n_closed = 0;
}

static void session_ask_id(struct node_session *s)
{
    struct backend *b = s->s.b;
    char *url = xasprintf("%s/v1/node/session", b->cfg.url);
    json_t *body =
        json_pack("{s:o,s:I}", "sampling", sampler_params_to_json(&s->s.params), "prompt", (json_int_t)s->s.prompt_len);
    tell_closed(b, body);
    char *text = json_dumps(body, JSON_COMPACT);
    struct httpc_opts o = {
        .url = url,
        .bearer = b->cfg.api_key,
        .body = text,
        .len = strlen(text),
        .timeout_ms = CALL_TIMEOUT_MS,
        .on_done = open_done,
        .arg = s,
    };
    s->opening = httpc_start(b->http, &o);
    free(text);
    free(url);
    json_decref(body);
}

static void release_node_call(struct backend_call *c)
{
    struct node_call *n = (struct node_call *)c;
    free(n->path);
    free(n->draft);
    for (size_t i = 0; i < n->n_branches; i++)
        free((void *)n->branches[i].tokens);
    free(n->branches);
    node_drafts_destroy(n->drafts);
    free(n->bad);
    lines_destroy(n->lines);
    wire_tokens_finish(&n->pending);
}

struct node_call *node_call_create(struct backend_session *s, enum call_kind kind, const int32_t *path, size_t n_path,
                                   int timeout_ms, void *arg)
{
    struct node_call *n = call_create(sizeof(*n), s->b, s, kind, timeout_ms, arg);
    n->c.release = release_node_call;
    n->path = xmemdup(path, (n_path > 0 ? n_path : 1) * sizeof(*path));
    n->n_path = n_path;
    return n;
}

static void write_branches(const struct node_call *n, struct buf *b)
{
    for (size_t i = 0; i < n->n_branches; i++) {
        buf_printf(b, "%s{\"at\":%zu,\"t\":", i == 0 ? ",\"branches\":[" : ",", n->branches[i].at);
        wire_add_tokens(b, n->branches[i].tokens, n->branches[i].n);
        buf_adds(b, i + 1 == n->n_branches ? "}]" : "}");
    }
}

static void write_ask(const struct node_call *n, struct buf *b)
{
    const struct backend_draft_ask *a = &n->ask;
    if (n->drafts == NULL)
        return;
    buf_printf(b, ",\"epoch\":%lld,\"stream\":true", (long long)n->epoch);
    if (a->branches > 0 && n->c.b->info.caps.draft_branches)
        buf_printf(b, ",\"from\":%zu,\"first\":%zu,\"branches\":%zu,\"depth\":%zu",
                   a->from < n->n_path ? a->from : n->n_path, a->first, a->branches, a->depth);
}

static void write_body(const struct node_call *n, size_t keep, struct buf *b)
{
    buf_adds(b, "{\"session\":");
    wire_add_int(b, n->session_id);
    buf_adds(b, ",\"keep\":");
    wire_add_int(b, (int64_t)keep);
    buf_adds(b, ",\"tokens\":");
    wire_add_tokens(b, n->path + keep, n->n_path - keep);
    switch (n->c.kind) {
    case CALL_DRAFT:
        buf_printf(b, ",\"epoch\":%lld,\"n\":%zu", (long long)n->epoch, n->n);
        if (n->p_min > 0)
            buf_printf(b, ",\"p_min\":%.3g", (double)n->p_min);
        break;
    case CALL_VERIFY:
        buf_adds(b, ",\"draft\":");
        wire_add_tokens(b, n->draft, n->n_draft);
        write_branches(n, b);
        break;
    case CALL_SCORE:
        /* nodes of a former version score all that they are sent, and know no number */
        if (n->n_path - keep > n->n)
            buf_printf(b, ",\"n\":%zu", n->n);
        break;
    default:
        buf_printf(b, ",\"n\":%zu", n->n);
        write_ask(n, b);
    }
    if (n->n_logprobs >= 0 && n->c.kind != CALL_DRAFT && n->c.kind != CALL_SCORE && n->drafts == NULL)
        buf_printf(b, ",\"logprobs\":%d", n->n_logprobs);
    buf_addc(b, '}');
}

void node_call_send(struct node_call *n)
{
    struct node_session *s = (struct node_session *)n->c.s;
    struct buf body;
    if (s->id < 0) {
        n->waiting = true;
        if (s->opening == NULL)
            session_ask_id(s);
        return;
    }
    size_t keep = common_prefix(s->path, s->n_path, n->path, n->n_path);
    if (keep > s->safe)
        keep = s->safe;
    /* one token at least: the server needs something to decode before it can go on from there */
    if (keep >= n->n_path)
        keep = n->n_path - 1;
    if (n->c.kind == CALL_SCORE && keep > n->n_path - n->n) /* what is scored is sent */
        keep = n->n_path - n->n;
    session_set_path(s, keep, n->path + keep, n->n_path - keep);
    s->safe = keep;
    n->session_id = s->id;
    n->serial = ++s->serial;
    buf_init(&body, NODE_BODY_MAX);
    write_body(n, keep, &body);
    if (n->c.kind == CALL_DRAFT)
        call_post_text(&n->c, "/v1/node/draft", body.data, body.len, node_on_draft);
    else if (n->c.kind == CALL_VERIFY)
        call_post_text(&n->c, "/v1/node/verify", body.data, body.len, node_on_verify);
    else if (n->c.kind == CALL_SCORE)
        call_post_text(&n->c, "/v1/node/score", body.data, body.len, node_on_score);
    else
        node_stream_request(n, body.data, body.len);
    buf_finish(&body);
}

/* 409: the server has less of the session than was thought, or nothing. */
static bool retry_lost(struct node_call *n, const struct httpc_result *r)
{
    struct node_session *s = (struct node_session *)n->c.s;
    if (r->error != HTTPC_OK || r->status != 409 || n->retries >= NODE_RETRIES)
        return false;
    n->retries++;
    json_t *o = json_parse_object(r->body, r->len, NULL);
    json_int_t have = json_integer_value(json_object_get(o, "have"));
    json_decref(o);
    if (s->id == n->session_id) {
        if (have <= 0)
            session_forget(s);
        else if ((size_t)have < s->safe)
            s->safe = (size_t)have;
    }
    node_call_send(n);
    return true;
}

bool node_call_check(struct node_call *n, const struct httpc_result *r)
{
    char *message = NULL;
    if (retry_lost(n, r))
        return false;
    enum backend_error e = call_reply_error(&n->c, r, &message);
    if (e != BACKEND_OK)
        call_fail(&n->c, e, "%s", message);
    free(message);
    return e == BACKEND_OK;
}

void node_call_settled(struct node_call *n, const int32_t *more, size_t n_more)
{
    struct node_session *s = (struct node_session *)n->c.s;
    if (s->serial != n->serial || s->id != n->session_id)
        return;
    session_set_path(s, s->n_path, more, n_more);
    s->safe = s->n_path;
}

static struct backend_session *node_session_open(struct backend *b, const struct sampler_params *p, size_t prompt_len)
{
    struct node_session *s = session_create(sizeof(*s), b, p, prompt_len);
    s->id = -1;
    return &s->s;
}

static void node_session_close(struct backend_session *session)
{
    struct node_session *s = (struct node_session *)session;
    if (s->opening != NULL)
        httpc_cancel(s->opening);
    if (s->gone != NULL)
        *s->gone = true;
    struct node_state *state = session->b->state;
    if (s->id >= 0 && state != NULL && state->n_closed < CLOSED_MAX)
        state->closed[state->n_closed++] = s->id;
    free(s->path);
    session_finish(session);
}

/* The parameters wait here for the session. */
struct node_start {
    struct backend_call c;
    struct sampler_params params;
};

static void release_start(struct backend_call *c)
{
    sampler_params_finish(&((struct node_start *)c)->params);
}

static void on_started(struct backend_call *c, const struct httpc_result *r)
{
    struct node_start *n = (struct node_start *)c;
    char *cause = NULL;
    int32_t *tokens = NULL;
    size_t n_tokens;
    int64_t id;
    json_t *o = call_reply_object(c, r);
    if (o == NULL)
        return;
    if (read_session_id(o, &id) < 0 || wire_get_tokens(json_object_get(o, "tokens"), "tokens", c->b->info.n_vocab,
                                                       SIZE_MAX, &tokens, &n_tokens, &cause) < 0) {
        call_fail(c, BACKEND_BROKEN, "session from %s: %s", c->b->cfg.url, cause != NULL ? cause : "it has no number");
    } else {
        struct backend_session *s = node_session_open(c->b, &n->params, n_tokens);
        ((struct node_session *)s)->id = id;
        call_end_start(c, s, tokens, n_tokens);
    }
    free(cause);
    free(tokens);
    json_decref(o);
}

static struct backend_call *node_session_start(struct backend *b, const struct sampler_params *p,
                                               const json_t *messages, const char *text, size_t len,
                                               backend_start_cb *cb, void *arg)
{
    struct node_start *n = call_create(sizeof(*n), b, NULL, CALL_START, CALL_TIMEOUT_MS, arg);
    json_t *body = json_pack("{s:o}", "sampling", sampler_params_to_json(p));
    sampler_params_copy(&n->params, p);
    n->c.cb.start = cb;
    n->c.release = release_start;
    if (messages != NULL)
        json_object_set_new(body, "messages", json_deep_copy(messages));
    else
        json_object_set_new(body, "text", json_stringn(text, len));
    tell_closed(b, body);
    call_post(&n->c, "/v1/node/session", body, on_started);
    return &n->c;
}

const struct backend_ops backend_node_ops = {
    .name = "node",
    .init = node_init,
    .finish = node_finish,
    .probe = node_probe,
    .tokenize = node_tokenize,
    .detokenize = node_detokenize,
    .pieces = node_pieces,
    .render = node_render,
    .session_start = node_session_start,
    .session_open = node_session_open,
    .session_close = node_session_close,
    .draft = node_draft,
    .verify = node_verify,
    .score = node_score,
    .verify_tree = node_verify_tree,
    .draft_stream = node_draft_stream,
    .generate = node_generate,
    .chat = chat_pass_on,
};
