#include "engines/drafting.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"

enum {
    PATIENCE_TIMES = 4, /* times the median draft */
    PATIENCE_LEAST_US = 50 * 1000,
    PATIENCE_UNKNOWN_US = 500 * 1000, /* before the first draft: its prompt must go in */
    DEPTH_FIRST = 8,                  /* with max_draft_tokens auto */
    DEPTH_LEAST = 2,
    TEXT_MAX = 16 * 1024 * 1024,
};

struct drafting {
    struct proxy_answer *a;
    struct member *member;
    struct backend_session *session;
    void (*on_draft)(void *);
    void *arg;
    struct backend_call *call; /* draft, draft_text, or the detokenize / tokenize around a text draft */
    bool *gone;                /* set while a callback of ours is on the stack */
    /* the newest draft */
    bool ready;
    size_t base; /* length of the path that it continues */
    int32_t *tokens;
    size_t n, sent;
    int64_t elapsed_us;
    size_t depth; /* of the next draft with max_draft_tokens auto */
    /* text drafters */
    bool by_text;
    struct buf text;    /* of the path */
    size_t text_n_path; /* how many tokens of the path are in it; 0: none */
    int32_t *path;      /* what the draft under way continues */
    size_t n_path, want;
};

struct drafting *drafting_create(struct proxy_answer *a, struct member *m, size_t prompt_len, void (*on_draft)(void *),
                                 void *arg)
{
    struct drafting *d = xcalloc(1, sizeof(*d));
    d->a = a;
    d->member = m;
    d->on_draft = on_draft;
    d->arg = arg;
    d->depth = DEPTH_FIRST;
    d->by_text = !m->backend->info.caps.draft_tokens;
    d->session = backend_session_open(m->backend, &a->req.sampling, prompt_len);
    buf_init(&d->text, TEXT_MAX);
    return d;
}

