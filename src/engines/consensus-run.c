/* An answer by consensus: the drafters write on, what they agree on goes out, and where they do not the target is asked
 * from there.  An explicit state machine over token ids, as in speculate.c: the path (prompt and every token so far) is
 * the only truth.  The target reads what was emitted without it when it is next needed, in that one pass. */
#include "engines/consensus.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "engines/audit.h"
#include "engines/pieces.h"
#include "engines/path.h"
#include "engines/voters.h"

enum consensus_state {
    CONSENSUS_RENDER,  /* the target turns the prompt into tokens */
    CONSENSUS_COLLECT, /* the drafters are waited for */
    CONSENSUS_TEXTS,   /* the texts of tokens that were agreed on are asked for */
    CONSENSUS_TURN,    /* the target is needed, and still checks what went out earlier */
    CONSENSUS_VERIFY,  /* the target checks what the drafters do not agree on */
    CONSENSUS_LOST,    /* the target is needed, gone, and waited for */
    CONSENSUS_PAUSED,  /* the client reads too slowly: no new work is begun */
    CONSENSUS_ENDED,
};

struct consensus_run {
    struct proxy_answer *a;
    enum consensus_state state;
    struct backend_session *session; /* the target's */
    struct backend_call *call;       /* render, texts or verify */
    struct path path;
    size_t sent;            /* tokens of path that the target has seen: for deadlines */
    struct voters voters;   /* valid once the prompt is known */
    struct audit *audit;    /* the same */
    struct event *patience; /* ends the waiting for drafters */
    int64_t since_us;       /* when they were first waited for in this vote, 0: not yet */
    bool no_texts;          /* those that were asked for in this vote did not come */
    struct member *teller;  /* who was asked for texts */
    uint64_t window;        /* votes by which tokens went out without the target */
};

#define TO(state) (1u << (state))
enum {
    CONSENSUS_WORK = TO(CONSENSUS_COLLECT) | TO(CONSENSUS_TEXTS) | TO(CONSENSUS_TURN) | TO(CONSENSUS_VERIFY) |
                     TO(CONSENSUS_LOST) | TO(CONSENSUS_PAUSED) | TO(CONSENSUS_ENDED),
};
static const unsigned may_follow[] = {
    [CONSENSUS_RENDER] = CONSENSUS_WORK,
    [CONSENSUS_COLLECT] = CONSENSUS_WORK,
    [CONSENSUS_TEXTS] = CONSENSUS_WORK,
    [CONSENSUS_TURN] = CONSENSUS_WORK,
    [CONSENSUS_VERIFY] = CONSENSUS_WORK,
    [CONSENSUS_PAUSED] = CONSENSUS_WORK,
    [CONSENSUS_LOST] = CONSENSUS_WORK | TO(CONSENSUS_RENDER),
    [CONSENSUS_ENDED] = 0,
};
#undef TO

enum { LOOK_AGAIN_US = 250 * 1000 }; /* while the target is gone: whether the drafters can go on without it */

static void step(struct consensus_run *s);

static void change_state(struct consensus_run *s, enum consensus_state to)
{
    if ((may_follow[s->state] & 1u << to) == 0) {
        log_error("request %llu: no way from consensus state %d to %d", (unsigned long long)s->a->id, s->state, to);
        abort();
    }
    s->state = to;
    s->a->state = to == CONSENSUS_RENDER || s->path.n == s->path.prompt_len ? REQUEST_PREFILL : REQUEST_RUNNING;
    if (to == CONSENSUS_LOST || s->a->lost_us != 0)
        s->a->state = REQUEST_WAITING;
}

static void wake_after(struct consensus_run *s, int64_t us)
{
    struct timeval tv = {.tv_sec = us / 1000000, .tv_usec = us % 1000000};
    evtimer_add(s->patience, &tv);
}

static struct consensus *counts(struct consensus_run *s)
{
    return &s->a->proxy->consensus;
}

