/* What an answer does next: a round, the target alone, or waiting. */
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "engines/speculate.h"

static const double QUOTE_NOW = 4; /* tokens: for so many one need not wait for a drafter */

bool spec_governed(const struct speculation *s)
{
    return proxy_settings(s->a->proxy)->governor;
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
    size_t left = path_room(&s->path, s->a), cap = (size_t)proxy_draft_cap(s->a->proxy),
           fits = backend_verify_most(s->session);
    cap = cap < fits ? cap : fits;
    return left == 0 ? 0 : left - 1 < cap ? left - 1 : cap;
}

static bool may_draft(const struct speculation *s)
{
    const struct proxy_answer *a = s->a;
    const struct backend_caps *caps = &a->target->backend->info.caps;
    if (a->mode == PROXY_TARGET || !proxy_is_target(a->proxy, a->target) || !caps->verify ||
        proxy_draft_cap(a->proxy) == 0)
        return false;
    return !caps->verify_greedy_only || a->req.sampling.temperature == 0;
}

/* Whether the text itself has something to say. */
static bool look_for_quote(struct speculation *s, size_t most)
{
    struct proxy *p = s->a->proxy;
    if (s->sent < s->path.prompt_len || most == 0 || !may_draft(s) || proxy_pick_quoter(p) == NULL)
        return false;
    if (s->quote == NULL)
        s->quote = quote_create(proxy_quotes(p), s->path.prompt_len);
    quote_look(s->quote, spec_governed(s) ? proxy_governor(p) : NULL, s->path.tokens, s->path.n, most);
    return s->quote->n > 0;
}

/* Whether a pass for what the text promises is worth more than the target alone; streaming: than its stream, which goes
 * on.  Without the governor nobody asks what it costs. */
static bool quote_is_worth_it(struct speculation *s, bool streaming)
{
    return look_for_quote(s, draft_room(s)) &&
           quote_pays(s->quote, spec_governed(s) ? proxy_governor(s->a->proxy) : NULL, streaming);
}

/* Whether the stream should be broken off and turned into rounds. */
static bool back_to_rounds(struct speculation *s)
{
    struct proxy *p = s->a->proxy;
    if (quote_is_worth_it(s, true))
        return true;
    if (team_is_empty(s->team))
        return false;
    if (s->chosen)
        return !governor_prefers_alone(proxy_governor(p), target_rtt_us(s));
    return s->impatient && team_ready(s->team, s->path.tokens, s->path.n);
}

static bool on_tokens(void *arg, const struct backend_token *tokens, size_t n)
{
    struct speculation *s = arg;
    if (s->a->paused || s->a->ended)
        return false;
    int64_t now = clock_us();
    if (s->verdict_us != 0 && proxy_is_target(s->a->proxy, s->a->target))
        governor_saw_alone(proxy_governor(s->a->proxy), n, (double)(now - s->verdict_us));
    if (s->verdict_us != 0)
        member_saw_gap(s->a->target, now - s->verdict_us);
    s->verdict_us = now;
    s->sent = s->path.n;
    bool open = spec_take(s, tokens, n, 0);
    if (open && !back_to_rounds(s))
        return true;
    backend_cancel(s->call);
    s->call = NULL;
    if (open)
        spec_step(s);
    else
        spec_finish(s);
    return true;
}

static void on_generated(void *arg, const struct backend_status *st)
{
    struct speculation *s = arg;
    s->call = NULL;
    if (s->a->ended)
        return;
    if (st->error != BACKEND_OK && st->error != BACKEND_TOO_LONG) {
        spec_lose(s, st);
        return;
    }
    /* All that was asked for came and the answer is still open: the context is full. */
    if (st->error == BACKEND_TOO_LONG || path_room(&s->path, s->a) == 0) {
        answer_cut(s->a->text);
        size_t len;
        const char *text = answer_take(s->a->text, &len);
        if (len > 0)
            proxy_answer_tell_text(s->a, text, len, NULL, NULL, 0);
        spec_finish(s);
        return;
    }
    spec_step(s);
}

static void generate(struct speculation *s)
{
    struct proxy_answer *a = s->a;
    spec_change_state(s, SPEC_GENERATE);
    s->verdict_us = 0; /* the trip to the target says nothing about how fast it writes */
    s->call = backend_generate(s->session, s->path.tokens, s->path.n, path_room(&s->path, s->a), a->req.logprobs,
                               member_stream_deadline_ms(a->target, s->path.n - s->sent), on_tokens, on_generated, s);
}

/* ---- what to do next ---- */

void spec_on_news(void *arg)
{
    struct speculation *s = arg;
    if (s->state == SPEC_DRAFT && !s->a->ended)
        spec_step(s);
    /* While the target goes on alone, its next tokens look for the draft. */
}

