/* The review by prompt: the verifier is asked in words.  One that verifies is given APPROVE as a draft, so that what is
 * good costs one pass. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "engines/review-internal.h"

enum {
    SAID_TOKENS = 64, /* of a verdict, beside those of a correction as long as the answer */
    SAID_BYTES = 64,  /* a token may have, generously */
};

static const char approve[] = "APPROVE", correct[] = "CORRECT:";

/* ---- the verdict is there ---- */

/* Whether a correction, as far as it is known, is the agent's own text or its beginning; whole: nothing may be missing.
 */
static bool is_the_answer(const struct review *r, const char *text, size_t len, bool whole)
{
    size_t own_len = r->o.len;
    const char *own = review_trim(r->o.text, &own_len);
    return (whole ? own_len == len : own_len >= len) && memcmp(own, text, len) == 0;
}

/* Likelihood has approved and the prompt does not: what of the answer is the verifier's own anyway is kept. */
static void dispute(struct review *r, enum verdict v)
{
    if (r->own > 0)
        review_keep(r, r->own, REVIEW_PROMPT, "likelihood approves, the prompt does not");
    else
        review_conclude(r, v == VERDICT_CORRECT ? VERDICT_REJECT : v, REVIEW_PROMPT,
                        "likelihood approves, the prompt does not");
}

static void take_verdict(struct review *r)
{
    size_t at, len;
    enum verdict v = verdict_parse(r->said.data, r->said.len, &at, &len);
    if (!r->said_all && v != VERDICT_REJECT)
        v = VERDICT_UNREADABLE;
    r->result.said = r->said.data;
    r->result.said_len = r->said.len;
    if (v == VERDICT_CORRECT && is_the_answer(r, r->said.data + at, len, true)) {
        review_conclude(r, VERDICT_APPROVE, r->scored ? REVIEW_BOTH : REVIEW_PROMPT,
                        "the correction is the answer itself");
    } else if (v == VERDICT_APPROVE) {
        review_conclude(r, v, r->scored ? REVIEW_BOTH : REVIEW_PROMPT, "");
    } else if (r->scored) {
        dispute(r, v);
    } else {
        if (v == VERDICT_CORRECT) {
            r->result.correction = r->said.data + at;
            r->result.correction_len = len;
        }
        review_conclude(r, v, REVIEW_PROMPT,
                        v != VERDICT_UNREADABLE ? ""
                        : r->said_all           ? "the verdict is none"
                                                : "the verdict has no end");
    }
}

/* What was said until now decides already. */
static bool heard_enough(const struct review *r)
{
    size_t at, len;
    if (r->said_most == 0 || !verdict_open(r->said.data, r->said.len))
        return true;
    if (!r->scored || verdict_parse(r->said.data, r->said.len, &at, &len) != VERDICT_CORRECT)
        return false;
    return !is_the_answer(r, r->said.data + at, len, false);
}

static void on_said(void *arg, const struct backend_status *st)
{
    struct review *r = arg;
    r->call = NULL;
    if (st->error != BACKEND_OK && st->error != BACKEND_TOO_LONG) {
        review_fail(r, REVIEW_PROMPT, st);
        return;
    }
    take_verdict(r);
}

/* ---- a verifier that works on tokens ---- */

static void hear(struct review *r, const struct backend_token *t)
{
    if (t->end)
        r->said_all = true;
    else if (!r->said_all)
        buf_add(&r->said, t->piece, t->len);
}

static bool on_tokens(void *arg, const struct backend_token *tokens, size_t n)
{
    struct review *r = arg;
    r->result.tokens += (int64_t)n;
    for (size_t i = 0; i < n; i++)
        hear(r, &tokens[i]);
    if (!r->said_all && heard_enough(r)) {
        backend_cancel(r->call);
        r->call = NULL;
        take_verdict(r);
    }
    return true;
}

/* What it says, as far as a verify has told it. */
static void hear_verify(struct review *r, const struct backend_status *st, const struct backend_verdict *v)
{
    member_ok(r->o.verifier, st->elapsed_us, 0);
    r->result.passes++;
    buf_clear(&r->said);
    review_tokens_set(&r->path, r->question.list, r->question.n);
    for (size_t i = 0; i <= v->accepted; i++) {
        hear(r, &v->tokens[i]);
        review_tokens_add(&r->path, &v->tokens[i].id, 1);
    }
}

