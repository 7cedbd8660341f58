/* A stock llama-server writes alone from tokens.
 *
 * At temperature 0, where the most likely token is all that is wanted, it is one streamed request and costs nothing
 * beside it.  A stream leaves out the ids of tokens that end inside of a character; it says how many tokens there were,
 * so a gap is seen, and what is missing is drawn from candidates, one token a request (llamacpp-ask.c), for a while.
 * Everything else is drawn that way throughout: by our own sampler, as verified drafts are. */
#include <stdlib.h>
#include <string.h>

#include "backends/llamacpp.h"
#include "base/cause.h"
#include "base/json.h"
#include "base/mem.h"
#include "http/lines.h"

enum {
    EVENT_MAX = 1 << 20,
    STEPS_FIRST = 16, /* tokens drawn one by one after a gap; doubled at each further one */
    STEPS_MOST = 1024,
};

struct generate_call {
    struct llamacpp_ask a;
    size_t n, given;          /* tokens wanted, and come */
    bool streams;             /* now */
    size_t steps, next_steps; /* left before the stream is tried again, and how many the next time; SIZE_MAX: always */
    struct lines *lines;
    struct wire_tokens pending; /* come by the stream, not yet taken */
    size_t told;                /* tokens of this stream, as the server counts them */
    int32_t silent;             /* a token without text, the newest one: perhaps the end; -1 none */
    bool paused, ended, gap, end_seen, full;
    char finish[16]; /* "" until the stream has said why it ends */
    char *bad;
};

static void release(struct backend_call *c)
{
    struct generate_call *g = (struct generate_call *)c;
    lines_destroy(g->lines);
    wire_tokens_finish(&g->pending);
    free(g->bad);
    llamacpp_ask_finish(&g->a);
}

static bool plain_greedy(const struct generate_call *g)
{
    const struct sampler_params *p = &g->a.c.s->params;
    return p->temperature < 1e-6 && p->n_bias == 0 && p->repeat_penalty == 1 && p->frequency_penalty == 0 &&
           p->presence_penalty == 0 && g->a.n_logprobs < 0;
}

static void go_on(struct generate_call *g);

/* Gives tokens.  False: the call is gone or paused. */
static bool deliver(struct generate_call *g, struct wire_tokens *t)
{
    int taken = t->n > 0 ? call_stream_tokens(&g->a.c, t->list, t->n) : 1;
    if (taken < 0)
        return false;
    g->paused = taken == 0;
    if (g->paused)
        return false;
    int32_t *ids = xmalloc((t->n + 1) * sizeof(*ids));
    size_t n = t->n;
    for (size_t i = 0; i < n; i++) {
        ids[i] = t->list[i].id;
        g->end_seen = g->end_seen || t->list[i].end;
    }
    wire_tokens_clear(t);
    llamacpp_ask_advance(&g->a, ids, n);
    g->given += n;
    free(ids);
    return true;
}

/* ---- one token a request ---- */

static void take_step(struct generate_call *g)
{
    if (!deliver(g, &g->a.t))
        return;
    if (g->steps != SIZE_MAX)
        g->steps--;
    go_on(g);
}

static void judged(struct llamacpp_ask *a)
{
    take_step((struct generate_call *)a);
}

/* ---- the stream ---- */

static void push(struct generate_call *g, int32_t id, json_t *text, bool end)
{
    if (wire_tokens_add(&g->pending, id, text, end, NULL, g->a.c.b->info.n_vocab, &g->bad) == 0)
        g->told++;
}

static void end_of_stream(struct generate_call *g, const json_t *o)
{
    const struct llamacpp *l = g->a.c.b->state;
    const char *why = json_string_value(json_object_get(o, "stop_type"));
    json_int_t told = json_integer_value(json_object_get(o, "tokens_predicted"));
    bool eos = why != NULL && strcmp(why, "eos") == 0;
    snprintf(g->finish, sizeof(g->finish), "%s", why != NULL ? why : "unknown");
    if (eos && g->silent >= 0)
        push(g, g->silent, NULL, true);
    else if (eos && l->eos >= 0 && told == (json_int_t)g->told + 1)
        push(g, l->eos, NULL, true); /* any of those that end will do: nothing comes after it */
    else if (g->silent >= 0)
        push(g, g->silent, NULL, false);
    g->silent = -1;
    g->gap = told != (json_int_t)g->told;
}

static void token_of_stream(struct generate_call *g, const json_t *o)
{
    json_t *id = json_array_get(json_object_get(o, "tokens"), 0), *content = json_object_get(o, "content");
    json_int_t told = json_integer_value(json_object_get(o, "tokens_predicted"));
    const char *text = json_string_value(content);
    if (g->silent >= 0)
        push(g, g->silent, NULL, false);
    g->silent = -1;
    if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) > INT32_MAX || text == NULL) {
        cause_set(&g->bad, "a part of the stream without a token");
    } else if (told != (json_int_t)g->told + 1 || strstr(text, "\xEF\xBF\xBD") != NULL ||
               strlen(text) != json_string_length(content)) {
        g->gap = true; /* tokens are missing, or the text does not tell the bytes of this one */
    } else if (text[0] == '\0') {
        g->silent = (int32_t)json_integer_value(id);
    } else {
        push(g, (int32_t)json_integer_value(id), content, false);
    }
}

