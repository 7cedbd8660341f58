/* The round: draft, verify, emit.  An explicit state machine over token ids.
 *
 * The path (prompt and every token so far) is the only truth; servers are told of it again whenever they lost
 * something. The target draws every token itself, so whatever the drafter does, and wherever an answer is broken off
 * and taken up again, the tokens are those that the target alone would have drawn. */
#include "engines/engine.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "engines/drafting.h"
#include "engines/quote.h"

enum spec_state {
    SPEC_RENDER,   /* the target turns the prompt into tokens */
    SPEC_DRAFT,    /* waiting for a draft; nothing else to do */
    SPEC_VERIFY,   /* the target checks a draft (an empty one while the prompt goes in) */
    SPEC_GENERATE, /* the target goes on alone, as a stream */
    SPEC_LOST,     /* the target is gone and waited for */
    SPEC_PAUSED,   /* the client reads too slowly: no new work is begun */
    SPEC_ENDED,
};

struct speculation {
    struct proxy_answer *a;
    enum spec_state state;
    struct backend_session *session; /* the target's */
    struct backend_call *call;       /* the target's: render, verify or generate */
    int32_t *path;                   /* prompt and output */
    size_t n_path, path_size, prompt_len;
    size_t n_ctx;                           /* tokens that path may reach; 0 unknown */
    size_t sent;                            /* tokens of path that the target has seen: for deadlines */
    struct drafting *drafting;              /* NULL: the target alone */
    struct quote *quote;                    /* the text itself as a drafter; NULL: none is configured */
    bool quoted;                            /* the draft under verification is a quote */
    struct event *patience;                 /* ends the waiting for a draft */
    bool impatient;                         /* generating while a draft is still under way */
    bool chosen;                            /* generating because it is faster than drafting */
    int64_t verdict_us;                     /* when the newest tokens came; 0: none since the answer was (re)started */
    size_t n_draft;                         /* tokens of the draft that is being checked */
    size_t branch_at[BACKEND_BRANCHES_MAX]; /* where its branches leave it */
    char drafter[64];                       /* who wrote it */
    int64_t wait_us;                        /* of the round: for its draft */
    double predicted_us;                    /* of the round, from the verdict before to its own; 0 unknown */
    int64_t wait_start_us;
    uint64_t rounds;
};

#define TO(state) (1u << (state))
/* Work may follow on work in any order: drafts go stale, streams are broken off.  The ends may not be left. */
enum { SPEC_WORK = TO(SPEC_DRAFT) | TO(SPEC_VERIFY) | TO(SPEC_GENERATE) };
static const unsigned may_follow[] = {
    [SPEC_RENDER] = TO(SPEC_VERIFY) | TO(SPEC_GENERATE) | TO(SPEC_LOST) | TO(SPEC_ENDED),
    [SPEC_DRAFT] = SPEC_WORK | TO(SPEC_LOST) | TO(SPEC_PAUSED) | TO(SPEC_ENDED),
    [SPEC_VERIFY] = SPEC_WORK | TO(SPEC_LOST) | TO(SPEC_PAUSED) | TO(SPEC_ENDED),
    [SPEC_GENERATE] = SPEC_WORK | TO(SPEC_LOST) | TO(SPEC_PAUSED) | TO(SPEC_ENDED),
    [SPEC_LOST] = SPEC_WORK | TO(SPEC_RENDER) | TO(SPEC_LOST) | TO(SPEC_PAUSED) | TO(SPEC_ENDED),
    [SPEC_PAUSED] = SPEC_WORK | TO(SPEC_LOST) | TO(SPEC_PAUSED) | TO(SPEC_ENDED),
    [SPEC_ENDED] = 0,
};
#undef TO

static void step(struct speculation *s);