/* Waiting for the drafter does not pay any more: what is there is verified, or the target goes on alone meanwhile. */
void spec_on_impatient(evutil_socket_t fd, short what, void *arg)
{
    struct speculation *s = arg;
    if (s->state != SPEC_DRAFT || s->a->ended)
        return;
    s->impatient = team_expire(s->team, s->wait_start_us);
    if (s->impatient)
        proxy_count_fallback_round(s->a->proxy);
    spec_step(s);
}

bool spec_can_draft(struct speculation *s)
{
    return may_draft(s) && team_gather(s->team, s->path.n, s->path.prompt_len);
}

/* Waits for drafts that are under way, but not for a drafter that has fallen silent. */
static void wait_for_draft(struct speculation *s)
{
    if (s->state != SPEC_DRAFT)
        s->wait_start_us = clock_us();
    spec_change_state(s, SPEC_DRAFT);
    int64_t us = team_patience_us(s->team, s->wait_start_us);
    struct timeval tv = {.tv_sec = us / 1000000, .tv_usec = us % 1000000};
    evtimer_add(s->patience, &tv);
}

/* The end of the wait for a draft, if there was one. */
static void begin_round(struct speculation *s, bool quoted, const struct backend_tree *tree)
{
    if (s->state == SPEC_DRAFT)
        s->wait_us = clock_us() - s->wait_start_us;
    s->impatient = false;
    s->quoted = quoted;
    spec_verify(s, tree);
}

/* whole: all of the line and nothing else, while the target reads the prompt. */
static void send_drafts(struct speculation *s, bool whole)
{
    struct backend_branch branches[BACKEND_BRANCHES_MAX];
    struct backend_tree tree = {.branches = branches};
    tree.draft = team_line(s->team, &tree.n_draft);
    if (!whole) {
        tree.n_draft = team_length(s->team);
        tree.n_branches = team_branches(s->team, branches);
    }
    begin_round(s, false, &tree);
    team_sent(s->team, s->path.tokens, s->path.n, tree.n_draft, branches, tree.n_branches);
}

static void send_quote(struct speculation *s)
{
    begin_round(s, true, &(struct backend_tree){.draft = s->quote->tokens, .n_draft = s->quote->n});
}

/* Whether the text itself promises more than the drafters do, for whom one would have to wait or not. */
static bool quote_is_better(const struct speculation *s, bool waits)
{
    double hope = team_hope(s->team);
    return s->quote->hope > (waits ? (hope > QUOTE_NOW ? hope : QUOTE_NOW) : hope + 1);
}

static void next_round(struct speculation *s, size_t most)
{
    bool prefill = s->sent < s->path.prompt_len;
    team_follow(s->team, s->path.tokens, s->path.n, most);
    bool more = team_busy(s->team), waits = more && team_waits(s->team);
    bool quote = spec_governed(s) && look_for_quote(s, most);
    size_t n;
    (void)team_line(s->team, &n);
    if (prefill || most == 0) { /* all read the prompt at once */
        send_drafts(s, true);
    } else if (quote && quote_is_better(s, waits)) {
        send_quote(s);
    } else if (n == 0 && more && s->impatient) {
        s->chosen = false;
        generate(s);
    } else if (waits && !s->impatient) {
        wait_for_draft(s);
    } else {
        send_drafts(s, false);
    }
}

static void alone(struct speculation *s, bool chosen)
{
    s->impatient = s->quoted = false;
    s->chosen = chosen;
    if (s->a->target->backend->info.caps.generate)
        generate(s);
    else
        spec_verify(s, NULL); /* a server that checks but does not stream: a token at a time */
}

void spec_step(struct speculation *s)
{
    struct proxy_answer *a = s->a;
    evtimer_del(s->patience);
    if (a->ended)
        return;
    if (a->paused) {
        spec_change_state(s, SPEC_PAUSED);
        return;
    }
    if (!member_up(a->target)) {
        spec_await(s, a->target->reason);
        return;
    }
    size_t left = path_room(&s->path, s->a);
    if (left == 0) { /* max_tokens 0, or a prompt that fills the context */
        answer_cut(a->text);
        spec_finish(s);
        return;
    }
    bool drafts = spec_can_draft(s);
    bool quoter = may_draft(s) && proxy_pick_quoter(a->proxy) != NULL;
    if (!drafts && !quoter && a->mode != PROXY_TARGET && proxy_is_target(a->proxy, a->target) &&
        proxy_draft_cap(a->proxy) != 0 && !proxy_settings(a->proxy)->fallback_on_draft_failure &&
        a->target->backend->info.caps.verify) {
        proxy_answer_fail(a, 503, "server_error", "draft_unavailable",
                          "no drafter can be used, and fallback_on_draft_failure is off");
        return;
    }
    bool streams = a->target->backend->info.caps.generate;
    struct governor *g = proxy_governor(a->proxy);
    size_t most = draft_room(s);
    bool can = drafts && !(streams && backend_verify_most(s->session) == 0);
    if (can && !(spec_governed(s) && streams && governor_prefers_alone(g, target_rtt_us(s))))
        next_round(s, most);
    else if (quote_is_worth_it(s, false))
        send_quote(s);
    else
        alone(s, can);
}
