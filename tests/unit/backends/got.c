#include "got.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void keep_status(struct got *g, const struct backend_status *st)
{
    g->done = true;
    g->calls++;
    g->error = st->error;
    g->bytes_out = st->bytes_out;
    g->bytes_in = st->bytes_in;
    g->elapsed_us = st->elapsed_us;
    snprintf(g->message, sizeof(g->message), "%s", st->message);
    if (g->in_callback != NULL)
        g->in_callback(g);
}

static void keep_tokens(struct got *g, const int32_t *tokens, size_t n)
{
    for (size_t i = 0; i < n && g->n < 512; i++)
        g->tokens[g->n++] = tokens[i];
}

static void keep_text(struct got *g, const char *text, size_t len)
{
    if (len > sizeof(g->text) - 1 - g->text_len)
        len = sizeof(g->text) - 1 - g->text_len;
    memcpy(g->text + g->text_len, text, len);
    g->text_len += len;
    g->text[g->text_len] = '\0';
}

static void keep_token(struct got *g, const struct backend_token *t)
{
    if (g->n < 512)
        snprintf(g->piece[g->n], sizeof(g->piece[0]), "%.*s", (int)t->len, t->piece);
    keep_tokens(g, &t->id, 1);
    keep_text(g, t->piece, t->len);
    g->end = t->end;
    g->has_logprob = t->has_logprob;
    g->logprob = t->logprob;
    g->n_top = t->n_top;
    if (t->n_top > 0) {
        g->top_id = t->top[0].token;
        snprintf(g->top_piece, sizeof(g->top_piece), "%.*s", (int)t->top_len[0], t->top_piece[0]);
    }
}

void got_probe(void *arg, const struct backend_status *st, const struct backend_info *info)
{
    keep_status(arg, st);
}

void got_tokens(void *arg, const struct backend_status *st, const int32_t *tokens, size_t n)
{
    keep_tokens(arg, tokens, n);
    keep_status(arg, st);
}

void got_text(void *arg, const struct backend_status *st, const char *text, size_t len)
{
    keep_text(arg, text, len);
    keep_status(arg, st);
}

void got_start(void *arg, const struct backend_status *st, struct backend_session *session, const int32_t *prompt,
               size_t n)
{
    struct got *g = arg;
    g->session = session;
    keep_tokens(g, prompt, n);
    keep_status(g, st);
}

void got_draft(void *arg, const struct backend_status *st, const struct backend_draft *d)
{
    struct got *g = arg;
    if (d->tokens != NULL)
        keep_tokens(g, d->tokens, d->n);
    g->has_probs = d->probs != NULL;
    for (size_t i = 0; d->probs != NULL && i < d->n && i < GOT_MAX; i++)
        g->probs[i] = d->probs[i];
    if (d->text != NULL)
        keep_text(g, d->text, d->text_len);
    keep_status(g, st);
}

void got_verify(void *arg, const struct backend_status *st, const struct backend_verdict *v)
{
    struct got *g = arg;
    g->accepted = v->accepted;
    g->margin = v->margin;
    for (size_t i = 0; st->error == BACKEND_OK && i <= v->accepted; i++)
        keep_token(g, &v->tokens[i]);
    keep_status(g, st);
}

void got_score(void *arg, const struct backend_status *st, const float *logprobs, const float *gaps, size_t n)
{
    struct got *g = arg;
    g->has_probs = logprobs != NULL;
    g->n = n;
    for (size_t i = 0; i < n && i < GOT_MAX; i++) {
        g->probs[i] = logprobs[i];
        g->gaps[i] = gaps[i];
    }
    keep_status(g, st);
}

bool got_stream(void *arg, const struct backend_token *tokens, size_t n)
{
    struct got *g = arg;
    g->stream_calls++;
    if (g->stream_calls == g->pause_at)
        return false;
    for (size_t i = 0; i < n; i++)
        keep_token(g, &tokens[i]);
    if (g->in_callback != NULL)
        g->in_callback(g);
    return true;
}

void got_done(void *arg, const struct backend_status *st)
{
    keep_status(arg, st);
}

bool got_chat_text(void *arg, const char *text, size_t len, json_t *logprobs)
{
    struct got *g = arg;
    g->stream_calls++;
    if (g->stream_calls == g->pause_at)
        return false;
    keep_text(g, text, len);
    g->has_logprob = g->has_logprob || logprobs != NULL;
    if (g->in_callback != NULL)
        g->in_callback(g);
    return true;
}

void got_chat_done(void *arg, const struct backend_status *st, const char *finish, int64_t prompt_tokens,
                   int64_t completion_tokens)
{
    struct got *g = arg;
    snprintf(g->finish, sizeof(g->finish), "%s", finish);
    g->prompt_tokens = prompt_tokens;
    g->completion_tokens = completion_tokens;
    keep_status(g, st);
}

void got_vocab(void *arg, enum backend_vocab_match match, const char *reason)
{
    struct got *g = arg;
    g->match = match;
    keep_status(g, &(struct backend_status){.message = reason});
}

struct backend *bench_backend(struct bench *t, const char *kind, const char *url, const char *model)
{
    struct config_server cfg = {
        .name = "server", .url = (char *)url, .backend = (char *)kind, .model_name = (char *)model};
    char *cause = NULL;
    struct backend *b = backend_create(t->base, t->http, &cfg, &cause);
    assert_non_null(b);
    return b;
}

void bench_init(struct bench *t, const char *kind, const char *model, const char *api_key)
{
    memset(t, 0, sizeof(*t));
    t->base = event_base_new();
    t->http = httpc_create(t->base);
    t->fake = fake_create(t->base);
    struct config_server cfg = {.name = "fake",
                                .url = (char *)fake_url(t->fake),
                                .backend = (char *)kind,
                                .model_name = (char *)model,
                                .api_key = (char *)api_key};
    char *cause = NULL;
    t->b = backend_create(t->base, t->http, &cfg, &cause);
    assert_non_null(t->b);
}

void bench_finish(struct bench *t)
{
    backend_destroy(t->b);
    httpc_destroy(t->http);
    fake_destroy(t->fake);
    event_base_free(t->base);
}

void bench_probe(struct bench *t, struct backend *b, struct got *g)
{
    memset(g, 0, sizeof(*g));
    backend_probe(b, 5000, got_probe, g);
    assert_false(g->done);
    loop_until(t->base, &g->done);
    assert_got_error(g, BACKEND_OK);
    assert_true(b->info.known);
}

void assert_got_tokens(const struct got *g, const int32_t *tokens, size_t n)
{
    assert_int_equal(g->n, n);
    assert_memory_equal(g->tokens, tokens, n * sizeof(*tokens));
}

void assert_has(const char *text, const char *part, const char *file, int line)
{
    if (text != NULL && strstr(text, part) != NULL)
        return;
    print_message("# \"%s\" does not contain \"%s\"\n", text != NULL ? text : "(null)", part);
    _fail(file, line);
}
