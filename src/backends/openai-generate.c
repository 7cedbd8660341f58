/* An OpenAI API that writes alone from tokens: a streamed completion whose log probabilities tell the ids.  Greedy, as
 * openai-verify.c is, so that both can take turns. */
#include <stdlib.h>
#include <string.h>

#include "backends/openai.h"
#include "base/cause.h"
#include "base/json.h"
#include "base/mem.h"
#include "http/lines.h"

enum { OPENAI_EVENT_MAX = 1 << 20, OPENAI_BODY_MAX = 64 << 20 };

struct generate_call {
    struct backend_call c;
    struct lines *lines;
    struct wire_tokens pending; /* come, not yet taken */
    size_t n, given;            /* tokens wanted, and come */
    int n_logprobs;
    bool paused, ended, end_seen;
    char finish[16]; /* "" until the server has said why it ends */
    char *bad;
};

static void release(struct backend_call *c)
{
    struct generate_call *g = (struct generate_call *)c;
    lines_destroy(g->lines);
    wire_tokens_finish(&g->pending);
    free(g->bad);
}

static void add_tokens(struct generate_call *g, const json_t *lp)
{
    const struct openai *o = g->c.b->state;
    struct echo_answer a = {0};
    if (!json_is_object(lp))
        return;
    if (echo_read_logprobs(lp, o->n_vocab, &a) < 0 || !a.ids)
        cause_set(&g->bad, "tokens without ids");
    for (size_t i = 0; i < a.n && g->bad == NULL && !g->end_seen; i++) {
        if (!openai_add_token(o, &a.list[i], a.list[i].id, g->n_logprobs, &g->pending))
            cause_set(&g->bad, "a token outside of the vocabulary");
        else
            g->end_seen = g->pending.list[g->pending.n - 1].end;
        g->given++;
    }
    echo_finish(&a);
}

/* "stop" without the token that stands for it: some servers leave that one out.  Any end token will do: nothing comes
 * after it. */
static void add_end(struct generate_call *g)
{
    const struct openai *o = g->c.b->state;
    struct echo_entry none = {.id = -1};
    if (g->end_seen || strcmp(g->finish, "stop") != 0 || o->n_eog == 0)
        return;
    openai_add_token(o, &none, o->eog[0], -1, &g->pending);
    g->end_seen = true;
    g->given++;
}

static void on_event(void *arg, const char *data, size_t len)
{
    struct generate_call *g = arg;
    if (g->bad != NULL || (len == 6 && memcmp(data, "[DONE]", 6) == 0))
        return;
    json_t *o = json_parse_object(data, len, &g->bad);
    if (o == NULL)
        return;
    const json_t *choice = json_array_get(json_object_get(o, "choices"), 0), *error = json_object_get(o, "error");
    const char *finish = json_string_value(json_object_get(choice, "finish_reason"));
    const char *words = json_string_value(json_object_get(error, "message"));
    if (error != NULL)
        cause_set(&g->bad, "%.400s", words != NULL ? words : "an error without a reason");
    else
        add_tokens(g, json_object_get(choice, "logprobs"));
    if (finish != NULL) {
        snprintf(g->finish, sizeof(g->finish), "%s", finish);
        add_end(g);
    }
    json_decref(o);
}

/* Gives what has come.  False: the call is gone. */
static bool deliver(struct generate_call *g)
{
    int taken = g->pending.n > 0 ? call_stream_tokens(&g->c, g->pending.list, g->pending.n) : 1;
    if (taken < 0)
        return false;
    g->paused = taken == 0;
    if (taken > 0)
        wire_tokens_clear(&g->pending);
    return true;
}

static void finish(struct generate_call *g)
{
    const char *url = g->c.b->cfg.url;
    if (g->bad != NULL)
        call_fail(&g->c, BACKEND_BROKEN, "stream from %s: %s", url, g->bad);
    else if (g->finish[0] == '\0')
        call_fail(&g->c, BACKEND_BROKEN, "%s: the stream of tokens breaks off", url);
    else if (!g->end_seen && g->given < g->n)
        call_fail(&g->c, BACKEND_TOO_LONG, "the context of %s is full", url);
    else
        call_end_generate(&g->c);
}