/* ---- the target went away ---- */

static void wait_for_target(struct consensus_run *s, const char *why)
{
    struct proxy_answer *a = s->a;
    if (a->lost_us == 0) {
        log_warn("request %llu: the target was lost after %lld tokens and is waited for: %s", (unsigned long long)a->id,
                 (long long)a->tokens, why);
        a->lost_us = clock_us(); /* the proxy watches how long */
    }
    s->sent = 0;
    change_state(s, CONSENSUS_LOST);
    if (a->text != NULL)
        wake_after(s, LOOK_AGAIN_US);
}

static void lose_target(struct consensus_run *s, const struct backend_status *st)
{
    struct proxy_answer *a = s->a;
    if (st->error == BACKEND_REFUSED || st->error == BACKEND_UNSUPPORTED || st->error == BACKEND_TOO_LONG) {
        proxy_answer_fail_backend(a, st);
        return;
    }
    wait_for_target(s, st->message);
    member_failed(a->target, st); /* tells everybody who uses it */
}

/* The answer goes on, or waits no more. */
static void found_again(struct consensus_run *s)
{
    if (s->a->lost_us == 0)
        return;
    s->a->lost_us = 0;
    log_info("request %llu: goes on after %lld tokens", (unsigned long long)s->a->id, (long long)s->a->tokens);
    proxy_count_resumed(s->a->proxy);
}

/* ---- tokens go out ---- */

/* Takes n tokens, of which the first n_drafted were drafted.  True while the answer is open. */
static bool take_tokens(struct consensus_run *s, const struct backend_token *tokens, size_t n, size_t n_drafted)
{
    struct proxy_answer *a = s->a;
    struct oai_token out[VOTE_WINDOW_MAX + 1];
    bool drafted[VOTE_WINDOW_MAX + 1], open = true;
    size_t taken = 0, shown = 0;
    while (taken < n && open) {
        const struct backend_token *t = &tokens[taken];
        path_push(&s->path, t->id);
        a->tokens++;
        if (!t->end) {
            drafted[shown] = taken < n_drafted;
            out[shown++] = (struct oai_token){.id = t->id, .piece = t->piece, .len = t->len, .logprob = NAN};
        }
        taken++;
        open = answer_feed(a->text, t->piece, t->len, t->end) == ANSWER_OPEN;
        if (open && path_is_full(&s->path)) {
            answer_cut(a->text);
            open = false;
        }
    }
    found_again(s);
    proxy_count_tokens(a, taken);
    voters_advance(&s->voters, s->path.n, tokens, taken);
    s->since_us = 0;
    s->no_texts = false;
    size_t len;
    const char *text = answer_take(a->text, &len);
    if ((len > 0 || shown > 0) && !proxy_answer_tell_text(a, text, len, out, drafted, shown))
        a->paused = true;
    return open;
}

static void finish(struct consensus_run *s)
{
    if (s->a->ended) /* the client went away while it was told of the last tokens */
        return;
    change_state(s, CONSENSUS_ENDED);
    proxy_answer_done(s->a, (int64_t)s->path.prompt_len, answer_tokens(s->a->text), answer_state(s->a->text));
}

/* ---- the target ---- */

static void on_verify(void *arg, const struct backend_status *st, const struct backend_verdict *v)
{
    struct consensus_run *s = arg;
    struct proxy_answer *a = s->a;
    s->call = NULL;
    if (a->ended)
        return;
    if (st->error != BACKEND_OK) {
        lose_target(s, st);
        return;
    }
    size_t n = v->accepted + 1;
    if (s->sent < s->path.prompt_len)
        member_saw_prompt(a->target, st->elapsed_us, s->path.n - s->sent);
    else
        member_ok(a->target, st->elapsed_us, n);
    s->sent = s->path.n;
    pieces_learn(counts(s)->pieces, v->tokens, n);
    counts(s)->target_passes++;
    size_t at = s->path.n;
    bool open = take_tokens(s, v->tokens, n, v->accepted);
    counts(s)->fallback += s->path.n - at;
    if (open)
        step(s);
    else
        finish(s);
}

