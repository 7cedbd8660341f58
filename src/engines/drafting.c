#include "engines/drafting.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "engines/governor.h"

enum {
    PATIENCE_TIMES = 4, /* times the median draft */
    PATIENCE_LEAST_US = 50 * 1000,
    PATIENCE_UNKNOWN_US = 500 * 1000, /* before the first draft: its prompt must go in */
    CHUNK = 8,                        /* tokens a request, of drafters that do not stream: it can't be broken off */
    TEXT_MAX = 16 * 1024 * 1024,
};

/* One request to the drafter.  A stream whose tokens are of no more use is left: the next request of the session
 * supersedes it on the server, and what it still brings is ignored. */
struct draft_call {
    struct drafting *d;
    struct backend_call *call; /* NULL once it is over */
    struct draft_call *next;
};

struct drafting {
    struct proxy_answer *a;
    struct member *member;
    struct backend_session *session;
    void (*on_news)(void *);
    void *arg;
    struct backend_call *call; /* draft, draft_text, or the detokenize / tokenize around a text draft; not a stream */
    struct draft_call *stream; /* the one that adds to the line, or NULL */
    struct draft_call *left;   /* others that are not over */
    bool *gone;                /* set while a callback of ours is on the stack */
    bool stale;                /* what the call brings continues a path that was left */
    /* the line: what was drafted, in one piece, from base on */
    size_t base; /* length of the path that it continues */
    int32_t *tokens;
    float *probs;
    size_t n, size;
    bool closed;  /* the drafter has nothing to add to it */
    size_t asked; /* tokens that the call under way was asked for */
    size_t got;   /* and that it has brought */
    size_t sent;  /* tokens under verification, the first of what continued the path then */
    size_t sent_at;
    int64_t begun_us, news_us;
    /* text drafters */
    bool by_text;
    struct buf text;    /* of the path */
    size_t text_n_path; /* how many tokens of the path are in it; 0: none */
};

struct drafting *drafting_create(struct proxy_answer *a, struct member *m, size_t prompt_len, void (*on_news)(void *),
                                 void *arg)
{
    struct drafting *d = xcalloc(1, sizeof(*d));
    d->a = a;
    d->member = m;
    d->on_news = on_news;
    d->arg = arg;
    d->by_text = !m->backend->info.caps.draft_tokens;
    d->session = backend_session_open(m->backend, &a->req.sampling, prompt_len);
    buf_init(&d->text, TEXT_MAX);
    return d;
}

static void leave_stream(struct drafting *d)
{
    if (d->stream == NULL)
        return;
    d->stream->next = d->left;
    d->left = d->stream;
    d->stream = NULL;
}

void drafting_destroy(struct drafting *d)
{
    if (d == NULL)
        return;
    if (d->gone != NULL)
        *d->gone = true;
    if (d->call != NULL)
        backend_cancel(d->call);
    leave_stream(d);
    while (d->left != NULL) {
        struct draft_call *c = d->left;
        d->left = c->next;
        backend_cancel(c->call);
        free(c);
    }
    backend_session_close(d->session);
    buf_finish(&d->text);
    free(d->tokens);
    free(d->probs);
    free(d);
}

struct member *drafting_member(const struct drafting *d)
{
    return d->member;
}

const char *drafting_name(const struct drafting *d)
{
    return d->member->name;
}

static size_t drafter_room(const struct drafting *d, size_t n_path)
{
    int32_t n_ctx = d->member->backend->info.n_ctx;
    return n_ctx <= 0 ? SIZE_MAX : (size_t)n_ctx > n_path + 1 ? (size_t)n_ctx - n_path - 1 : 0;
}

bool drafting_usable(const struct drafting *d, size_t n_path)
{
    return member_can_draft(d->member, d->a->target) && drafter_room(d, n_path) > 0;
}

/* ---- tokens come ---- */

/* Writing ahead wants a stream: its tokens can be used before the last one is there. */
static bool streams(const struct drafting *d)
{
    return d->member->backend->info.caps.draft_stream && proxy_settings(d->a->proxy)->draft_ahead;
}

static struct governor *governor(const struct drafting *d)
{
    return proxy_governor(d->a->proxy);
}

static void add_token(struct drafting *d, int32_t token, float prob)
{
    if (d->n == d->size) {
        d->size = d->size * 2 + 64;
        d->tokens = xreallocarray(d->tokens, d->size, sizeof(*d->tokens));
        d->probs = xreallocarray(d->probs, d->size, sizeof(*d->probs));
    }
    d->tokens[d->n] = token;
    d->probs[d->n++] = prob;
}