void drafting_destroy(struct drafting *d)
{
    if (d == NULL)
        return;
    if (d->gone != NULL)
        *d->gone = true;
    if (d->call != NULL)
        backend_cancel(d->call);
    backend_session_close(d->session);
    buf_finish(&d->text);
    free(d->tokens);
    free(d->path);
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

bool drafting_usable(const struct drafting *d, size_t n_path)
{
    int32_t n_ctx = d->member->backend->info.n_ctx;
    return member_can_draft(d->member, d->a->target) && (n_ctx == 0 || n_path + 1 < (size_t)n_ctx);
}

/* The draft is over; d may be gone when this returns. */
static void over(struct drafting *d, const struct backend_status *st)
{
    bool gone = false;
    d->call = NULL;
    if (st->error != BACKEND_OK) {
        d->gone = &gone;
        proxy_count_draft_failure(d->a->proxy);
        member_failed(d->member, st);
        if (gone)
            return;
        d->gone = NULL;
    }
    d->on_draft(d->arg);
}

static void keep(struct drafting *d, const int32_t *tokens, size_t n)
{
    free(d->tokens);
    d->tokens = xmemdup(tokens, n * sizeof(*tokens));
    d->n = n;
    d->ready = true;
}

static void on_tokens(void *arg, const struct backend_status *st, const struct backend_draft *draft)
{
    struct drafting *d = arg;
    if (st->error == BACKEND_OK) {
        d->elapsed_us = st->elapsed_us;
        member_ok(d->member, st->elapsed_us, draft->n);
        keep(d, draft->tokens, draft->n);
    }
    over(d, st);
}

/* ---- text drafters: path → text, text → more text, more text → tokens of the target's vocabulary ---- */

static void on_retokenized(void *arg, const struct backend_status *st, const int32_t *tokens, size_t n)
{
    struct drafting *d = arg;
    d->call = NULL;
    /* The last token could turn out longer had the text gone on: it is dropped.  A target that fails here fails in the
     * next verify as well, and there it is dealt with. */
    keep(d, tokens, st->error == BACKEND_OK && n > 1 ? n - 1 : 0);
    d->on_draft(d->arg);
}

static void on_text(void *arg, const struct backend_status *st, const struct backend_draft *draft)
{
    struct drafting *d = arg;
    if (st->error != BACKEND_OK) {
        over(d, st);
        return;
    }
    d->elapsed_us = st->elapsed_us;
    member_ok(d->member, st->elapsed_us, draft->n > 0 ? draft->n : d->want);
    d->call = backend_tokenize(d->a->target->backend, draft->text, draft->text_len, false, on_retokenized, d);
}

static void ask_text(struct drafting *d)
{
    d->call = backend_draft_text(d->session, d->text.data, d->text.len, d->want,
                                 (int)proxy_settings(d->a->proxy)->draft_timeout_ms, on_text, d);
}

static void on_path_text(void *arg, const struct backend_status *st, const char *text, size_t len)
{
    struct drafting *d = arg;
    d->call = NULL;
    buf_clear(&d->text);
    if (st->error != BACKEND_OK || !buf_add(&d->text, text, len)) {
        keep(d, NULL, 0);
        d->on_draft(d->arg);
        return;
    }
    d->text_n_path = d->n_path;
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
    free(d->path);
    d->path = xmemdup(path, n_path * sizeof(*path));
    d->n_path = n_path;
    size_t skip = leading_bos(d, d->path);
    d->call = backend_detokenize(d->a->target->backend, d->path + skip, n_path - skip, on_path_text, d);
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

/* ---- drafts ---- */

void drafting_begin(struct drafting *d, const int32_t *path, size_t n_path, size_t n)
{
    if (d->call != NULL)
        return;
    int32_t n_ctx = d->member->backend->info.n_ctx;
    if (n_ctx > 0 && n > (size_t)n_ctx - n_path - 1)
        n = (size_t)n_ctx - n_path - 1;
    d->ready = false;
    d->base = n_path;
    d->want = n;
    if (d->by_text)
        begin_text(d, path, n_path);
    else
        d->call = backend_draft(d->session, path, n_path, n, 0.0f, (int)proxy_settings(d->a->proxy)->draft_timeout_ms,
                                on_tokens, d);
}

bool drafting_over(const struct drafting *d)
{
    return d->call == NULL;
}

long drafting_take(struct drafting *d, const int32_t *path, size_t n_path, size_t most, const int32_t **tokens)
{
    d->sent = 0;
    if (!d->ready || n_path < d->base)
        return -1;
    size_t ahead = n_path - d->base;
    if (ahead > 0 && (ahead >= d->n || memcmp(path + d->base, d->tokens, ahead * sizeof(*path)) != 0))
        return -1;
    size_t n = d->n - ahead;
    if (n > most)
        n = most;
    *tokens = d->tokens + ahead;
    d->sent = n;
    return (long)n;
}

size_t drafting_sent(const struct drafting *d)
{
    return d->sent;
}

void drafting_result(struct drafting *d, size_t accepted)
{
    d->member->drafted += d->sent;
    d->member->accepted += accepted;
    if (accepted == d->sent)
        d->depth *= 2;
    else
        d->depth = accepted + accepted / 2 + DEPTH_LEAST;
    d->sent = 0;
}

size_t drafting_depth(const struct drafting *d, size_t cap)
{
    if (proxy_settings(d->a->proxy)->max_draft_tokens != CONFIG_AUTO)
        return cap;
    return d->depth < cap ? d->depth : cap;
}

int64_t drafting_elapsed_us(const struct drafting *d)
{
    return d->elapsed_us;
}

int64_t drafting_patience_us(const struct drafting *d)
{
    int64_t most = proxy_settings(d->a->proxy)->draft_timeout_ms * 1000;
    double median = stats_ring_quantile(&d->member->call_us, 0.5);
    int64_t us = isnan(median) ? PATIENCE_UNKNOWN_US : (int64_t)(PATIENCE_TIMES * median);
    if (us < PATIENCE_LEAST_US)
        us = PATIENCE_LEAST_US;
    return us < most ? us : most;
}
