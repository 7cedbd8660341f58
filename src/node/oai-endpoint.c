#include "node/oai-endpoint.h"

#include <stdlib.h>
#include <string.h>

#include "base/answer.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "http/openai.h"
#include "node/call.h"
#include "node/protocol.h"

enum { TEXT_MAX = 256 << 20 };

/* One answer in the making: the call's arg. */
struct answering {
    struct oai_request q;
    struct oai_reply reply;
    struct answer *answer;
    int32_t *prompt; /* owned */
    size_t n_prompt;
    struct buf echo; /* the prompt as text, where it is wanted before the answer */
};

static const char event_stream[] = "text/event-stream";

static void answering_destroy(void *arg)
{
    struct answering *a = arg;
    oai_request_finish(&a->q);
    oai_reply_finish(&a->reply);
    answer_destroy(a->answer);
    buf_finish(&a->echo);
    free(a->prompt);
    free(a);
}

static void send_event(struct call *c, char *event)
{
    call_send(c, event_stream, event, strlen(event));
    free(event);
}

/* Also of none; owned by the caller. */
static int32_t *copy_tokens(const int32_t *tokens, size_t n)
{
    int32_t *copy = xmalloc((n > 0 ? n : 1) * sizeof(*copy));
    if (n > 0)
        memcpy(copy, tokens, n * sizeof(*copy));
    return copy;
}

/* Entries of the logprobs for out[first] to out[first + n - 1], in one allocation that the caller owns. */
static struct oai_token *logprob_entries(struct call *c, size_t first, size_t n, bool special)
{
    const struct node_job *job = c->job;
    const struct node_model *m = node_core_model(c->server->core);
    struct oai_token *list = xmalloc(n * (sizeof(*list) + job->n_top * sizeof(struct oai_top)));
    struct oai_top *top = (struct oai_top *)(void *)(list + n);
    for (size_t i = 0; i < n; i++) {
        const struct node_token *t = &job->out[first + i];
        list[i] = (struct oai_token){.id = t->id, .logprob = t->logprob, .top = top, .n_top = job->n_top};
        list[i].piece = node_model_piece(m, t->id, special, &list[i].len);
        for (size_t j = 0; j < job->n_top; j++, top++) {
            const struct sampler_logprob *from = &job->top[(first + i) * job->n_top + j];
            *top = (struct oai_top){.id = from->token, .logprob = from->logprob};
            top->piece = node_model_piece(m, from->token, true, &top->len);
        }
    }
    return list;
}

/* Hands on text, and the entries of n tokens of the job if logprobs are wanted. */
static void hand_on(struct call *c, const char *text, size_t len, size_t first, size_t n, bool special)
{
    struct answering *a = c->arg;
    struct oai_token *entries = a->q.logprobs >= 0 && n > 0 ? logprob_entries(c, first, n, special) : NULL;
    if (a->q.stream && (len > 0 || entries != NULL))
        send_event(c, oai_stream_chunk(&a->reply, text, len, entries, entries != NULL ? n : 0));
    else if (entries != NULL)
        oai_reply_add_tokens(&a->reply, entries, n);
    free(entries);
}

static void send_end(struct call *c)
{
    struct answering *a = c->arg;
    struct oai_usage usage = {(int64_t)a->n_prompt, answer_tokens(a->answer), -1, -1};
    size_t len;
    const char *rest = answer_take(a->answer, &len);
    if (a->q.stream) {
        if (len > 0)
            hand_on(c, rest, len, 0, 0, false);
        send_event(c, oai_stream_end(&a->reply, answer_state(a->answer), &usage));
        call_end(c);
        return;
    }
    struct buf text;
    buf_init(&text, TEXT_MAX);
    (void)buf_add(&text, a->echo.data, a->echo.len);
    const char *written = answer_text(a->answer, &len);
    (void)buf_add(&text, written, len);
    json_t *o = oai_reply_json(&a->reply, text.data, text.len, answer_state(a->answer), &usage);
    char *json = json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(15));
    call_reply(c, "application/json", json, strlen(json));
    free(json);
    json_decref(o);
    buf_finish(&text);
}

