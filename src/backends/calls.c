#include "backends/calls.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cause.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"

static void call_unlink(struct backend_call *c)
{
    if (c->link == NULL)
        return;
    *c->link = c->next;
    if (c->next != NULL)
        c->next->link = c->link;
    c->link = NULL;
    if (c->http != NULL)
        httpc_cancel(c->http);
    c->http = NULL;
    if (c->deadline != NULL)
        event_free(c->deadline);
    c->deadline = NULL;
    if (c->defer != NULL)
        event_free(c->defer);
    c->defer = NULL;
}

static void call_free(struct backend_call *c)
{
    if (c->release != NULL)
        c->release(c);
    free(c->later_message);
    free(c);
}

static void deadline_passed(evutil_socket_t fd, short what, void *arg)
{
    struct backend_call *c = arg;
    call_fail(c, BACKEND_TIMEOUT, "no answer within %d ms", c->timeout_ms);
}

void *call_create(size_t size, struct backend *b, struct backend_session *s, enum call_kind kind, int timeout_ms,
                  void *arg)
{
    struct backend_call *c = xcalloc(1, size);
    c->b = b;
    c->s = s;
    c->kind = kind;
    c->arg = arg;
    c->started_us = clock_us();
    c->next = b->calls;
    c->link = &b->calls;
    if (c->next != NULL)
        c->next->link = &c->next;
    b->calls = c;
    c->timeout_ms = timeout_ms;
    if (timeout_ms > 0) {
        struct timeval tv = {timeout_ms / 1000, timeout_ms % 1000 * 1000};
        c->deadline = evtimer_new(b->base, deadline_passed, c);
        evtimer_add(c->deadline, &tv);
    }
    return c;
}

static void request_done(void *arg, const struct httpc_result *r)
{
    struct backend_call *c = arg;
    c->http = NULL;
    c->bytes_out += r->bytes_out;
    c->bytes_in += r->bytes_in;
    c->on_reply(c, r);
}

void call_request(struct backend_call *c, const char *path, struct httpc_opts *o,
                  void (*on_reply)(struct backend_call *c, const struct httpc_result *r))
{
    char small[512], *url = small;
    if ((size_t)snprintf(small, sizeof(small), "%s%s", c->b->cfg.url, path) >= sizeof(small))
        url = xasprintf("%s%s", c->b->cfg.url, path);
    o->url = url;
    if (o->max_reply == 0)
        o->max_reply = CALL_REPLY_MAX;
    o->bearer = c->b->cfg.api_key;
    o->on_done = request_done;
    o->arg = c;
    c->on_reply = on_reply;
    c->http = httpc_start(c->b->http, o);
    if (url != small)
        free(url);
}

void call_post_text(struct backend_call *c, const char *path, const char *body, size_t len,
                    void (*on_reply)(struct backend_call *c, const struct httpc_result *r))
{
    struct httpc_opts o = {.body = body, .len = len};
    call_request(c, path, &o, on_reply);
}

void call_post(struct backend_call *c, const char *path, json_t *body,
               void (*on_reply)(struct backend_call *c, const struct httpc_result *r))
{
    char *text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    if (text == NULL) {
        call_fail_later(c, BACKEND_UNSUPPORTED, "the request cannot be written as JSON");
        return;
    }
    call_post_text(c, path, text, strlen(text), on_reply);
    free(text);
}

void call_get(struct backend_call *c, const char *path,
              void (*on_reply)(struct backend_call *c, const struct httpc_result *r))
{
    struct httpc_opts o = {.method = "GET"};
    call_request(c, path, &o, on_reply);
}

static void run_deferred(evutil_socket_t fd, short what, void *arg)
{
    struct backend_call *c = arg;
    event_free(c->defer);
    c->defer = NULL;
    c->deferred(c);
}

void call_defer(struct backend_call *c, void (*fn)(struct backend_call *c))
{
    c->deferred = fn;
    if (c->defer != NULL)
        return;
    c->defer = evtimer_new(c->b->base, run_deferred, c);
    event_active(c->defer, EV_TIMEOUT, 0);
}

static struct backend_status call_status(const struct backend_call *c, enum backend_error e, const char *message)
{
    return (struct backend_status){
        .error = e,
        .message = message,
        .elapsed_us = clock_us() - c->started_us,
        .bytes_out = c->bytes_out,
        .bytes_in = c->bytes_in,
    };
}

static void call_back_error(struct backend_call *c, const struct backend_status *st)
{
    struct backend_info *info = &c->b->info;
    switch (c->kind) {
    case CALL_PROBE:
        info->known = false;
        c->b->doubted = st->error == BACKEND_REFUSED || st->error == BACKEND_BROKEN;
        c->cb.probe(c->arg, st, info);
        break;
    case CALL_TOKENS:
        c->cb.tokens(c->arg, st, NULL, 0);
        break;
    case CALL_TEXT:
        c->cb.text(c->arg, st, "", 0);
        break;
    case CALL_PIECES:
        c->cb.pieces(c->arg, st, NULL, 0);
        break;
    case CALL_START:
        c->cb.start(c->arg, st, NULL, NULL, 0);
        break;
    case CALL_DRAFT:
        c->cb.draft(c->arg, st, &(struct backend_draft){0});
        break;
    case CALL_VERIFY:
        c->cb.verify(c->arg, st, &(struct backend_verdict){.margin = NAN});
        break;
    case CALL_SCORE:
        c->cb.score(c->arg, st, NULL, NULL, 0);
        break;
    case CALL_GENERATE:
        c->cb.generate(c->arg, st);
        break;
    case CALL_CHAT:
        c->cb.chat(c->arg, st, "", -1, -1);
        break;
    case CALL_VOCAB:
        c->cb.vocab(c->arg, BACKEND_VOCAB_UNKNOWN, st->message);
        break;
    }
}