static void change_state(struct speculation *s, enum spec_state to)
{
    if ((may_follow[s->state] & 1u << to) == 0) {
        log_error("request %llu: no way from state %d to %d", (unsigned long long)s->a->id, s->state, to);
        abort();
    }
    s->state = to;
    if (to != SPEC_LOST)
        s->a->lost_us = 0;
    s->a->state = to == SPEC_RENDER || (to == SPEC_VERIFY && s->sent < s->prompt_len) ? REQUEST_PREFILL
                  : to == SPEC_LOST                                                   ? REQUEST_WAITING
                                                                                      : REQUEST_RUNNING;
}

static void push_path(struct speculation *s, int32_t token)
{
    if (s->n_path == s->path_size) {
        s->path_size = s->path_size * 2 + 256;
        s->path = xreallocarray(s->path, s->path_size, sizeof(*s->path));
    }
    s->path[s->n_path++] = token;
}

/* ---- the target went away ---- */

static void wait_for_target(struct speculation *s, const char *why)
{
    struct proxy_answer *a = s->a;
    int64_t since = a->lost_us != 0 ? a->lost_us : clock_us();
    if (a->lost_us == 0)
        log_warn("request %llu: the target was lost after %lld tokens and is waited for: %s", (unsigned long long)a->id,
                 (long long)a->tokens, why);
    s->sent = 0;
    s->verdict_us = 0;
    change_state(s, SPEC_LOST);
    a->lost_us = since; /* the proxy watches how long */
}

static void lose_target(struct speculation *s, const struct backend_status *st)
{
    struct proxy_answer *a = s->a;
    if (st->error == BACKEND_REFUSED || st->error == BACKEND_UNSUPPORTED || st->error == BACKEND_TOO_LONG) {
        proxy_answer_fail_backend(a, st);
        return;
    }
    wait_for_target(s, st->message);
    member_failed(a->target, st); /* tells everybody who uses it */
}

/* ---- tokens arrive ---- */

enum { EMIT_MOST = 256 };

static const float DRAFT_P_MIN = 0.3f;
static const double QUOTE_NOW = 4; /* tokens: for so many one need not wait for a drafter */

static void fill_token(struct oai_token *to, const struct backend_token *from, struct oai_top *tops)
{
    *to = (struct oai_token){.id = from->id,
                             .piece = from->end ? "" : from->piece,
                             .len = from->end ? 0 : from->len,
                             .logprob = from->has_logprob ? from->logprob : NAN};
    for (size_t i = 0; i < from->n_top; i++)
        tops[i] = (struct oai_top){from->top[i].token, from->top_piece[i], from->top_len[i], from->top[i].logprob};
    to->top = tops;
    to->n_top = from->n_top;
}

/* Takes n tokens of the target, of which the first n_drafted were drafted.  True while the answer is open. */
static bool take_tokens(struct speculation *s, const struct backend_token *tokens, size_t n, size_t n_drafted)
{
    struct proxy_answer *a = s->a;
    struct oai_token out[EMIT_MOST];
    bool drafted[EMIT_MOST];
    size_t n_tops = 0, used = 0, first = 0;
    for (size_t i = 0; i < n; i++)
        n_tops += tokens[i].n_top;
    struct oai_top *tops = n_tops > 0 ? xcalloc(n_tops, sizeof(*tops)) : NULL;
    bool open = true, reads = true;
    for (size_t i = 0; i < n && open; i++) {
        push_path(s, tokens[i].id);
        fill_token(&out[i - first], &tokens[i], tops + used);
        used += tokens[i].n_top;
        drafted[i - first] = i < n_drafted;
        a->tokens++;
        open = answer_feed(a->text, tokens[i].piece, tokens[i].len, tokens[i].end) == ANSWER_OPEN;
        if (open && s->n_ctx != 0 && s->n_path >= s->n_ctx) {
            answer_cut(a->text);
            open = false;
        }
        size_t count = i - first + 1;
        if (!open || i + 1 == n || count == EMIT_MOST) {
            /* The token that ends generation has no text of its own and is not shown. */
            if (tokens[i].end)
                count--;
            size_t len;
            const char *text = answer_take(a->text, &len);
            if (len > 0 || count > 0)
                reads = proxy_answer_tell_text(a, text, len, out, drafted, count) && reads;
            first = i + 1;
        }
    }
    free(tops);
    proxy_count_tokens(a, n);
    if (!reads)
        a->paused = true;
    if (s->drafting != NULL)
        drafting_advance(s->drafting, s->n_path, tokens, n);
    return open;
}