/* Takes what the job has brought.  True when the answer is over. */
static bool take_tokens(struct call *c)
{
    struct answering *a = c->arg;
    const struct node_model *m = node_core_model(c->server->core);
    const struct node_job *job = c->job;
    size_t first = c->shown, taken = 0, len;
    while (c->shown < job->n_out && answer_state(a->answer) == ANSWER_OPEN) {
        int32_t id = job->out[c->shown++].id;
        bool end = node_model_is_eog(m, id);
        const char *piece = node_model_piece(m, id, false, &len);
        answer_feed(a->answer, piece, len, end);
        taken += !end; /* an end token has no text, and no entry among the logprobs */
    }
    if (a->q.stream || a->q.logprobs >= 0) {
        const char *text = a->q.stream ? answer_take(a->answer, &len) : "";
        hand_on(c, text, a->q.stream ? len : 0, first, taken, false);
    }
    return answer_state(a->answer) != ANSWER_OPEN;
}

static void on_tokens(struct call *c)
{
    if (take_tokens(c))
        send_end(c);
}

static void on_generated(struct call *c)
{
    if (!take_tokens(c))
        answer_cut(((struct answering *)c->arg)->answer);
    send_end(c);
}

static void on_error(struct call *c, const char *message)
{
    if (((struct answering *)c->arg)->q.stream)
        send_event(c, oai_stream_error("server_error", message));
}

/* The prompt's tokens are in the session up to keep. */
static void generate(struct call *c, size_t keep)
{
    struct answering *a = c->arg;
    int64_t room = node_core_info(c->server->core)->n_ctx - (int64_t)a->n_prompt;
    int64_t n = a->q.max_tokens >= 0 && a->q.max_tokens < room ? a->q.max_tokens : room;
    if (n <= 0) {
        answer_cut(a->answer);
        send_end(c);
        return;
    }
    struct node_job *job = node_job_create(NODE_JOB_GENERATE, c->session);
    job->keep = keep;
    job->n_tokens = a->n_prompt - keep;
    job->tokens = copy_tokens(a->prompt + keep, job->n_tokens);
    job->n = (size_t)n;
    job->n_logprobs = a->q.logprobs;
    c->on_tokens = on_tokens;
    c->on_done = on_generated;
    call_run(c, job);
}

static void on_scored(struct call *c)
{
    struct answering *a = c->arg;
    hand_on(c, a->echo.data, a->echo.len, 0, c->job->n_out, true);
    generate(c, a->n_prompt);
}

static void score(struct call *c)
{
    struct answering *a = c->arg;
    struct node_job *job = node_job_create(NODE_JOB_SCORE, c->session);
    job->n_tokens = a->n_prompt;
    job->tokens = copy_tokens(a->prompt, a->n_prompt);
    job->n_logprobs = a->q.logprobs;
    c->on_done = on_scored;
    call_run(c, job);
}

/* The prompt as tokens, and as text where it is to be echoed.  0, or -1: an error was sent. */
static int read_prompt(struct server *s, struct httpd_request *r, struct answering *a)
{
    const struct node_model *m = node_core_model(s->core);
    if (a->q.chat)
        return protocol_chat(s, r, a->q.messages, NULL, &a->prompt, &a->n_prompt);
    if (a->q.prompt != NULL) {
        if (a->q.echo)
            (void)buf_adds(&a->echo, a->q.prompt);
        return protocol_tokenize(s, r, a->q.prompt, strlen(a->q.prompt), true, true, &a->prompt, &a->n_prompt);
    }
    a->n_prompt = a->q.n_prompt_tokens;
    a->prompt = copy_tokens(a->q.prompt_tokens, a->n_prompt);
    for (size_t i = 0; i < a->n_prompt; i++) {
        if (a->prompt[i] < 0 || a->prompt[i] >= m->n_vocab) {
            httpd_reply_error(r, 400, "prompt", NULL, "prompt[%zu] is %d: this vocabulary has the ids 0 to %d", i,
                              a->prompt[i], m->n_vocab - 1);
            return -1;
        }
    }
    if (a->q.echo) {
        size_t len;
        char *text = node_model_detokenize(m, a->prompt, a->n_prompt, true, &len);
        (void)utf8_add_repaired(&a->echo, text, len);
        free(text);
    }
    return 0;
}