/* The target says what comes now; draft: the best guess at it, begun by the drafter of that name. */
static void verify(struct consensus_run *s, const int32_t *draft, size_t n, const char *author)
{
    struct proxy_answer *a = s->a;
    size_t left = path_room(&s->path, s->a), fits = backend_verify_most(s->session);
    if (!member_up(a->target) || clock_us() < a->target->penalty_until_us) {
        wait_for_target(s, a->target->reason);
        return;
    }
    if (audit_busy(s->audit)) {
        change_state(s, CONSENSUS_TURN);
        return;
    }
    n = n < left ? n : left - 1;
    n = n < fits ? n : fits;
    found_again(s);
    change_state(s, CONSENSUS_VERIFY);
    counts(s)->windows++;
    voters_go_on(&s->voters, s->path.tokens, s->path.n, n + 1);
    if (n > 0)
        proxy_answer_drafted_by(a, author, false);
    s->call = backend_verify(s->session, s->path.tokens, s->path.n, draft, n, -1,
                             member_deadline_ms(a->target, s->path.n - s->sent), on_verify, s);
}

static void run_audit(struct consensus_run *s)
{
    if (s->call == NULL && member_up(s->a->target))
        audit_run(s->audit, s->session, s->path.tokens, s->sent);
}

static void on_audited(void *arg, const struct backend_status *st, size_t read)
{
    struct consensus_run *s = arg;
    bool lost = st->error == BACKEND_UNREACHABLE || st->error == BACKEND_TIMEOUT || st->error == BACKEND_BROKEN;
    if (s->a->ended)
        return;
    s->sent = read;
    if (lost)
        member_failed(s->a->target, st);
    if (s->a->ended)
        return;
    if (s->state == CONSENSUS_TURN)
        step(s);
    else if (st->error == BACKEND_OK)
        run_audit(s);
}

/* ---- the vote ---- */

/* Who can tell the texts of the target's tokens: itself, else a drafter with the very same vocabulary. */
static struct member *text_teller(const struct consensus_run *s)
{
    const struct proxy *p = s->a->proxy;
    struct member *target = s->a->target;
    const char *vocab = target->backend->info.fingerprint;
    if (member_up(target) && target->backend->ops->pieces != NULL)
        return target;
    for (size_t i = 0; i < p->n_drafters && !member_up(target) && vocab[0] != '\0'; i++) {
        struct member *m = p->drafter[i];
        if (member_up(m) && m->backend->ops->pieces != NULL && strcmp(m->backend->info.fingerprint, vocab) == 0)
            return m;
    }
    return NULL;
}

static void on_texts(void *arg, const struct backend_status *st, const struct backend_token *tokens, size_t n)
{
    struct consensus_run *s = arg;
    s->call = NULL;
    /* Who knows nothing new is not asked again for the same. */
    s->no_texts = pieces_learn(counts(s)->pieces, tokens, n) == 0 || st->error != BACKEND_OK;
    if (!s->a->ended)
        step(s);
}

/* Tokens of the first n of line whose text is known. */
static size_t known(struct consensus_run *s, const int32_t *line, size_t n, struct backend_token *out)
{
    const char *text;
    size_t len, i = 0;
    enum piece_kind kind;
    while (i < n && (kind = pieces_get(counts(s)->pieces, line[i], &text, &len)) != PIECE_UNKNOWN) {
        out[i] = (struct backend_token){.id = line[i], .piece = text, .len = len, .end = kind == PIECE_END};
        if (out[i++].end)
            break;
    }
    return i;
}

