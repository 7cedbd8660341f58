#include "engines/drafting.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "engines/governor.h"
#include "engines/line.h"

enum {
    PATIENCE_TIMES = 4, /* times the median draft */
    PATIENCE_LEAST_US = 50 * 1000,
    PATIENCE_UNKNOWN_US = 500 * 1000, /* before the first draft: its prompt must go in */
    CHUNK = 8,                        /* tokens a request, of drafters that do not stream: it can't be broken off */
    TEXT_MAX = 16 * 1024 * 1024,
    LEFT_MOST = 8,      /* streams that were left and are not over */
    BRANCH_TOKENS = 24, /* of one branch: by then it is known whether the path went there */
};

static const double USUAL_FADE = 0.9;

/* One request to the drafter.  A stream is left when another one takes its place: the next request of the session
 * supersedes it on the server.  What it still brings is taken where it fits. */
struct draft_call {
    struct drafting *d;
    struct backend_call *call;
    size_t at; /* position in the path of its first token */
    bool lost; /* it goes on from what the path did not become */
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
    struct line line;
    bool begun;   /* something was asked for */
    bool closed;  /* the drafter has nothing to add to the line */
    size_t asked; /* tokens of the line that the call under way was asked for */
    size_t got;   /* and that it has brought */
    size_t told;  /* length of the path when the drafter was last told of it */
    size_t asks;  /* requests so far */
    bool anew;    /* the newest one goes on from nothing that it had written */
    double usual; /* what is sent at a time: the fading largest */
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
    line_init(&d->line);
    return d;
}

/* What a server does not end by itself, though a newer request took its place, is ended. */
static void end_oldest(struct drafting *d)
{
    size_t n = 0;
    for (struct draft_call **at = &d->left; *at != NULL;) {
        struct draft_call *c = *at;
        if (++n <= LEFT_MOST) {
            at = &c->next;
            continue;
        }
        *at = c->next;
        backend_cancel(c->call);
        free(c);
    }
}

static void leave_stream(struct drafting *d)
{
    if (d->stream == NULL)
        return;
    d->stream->next = d->left;
    d->left = d->stream;
    d->stream = NULL;
    end_oldest(d);
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
    line_finish(&d->line);
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

static size_t drafter_room(const struct member *m, size_t n_path)
{
    int32_t n_ctx = m->backend->info.n_ctx;
    return n_ctx <= 0 ? SIZE_MAX : (size_t)n_ctx > n_path + 1 ? (size_t)n_ctx - n_path - 1 : 0;
}

bool drafting_possible(const struct member *m, const struct proxy_answer *a, size_t n_path)
{
    return member_can_draft(m, a->target) && drafter_room(m, n_path) > 0;
}

bool drafting_usable(const struct drafting *d, size_t n_path)
{
    return drafting_possible(d->member, d->a, n_path);
}

/* ---- tokens come ---- */

/* Writing ahead wants a stream: its tokens can be used before the last one is there. */
static bool streams(const struct drafting *d)
{
    return d->member->backend->info.caps.draft_stream && proxy_settings(d->a->proxy)->draft_ahead;
}

/* Preparing for corrections, which wants the drafter to hear of every verdict. */
static bool wants_branches(const struct drafting *d)
{
    const struct config_proxy *settings = proxy_settings(d->a->proxy);
    return streams(d) && settings->governor && settings->draft_branches &&
           d->member->backend->info.caps.draft_branches && d->a->runner == &speculate_runner; /* no vote is on them */
}

/* So many tokens have come, in so many microseconds (below 0: that says nothing of the drafter's pace). */
static void count_drawn(struct drafting *d, size_t n, double us)
{
    if (us >= 0)
        governor_saw_draft(&d->member->record, n, us);
    d->member->drawn += n;
    proxy_count_drawn(d->a->proxy, n);
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
        line_reset(&d->line, d->line.base);
    } else if (d->got < d->asked) {
        d->closed = true;
    }
    d->on_news(d->arg);
}