/* The rest of the verdict, unless what was said decides. */
static void hear_on(struct review *r)
{
    if (r->said_all || heard_enough(r))
        take_verdict(r);
    else
        r->call = backend_generate(r->asked, r->path.list, r->path.n, r->said_most, -1,
                                   member_stream_deadline_ms(r->o.verifier, r->path.n), on_tokens, on_said, r);
}

static void on_same(void *arg, const struct backend_status *st, const struct backend_verdict *v)
{
    struct review *r = arg;
    r->call = NULL;
    if (st->error != BACKEND_OK) {
        review_fail(r, REVIEW_PROMPT, st);
        return;
    }
    hear_verify(r, st, v);
    r->result.tokens++;
    hear_on(r);
}

static void on_same_tokens(void *arg, const struct backend_status *st, const int32_t *tokens, size_t n)
{
    struct review *r = arg;
    r->call = NULL;
    if (st->error != BACKEND_OK) {
        review_fail(r, REVIEW_PROMPT, st);
        return;
    }
    r->result.read += (int64_t)(r->question.n + n);
    r->call = backend_verify(r->asked, r->question.list, r->question.n, tokens, n, -1,
                             member_deadline_ms(r->o.verifier, n), on_same, r);
}

/* Likelihood has approved, and the prompt is about to correct.  Whether that comes to the very same text is seen in one
 * pass, with the correction as a draft; if not, the rest of it does not matter. */
static void ask_same(struct review *r)
{
    size_t len = r->o.len;
    const char *own = review_trim(r->o.text, &len);
    struct buf b;
    buf_init(&b, sizeof(correct) + len);
    buf_adds(&b, correct);
    buf_addc(&b, ' ');
    buf_add(&b, own, len);
    r->call = backend_tokenize(r->o.verifier->backend, b.data, b.len, false, on_same_tokens, r);
    buf_finish(&b);
}

static bool is_correction(const struct review *r)
{
    size_t n = r->said.len < sizeof(correct) - 1 ? r->said.len : sizeof(correct) - 1;
    return n > 0 && memcmp(r->said.data, correct, n) == 0;
}

static void on_verify(void *arg, const struct backend_status *st, const struct backend_verdict *v)
{
    struct review *r = arg;
    r->call = NULL;
    if (st->error != BACKEND_OK) {
        review_fail(r, REVIEW_PROMPT, st);
        return;
    }
    member_saw_prompt(r->o.verifier, st->elapsed_us, r->question.n);
    hear_verify(r, st, v);
    /* The text decides here as everywhere: who knows what a tokenizer made of the word. */
    if (r->said_all && verdict_parse(r->said.data, r->said.len, NULL, NULL) == VERDICT_APPROVE) {
        review_conclude(r, VERDICT_APPROVE, r->scored ? REVIEW_BOTH : REVIEW_PROMPT, "");
        return;
    }
    r->result.tokens++; /* the one after what it agreed with */
    if (r->scored && !r->said_all && is_correction(r))
        ask_same(r);
    else
        hear_on(r);
}

/* Question and APPROVE are known as tokens. */
static void verify(struct review *r)
{
    const struct backend_info *info = &r->o.verifier->backend->info;
    const struct review_words *w = r->o.words;
    size_t n = r->question.n + w->n_approve;
    if (info->n_ctx > 0 && n >= (size_t)info->n_ctx) {
        review_conclude(r, VERDICT_UNREADABLE, REVIEW_PROMPT,
                        "question and answer are longer than the verifier's context");
        return;
    }
    r->result.read += (int64_t)n;
    r->call = backend_verify(r->asked, r->question.list, r->question.n, w->approve, w->n_approve, -1,
                             member_deadline_ms(r->o.verifier, n), on_verify, r);
}

static void on_question(void *arg, const struct backend_status *st, struct backend_session *session,
                        const int32_t *prompt, size_t n)
{
    struct review *r = arg;
    r->call = NULL;
    r->asked = session;
    if (st->error != BACKEND_OK) {
        review_fail(r, REVIEW_PROMPT, st);
        return;
    }
    review_tokens_set(&r->question, prompt, n);
    r->has_question = true;
    if (r->beside == NULL)
        verify(r);
}

static char *model_key(const struct review *r)
{
    const struct backend_info *info = &r->o.verifier->backend->info;
    return xasprintf("%s %s", info->model != NULL ? info->model : "", info->fingerprint);
}

