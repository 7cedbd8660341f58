/* tightwad-node as a backend: the target alone, as a stream of tokens. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backends/node.h"
#include "base/cause.h"
#include "base/json.h"
#include "base/mem.h"

enum { NODE_LINE_MAX = 1 << 20 };

/* {"t":[ids],"s":[pieces],"p":[log probabilities]?,"eog":true?} */
static int read_tokens_line(struct node_call *n, const json_t *o, char **cause)
{
    const json_t *ids = json_object_get(o, "t"), *pieces = json_object_get(o, "s"), *lps = json_object_get(o, "p");
    size_t count = json_array_size(ids);
    if (!json_is_array(ids) || json_array_size(pieces) != count || (lps != NULL && json_array_size(lps) != count))
        return cause_set(cause, "a line whose \"t\", \"s\" and \"p\" do not go together");
    bool eog = json_is_true(json_object_get(o, "eog"));
    for (size_t i = 0; i < count; i++) {
        json_t *id = json_array_get(ids, i);
        json_int_t v = json_is_integer(id) ? json_integer_value(id) : -1;
        if (v < 0 || v > INT32_MAX)
            return cause_set(cause, "\"t\"[%zu] is not a token id", i);
        if (wire_tokens_add(&n->pending, (int32_t)v, json_array_get(pieces, i), eog && i + 1 == count,
                            json_array_get(lps, i), n->c.b->info.n_vocab, cause) < 0)
            return -1;
    }
    return 0;
}

static void on_line(void *arg, const char *data, size_t len)
{
    struct node_call *n = arg;
    const char *words;
    if (n->bad != NULL || n->done)
        return;
    json_t *o = json_parse_object(data, len, &n->bad);
    if (o == NULL)
        return;
    json_t *error = json_object_get(o, "error");
    if (error != NULL) {
        words = json_string_value(json_object_get(error, "message"));
        cause_set(&n->bad, "it ends with an error: %s", words != NULL ? words : "no reason given");
    } else if (json_is_true(json_object_get(o, "done"))) {
        words = json_string_value(json_object_get(o, "reason"));
        n->done = true;
        n->full = words != NULL && strcmp(words, "ctx") == 0;
    } else if (n->drafts != NULL) {
        node_drafts_read(n->drafts, o, n->c.b->info.n_vocab, &n->bad);
    } else {
        read_tokens_line(n, o, &n->bad);
    }
    json_decref(o);
}

/* Gives what has come.  False: the call is gone. */
static bool deliver(struct node_call *n)
{
    if (n->drafts != NULL)
        return node_drafts_deliver(n);
    if (n->pending.n == 0)
        return true;
    size_t count = n->pending.n;
    int32_t *ids = xmalloc(count * sizeof(*ids));
    for (size_t i = 0; i < count; i++)
        ids[i] = n->pending.list[i].id;
    int taken = call_stream_tokens(&n->c, n->pending.list, count);
    if (taken > 0) {
        /* the session may have gone on to another request inside the callback: settled looks at that */
        node_call_settled(n, ids, count);
        wire_tokens_clear(&n->pending);
    }
    free(ids);
    n = taken < 0 ? NULL : n;
    if (n != NULL)
        n->paused = taken == 0;
    return n != NULL;
}

static void finish(struct node_call *n)
{
    if (!n->done)
        call_fail(&n->c, BACKEND_BROKEN, "%s: the stream of tokens breaks off", n->c.b->cfg.url);
    else if (n->full)
        call_fail(&n->c, BACKEND_TOO_LONG, "the context of %s is full", n->c.b->cfg.url);
    else
        call_end_generate(&n->c);
}

static bool on_data(void *arg, const char *data, size_t len)
{
    struct node_call *n = arg;
    if (n->paused)
        return false;
    if (!lines_feed(n->lines, data, len) && n->bad == NULL)
        cause_set(&n->bad, "a line of more than %d bytes", NODE_LINE_MAX);
    if (!deliver(n))
        return true;
    if (n->bad != NULL)
        call_fail(&n->c, BACKEND_BROKEN, "stream from %s: %s", n->c.b->cfg.url, n->bad);
    return true;
}

static void on_end(struct backend_call *c, const struct httpc_result *r)
{
    struct node_call *n = (struct node_call *)c;
    if (!node_call_check(n, r))
        return;
    lines_end(n->lines);
    n->ended = true;
    if (n->paused || !deliver(n) || n->paused)
        return;
    finish(n);
}

static void go_on(struct backend_call *c)
{
    struct node_call *n = (struct node_call *)c;
    if (!deliver(n) || n->paused)
        return;
    if (n->ended)
        finish(n);
    else if (n->bad != NULL)
        call_fail(&n->c, BACKEND_BROKEN, "stream from %s: %s", n->c.b->cfg.url, n->bad);
    else if (c->http != NULL)
        httpc_resume(c->http);
}

static void resume(struct backend_call *c)
{
    if (((struct node_call *)c)->paused)
        call_defer(c, go_on);
}

void node_stream_request(struct node_call *n, const char *body, size_t len)
{
    struct httpc_opts o = {
        .body = body,
        .len = len,
        .idle_timeout_ms = n->idle_timeout_ms,
        .on_data = on_data,
    };
    if (n->lines == NULL)
        n->lines = lines_create(LINES_NDJSON, NODE_LINE_MAX, on_line, n);
    call_request(&n->c, n->drafts != NULL ? "/v1/node/draft" : "/v1/node/generate", &o, on_end);
}

static struct backend_call *start(struct node_call *g, size_t n, int idle_timeout_ms, backend_done_cb *cb)
{
    g->c.cb.generate = cb;
    g->c.resume = resume;
    g->n = n;
    g->idle_timeout_ms = idle_timeout_ms;
    char *why = backend_check_tokens(g->c.b, g->path, g->n_path);
    if (why != NULL || g->n_path == 0)
        call_fail_later(&g->c, BACKEND_UNSUPPORTED, "%s", why != NULL ? why : "nothing to continue: no token");
    else
        node_call_send(g);
    free(why);
    return &g->c;
}

struct backend_call *node_generate(struct backend_session *s, const int32_t *path, size_t n_path, size_t n,
                                   int n_logprobs, int idle_timeout_ms, backend_stream_cb *on_tokens,
                                   backend_done_cb *cb, void *arg)
{
    struct node_call *g = node_call_create(s, CALL_GENERATE, path, n_path, 0, arg);
    g->n_logprobs = n_logprobs;
    g->c.stream.tokens = on_tokens;
    return start(g, n, idle_timeout_ms, cb);
}

struct backend_call *node_draft_stream(struct backend_session *s, const int32_t *path, size_t n_path,
                                       const struct backend_draft_ask *ask, int idle_timeout_ms,
                                       backend_drafted_cb *on_tokens, backend_done_cb *cb, void *arg)
{
    struct node_call *g = node_call_create(s, CALL_GENERATE, path, n_path, 0, arg);
    g->drafts = node_drafts_create(ask->n);
    g->ask = *ask;
    g->c.stream.drafted = on_tokens;
    g->epoch = ++((struct node_session *)s)->epoch;
    return start(g, ask->n, idle_timeout_ms, cb);
}