static void finish(struct speculation *s)
{
    if (s->a->ended) /* the client went away while it was told of the last tokens */
        return;
    change_state(s, SPEC_ENDED);
    proxy_answer_done(s->a, (int64_t)s->prompt_len, answer_tokens(s->a->text), answer_state(s->a->text));
}

/* ---- verify ---- */

/* What a round says about the time of the next one.  round_us: since the verdict before, 0 unknown. */
static void measure(struct speculation *s, const struct backend_status *st, const struct backend_verdict *v,
                    double round_us)
{
    struct governor *g = proxy_governor(s->a->proxy);
    size_t emitted = v->accepted + 1;
    member_ok(s->a->target, st->elapsed_us, emitted);
    if (v->cold) /* paid once an answer, not by every round */
        return;
    if (v->read > 0)
        governor_saw_slots(g, s->n_draft, v->read, (double)st->elapsed_us);
    else
        governor_saw_verify(g, s->n_draft, s->n_draft * v->branches, (double)st->elapsed_us);
    if (round_us > 0 && !(s->quoted && (g->use_alone || s->drafting == NULL))) /* a quote speaks for no drafter */
        governor_saw_round(g, emitted, round_us, s->predicted_us);
}

static void count_round(struct speculation *s, const struct backend_status *st, const struct backend_verdict *v,
                        double round_us)
{
    struct proxy_answer *a = s->a;
    const struct backend_info *info = &a->target->backend->info;
    struct snapshot_round r = {.request = a->id,
                               .round = s->rounds,
                               .drafter = s->n_draft > 0 ? s->drafter : "",
                               .drafted = (uint32_t)s->n_draft,
                               .accepted = (uint32_t)v->accepted,
                               .emitted = (uint32_t)v->accepted + 1,
                               .draft_ms =
                                   s->drafting != NULL ? (double)drafting_elapsed_us(s->drafting) / 1000.0 : NAN,
                               .verify_ms = (double)st->elapsed_us / 1000.0,
                               .wait_ms = (double)s->wait_us / 1000.0,
                               .predicted_ms = s->predicted_us / 1000.0,
                               .round_ms = round_us / 1000.0};
    bool near = !info->batch_invariant && !isnan(v->margin) && !isnan(info->noise) && v->margin <= info->noise;
    if (s->n_draft > 0) {
        a->rounds++;
        a->drafted += (int64_t)s->n_draft;
        a->accepted += (int64_t)v->accepted;
        proxy_count_branches(a->proxy, v->branches, v->branch != 0);
    }
    struct member *quoter = s->quoted ? proxy_pick_quoter(a->proxy) : NULL;
    if (quoter != NULL) {
        quoter->drafted += s->n_draft;
        quoter->accepted += v->accepted;
    }
    if (s->n_draft > 0 && !s->quoted && s->drafting != NULL)
        drafting_result(s->drafting, v->branch != 0 ? s->branch_at[v->branch - 1] : v->accepted);
    proxy_count_round(a, &r, near);
}

static void on_verify(void *arg, const struct backend_status *st, const struct backend_verdict *v)
{
    struct speculation *s = arg;
    struct proxy_answer *a = s->a;
    s->call = NULL;
    if (a->ended)
        return;
    if (st->error != BACKEND_OK) {
        lose_target(s, st);
        return;
    }
    double round_us = s->verdict_us != 0 ? (double)(clock_us() - s->verdict_us) : 0;
    bool prefill = s->sent < s->prompt_len;
    if (!prefill)
        measure(s, st, v, round_us);
    else
        member_saw_prompt(a->target, st->elapsed_us, s->n_path - s->sent);
    s->verdict_us = clock_us();
    s->sent = s->n_path;
    s->rounds++;
    if (s->n_draft > 0 || (s->drafting != NULL && !prefill))
        count_round(s, st, v, round_us);
    s->wait_us = 0;
    if (take_tokens(s, v->tokens, v->accepted + 1, v->accepted))
        step(s);
    else
        finish(s);
}