/* The rest of the agreed tokens has texts that are not known here.  True when they are asked for. */
static bool ask_texts(struct consensus_run *s, const int32_t *line, size_t n)
{
    struct member *m = s->no_texts || s->call != NULL ? NULL : text_teller(s);
    if (m == NULL)
        return false;
    change_state(s, CONSENSUS_TEXTS);
    s->teller = m;
    s->call = backend_pieces(m->backend, line, n, on_texts, s);
    return true;
}

/* What was agreed on goes out.  True while the answer is open. */
static bool emit(struct consensus_run *s, const struct backend_token *tokens, size_t n, bool whole)
{
    size_t at = s->path.n;
    struct consensus *c = counts(s);
    c->accepted += n;
    c->windows += whole;
    c->skipped += whole;
    int32_t ids[VOTE_WINDOW_MAX];
    for (size_t i = 0; i < n; i++)
        ids[i] = tokens[i].id;
    proxy_answer_drafted_by(s->a, voters_author(&s->voters, ids, n), false);
    bool open = take_tokens(s, tokens, n, n);
    /* An answer that ends within the window has no use for the rest, and it counts for nothing. */
    size_t used = s->path.n - at;
    c->accepted -= n - used;
    if (consensus_wants_audit(s->a->proxy, s->a->id, s->window++))
        audit_add(s->audit, at, used);
    run_audit(s);
    return open;
}

/* Holds a vote.  True when there is another one to be held at once. */
static bool vote(struct consensus_run *s)
{
    const struct config_proxy *settings = proxy_settings(s->a->proxy);
    struct vote_result r;
    struct backend_token tokens[VOTE_WINDOW_MAX];
    size_t left = path_room(&s->path, s->a), window = (size_t)settings->consensus_window;
    window = window < left ? window : left;
    if (s->since_us == 0)
        s->since_us = clock_us();
    int64_t wait = voters_collect(&s->voters, s->path.tokens, s->path.n, window, s->since_us);
    if (wait > 0) {
        change_state(s, s->a->lost_us != 0 ? CONSENSUS_LOST : CONSENSUS_COLLECT);
        wake_after(s, wait > 1000 ? wait : 1000);
        return false;
    }
    voters_vote(&s->voters, counts(s)->rule, window, &r);
    size_t n = known(s, r.line, r.agreed, tokens);
    bool all = n == r.agreed || (n > 0 && tokens[n - 1].end);
    if (!all && ask_texts(s, r.line, r.n_line))
        return false;
    bool ask = !all || r.agreed == 0 || (r.target && !r.outvoted);
    const char *author = r.n_line > n ? voters_author(&s->voters, r.line, n + 1) : "";
    if (n > 0 && !emit(s, tokens, n, !ask)) {
        finish(s);
        return false;
    }
    if (n > 0 && (!ask || s->a->paused || s->a->ended))
        return true;
    verify(s, r.line + n, r.n_line - n, author);
    return false;
}

/* The drafters are gone, or consensus is off meanwhile: the target writes the rest, exactly. */
static void hand_over(struct consensus_run *s)
{
    struct proxy_answer *a = s->a;
    log_info("request %llu: goes on exactly after %lld tokens: %s", (unsigned long long)a->id, (long long)a->tokens,
             consensus_goes_on(a->proxy) ? "no drafter is left" : "consensus is not in use any more");
    struct backend_session *session = s->session;
    struct path path = s->path;
    /* The audit gets a session and a path of its own. */
    s->session =
        audit_suspend(s->audit) ? backend_session_open(a->target->backend, &a->req.sampling, path.prompt_len) : NULL;
    s->path.tokens = s->session != NULL ? xmemdup(path.tokens, path.n * sizeof(*path.tokens)) : NULL;
    consensus_runner.stop(a);
    speculate_go_on(a, session, &path);
}