/* The drafter's pace, from what the newest stream brings. */
static void measure(struct drafting *d, size_t n)
{
    int64_t now = clock_us();
    bool first = d->news_us == d->begun_us;
    if (first && d->anew && d->asks > 1) /* before its first token of all it had to read the prompt */
        stats_ring_add(&d->member->first_us, (double)(now - d->begun_us));
    count_drawn(d, n, first ? -1 : (double)(now - d->news_us));
    d->news_us = now;
}

static void on_stream(void *arg, const struct backend_drafted *drafted)
{
    struct draft_call *c = arg;
    struct drafting *d = c->d;
    if (c->lost)
        return;
    if (c == d->stream)
        measure(d, drafted->n);
    size_t had = d->line.n;
    for (size_t i = 0; i < drafted->n; i++) {
        int32_t token = drafted->tokens[i];
        float prob = drafted->probs[i];
        if (drafted->branch != 0)
            line_add_branch(&d->line, drafted->branch, drafted->at, drafted->index + i, token, prob);
        else if (c->at + drafted->index + i == d->line.base + d->line.n)
            line_add(&d->line, token, prob);
    }
    if (c == d->stream && drafted->branch == 0)
        d->got += drafted->n;
    if (d->line.n > had)
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
        count_drawn(d, draft->n, (double)st->elapsed_us);
        for (size_t i = 0; i < draft->n && !d->stale; i++)
            line_add(&d->line, draft->tokens[i], draft->probs != NULL ? draft->probs[i] : NAN);
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
        line_add(&d->line, tokens[i], NAN);
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
    count_drawn(d, n, (double)st->elapsed_us);
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
    d->text_n_path = d->line.base;
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

static void ask_stream(struct drafting *d, const int32_t *all, size_t n_all, size_t n_path, size_t n)
{
    const struct config_proxy *settings = proxy_settings(d->a->proxy);
    struct backend_draft_ask line = {.n = n, .from = n_path, .first = n, .depth = BRANCH_TOKENS};
    if (wants_branches(d)) {
        size_t usual = d->usual > 0 ? (size_t)d->usual + 1 : BRANCH_TOKENS;
        line.branches = usual < LINE_BRANCHES / 2 ? usual : LINE_BRANCHES / 2;
        line.depth = 2 * usual < BRANCH_TOKENS ? 2 * usual : BRANCH_TOKENS;
        line.first = d->line.n == 0;
    }
    d->stream = xcalloc(1, sizeof(*d->stream));
    d->stream->d = d;
    d->stream->at = n_all;
    d->stream->call = backend_draft_stream(d->session, all, n_all, &line, (int)settings->draft_timeout_ms, on_stream,
                                           on_streamed, d->stream);
}

/* Asks for n more tokens behind path and the line that continues it. */
static void ask(struct drafting *d, const int32_t *path, size_t n_path, size_t n)
{
    const struct config_proxy *settings = proxy_settings(d->a->proxy);
    size_t rest = d->line.n, n_all = n_path + rest;
    d->begun = true;
    d->told = n_path;
    if (n > drafter_room(d->member, n_all))
        n = drafter_room(d->member, n_all);
    if (n == 0) {
        d->closed = true;
        return;
    }
    d->asked = n;
    d->got = 0;
    d->stale = false;
    d->asks++;
    d->anew = rest == 0;
    d->begun_us = d->news_us = clock_us();
    if (d->by_text) {
        begin_text(d, path, n_path);
        return;
    }
    int32_t *all = xmalloc(n_all * sizeof(*all));
    memcpy(all, path, n_path * sizeof(*all));
    if (rest > 0)
        memcpy(all + n_path, d->line.tokens, rest * sizeof(*all));
    if (streams(d)) {
        ask_stream(d, all, n_all, n_path, n);
    } else {
        d->asked = settings->draft_ahead && n > CHUNK ? CHUNK : n;
        d->call = backend_draft(d->session, all, n_all, d->asked, 0.0f, (int)settings->draft_timeout_ms, on_chunk, d);
    }
    free(all);
}

/* What the drafter was sure of, against what the target said: for the branches that the path came by. */
static void judge_branches(struct drafting *d, const int32_t *path, size_t n_path)
{
    size_t reached = d->line.base + line_same(&d->line, path, n_path);
    for (size_t i = 0; i < d->line.n_branches; i++) {
        const struct line_branch *b = d->line.branch[i];
        if (b->at <= reached && b->at < n_path)
            governor_saw_branch(&d->member->record, (double)b->probs[0], b->tokens[0] == path[b->at]);
    }
}

/* The path left the line: what is on its way is of no use.  A request that can't be superseded is left to end by
 * itself, and awaited. */
static void leave(struct drafting *d)
{
    leave_stream(d);
    for (struct draft_call *c = d->left; c != NULL; c = c->next)
        c->lost = true;
    d->closed = false;
    d->stale = d->call != NULL;
}

/* How many tokens the line should have: the next draft and, for who writes ahead, another one. */
static size_t worth_having(const struct drafting *d, size_t most)
{
    if (!streams(d))
        return most;
    size_t usual = proxy_settings(d->a->proxy)->governor && d->usual > 0 ? (size_t)d->usual + 1 : most;
    return 2 * (usual < most ? usual : most);
}

size_t drafting_follow(struct drafting *d, const int32_t *path, size_t n_path, size_t most, const int32_t **tokens,
                       const float **probs)
{
    size_t reach = worth_having(d, most), before = d->line.base;
    bool was_stale = d->stale;
    if (d->begun && !was_stale)
        judge_branches(d, path, n_path);
    enum line_match match = d->begun ? line_follow(&d->line, path, n_path) : LINE_LOST;
    if (!d->begun)
        line_reset(&d->line, n_path);
    bool spent = d->closed && d->line.n == 0 && n_path > before;
    if (streams(d) && n_path > before && d->begun)
        proxy_count_ahead(d->a->proxy, match, d->line.n);
    if (match == LINE_GOES_ON && !was_stale && !spent) {
        /* It hears how far the path has come, and leaves the branches that are behind; what is on its way comes again.
         */
        bool hears = d->told < n_path && wants_branches(d);
        if (hears)
            leave_stream(d);
        if (!drafting_busy(d) && !d->closed && (d->line.n < reach || hears))
            ask(d, path, n_path, d->line.n < reach ? reach - d->line.n : 1);
    } else {
        leave(d);
        if (d->call == NULL)
            ask(d, path, n_path, d->line.n < reach ? reach - d->line.n : 1);
    }
    *tokens = d->line.tokens;
    *probs = d->line.probs;
    return d->line.n < most ? d->line.n : most;
}

bool drafting_ready(const struct drafting *d, const int32_t *path, size_t n_path)
{
    return !drafting_busy(d) || (d->line.base <= n_path && d->line.base + d->line.n > n_path &&
                                 line_same(&d->line, path, n_path) == n_path - d->line.base);
}

bool drafting_busy(const struct drafting *d)
{
    return d->call != NULL || d->stream != NULL;
}

const struct line *drafting_line(const struct drafting *d)
{
    return &d->line;
}

double drafting_next_us(const struct drafting *d)
{
    double each = d->member->record.draft_us;
    if (!d->anew || d->news_us != d->begun_us)
        return each;
    double us = stats_ring_quantile(&d->member->first_us, 0.5) - (double)(clock_us() - d->begun_us);
    return us > each ? us : each; /* also where nothing is known: us is NAN then */
}

int64_t drafting_news_us(const struct drafting *d)
{
    return d->news_us;
}

void drafting_sent(struct drafting *d, const int32_t *path, size_t n_path, size_t n, size_t ahead)
{
    d->usual = (double)n > d->usual ? (double)n : USUAL_FADE * d->usual + (1 - USUAL_FADE) * (double)n;
    size_t rest = d->line.n - n;
    if (!drafting_busy(d) && !d->closed && rest < ahead && !d->by_text)
        ask(d, path, n_path, ahead - rest);
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