/* The call is over; d may be gone when this returns. */
static void over(struct drafting *d, const struct backend_status *st)
{
    bool gone = false;
    d->call = NULL;
    if (st->error != BACKEND_OK) {
        d->closed = true;
        d->gone = &gone;
        proxy_count_draft_failure(d->a->proxy);
        member_failed(d->member, st);
        if (gone)
            return;
        d->gone = NULL;
    } else if (d->stale) {
        d->closed = true; /* never to be used: the next follow starts anew */
        d->n = 0;
    } else if (d->got < d->asked) {
        d->closed = true;
    }
    d->on_news(d->arg);
}

static void on_stream(void *arg, const struct backend_drafted *drafted)
{
    struct draft_call *c = arg;
    struct drafting *d = c->d;
    size_t n = drafted->n;
    if (c != d->stream || drafted->branch != 0)
        return;
    int64_t now = clock_us();
    if (d->got > 0)
        governor_saw_draft(governor(d), n, (double)(now - d->news_us));
    else
        stats_ring_add(&d->member->first_us, (double)(now - d->begun_us));
    d->news_us = now;
    d->got += n;
    for (size_t i = 0; i < n; i++)
        add_token(d, drafted->tokens[i], drafted->probs[i]);
    d->on_news(d->arg);
}

static void on_streamed(void *arg, const struct backend_status *st)
{
    struct draft_call *c = arg;
    struct drafting *d = c->d;
    if (c != d->stream) {
        struct draft_call **at = &d->left;
        while (*at != c)
            at = &(*at)->next;
        *at = c->next;
        free(c);
        return;
    }
    d->stream = NULL;
    free(c);
    if (st->error == BACKEND_OK)
        member_ok(d->member, st->elapsed_us, d->got);
    over(d, st);
}

static void on_chunk(void *arg, const struct backend_status *st, const struct backend_draft *draft)
{
    struct drafting *d = arg;
    if (st->error == BACKEND_OK) {
        member_ok(d->member, st->elapsed_us, draft->n);
        governor_saw_draft(governor(d), draft->n, (double)st->elapsed_us);
        for (size_t i = 0; i < draft->n && !d->stale; i++)
            add_token(d, draft->tokens[i], draft->probs != NULL ? draft->probs[i] : NAN);
        d->got = draft->n;
    }
    over(d, st);
}

/* ---- text drafters: path → text, text → more text, more text → tokens of the target's vocabulary ---- */

static void on_retokenized(void *arg, const struct backend_status *st, const int32_t *tokens, size_t n)
{
    struct drafting *d = arg;
    d->call = NULL;
    d->closed = true;
    /* The last token could turn out longer had the text gone on: it is dropped.  A target that fails here fails in the
     * next verify as well, and there it is dealt with. */
    for (size_t i = 0; st->error == BACKEND_OK && !d->stale && i + 1 < n; i++)
        add_token(d, tokens[i], NAN);
    d->on_news(d->arg);
}

static void on_text(void *arg, const struct backend_status *st, const struct backend_draft *draft)
{
    struct drafting *d = arg;
    if (st->error != BACKEND_OK) {
        over(d, st);
        return;
    }
    size_t n = draft->n > 0 ? draft->n : d->asked;
    member_ok(d->member, st->elapsed_us, n);
    governor_saw_draft(governor(d), n, (double)st->elapsed_us);
    d->call = backend_tokenize(d->a->target->backend, draft->text, draft->text_len, false, on_retokenized, d);
}

static void ask_text(struct drafting *d)
{
    d->call = backend_draft_text(d->session, d->text.data, d->text.len, d->asked,
                                 (int)proxy_settings(d->a->proxy)->draft_timeout_ms, on_text, d);
}

static void on_path_text(void *arg, const struct backend_status *st, const char *text, size_t len)
{
    struct drafting *d = arg;
    d->call = NULL;
    buf_clear(&d->text);
    if (st->error != BACKEND_OK || d->stale || !buf_add(&d->text, text, len)) {
        d->closed = true;
        d->on_news(d->arg);
        return;
    }
    d->text_n_path = d->base;
    ask_text(d);
}

/* A beginning-of-sequence token that the target's prompt begins with: a text drafter puts its own there. */
static size_t leading_bos(const struct drafting *d, const int32_t *path)
{
    const json_t *raw = d->a->target->backend->info.raw, *bos = json_object_get(raw, "bos");
    return json_is_true(json_object_get(raw, "add_bos")) && json_is_integer(bos) && json_integer_value(bos) == path[0];
}

static void begin_text(struct drafting *d, const int32_t *path, size_t n_path)
{
    if (d->text_n_path == n_path) {
        ask_text(d);
        return;
    }
    size_t skip = leading_bos(d, path);
    d->call = backend_detokenize(d->a->target->backend, path + skip, n_path - skip, on_path_text, d);
}

void drafting_advance(struct drafting *d, size_t n_path, const struct backend_token *tokens, size_t n)
{
    if (!d->by_text || d->text_n_path == 0 || d->text_n_path + n != n_path)
        return;
    for (size_t i = 0; i < n; i++) {
        if (!buf_add(&d->text, tokens[i].piece, tokens[i].len)) {
            d->text_n_path = 0;
            return;
        }
    }
    d->text_n_path = n_path;
}