static void on_event(void *arg, const char *data, size_t len)
{
    struct generate_call *g = arg;
    if (g->bad != NULL || g->gap || g->finish[0] != '\0' || (len == 6 && memcmp(data, "[DONE]", 6) == 0))
        return;
    json_t *o = json_parse_nul(data, len, &g->bad);
    if (o == NULL)
        return;
    const json_t *error = json_object_get(o, "error");
    const char *words = json_string_value(json_object_get(error, "message"));
    if (error != NULL)
        cause_set(&g->bad, "%.400s", words != NULL ? words : "an error without a reason");
    else if (json_is_true(json_object_get(o, "stop")) || json_object_get(o, "stop_type") != NULL)
        end_of_stream(g, o);
    else
        token_of_stream(g, o);
    json_decref(o);
}

static void stop_streaming(struct generate_call *g)
{
    if (g->a.c.http != NULL)
        httpc_cancel(g->a.c.http);
    g->a.c.http = NULL;
    g->streams = false;
    if (!g->gap)
        return;
    g->gap = false;
    g->steps = g->next_steps;
    g->next_steps = g->next_steps < STEPS_MOST ? g->next_steps * 2 : g->next_steps;
}

/* After what has come was given: if the stream is of no more use, it goes on without it. */
static void settle(struct generate_call *g)
{
    if (g->bad != NULL) {
        call_fail(&g->a.c, BACKEND_BROKEN, "stream from %s: %s", g->a.c.b->cfg.url, g->bad);
    } else if (g->gap) {
        stop_streaming(g);
        go_on(g);
    } else if (g->ended && g->finish[0] == '\0') {
        call_fail(&g->a.c, BACKEND_BROKEN, "%s: the stream of tokens breaks off", g->a.c.b->cfg.url);
    } else if (g->ended) {
        g->full = true; /* all that was wanted, the end, or the context is full */
        go_on(g);
    }
}

static bool on_data(void *arg, const char *data, size_t len)
{
    struct generate_call *g = arg;
    if (g->paused)
        return false;
    if (!lines_feed(g->lines, data, len) && g->bad == NULL)
        cause_set(&g->bad, "an event of more than %d bytes", EVENT_MAX);
    if (deliver(g, &g->pending))
        settle(g);
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
    if (!g->paused && deliver(g, &g->pending))
        settle(g);
}

static void start_stream(struct generate_call *g)
{
    struct buf body;
    lines_destroy(g->lines);
    g->lines = lines_create(LINES_SSE, EVENT_MAX, on_event, g);
    g->streams = true;
    g->told = 0;
    g->silent = -1;
    g->ended = false;
    g->finish[0] = '\0';
    buf_init(&body, LLAMACPP_BODY_MAX);
    buf_adds(&body, "{\"prompt\":");
    wire_add_tokens(&body, g->a.tokens, g->a.n_path);
    buf_printf(&body, ",\"n_predict\":%zu,\"stream\":true,\"return_tokens\":true,", g->n - g->given);
    llamacpp_add_greedy(&body);
    buf_adds(&body, ",\"response_fields\":[\"stop\",\"stop_type\",\"tokens_predicted\"]}");
    struct httpc_opts o = {
        .body = body.data, .len = body.len, .idle_timeout_ms = g->a.idle_timeout_ms, .on_data = on_data};
    call_request(&g->a.c, "/completion", &o, on_end);
    buf_finish(&body);
}

/* ---- both ---- */

static void go_on(struct generate_call *g)
{
    if (g->end_seen || g->given >= g->n)
        call_end_generate(&g->a.c);
    else if (g->full)
        call_fail(&g->a.c, BACKEND_TOO_LONG, "the context of %s is full", g->a.c.b->cfg.url);
    else if (g->steps > 0)
        llamacpp_ask_send(&g->a);
    else
        start_stream(g);
}

static void resumed(struct backend_call *c)
{
    struct generate_call *g = (struct generate_call *)c;
    if (!g->streams) {
        take_step(g);
        return;
    }
    if (!deliver(g, &g->pending))
        return;
    if (g->bad != NULL || g->gap || g->ended)
        settle(g);
    else if (c->http != NULL)
        httpc_resume(c->http);
}

static void resume(struct backend_call *c)
{
    if (((struct generate_call *)c)->paused)
        call_defer(c, resumed);
}

struct backend_call *llamacpp_generate(struct backend_session *s, const int32_t *path, size_t n_path, size_t n,
                                       int n_logprobs, int idle_timeout_ms, backend_stream_cb *on_tokens,
                                       backend_done_cb *cb, void *arg)
{
    struct generate_call *g = call_create(sizeof(*g), s->b, s, CALL_GENERATE, 0, arg);
    g->a.c.cb.generate = cb;
    g->a.c.stream.tokens = on_tokens;
    char *why = backend_check_tokens(s->b, path, n_path);
    if (!s->b->info.caps.generate || n_path == 0 || why != NULL) {
        call_fail_later(&g->a.c, BACKEND_UNSUPPORTED, "%s",
                        why != NULL   ? why
                        : n_path == 0 ? "nothing to continue: no token"
                                      : "it does not tell the candidates of a token by their ids");
        free(why);
        return &g->a.c;
    }
    g->a.c.release = release;
    g->a.c.resume = resume;
    g->a.judged = judged;
    llamacpp_ask_init(&g->a, path, n_path, NULL, 0, n_logprobs);
    wire_tokens_init(&g->pending);
    g->n = n;
    g->a.idle_timeout_ms = idle_timeout_ms;
    g->steps = plain_greedy(g) ? 0 : SIZE_MAX;
    g->next_steps = STEPS_FIRST;
    if (n == 0)
        call_defer(&g->a.c, call_end_generate);
    else if (g->steps > 0)
        llamacpp_ask_send(&g->a);
    else
        start_stream(g);
    return &g->a.c;
}
