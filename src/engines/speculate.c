/* The round: draft, verify, emit.  An explicit state machine over token ids.
 *
 * The path (prompt and every token so far) is the only truth; servers are told of it again whenever they lost
 * something. The target draws every token itself, so whatever the drafter does, and wherever an answer is broken off
 * and taken up again, the tokens are those that the target alone would have drawn. */
#include "engines/speculate.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "engines/path.h"

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

void spec_change_state(struct speculation *s, enum spec_state to)
{
    if ((may_follow[s->state] & 1u << to) == 0) {
        log_error("request %llu: no way from state %d to %d", (unsigned long long)s->a->id, s->state, to);
        abort();
    }
    s->state = to;
    if (to != SPEC_LOST)
        s->a->lost_us = 0;
    s->a->state = to == SPEC_RENDER || (to == SPEC_VERIFY && s->sent < s->path.prompt_len) ? REQUEST_PREFILL
                  : to == SPEC_LOST                                                        ? REQUEST_WAITING
                                                                                           : REQUEST_RUNNING;
}

/* ---- the target went away ---- */

void spec_await(struct speculation *s, const char *why)
{
    struct proxy_answer *a = s->a;
    int64_t since = a->lost_us != 0 ? a->lost_us : clock_us();
    if (a->lost_us == 0)
        log_warn("request %llu: the target was lost after %lld tokens and is waited for: %s", (unsigned long long)a->id,
                 (long long)a->tokens, why);
    s->sent = 0;
    s->verdict_us = 0;
    spec_change_state(s, SPEC_LOST);
    a->lost_us = since; /* the proxy watches how long */
}

void spec_lose(struct speculation *s, const struct backend_status *st)
{
    struct proxy_answer *a = s->a;
    if (st->error == BACKEND_REFUSED || st->error == BACKEND_UNSUPPORTED || st->error == BACKEND_TOO_LONG) {
        proxy_answer_fail_backend(a, st);
        return;
    }
    spec_await(s, st->message);
    member_failed(a->target, st); /* tells everybody who uses it */
}

/* ---- the prompt ---- */

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
        spec_lose(s, st);
    else if (path_begin(&s->path, s->a, prompt, n_prompt))
        spec_step(s);
}

static void render(struct speculation *s)
{
    struct proxy_answer *a = s->a;
    struct backend *b = a->target->backend;
    spec_change_state(s, SPEC_RENDER);
    if (a->req.chat || a->req.prompt != NULL) {
        s->call = backend_session_start(b, &a->req.sampling, a->req.messages, a->req.prompt,
                                        a->req.prompt != NULL ? strlen(a->req.prompt) : 0, on_prompt, s);
        return;
    }
    s->session = backend_session_open(b, &a->req.sampling, a->req.n_prompt_tokens);
    if (path_begin(&s->path, s->a, a->req.prompt_tokens, a->req.n_prompt_tokens))
        spec_step(s);
}

/* ---- the runner ---- */

static struct speculation *create(struct proxy_answer *a)
{
    struct speculation *s = xcalloc(1, sizeof(*s));
    s->a = a;
    s->state = SPEC_LOST;
    s->patience = evtimer_new(proxy_base(a->proxy), spec_on_impatient, s);
    s->team = team_create(a, spec_on_news, s);
    a->run = s;
    return s;
}

static void spec_start(struct proxy_answer *a)
{
    render(create(a));
}

/* What the answer has already becomes a part of its path.  Which token has which bytes is not known, and nobody asks:
 * all text comes with the last one.  True while the answer is open. */
static bool keep(struct speculation *s, const int32_t *tokens, size_t n, const char *text, size_t len)
{
    struct proxy_answer *a = s->a;
    for (size_t i = 0; i < n; i++) {
        bool last = i + 1 == n;
        path_push(&s->path, tokens[i]);
        (void)answer_feed(a->text, last ? text : "", last ? len : 0, false);
    }
    if (answer_state(a->text) == ANSWER_OPEN && path_is_full(&s->path))
        answer_cut(a->text);
    a->tokens += (int64_t)n;
    proxy_count_tokens(a, n);
    size_t n_text;
    const char *shown = answer_take(a->text, &n_text);
    if (n_text > 0 && !proxy_answer_tell_text(a, shown, n_text, NULL, NULL, 0))
        a->paused = true;
    return answer_state(a->text) == ANSWER_OPEN;
}

void speculate_from(struct proxy_answer *a, const int32_t *prompt, size_t n_prompt, const int32_t *tokens,
                    size_t n_kept, const char *kept, size_t len)
{
    struct speculation *s = create(a);
    a->runner = &speculate_runner;
    answer_destroy(a->text);
    a->text = NULL;
    s->session = backend_session_open(a->target->backend, &a->req.sampling, n_prompt);
    if (!path_begin(&s->path, s->a, prompt, n_prompt))
        return;
    /* Where the text would have to be cut nobody knows: the target writes all of it. */
    bool fits = (int64_t)n_kept <= a->req.max_tokens && (s->path.n_ctx == 0 || n_kept <= s->path.n_ctx - n_prompt);
    bool open = !fits || n_kept == 0 || keep(s, tokens, n_kept, kept, len);
    if (a->ended)
        return;
    if (open)
        spec_step(s);
    else
        spec_finish(s);
}

void speculate_go_on(struct proxy_answer *a, struct backend_session *session, const struct path *path)
{
    struct speculation *s = create(a);
    a->runner = &speculate_runner;
    a->voted = a->tokens;
    s->session = session;
    s->path = *path;
    spec_step(s);
}

static void spec_resume(struct proxy_answer *a)
{
    struct speculation *s = a->run;
    if (s->state == SPEC_PAUSED)
        spec_step(s);
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
                spec_step(s);
        }
        return;
    }
    if (team_drop(s->team, m, going, s->path.n)) {
        if (s->state == SPEC_DRAFT)
            spec_step(s);
    } else if (s->state == SPEC_GENERATE && team_is_empty(s->team) && s->call != NULL && spec_can_draft(s)) {
        /* A drafter came (back): the stream is broken off and turned into rounds. */
        backend_cancel(s->call);
        s->call = NULL;
        spec_step(s);
    }
}

static void spec_stop(struct proxy_answer *a)
{
    struct speculation *s = a->run;
    if (s == NULL)
        return;
    if (s->call != NULL)
        backend_cancel(s->call);
    team_destroy(s->team);
    quote_destroy(s->quote);
    backend_session_close(s->session);
    event_free(s->patience);
    free(s->path.tokens);
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
