/* The review by likelihood: the verifier reads request and answer in one pass, and says how likely each token is. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "engines/review-internal.h"

enum {
    END_TOP = 20,   /* alternatives among which the other tokens that end a generation are looked for */
    DOUBT_BACK = 8, /* so many tokens before an improbable one may have led to it */
};

static const double DOUBT = 0.5; /* a token below it is more likely wrong than right */

static const struct backend_info *info_of(const struct review *r)
{
    return &r->o.verifier->backend->info;
}

/* The token by which this answer ends: the one that ended turns in the prompt, which is what a chat template makes the
 * model write; else the first that the model has.  -1: none is known. */
static int32_t end_token(const struct review *r)
{
    const struct backend_info *info = info_of(r);
    for (size_t i = r->request.n; i > 0; i--)
        for (size_t k = 0; k < info->n_eog; k++)
            if (r->request.list[i - 1] == info->eog[k])
                return info->eog[k];
    return info->n_eog > 0 ? info->eog[0] : -1;
}

static void see(struct review *r, double p, size_t at)
{
    if (isnan(r->result.lowest) || p < r->result.lowest) {
        r->result.lowest = p;
        r->result.lowest_at = at;
    }
}

/* The token at this place is improbable: what stands before it is kept, without those just before it that the verifier
 * doubted as well. */
static void keep_before(struct review *r, size_t at, const char *why)
{
    size_t keep = at;
    for (size_t i = at; i > 0 && keep - i < DOUBT_BACK; i--)
        if (r->probs[i - 1] < DOUBT)
            keep = i - 1;
    review_keep(r, keep, REVIEW_LIKELIHOOD, why);
}

/* All tokens of the text are likely; its end is p. */
static void judge_end(struct review *r, double p)
{
    see(r, p, r->answer.n);
    if (p < r->o.min_token_probability)
        keep_before(r, r->answer.n, "the verifier would not have ended there");
    else
        review_scored(r);
}

static bool is_end(const struct review *r, int32_t token)
{
    const struct backend_info *info = info_of(r);
    for (size_t i = 0; i < info->n_eog; i++)
        if (info->eog[i] == token)
            return true;
    return false;
}

static void on_end(void *arg, const struct backend_status *st, const struct backend_verdict *v)
{
    struct review *r = arg;
    double p = 0;
    r->call = NULL;
    if (st->error != BACKEND_OK) {
        review_fail(r, REVIEW_LIKELIHOOD, st);
        return;
    }
    member_ok(r->o.verifier, st->elapsed_us, 0);
    r->result.passes++;
    for (size_t i = 0; i < v->tokens[0].n_top; i++)
        if (is_end(r, v->tokens[0].top[i].token))
            p += exp((double)v->tokens[0].top[i].logprob);
    judge_end(r, p);
}

/* The end as it was scored is improbable.  Models have several tokens that end a generation: any of them will do, so
 * all are looked at, in one more pass over one token. */
static void look_at_ends(struct review *r, double p)
{
    if (info_of(r)->n_eog < 2) {
        judge_end(r, p);
        return;
    }
    size_t n = r->request.n + r->answer.n; /* of what was scored all but the end */
    r->result.read++;
    r->call =
        backend_verify(r->session, r->path.list, n, NULL, 0, END_TOP, member_deadline_ms(r->o.verifier, n), on_end, r);
}

static void on_score(void *arg, const struct backend_status *st, const float *logprobs, const float *gaps, size_t n)
{
    struct review *r = arg;
    double end = NAN;
    r->call = NULL;
    if (st->error != BACKEND_OK) {
        review_fail(r, REVIEW_LIKELIHOOD, st);
        return;
    }
    member_ok(r->o.verifier, st->elapsed_us, 0);
    member_saw_prompt(r->o.verifier, st->elapsed_us, r->request.n + r->answer.n);
    r->result.passes++;
    size_t bad = r->answer.n;
    r->probs = xcalloc(n, sizeof(*r->probs));
    for (size_t i = 0; i < n; i++) {
        double p = exp((double)logprobs[i]);
        r->probs[i] = p;
        if (i == r->answer.n)
            end = p;
        else
            see(r, p, i);
        if (i == r->own && i < r->answer.n && gaps[i] <= 0)
            r->own++;
        if (i < bad && !(p >= r->o.min_token_probability))
            bad = i;
    }
    if (bad < r->answer.n)
        keep_before(r, bad, "the verifier would not have written the next token");
    else if (r->o.finish != ANSWER_STOP)
        review_scored(r);
    else if (end >= r->o.min_token_probability)
        judge_end(r, end);
    else
        look_at_ends(r, isnan(end) ? 0 : end);
}

/* Request and answer are known as tokens. */
static void score(struct review *r)
{
    const struct backend_info *info = info_of(r);
    size_t n = r->answer.n;
    int32_t end = end_token(r);
    r->result.n_tokens = n;
    review_tokens_set(&r->path, r->request.list, r->request.n);
    review_tokens_add(&r->path, r->answer.list, n);
    if (r->o.finish == ANSWER_STOP && end >= 0) {
        review_tokens_add(&r->path, &end, 1);
        n++;
    }
    if (n == 0) {
        review_conclude(r, VERDICT_REJECT, REVIEW_LIKELIHOOD, "the answer is empty");
    } else if (r->request.n == 0) {
        review_conclude(r, VERDICT_UNREADABLE, REVIEW_LIKELIHOOD, "the request is empty");
    } else if (info->n_ctx > 0 && r->path.n > (size_t)info->n_ctx) {
        review_conclude(r, VERDICT_UNREADABLE, REVIEW_LIKELIHOOD,
                        "request and answer are longer than the verifier's context");
    } else {
        r->result.read += (int64_t)r->path.n;
        r->call = backend_score(r->session, r->path.list, r->path.n, n, member_deadline_ms(r->o.verifier, r->path.n),
                                on_score, r);
    }
}

static void on_request(void *arg, const struct backend_status *st, struct backend_session *session,
                       const int32_t *prompt, size_t n)
{
    struct review *r = arg;
    r->call = NULL;
    r->session = session;
    if (st->error != BACKEND_OK) {
        review_fail(r, REVIEW_LIKELIHOOD, st);
        return;
    }
    review_tokens_set(&r->request, prompt, n);
    r->has_request = true;
    if (r->has_answer)
        score(r);
}

static void on_answer(void *arg, const struct backend_status *st, const int32_t *tokens, size_t n)
{
    struct review *r = arg;
    r->beside = NULL;
    if (st->error != BACKEND_OK) {
        review_fail(r, REVIEW_LIKELIHOOD, st);
        return;
    }
    review_tokens_set(&r->answer, tokens, n);
    r->has_answer = true;
    if (r->has_request)
        score(r);
}

void review_score(struct review *r)
{
    struct backend *b = r->o.verifier->backend;
    const struct oai_request *q = r->o.request;
    struct sampler_params p;
    sampler_params_init(&p);
    p.temperature = 0;
    r->beside = backend_tokenize(b, r->o.text, r->o.len, false, on_answer, r);
    if (q->chat || q->prompt != NULL) {
        r->call = backend_session_start(b, &p, q->messages, q->prompt, q->prompt != NULL ? strlen(q->prompt) : 0,
                                        on_request, r);
    } else {
        r->session = backend_session_open(b, &p, q->n_prompt_tokens);
        review_tokens_set(&r->request, q->prompt_tokens, q->n_prompt_tokens);
        r->has_request = true;
    }
    sampler_params_finish(&p);
}