/* ---- the line ---- */

/* Asks for n more tokens behind path and the line that continues it. */
static void ask(struct drafting *d, const int32_t *path, size_t n_path, size_t n)
{
    const struct config_proxy *settings = proxy_settings(d->a->proxy);
    size_t behind = n_path - d->base, rest = d->n - behind;
    size_t n_all = n_path + rest;
    if (n > drafter_room(d, n_all))
        n = drafter_room(d, n_all);
    if (n == 0) {
        d->closed = true;
        return;
    }
    d->asked = n;
    d->got = 0;
    d->stale = false;
    d->begun_us = d->news_us = clock_us();
    if (d->by_text) {
        begin_text(d, path, n_path);
        return;
    }
    int32_t *all = xmalloc(n_all * sizeof(*all));
    memcpy(all, path, n_path * sizeof(*all));
    if (rest > 0)
        memcpy(all + n_path, d->tokens + behind, rest * sizeof(*all));
    if (streams(d)) {
        d->stream = xcalloc(1, sizeof(*d->stream));
        d->stream->d = d;
        struct backend_draft_ask line = {.n = n, .from = n_path, .first = n};
        d->stream->call = backend_draft_stream(d->session, all, n_all, &line, (int)settings->draft_timeout_ms,
                                               on_stream, on_streamed, d->stream);
    } else {
        d->asked = settings->draft_ahead && n > CHUNK ? CHUNK : n;
        d->call = backend_draft(d->session, all, n_all, d->asked, 0.0f, (int)settings->draft_timeout_ms, on_chunk, d);
    }
    free(all);
}

/* Whether the line continues path, and has come as far. */
static bool continues(const struct drafting *d, const int32_t *path, size_t n_path)
{
    if (n_path < d->base || n_path - d->base > d->n)
        return false;
    return n_path == d->base || memcmp(path + d->base, d->tokens, (n_path - d->base) * sizeof(*path)) == 0;
}

static void start_anew(struct drafting *d, const int32_t *path, size_t n_path, size_t want)
{
    /* What can't be superseded is left to end by itself, and awaited. */
    leave_stream(d);
    d->base = n_path;
    d->n = 0;
    d->closed = false;
    d->stale = d->call != NULL;
    if (d->call == NULL)
        ask(d, path, n_path, want);
}

size_t drafting_follow(struct drafting *d, const int32_t *path, size_t n_path, size_t most, size_t want,
                       const int32_t **tokens, const float **probs)
{
    *tokens = NULL;
    *probs = NULL;
    bool follows = d->base > 0 && continues(d, path, n_path) && !d->stale;
    bool spent = follows && d->closed && n_path - d->base == d->n && n_path > d->base;
    if (!follows || spent) {
        start_anew(d, path, n_path, want);
        return 0;
    }
    size_t behind = n_path - d->base, n = d->n - behind;
    if (!drafting_busy(d) && !d->closed && n < want)
        ask(d, path, n_path, want - n);
    *tokens = d->tokens + behind;
    *probs = d->probs + behind;
    return n < most ? n : most;
}

bool drafting_ready(const struct drafting *d, const int32_t *path, size_t n_path)
{
    return !drafting_busy(d) || (continues(d, path, n_path) && n_path - d->base < d->n);
}

bool drafting_busy(const struct drafting *d)
{
    return d->call != NULL || d->stream != NULL;
}

void drafting_sent(struct drafting *d, const int32_t *path, size_t n_path, size_t n, size_t ahead)
{
    d->sent = n;
    d->sent_at = n_path - d->base;
    size_t rest = d->n - d->sent_at - n;
    if (!drafting_busy(d) && !d->closed && rest < ahead && !d->by_text)
        ask(d, path, n_path, ahead - rest);
}

void drafting_result(struct drafting *d, size_t accepted)
{
    d->member->drafted += d->sent;
    d->member->accepted += accepted;
    governor_saw_outcome(governor(d), d->probs + d->sent_at, d->sent, accepted);
    d->sent = 0;
}

int64_t drafting_elapsed_us(const struct drafting *d)
{
    return d->news_us - d->begun_us;
}

int64_t drafting_patience_us(const struct drafting *d)
{
    int64_t most = proxy_settings(d->a->proxy)->draft_timeout_ms * 1000;
    double median = stats_ring_quantile(streams(d) ? &d->member->first_us : &d->member->call_us, 0.5);
    int64_t us = isnan(median) ? PATIENCE_UNKNOWN_US : (int64_t)(PATIENCE_TIMES * median);
    if (us < PATIENCE_LEAST_US)
        us = PATIENCE_LEAST_US;
    return us < most ? us : most;
}
