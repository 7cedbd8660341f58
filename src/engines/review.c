#include "engines/review.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "engines/review-internal.h"

/* ---- the end ---- */

static void release(struct review *r)
{
    backend_cancel(r->call);
    backend_cancel(r->beside);
    backend_session_close(r->session);
    backend_session_close(r->asked);
    event_free(r->begin);
    free((char *)r->o.text);
    free((char *)r->o.prompt);
    free(r->request.list);
    free(r->answer.list);
    free(r->question.list);
    free(r->path.list);
    free(r->kept_text);
    free(r->probs);
    free(r->asked_about);
    buf_finish(&r->said);
    free(r);
}

static void call_back(struct review *r)
{
    struct review_result *result = &r->result;
    backend_cancel(r->call);
    backend_cancel(r->beside);
    r->call = r->beside = NULL;
    result->elapsed_us = clock_us() - r->started_us;
    if (r->has_request) {
        result->request_tokens = r->request.list;
        result->n_request_tokens = r->request.n;
    }
    r->cb(r->arg, result);
    release(r);
}

void review_conclude(struct review *r, enum verdict v, enum review_kind by, const char *why)
{
    r->result.error = BACKEND_OK;
    r->result.message = why;
    r->result.verdict = v;
    r->result.by = by;
    call_back(r);
}

void review_fail(struct review *r, enum review_kind by, const struct backend_status *st)
{
    if (st->error == BACKEND_REFUSED || st->error == BACKEND_UNSUPPORTED || st->error == BACKEND_TOO_LONG) {
        review_conclude(r, VERDICT_UNREADABLE, by, st->message);
        return;
    }
    r->marking = true;
    member_failed(r->o.verifier, st); /* tells everybody who uses it; one of them may cancel this review */
    r->marking = false;
    if (r->cancelled) {
        release(r);
        return;
    }
    r->result.error = st->error;
    r->result.message = st->message;
    r->result.verdict = VERDICT_UNREADABLE;
    r->result.by = by;
    call_back(r);
}

void review_cancel(struct review *r)
{
    if (r == NULL)
        return;
    if (r->marking)
        r->cancelled = true;
    else
        release(r);
}

/* ---- a beginning that is kept ---- */

static void ask_kept_text(struct review *r);

static bool worth_keeping(const struct review *r)
{
    return r->n_keep > 0 && (double)r->n_keep >= r->o.keep_share * (double)r->answer.n;
}

/* The tokens' text must be the beginning of the agent's: the client gets one, and the verifier goes on behind the
 * other.  (Some tokenizers put a blank before a text's first word.) */
static void on_kept_text(void *arg, const struct backend_status *st, const char *text, size_t len)
{
    struct review *r = arg;
    r->call = NULL;
    if (st->error != BACKEND_OK) {
        review_fail(r, r->result.by, st);
        return;
    }
    if (len > 0 && text[0] == ' ' && (r->o.len == 0 || r->o.text[0] != ' ')) {
        text++;
        len--;
    }
    if (len > r->o.len || memcmp(text, r->o.text, len) != 0) {
        review_conclude(r, VERDICT_REJECT, r->result.by, "the verifier's tokens have another text than the answer");
        return;
    }
    if (utf8_incomplete_tail(text, len) > 0 || !utf8_valid(text, len)) {
        r->n_keep--;
        ask_kept_text(r);
        return;
    }
    r->kept_text = xmemdup(len > 0 ? text : "", len > 0 ? len : 1);
    r->result.kept = r->answer.list;
    r->result.n_kept = r->n_keep;
    r->result.kept_text = r->kept_text;
    r->result.kept_len = len;
    review_conclude(r, VERDICT_CORRECT, r->result.by, r->why_keep);
}

static void ask_kept_text(struct review *r)
{
    if (!worth_keeping(r))
        review_conclude(r, VERDICT_REJECT, r->result.by, "too little of it can be kept");
    else
        r->call = backend_detokenize(r->o.verifier->backend, r->answer.list, r->n_keep, on_kept_text, r);
}

void review_keep(struct review *r, size_t n, enum review_kind by, const char *why)
{
    r->n_keep = n;
    r->why_keep = why;
    r->result.by = by;
    ask_kept_text(r);
}