static size_t room(const struct speculation *s)
{
    int64_t left = s->a->req.max_tokens - s->a->tokens;
    if (s->n_ctx != 0 && left > (int64_t)(s->n_ctx - s->n_path))
        left = (int64_t)(s->n_ctx - s->n_path);
    return left > 0 ? (size_t)left : 0;
}

static bool governed(const struct speculation *s)
{
    return proxy_settings(s->a->proxy)->governor;
}

/* The branches of the line that are worth their place in a pass that checks its first k tokens. */
static size_t choose_branches(struct speculation *s, size_t k, struct backend_branch *out)
{
    const struct config_proxy *settings = proxy_settings(s->a->proxy);
    const struct governor *g = proxy_governor(s->a->proxy);
    if (!governed(s) || k == 0 || s->quoted || !s->a->target->backend->info.caps.verify_branches)
        return 0;
    size_t most = settings->verify_branches == CONFIG_AUTO ? BACKEND_BRANCHES_MAX : (size_t)settings->verify_branches;
    const struct line *l = drafting_line(s->drafting);
    double worth[BACKEND_BRANCHES_MAX];
    size_t n = 0;
    for (size_t i = 0; i < l->n_branches; i++) {
        const struct line_branch *b = l->branch[i];
        size_t at = b->at - l->base;
        if (at >= k)
            continue;
        double reach = 1;
        for (size_t j = 0; j < at; j++)
            reach *= governor_chance(g, l->probs[j]);
        size_t len = b->n < k - at ? b->n : k - at;
        double w = governor_branch_worth(g, reach, (double)b->probs[0], b->probs + 1, len - 1, k);
        size_t place = n;
        while (place > 0 && worth[place - 1] < w)
            place--;
        if (w <= 0 || place >= most)
            continue;
        n = n < most ? n + 1 : most;
        memmove(&worth[place + 1], &worth[place], (n - place - 1) * sizeof(*worth));
        memmove(&out[place + 1], &out[place], (n - place - 1) * sizeof(*out));
        worth[place] = w;
        out[place] = (struct backend_branch){.at = at, .tokens = b->tokens, .n = len};
    }
    return n;
}

static void verify(struct speculation *s, const int32_t *draft, size_t n)
{
    struct proxy_answer *a = s->a;
    struct backend_branch branches[BACKEND_BRANCHES_MAX];
    struct backend_tree tree = {.draft = draft, .n_draft = n, .branches = branches};
    change_state(s, SPEC_VERIFY);
    s->n_draft = n;
    tree.n_branches = choose_branches(s, n, branches);
    for (size_t i = 0; i < tree.n_branches; i++)
        s->branch_at[i] = branches[i].at;
    struct governor *g = proxy_governor(a->proxy);
    double us = governor_verify_us(g, n, n * tree.n_branches);
    s->predicted_us = s->verdict_us == 0 || isnan(us) ? 0 : (double)(clock_us() - s->verdict_us) + us;
    const struct member *quoter = s->quoted ? proxy_pick_quoter(a->proxy) : NULL;
    if (n > 0) {
        snprintf(s->drafter, sizeof(s->drafter), "%s",
                 s->quoted ? (quoter != NULL ? quoter->name : "") : drafting_name(s->drafting));
        proxy_answer_drafted_by(a, s->drafter, s->quoted);
    }
    s->call = backend_verify_tree(s->session, s->path, s->n_path, &tree, a->req.logprobs,
                                  member_deadline_ms(a->target, s->n_path - s->sent), on_verify, s);
}

/* ---- the target alone ---- */

static double target_rtt_us(const struct speculation *s)
{
    double us = stats_ring_quantile(&s->a->target->rtt_us, 0.1);
    return isnan(us) ? 0 : us;
}