static void fail_text(struct backend_call *c, enum backend_error e, char *message)
{
    struct backend_status st = call_status(c, e, message);
    call_unlink(c);
    call_back_error(c, &st);
    free(message);
    call_free(c);
}

void call_fail(struct backend_call *c, enum backend_error e, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *message = xvasprintf(fmt, ap);
    va_end(ap);
    fail_text(c, e, message);
}

static void fail_now(struct backend_call *c)
{
    char *message = c->later_message;
    c->later_message = NULL;
    fail_text(c, c->later_error, message);
}

void call_fail_later(struct backend_call *c, enum backend_error e, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    free(c->later_message);
    c->later_message = xvasprintf(fmt, ap);
    va_end(ap);
    c->later_error = e;
    call_defer(c, fail_now);
}

void call_end_probe(struct backend_call *c)
{
    struct backend_status st = call_status(c, BACKEND_OK, "");
    call_unlink(c);
    c->b->info.known = true;
    c->cb.probe(c->arg, &st, &c->b->info);
    call_free(c);
}

void call_end_tokens(struct backend_call *c, const int32_t *tokens, size_t n)
{
    struct backend_status st = call_status(c, BACKEND_OK, "");
    call_unlink(c);
    c->cb.tokens(c->arg, &st, tokens, n);
    call_free(c);
}

void call_end_text(struct backend_call *c, const char *text, size_t len)
{
    struct backend_status st = call_status(c, BACKEND_OK, "");
    call_unlink(c);
    c->cb.text(c->arg, &st, text, len);
    call_free(c);
}

void call_end_pieces(struct backend_call *c, const struct backend_token *tokens, size_t n)
{
    struct backend_status st = call_status(c, BACKEND_OK, "");
    call_unlink(c);
    c->cb.pieces(c->arg, &st, tokens, n);
    call_free(c);
}

void call_end_start(struct backend_call *c, struct backend_session *s, const int32_t *tokens, size_t n)
{
    struct backend_status st = call_status(c, BACKEND_OK, "");
    call_unlink(c);
    c->cb.start(c->arg, &st, s, tokens, n);
    call_free(c);
}

void call_end_draft(struct backend_call *c, const struct backend_draft *d)
{
    struct backend_status st = call_status(c, BACKEND_OK, "");
    call_unlink(c);
    c->cb.draft(c->arg, &st, d);
    call_free(c);
}

void call_end_verify(struct backend_call *c, const struct backend_verdict *v)
{
    struct backend_status st = call_status(c, BACKEND_OK, "");
    call_unlink(c);
    c->cb.verify(c->arg, &st, v);
    call_free(c);
}

void call_end_score(struct backend_call *c, const float *logprobs, const float *gaps, size_t n)
{
    struct backend_status st = call_status(c, BACKEND_OK, "");
    call_unlink(c);
    c->cb.score(c->arg, &st, logprobs, gaps, n);
    call_free(c);
}

void call_end_generate(struct backend_call *c)
{
    struct backend_status st = call_status(c, BACKEND_OK, "");
    call_unlink(c);
    c->cb.generate(c->arg, &st);
    call_free(c);
}

void call_end_chat(struct backend_call *c, const char *finish, int64_t prompt_tokens, int64_t completion_tokens)
{
    struct backend_status st = call_status(c, BACKEND_OK, "");
    call_unlink(c);
    c->cb.chat(c->arg, &st, finish, prompt_tokens, completion_tokens);
    call_free(c);
}

void call_end_vocab(struct backend_call *c, enum backend_vocab_match match, const char *reason)
{
    call_unlink(c);
    c->cb.vocab(c->arg, match, reason);
    call_free(c);
}

static int stream_result(struct backend_call *c, bool taken)
{
    c->busy = false;
    if (c->cancelled) {
        call_free(c);
        return -1;
    }
    return taken ? 1 : 0;
}

int call_stream_tokens(struct backend_call *c, const struct backend_token *tokens, size_t n)
{
    c->busy = true;
    return stream_result(c, c->stream.tokens(c->arg, tokens, n));
}

int call_stream_text(struct backend_call *c, const char *text, size_t len, json_t *logprobs)
{
    c->busy = true;
    return stream_result(c, c->stream.text(c->arg, text, len, logprobs));
}

int call_stream_drafted(struct backend_call *c, const struct backend_drafted *d)
{
    c->busy = true;
    c->stream.drafted(c->arg, d);
    return stream_result(c, true);
}

void call_cancel(struct backend_call *c)
{
    call_unlink(c);
    if (c->busy)
        c->cancelled = true;
    else
        call_free(c);
}