static void on_words(void *arg, const struct backend_status *st, const int32_t *tokens, size_t n)
{
    struct review *r = arg;
    struct review_words *w = r->o.words;
    r->beside = NULL;
    if (st->error != BACKEND_OK) {
        review_fail(r, REVIEW_PROMPT, st);
        return;
    }
    review_words_finish(w);
    w->approve = xmemdup(tokens, (n > 0 ? n : 1) * sizeof(*tokens));
    w->n_approve = n;
    w->model = model_key(r);
    if (r->has_question)
        verify(r);
}

static void ask_with_tokens(struct review *r, const json_t *messages)
{
    struct backend *b = r->o.verifier->backend;
    struct sampler_params p;
    char *key = model_key(r);
    sampler_params_init(&p);
    p.temperature = 0;
    if (r->o.words->model == NULL || strcmp(r->o.words->model, key) != 0)
        r->beside = backend_tokenize(b, approve, sizeof(approve) - 1, false, on_words, r);
    r->call = backend_session_start(b, &p, messages, NULL, 0, on_question, r);
    sampler_params_finish(&p);
    free(key);
}

/* ---- any other ---- */

static bool on_chat_text(void *arg, const char *text, size_t len, json_t *logprobs)
{
    struct review *r = arg;
    (void)logprobs;
    if (!buf_add(&r->said, text, len))
        r->said_most = 0; /* more than was asked for: no verdict */
    if (heard_enough(r)) {
        backend_cancel(r->call);
        r->call = NULL;
        member_ok(r->o.verifier, clock_us() - r->asked_us, 0);
        r->result.passes++;
        r->result.tokens = r->result.read = -1;
        take_verdict(r);
    }
    return true;
}

static void on_chat_done(void *arg, const struct backend_status *st, const char *finish, int64_t prompt_tokens,
                         int64_t completion_tokens)
{
    struct review *r = arg;
    r->call = NULL;
    if (st->error != BACKEND_OK) {
        review_fail(r, REVIEW_PROMPT, st);
        return;
    }
    member_ok(r->o.verifier, st->elapsed_us, 0);
    r->result.passes++;
    r->result.tokens = completion_tokens;
    r->result.read = prompt_tokens;
    r->said_all = r->said_most > 0 && strcmp(finish, "stop") == 0;
    take_verdict(r);
}

static void ask_in_words(struct review *r, json_t *messages)
{
    json_t *request =
        json_pack("{s:O,s:i,s:I}", "messages", messages, "temperature", 0, "max_tokens", (json_int_t)r->said_most);
    r->asked_us = clock_us();
    r->call = backend_chat(r->o.verifier->backend, request, true,
                           member_stream_deadline_ms(r->o.verifier, r->o.len + strlen(r->o.prompt)), on_chat_text,
                           on_chat_done, r);
    json_decref(request);
}

static void ask(struct review *r)
{
    const struct backend_caps *caps = &r->o.verifier->backend->info.caps;
    json_t *messages = review_messages(&r->o, r->asked_about);
    if (messages == NULL)
        review_conclude(r, VERDICT_UNREADABLE, REVIEW_PROMPT, "the question is not valid UTF-8");
    else if (caps->score)
        ask_with_tokens(r, messages);
    else
        ask_in_words(r, messages);
    json_decref(messages);
}

static void on_asked_about(void *arg, const struct backend_status *st, const char *text, size_t len)
{
    struct review *r = arg;
    r->call = NULL;
    if (st->error != BACKEND_OK) {
        review_fail(r, REVIEW_PROMPT, st);
        return;
    }
    r->asked_about = xstrndup(text, len);
    review_look_for_marks(r, ask);
}

void review_ask(struct review *r)
{
    const struct oai_request *q = r->o.request;
    /* A token has a byte at least, mostly some.  Servers of others may refuse a length that is beyond what they have.
     */
    r->said_most = (r->o.verifier->backend->info.caps.score ? r->o.len : r->o.len / 2) + SAID_TOKENS;
    buf_finish(&r->said);
    buf_init(&r->said, r->said_most * SAID_BYTES);
    if (!q->chat && q->prompt == NULL)
        r->call = backend_detokenize(r->o.verifier->backend, q->prompt_tokens, q->n_prompt_tokens, on_asked_about, r);
    else
        review_look_for_marks(r, ask);
}