/* How many tokens the next draft may have. */
static size_t draft_room(const struct speculation *s)
{
    size_t left = room(s), cap = (size_t)proxy_draft_cap(s->a->proxy), fits = backend_verify_most(s->session);
    cap = cap < fits ? cap : fits;
    return left == 0 ? 0 : left - 1 < cap ? left - 1 : cap;
}

static bool may_draft(const struct speculation *s)
{
    const struct proxy_answer *a = s->a;
    const struct backend_caps *caps = &a->target->backend->info.caps;
    if (a->mode != PROXY_EXACT || !caps->verify || proxy_draft_cap(a->proxy) == 0)
        return false;
    return !caps->verify_greedy_only || a->req.sampling.temperature == 0;
}

/* Whether the text itself has something to say. */
static bool look_for_quote(struct speculation *s, size_t most)
{
    struct proxy *p = s->a->proxy;
    if (s->sent < s->prompt_len || most == 0 || !may_draft(s) || proxy_pick_quoter(p) == NULL)
        return false;
    if (s->quote == NULL)
        s->quote = quote_create(proxy_quotes(p), s->prompt_len);
    quote_look(s->quote, governed(s) ? proxy_governor(p) : NULL, s->path, s->n_path, most);
    return s->quote->n > 0;
}

/* Whether a pass for what the text promises is worth more than the target alone; streaming: than its stream, which goes
 * on.  Without the governor nobody asks what it costs. */
static bool quote_is_worth_it(struct speculation *s, bool streaming)
{
    return look_for_quote(s, draft_room(s)) &&
           quote_pays(s->quote, governed(s) ? proxy_governor(s->a->proxy) : NULL, streaming);
}

/* Whether the stream should be broken off and turned into rounds. */
static bool back_to_rounds(struct speculation *s)
{
    struct proxy *p = s->a->proxy;
    if (quote_is_worth_it(s, true))
        return true;
    if (s->drafting == NULL)
        return false;
    if (s->chosen)
        return !governor_prefers_alone(proxy_governor(p), target_rtt_us(s));
    return s->impatient && drafting_ready(s->drafting, s->path, s->n_path);
}

static bool on_tokens(void *arg, const struct backend_token *tokens, size_t n)
{
    struct speculation *s = arg;
    if (s->a->paused || s->a->ended)
        return false;
    int64_t now = clock_us();
    if (s->verdict_us != 0)
        governor_saw_alone(proxy_governor(s->a->proxy), n, (double)(now - s->verdict_us));
    if (s->verdict_us != 0)
        member_saw_gap(s->a->target, now - s->verdict_us);
    s->verdict_us = now;
    s->sent = s->n_path;
    bool open = take_tokens(s, tokens, n, 0);
    if (open && !back_to_rounds(s))
        return true;
    backend_cancel(s->call);
    s->call = NULL;
    if (open)
        step(s);
    else
        finish(s);
    return true;
}

static void on_generated(void *arg, const struct backend_status *st)
{
    struct speculation *s = arg;
    s->call = NULL;
    if (s->a->ended)
        return;
    if (st->error != BACKEND_OK && st->error != BACKEND_TOO_LONG) {
        lose_target(s, st);
        return;
    }
    /* All that was asked for came and the answer is still open: the context is full. */
    if (st->error == BACKEND_TOO_LONG || room(s) == 0) {
        answer_cut(s->a->text);
        size_t len;
        const char *text = answer_take(s->a->text, &len);
        if (len > 0)
            proxy_answer_tell_text(s->a, text, len, NULL, NULL, 0);
        finish(s);
        return;
    }
    step(s);
}

static void generate(struct speculation *s)
{
    struct proxy_answer *a = s->a;
    change_state(s, SPEC_GENERATE);
    s->verdict_us = 0; /* the trip to the target says nothing about how fast it writes */
    s->call = backend_generate(s->session, s->path, s->n_path, room(s), a->req.logprobs,
                               member_stream_deadline_ms(a->target, s->n_path - s->sent), on_tokens, on_generated, s);
}

/* ---- what to do next ---- */