/* ---- the beginning ---- */

void review_scored(struct review *r)
{
    r->scored = true;
    if (r->o.kind == REVIEW_BOTH)
        review_ask(r);
    else
        review_conclude(r, VERDICT_APPROVE, REVIEW_LIKELIHOOD, "");
}

static void begin(evutil_socket_t fd, short what, void *arg)
{
    struct review *r = arg;
    (void)fd;
    (void)what;
    r->o.kind = review_kind_for(r->o.verifier, r->o.kind);
    const char *why = review_cannot(r->o.verifier, r->o.kind);
    if (why != NULL)
        review_conclude(r, VERDICT_UNREADABLE, r->o.kind, why);
    else if (r->o.kind == REVIEW_PROMPT)
        review_ask(r);
    else
        review_score(r);
}

struct review *review_start(const struct review_opts *o, review_done_cb *cb, void *arg)
{
    struct review *r = xcalloc(1, sizeof(*r));
    r->o = *o;
    /* Programs differ in what they do with a blank before an answer and a line feed behind it.  A prompt's continuation
     * may well begin with one. */
    const char *text = o->request->chat ? review_trim(o->text, &r->o.len) : o->text;
    r->o.text = xstrndup(r->o.len > 0 ? text : "", r->o.len);
    r->o.prompt = xstrdup(o->prompt);
    r->cb = cb;
    r->arg = arg;
    r->started_us = clock_us();
    r->result.lowest = NAN;
    buf_init(&r->said, 1);
    r->begin = evtimer_new(o->verifier->base, begin, r);
    event_active(r->begin, EV_TIMEOUT, 0);
    return r;
}

/* ---- small things ---- */

void review_tokens_set(struct review_tokens *t, const int32_t *list, size_t n)
{
    t->n = 0;
    review_tokens_add(t, list, n);
}

void review_tokens_add(struct review_tokens *t, const int32_t *list, size_t n)
{
    t->list = xreallocarray(t->list, t->n + n + 1, sizeof(*t->list));
    if (n > 0)
        memcpy(t->list + t->n, list, n * sizeof(*list));
    t->n += n;
}

const char *review_trim(const char *text, size_t *len)
{
    static const char white[] = " \t\r\n";
    while (*len > 0 && memchr(white, *text, sizeof(white) - 1) != NULL) {
        text++;
        --*len;
    }
    while (*len > 0 && memchr(white, text[*len - 1], sizeof(white) - 1) != NULL)
        --*len;
    return text;
}

void review_words_finish(struct review_words *w)
{
    free(w->model);
    free(w->approve);
    *w = (struct review_words){0};
}

static bool can_score(const struct member *verifier)
{
    const struct backend_caps *caps = &verifier->backend->info.caps;
    return caps->score && caps->tokenize && caps->templated;
}

enum review_kind review_kind_for(const struct member *verifier, enum review_kind kind)
{
    if (kind != REVIEW_AUTO)
        return kind;
    return can_score(verifier) ? REVIEW_BOTH : REVIEW_PROMPT;
}

const char *review_cannot(const struct member *verifier, enum review_kind kind)
{
    kind = review_kind_for(verifier, kind);
    if (kind != REVIEW_PROMPT && !can_score(verifier))
        return "the verifier cannot say how likely given tokens are: a tightwad-node can";
    if (kind != REVIEW_LIKELIHOOD && !verifier->backend->info.caps.chat && !can_score(verifier))
        return "the verifier cannot be asked: it has no chat";
    return NULL;
}

static const char *const kind_names[] = {
    [REVIEW_AUTO] = "auto",
    [REVIEW_PROMPT] = "prompt",
    [REVIEW_LIKELIHOOD] = "likelihood",
    [REVIEW_BOTH] = "both",
};

const char *review_kind_name(enum review_kind kind)
{
    return (size_t)kind < ARRAY_LEN(kind_names) ? kind_names[kind] : "?";
}

enum review_kind review_kind_by_name(const char *name)
{
    for (size_t i = 0; name != NULL && i < ARRAY_LEN(kind_names); i++)
        if (strcmp(kind_names[i], name) == 0)
            return (enum review_kind)i;
    return REVIEW_AUTO;
}