/* What can't be answered.  0, or -1: an error was sent. */
static int check(struct server *s, struct httpd_request *r, const struct answering *a)
{
    int32_t n_ctx = node_core_info(s->core)->n_ctx, n_vocab = node_core_model(s->core)->n_vocab;
    size_t least = a->n_prompt + (a->q.max_tokens != 0);
    if (a->n_prompt == 0) {
        httpd_reply_error(r, 400, a->q.chat ? "messages" : "prompt", NULL, "the prompt is empty");
        return -1;
    }
    if (least > (size_t)n_ctx) {
        httpd_reply_error(r, 400, a->q.chat ? "messages" : "prompt", "context_length_exceeded",
                          "the prompt has %zu tokens; with the answer it must fit the context of %d", a->n_prompt,
                          n_ctx);
        return -1;
    }
    for (size_t i = 0; i < a->q.sampling.n_bias; i++) {
        if (a->q.sampling.bias[i].token >= n_vocab) {
            httpd_reply_error(r, 400, "logit_bias", NULL,
                              "logit_bias: %d is no token, this vocabulary has the ids 0 to %d",
                              a->q.sampling.bias[i].token, n_vocab - 1);
            return -1;
        }
    }
    return 0;
}

static void answer_request(struct server *s, struct httpd_request *r, bool chat)
{
    struct answering *a = xcalloc(1, sizeof(*a));
    struct oai_limits limits = {.max_tokens = INT32_MAX};
    struct oai_error error = {0};
    size_t len;
    const char *body = httpd_body(r, &len);
    buf_init(&a->echo, TEXT_MAX);
    if (oai_request_parse(&a->q, chat, body, len, &limits, &error) != 0) {
        httpd_reply_error(r, error.status, error.param, error.code, "%s", error.message);
        oai_error_finish(&error);
    } else if (a->q.model != NULL && strcmp(a->q.model, s->model) != 0) {
        httpd_reply_error(r, 404, "model", "model_not_found", "there is no model %s here, only %s", a->q.model,
                          s->model);
    } else if (read_prompt(s, r, a) == 0 && check(s, r, a) == 0) {
        struct call *c = call_create(s, r, a, answering_destroy);
        oai_reply_init(&a->reply, &a->q, s->model);
        a->answer = answer_create((const char *const *)a->q.stops, a->q.n_stops,
                                  a->q.max_tokens >= 0 ? a->q.max_tokens : INT64_MAX);
        c->session = node_session_open(s->core, &a->q.sampling, a->n_prompt);
        c->on_error = on_error;
        if (a->q.echo && a->q.logprobs >= 0) {
            score(c);
        } else {
            hand_on(c, a->echo.data, a->echo.len, 0, 0, false);
            generate(c, 0);
        }
        return;
    }
    answering_destroy(a);
}

static void on_chat(struct server *s, struct httpd_request *r)
{
    answer_request(s, r, true);
}

static void on_completions(struct server *s, struct httpd_request *r)
{
    answer_request(s, r, false);
}

static void on_models(struct server *s, struct httpd_request *r)
{
    const struct node_model *m = node_core_model(s->core);
    json_t *meta = json_pack("{s:i,s:i,s:i,s:I}", "n_vocab", m->n_vocab, "n_ctx_train", m->n_ctx_train, "n_ctx",
                             node_core_info(s->core)->n_ctx, "size", (json_int_t)m->size);
    httpd_reply_json(r, 200,
                     json_pack("{s:s,s:[{s:s,s:s,s:I,s:s,s:o}]}", "object", "list", "data", "id", s->model, "object",
                               "model", "created", (json_int_t)s->created, "owned_by", "tightwad", "meta", meta));
}

void oai_endpoint_register(struct server *s)
{
    server_route(s, HTTPD_POST, "/v1/chat/completions", on_chat);
    server_route(s, HTTPD_POST, "/v1/completions", on_completions);
    server_route(s, HTTPD_GET, "/v1/models", on_models);
}