static void on_news(void *arg)
{
    struct speculation *s = arg;
    if (s->state == SPEC_DRAFT && !s->a->ended)
        step(s);
    /* While the target goes on alone, its next tokens look for the draft. */
}

/* Waiting for the drafter does not pay any more: what is there is verified, or the target goes on alone meanwhile. */
static void on_impatient(evutil_socket_t fd, short what, void *arg)
{
    struct speculation *s = arg;
    if (s->state != SPEC_DRAFT || s->a->ended)
        return;
    s->impatient = true;
    proxy_count_fallback_round(s->a->proxy);
    step(s);
}

/* The drafter for the next round, or NULL for the target alone. */
static struct drafting *choose_drafter(struct speculation *s)
{
    struct proxy_answer *a = s->a;
    if (!may_draft(s))
        return NULL;
    if (s->drafting != NULL && drafting_usable(s->drafting, s->n_path))
        return s->drafting;
    drafting_destroy(s->drafting);
    s->drafting = NULL;
    struct member *m = proxy_pick_drafter(a->proxy);
    if (m == NULL)
        return NULL;
    s->drafting = drafting_create(a, m, s->prompt_len, on_news, s);
    if (!drafting_usable(s->drafting, s->n_path)) { /* its context is too short for this answer */
        drafting_destroy(s->drafting);
        s->drafting = NULL;
    }
    return s->drafting;
}

/* Waits for a draft that is under way, but not for a drafter that has fallen silent. */
static void wait_for_draft(struct speculation *s, struct drafting *d)
{
    if (s->state != SPEC_DRAFT)
        s->wait_start_us = clock_us();
    change_state(s, SPEC_DRAFT);
    int64_t heard = drafting_news_us(d) > s->wait_start_us ? drafting_news_us(d) : s->wait_start_us;
    int64_t us = drafting_patience_us(d) - (clock_us() - heard);
    if (us < 1000)
        us = 1000;
    struct timeval tv = {.tv_sec = us / 1000000, .tv_usec = us % 1000000};
    evtimer_add(s->patience, &tv);
}

/* The end of the wait for a draft, if there was one. */
static void begin_round(struct speculation *s, bool quoted, const int32_t *draft, size_t n)
{
    if (s->state == SPEC_DRAFT)
        s->wait_us = clock_us() - s->wait_start_us;
    s->impatient = false;
    s->quoted = quoted;
    verify(s, draft, n);
}

static void send_round(struct speculation *s, struct drafting *d, const int32_t *draft, size_t n, size_t most)
{
    begin_round(s, false, draft, n);
    drafting_sent(d, s->path, s->n_path, n, proxy_settings(s->a->proxy)->draft_ahead ? most : 0);
}

/* Without the governor a draft ends where the drafter itself doubts: what follows is seldom right. */
static size_t confident(const float *probs, size_t n)
{
    size_t k = 0;
    while (k < n && !(probs[k] < DRAFT_P_MIN))
        k++;
    return k;
}

static void send_quote(struct speculation *s)
{
    begin_round(s, true, s->quote->tokens, s->quote->n);
}

/* Whether the text itself promises more than the drafter's k tokens do, for which one would have to wait or not. */
static bool quote_is_better(struct speculation *s, const float *probs, size_t k, bool waits)
{
    const struct governor *g = proxy_governor(s->a->proxy);
    double chance = 1, hope = 0;
    for (size_t i = 0; i < k; i++) {
        chance *= governor_chance(g, probs[i]);
        hope += chance;
    }
    return s->quote->hope > (waits ? (hope > QUOTE_NOW ? hope : QUOTE_NOW) : hope + 1);
}