static void step(struct consensus_run *s)
{
    struct proxy_answer *a = s->a;
    bool again = true;
    while (again) {
        evtimer_del(s->patience);
        if (a->ended)
            return;
        if (a->paused) {
            change_state(s, CONSENSUS_PAUSED);
            return;
        }
        if (path_room(&s->path, s->a) == 0) { /* max_tokens 0, or a prompt that fills the context */
            answer_cut(a->text);
            finish(s);
            return;
        }
        if (!voters_muster(&s->voters, s->path.n) || !consensus_goes_on(a->proxy)) {
            hand_over(s);
            return;
        }
        again = vote(s);
    }
}

static void on_news(void *arg)
{
    struct consensus_run *s = arg;
    if (!s->a->ended && (s->state == CONSENSUS_COLLECT || s->state == CONSENSUS_LOST))
        step(s);
}

static void on_patience(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    on_news(arg);
}

/* ---- the prompt ---- */

static bool take_prompt(struct consensus_run *s, const int32_t *tokens, size_t n)
{
    struct proxy_answer *a = s->a;
    if (!path_begin(&s->path, a, tokens, n))
        return false;
    voters_init(&s->voters, a, n, on_news, s);
    s->audit = audit_create(a->proxy, a->target, on_audited, s);
    return true;
}

static void on_prompt(void *arg, const struct backend_status *st, struct backend_session *session,
                      const int32_t *prompt, size_t n_prompt)
{
    struct consensus_run *s = arg;
    s->call = NULL;
    s->session = session;
    if (s->a->ended)
        return;
    if (st->error != BACKEND_OK)
        lose_target(s, st);
    else if (take_prompt(s, prompt, n_prompt))
        step(s);
}

static void render(struct consensus_run *s)
{
    struct proxy_answer *a = s->a;
    struct backend *b = a->target->backend;
    found_again(s);
    change_state(s, CONSENSUS_RENDER);
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

static void consensus_start(struct proxy_answer *a)
{
    struct consensus_run *s = xcalloc(1, sizeof(*s));
    s->a = a;
    s->state = CONSENSUS_LOST;
    s->patience = evtimer_new(proxy_base(a->proxy), on_patience, s);
    a->run = s;
    pieces_set(counts(s)->pieces, &a->target->backend->info);
    render(s);
}

static void consensus_resume(struct proxy_answer *a)
{
    struct consensus_run *s = a->run;
    if (s->state == CONSENSUS_PAUSED)
        step(s);
}

static void target_changed(struct consensus_run *s)
{
    struct proxy_answer *a = s->a;
    if (!member_up(a->target))
        return;
    pieces_set(counts(s)->pieces, &a->target->backend->info);
    if (s->state == CONSENSUS_LOST && a->text == NULL)
        render(s);
    else if (s->state == CONSENSUS_LOST)
        step(s);
    else if (a->text != NULL)
        run_audit(s);
}

static void consensus_member_changed(struct proxy_answer *a, struct member *m, bool going)
{
    struct consensus_run *s = a->run;
    if (m == a->target) {
        target_changed(s);
        return;
    }
    if (a->text == NULL)
        return;
    if (going) {
        voters_drop(&s->voters, m);
        if (s->state == CONSENSUS_TEXTS && s->teller == m) {
            backend_cancel(s->call);
            s->call = NULL;
            s->no_texts = true;
            step(s);
            return;
        }
    }
    if (s->state == CONSENSUS_COLLECT || s->state == CONSENSUS_LOST)
        step(s);
}

static void consensus_stop(struct proxy_answer *a)
{
    struct consensus_run *s = a->run;
    if (s == NULL)
        return;
    if (s->call != NULL)
        backend_cancel(s->call);
    voters_finish(&s->voters);
    if (s->audit != NULL) {
        audit_leave(s->audit, s->session, s->path.tokens);
    } else {
        backend_session_close(s->session);
        free(s->path.tokens);
    }
    event_free(s->patience);
    free(s);
    a->run = NULL;
}

const struct runner consensus_runner = {
    .name = "consensus",
    .start = consensus_start,
    .resume = consensus_resume,
    .member_changed = consensus_member_changed,
    .stop = consensus_stop,
};