static bool on_data(void *arg, const char *data, size_t len)
{
    struct generate_call *g = arg;
    if (g->paused)
        return false;
    if (!lines_feed(g->lines, data, len) && g->bad == NULL)
        cause_set(&g->bad, "an event of more than %d bytes", OPENAI_EVENT_MAX);
    if (deliver(g) && !g->paused && g->bad != NULL)
        finish(g);
    return true;
}

static void on_end(struct backend_call *c, const struct httpc_result *r)
{
    struct generate_call *g = (struct generate_call *)c;
    char *message = NULL;
    enum backend_error e = call_reply_error(c, r, &message);
    if (e != BACKEND_OK) {
        call_fail(c, e, "%s", message);
        free(message);
        return;
    }
    lines_end(g->lines);
    g->ended = true;
    if (!g->paused && deliver(g) && !g->paused)
        finish(g);
}

static void go_on(struct backend_call *c)
{
    struct generate_call *g = (struct generate_call *)c;
    if (!deliver(g) || g->paused)
        return;
    if (g->ended || g->bad != NULL)
        finish(g);
    else if (c->http != NULL)
        httpc_resume(c->http);
}

static void resume(struct backend_call *c)
{
    if (((struct generate_call *)c)->paused)
        call_defer(c, go_on);
}

static void request(struct generate_call *g, const int32_t *path, size_t n_path, int idle_timeout_ms)
{
    struct backend *b = g->c.b;
    json_t *model = json_string(b->cfg.model_name != NULL ? b->cfg.model_name : b->info.model);
    char *name = json_dumps(model, JSON_ENCODE_ANY), url[64];
    struct buf body;
    buf_init(&body, OPENAI_BODY_MAX);
    buf_adds(&body, "{\"prompt\":");
    wire_add_tokens(&body, path, n_path);
    buf_printf(&body,
               ",\"max_tokens\":%zu,\"temperature\":0,\"logprobs\":%d,\"return_tokens_as_token_ids\":true,"
               "\"stream\":true%s%s}",
               g->n, g->n_logprobs > 1 ? g->n_logprobs : 1, name != NULL ? ",\"model\":" : "",
               name != NULL ? name : "");
    snprintf(url, sizeof(url), "%s/completions", ((struct openai *)b->state)->prefix);
    struct httpc_opts o = {.body = body.data, .len = body.len, .idle_timeout_ms = idle_timeout_ms, .on_data = on_data};
    call_request(&g->c, url, &o, on_end);
    buf_finish(&body);
    free(name);
    json_decref(model);
}

struct backend_call *openai_generate(struct backend_session *s, const int32_t *path, size_t n_path, size_t n,
                                     int n_logprobs, int idle_timeout_ms, backend_stream_cb *on_tokens,
                                     backend_done_cb *cb, void *arg)
{
    const struct openai *o = s->b->state;
    struct generate_call *g = call_create(sizeof(*g), s->b, s, CALL_GENERATE, 0, arg);
    g->c.cb.generate = cb;
    g->c.stream.tokens = on_tokens;
    g->c.resume = resume;
    g->c.release = release;
    g->n = n;
    g->n_logprobs = n_logprobs;
    char *why = backend_check_tokens(s->b, path, n_path);
    if (!o->caps.generate || !openai_is_greedy(&s->params) || n_path == 0 || why != NULL) {
        call_fail_later(&g->c, BACKEND_UNSUPPORTED, "%s",
                        why != NULL         ? why
                        : n_path == 0       ? "nothing to continue: no token"
                        : !o->caps.generate ? "it does not tell the ids of the tokens it writes"
                                            : "it writes from tokens at temperature 0 without penalties only");
        free(why);
        return &g->c;
    }
    g->lines = lines_create(LINES_SSE, OPENAI_EVENT_MAX, on_event, g);
    request(g, path, n_path, idle_timeout_ms);
    return &g->c;
}