static void next_round(struct speculation *s, struct drafting *d, size_t most)
{
    struct governor *g = proxy_governor(s->a->proxy);
    const int32_t *draft;
    const float *probs;
    bool prefill = s->sent < s->prompt_len;
    size_t n = drafting_follow(d, s->path, s->n_path, most, &draft, &probs);
    bool more = drafting_busy(d) && n < most, waits = n == 0;
    size_t k = governed(s) ? governor_length(g, probs, n) : confident(probs, n);
    if (governed(s) && n > 0)
        waits = k == n && governor_waits(g, probs, n, drafting_next_us(d));
    else if (governed(s) && proxy_settings(s->a->proxy)->draft_ahead)
        waits = governor_waits_first(g, drafting_next_us(d));
    else if (n > 0)
        waits = k == n;
    bool quote = governed(s) && look_for_quote(s, most);
    if (prefill || most == 0) { /* both read the prompt at once */
        send_round(s, d, draft, n, most);
    } else if (quote && quote_is_better(s, probs, k, more && waits)) {
        send_quote(s);
    } else if (n == 0 && more && s->impatient) {
        s->chosen = false;
        generate(s);
    } else if (more && !s->impatient && waits) {
        wait_for_draft(s, d);
    } else {
        send_round(s, d, draft, k, most);
    }
}

static void alone(struct speculation *s, bool chosen)
{
    s->impatient = s->quoted = false;
    s->chosen = chosen;
    if (s->a->target->backend->info.caps.generate)
        generate(s);
    else
        verify(s, NULL, 0); /* a server that checks but does not stream: a token at a time */
}

static void step(struct speculation *s)
{
    struct proxy_answer *a = s->a;
    evtimer_del(s->patience);
    if (a->ended)
        return;
    if (a->paused) {
        change_state(s, SPEC_PAUSED);
        return;
    }
    if (!member_up(a->target)) {
        wait_for_target(s, a->target->reason);
        return;
    }
    size_t left = room(s);
    if (left == 0) { /* max_tokens 0, or a prompt that fills the context */
        answer_cut(a->text);
        finish(s);
        return;
    }
    struct drafting *d = choose_drafter(s);
    bool quoter = may_draft(s) && proxy_pick_quoter(a->proxy) != NULL;
    if (d == NULL && !quoter && a->mode == PROXY_EXACT && proxy_draft_cap(a->proxy) != 0 &&
        !proxy_settings(a->proxy)->fallback_on_draft_failure && a->target->backend->info.caps.verify) {
        proxy_answer_fail(a, 503, "server_error", "draft_unavailable",
                          "no drafter can be used, and fallback_on_draft_failure is off");
        return;
    }
    bool streams = a->target->backend->info.caps.generate;
    struct governor *g = proxy_governor(a->proxy);
    size_t most = draft_room(s);
    bool can = d != NULL && !(streams && backend_verify_most(s->session) == 0);
    if (can && !(governed(s) && streams && governor_prefers_alone(g, target_rtt_us(s))))
        next_round(s, d, most);
    else if (quote_is_worth_it(s, false))
        send_quote(s);
    else
        alone(s, can);
}

/* ---- the prompt ---- */

/* False when the prompt can't be served; the answer has failed then. */
static bool take_prompt(struct speculation *s, const int32_t *tokens, size_t n)
{
    struct proxy_answer *a = s->a;
    const struct backend_info *info = &a->target->backend->info;
    s->n_ctx = info->n_ctx > 0 ? (size_t)info->n_ctx : 0;
    if (n == 0) {
        proxy_answer_fail(a, 400, "invalid_request_error", NULL, "the prompt is empty");
        return false;
    }
    if (s->n_ctx != 0 && n >= s->n_ctx) {
        proxy_answer_fail(a, 400, "invalid_request_error", "context_length_exceeded",
                          "the prompt has %zu tokens, and the context of %s holds %zu", n, info->model, s->n_ctx);
        return false;
    }
    s->n_path = 0;
    for (size_t i = 0; i < n; i++) {
        if (tokens[i] < 0 || (info->n_vocab > 0 && tokens[i] >= info->n_vocab)) {
            proxy_answer_fail(a, 400, "invalid_request_error", "invalid_token",
                              "prompt: token %d is not in the vocabulary of %s (%d tokens)", (int)tokens[i],
                              info->model, (int)info->n_vocab);
            return false;
        }
        push_path(s, tokens[i]);
    }
    s->prompt_len = n;
    if (a->req.max_tokens < 0) {
        a->req.max_tokens = proxy_default_tokens(a->proxy);
        if (s->n_ctx != 0 && a->req.max_tokens > (int64_t)(s->n_ctx - n))
            a->req.max_tokens = (int64_t)(s->n_ctx - n);
    }
    a->text = answer_create((const char *const *)a->req.stops, a->req.n_stops, a->req.max_tokens);
    proxy_answer_tell_start(a, (int64_t)n);
    return true;
}

static void on_prompt(void *arg, const struct backend_status *st, struct backend_session *session,
                      const int32_t *prompt, size_t n_prompt)
{
    struct speculation *s = arg;
    struct proxy_answer *a = s->a;
    s->call = NULL;
    s->session = session;
    if (a->ended)
        return;
    if (st->error != BACKEND_OK)
        lose_target(s, st);
    else if (take_prompt(s, prompt, n_prompt))
        step(s);
}

static void render(struct speculation *s)
{
    struct proxy_answer *a = s->a;
    struct backend *b = a->target->backend;
    change_state(s, SPEC_RENDER);
    if (a->req.chat || a->req.prompt != NULL) {
        s->call = backend_session_start(b, &a->req.sampling, a->req.messages, a->req.prompt,
                                        a->req.prompt != NULL ? strlen(a->req.prompt) : 0, on_prompt, s);
        return;
    }
    s->session = backend_session_open(b, &a->req.sampling, a->req.n_prompt_tokens);
    if (take_prompt(s, a->req.prompt_tokens, a->req.n_prompt_tokens))
        step(s);
}

/* ---- the runner ---- */

static void spec_start(struct proxy_answer *a)
{
    struct speculation *s = xcalloc(1, sizeof(*s));
    s->a = a;
    s->state = SPEC_LOST;
    s->patience = evtimer_new(proxy_base(a->proxy), on_impatient, s);
    a->run = s;
    render(s);
}

static void spec_resume(struct proxy_answer *a)
{
    struct speculation *s = a->run;
    if (s->state == SPEC_PAUSED)
        step(s);
    else if (s->state == SPEC_GENERATE && s->call != NULL)
        backend_resume(s->call);
}

static void spec_member_changed(struct proxy_answer *a, struct member *m, bool going)
{
    struct speculation *s = a->run;
    if (m == a->target && going) { /* NAME@draft, and the drafter is removed */
        proxy_answer_fail(a, 503, "server_error", "draft_gone", "%s was removed", m->name);
        return;
    }
    if (m == a->target) {
        if (s->state == SPEC_LOST && member_up(m)) {
            log_info("request %llu: goes on after %lld tokens", (unsigned long long)a->id, (long long)a->tokens);
            proxy_count_resumed(a->proxy);
            if (a->text == NULL)
                render(s);
            else
                step(s);
        }
        return;
    }
    bool mine = s->drafting != NULL && drafting_member(s->drafting) == m;
    if (mine && (going || !drafting_usable(s->drafting, s->n_path))) {
        drafting_destroy(s->drafting);
        s->drafting = NULL;
        if (s->state == SPEC_DRAFT)
            step(s);
    } else if (s->state == SPEC_GENERATE && s->drafting == NULL && choose_drafter(s) != NULL && s->call != NULL) {
        /* A drafter came (back): the stream is broken off and turned into rounds. */
        backend_cancel(s->call);
        s->call = NULL;
        step(s);
    }
}

static void spec_stop(struct proxy_answer *a)
{
    struct speculation *s = a->run;
    if (s == NULL)
        return;
    if (s->call != NULL)
        backend_cancel(s->call);
    drafting_destroy(s->drafting);
    quote_destroy(s->quote);
    backend_session_close(s->session);
    event_free(s->patience);
    free(s->path);
    free(s);
    a->run = NULL;
}

const struct runner speculate_runner = {
    .name = "speculate",
    .start = spec_start,
    .resume = spec_resume,
    .member_changed = spec_member_changed,
    .stop = spec_stop,
};
