#include "cmd/doctor-speed.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cmd/measure.h"
#include "cmd/prompts.h"

enum {
    ROUNDS = 5,       /* at most, a prompt */
    REPEATS = 3,      /* of a timing; the median counts */
    ALONE = 24,       /* tokens of the target alone */
    PATH_MOST = 4096, /* tokens */
    CALL_MS = 30000,
    BUDGET_US = 12000000, /* for one server */
};

/* Mostly prose, some of what small models find hard: what a chat brings. */
static const char *const questions[] = {
    "Tell me a story about a fox.",
    "Explain speculative decoding.",
    "What is the capital of France?",
    "Write a short story about an owl.",
    "Count from 20 to 30.",
    "Count from 3 to 12.",
    "What can you do?",
};

/* One call waited for, and what it brought. */
struct step {
    bool over, failed;
    double ms;
    struct backend_session *session;
    int32_t tokens[PATH_MOST];
    size_t n;
    size_t accepted;
    bool end; /* the last token ends the generation */
    char *text;
    size_t len;
};

static void wait_for(struct event_base *base, struct step *s)
{
    while (!s->over)
        event_base_loop(base, EVLOOP_ONCE);
}

static void end(struct step *s, const struct backend_status *st)
{
    s->over = true;
    s->failed = st->error != BACKEND_OK;
    s->ms = (double)st->elapsed_us / 1000;
}

static void take(struct step *s, const int32_t *tokens, size_t n)
{
    s->n = n < PATH_MOST ? n : PATH_MOST;
    if (n > 0)
        memcpy(s->tokens, tokens, s->n * sizeof(*tokens));
}

static void on_start(void *arg, const struct backend_status *st, struct backend_session *session, const int32_t *prompt,
                     size_t n)
{
    struct step *s = arg;
    s->session = session;
    take(s, prompt, n);
    end(s, st);
}

static void on_verify(void *arg, const struct backend_status *st, const struct backend_verdict *v)
{
    struct step *s = arg;
    s->n = 0;
    if (st->error == BACKEND_OK) {
        s->accepted = v->accepted;
        for (size_t i = 0; i <= v->accepted && s->n < PATH_MOST; i++)
            s->tokens[s->n++] = v->tokens[i].id;
        s->end = v->tokens[v->accepted].end;
    }
    end(s, st);
}

static bool on_stream(void *arg, const struct backend_token *tokens, size_t n)
{
    struct step *s = arg;
    for (size_t i = 0; i < n && s->n < PATH_MOST; i++)
        s->tokens[s->n++] = tokens[i].id;
    return true;
}

static void on_done(void *arg, const struct backend_status *st)
{
    end(arg, st);
}

static void on_tokens(void *arg, const struct backend_status *st, const int32_t *tokens, size_t n)
{
    take(arg, tokens, st->error == BACKEND_OK ? n : 0);
    end(arg, st);
}

static void on_text(void *arg, const struct backend_status *st, const char *text, size_t len)
{
    struct step *s = arg;
    s->text = st->error == BACKEND_OK ? xmemdup(text, len) : NULL;
    s->len = len;
    end(s, st);
}

static void on_draft(void *arg, const struct backend_status *st, const struct backend_draft *d)
{
    struct step *s = arg;
    s->n = 0;
    if (st->error == BACKEND_OK && d->tokens != NULL) {
        take(s, d->tokens, d->n);
    } else if (st->error == BACKEND_OK) {
        s->text = xmemdup(d->text, d->text_len);
        s->len = d->text_len;
    }
    end(s, st);
}

static bool on_chat_text(void *arg, const char *text, size_t len, json_t *logprobs)
{
    struct step *s = arg;
    (void)logprobs;
    s->text = xrealloc(s->text, s->len + len + 1);
    memcpy(s->text + s->len, text, len);
    s->len += len;
    return true;
}

static void on_chat_done(void *arg, const struct backend_status *st, const char *finish, int64_t prompt_tokens,
                         int64_t completion_tokens)
{
    struct step *s = arg;
    (void)finish;
    (void)prompt_tokens;
    s->n = completion_tokens > 0 ? (size_t)completion_tokens : 0;
    end(s, st);
}

struct probe {
    struct event_base *base;
    struct backend *target, *drafter;
    struct backend_session *verify, *draft;
    struct sampler_params greedy;
    int32_t path[PATH_MOST];
    size_t n_path;
    int64_t until_us;
};

static bool begin(struct probe *p, const char *prompt)
{
    struct step s = {0};
    json_t *messages = prompts_messages(NULL, prompt);
    backend_session_start(p->target, &p->greedy, messages, NULL, 0, on_start, &s);
    wait_for(p->base, &s);
    json_decref(messages);
    p->verify = s.session;
    if (s.failed || s.n == 0)
        return false;
    memcpy(p->path, s.tokens, s.n * sizeof(*s.tokens));
    p->n_path = s.n;
    if (p->drafter != NULL)
        p->draft = backend_session_open(p->drafter, &p->greedy, p->n_path);
    return true;
}

static void finish(struct probe *p)
{
    backend_session_close(p->verify);
    backend_session_close(p->draft);
    p->verify = p->draft = NULL;
}

static bool verify(struct probe *p, const int32_t *draft, size_t n, struct step *s)
{
    *s = (struct step){0};
    backend_verify(p->verify, p->path, p->n_path, draft, n, 0, CALL_MS, on_verify, s);
    wait_for(p->base, s);
    return !s->failed;
}

/* A text drafter: the path as text, its continuation as tokens of the target without the last, which may be half a
 * word. */
static bool draft_text(struct probe *p, size_t n, struct step *s)
{
    struct step text = {0}, more = {0};
    backend_detokenize(p->target, p->path, p->n_path, on_text, &text);
    wait_for(p->base, &text);
    if (text.text == NULL)
        return false;
    backend_draft_text(p->draft, text.text, text.len, n, CALL_MS, on_draft, &more);
    wait_for(p->base, &more);
    free(text.text);
    if (more.text == NULL)
        return false;
    backend_tokenize(p->target, more.text, more.len, false, on_tokens, s);
    wait_for(p->base, s);
    s->ms = more.ms;
    s->n -= s->n > 1;
    s->n = s->n < n ? s->n : n;
    free(more.text);
    return !s->failed;
}

static bool draft(struct probe *p, size_t n, struct step *s)
{
    *s = (struct step){0};
    if (!p->drafter->info.caps.draft_tokens)
        return draft_text(p, n, s);
    backend_draft(p->draft, p->path, p->n_path, n, 0, CALL_MS, on_draft, s);
    wait_for(p->base, s);
    return !s->failed;
}

static bool generate(struct probe *p, size_t n, struct step *s)
{
    *s = (struct step){0};
    backend_generate(p->verify, p->path, p->n_path, n, 0, CALL_MS, on_stream, on_done, s);
    wait_for(p->base, s);
    return !s->failed && s->n > 0;
}

/* An answer of at most n tokens as text, for servers that give no ids. */
static bool chat(struct probe *p, const char *prompt, int n, struct step *s)
{
    *s = (struct step){0};
    json_t *request =
        json_pack("{s:o,s:i,s:i}", "messages", prompts_messages(NULL, prompt), "max_tokens", n, "temperature", 0);
    backend_chat(p->target, request, true, CALL_MS, on_chat_text, on_chat_done, s);
    wait_for(p->base, s);
    json_decref(request);
    return !s->failed;
}

static bool extend(struct probe *p, const int32_t *tokens, size_t n)
{
    if (p->n_path + n + DOCTOR_DRAFT + 1 > PATH_MOST)
        return false;
    memcpy(p->path + p->n_path, tokens, n * sizeof(*tokens));
    p->n_path += n;
    return true;
}

/* Drafts along an answer, checked by the target in rounds. */
static void follow_verified(struct probe *p, struct doctor_server *out)
{
    struct step d, v;
    for (int i = 0; i < ROUNDS && clock_us() < p->until_us; i++) {
        if (!draft(p, DOCTOR_DRAFT, &d) || !verify(p, d.tokens, d.n, &v))
            return;
        /* A draft that is short ends with the end of the answer: not a measure of agreement over a whole draft. */
        if (d.n == DOCTOR_DRAFT || v.accepted < d.n) {
            out->drafted += d.n;
            out->accepted += v.accepted;
        }
        if (v.end || !extend(p, v.tokens, v.n))
            return;
    }
}

/* The target's answer in tokens, where it gives text only: asked as a chat and tokenized again. */
static bool answer_tokens(struct probe *p, const char *prompt, struct step *s)
{
    struct step text = {0};
    *s = (struct step){0};
    if (!chat(p, prompt, ROUNDS * DOCTOR_DRAFT, &text) || text.len == 0) {
        free(text.text);
        return false;
    }
    backend_tokenize(p->target, text.text, text.len, false, on_tokens, s);
    wait_for(p->base, s);
    free(text.text);
    return !s->failed;
}

/* The same where the target can't verify: its own answer first, then drafts are compared with it. */
static void follow_compared(struct probe *p, const char *prompt, struct doctor_server *out)
{
    struct step whole, d;
    bool known =
        p->target->info.caps.generate ? generate(p, ROUNDS * DOCTOR_DRAFT, &whole) : answer_tokens(p, prompt, &whole);
    out->compared = true;
    if (!known)
        return;
    for (size_t at = 0; at + DOCTOR_DRAFT <= whole.n && clock_us() < p->until_us; at += DOCTOR_DRAFT) {
        if (!draft(p, DOCTOR_DRAFT, &d))
            return;
        size_t same = 0;
        while (same < d.n && d.tokens[same] == whole.tokens[at + same])
            same++;
        out->drafted += d.n;
        out->accepted += same;
        if (!extend(p, whole.tokens + at, DOCTOR_DRAFT))
            return;
    }
}

/* Median milliseconds of a draft of n tokens from the same place; NAN when it fails. */
static double time_draft(struct probe *p, size_t n, size_t *got)
{
    double ms[REPEATS];
    struct step d;
    for (int i = 0; i < REPEATS; i++) {
        if (!draft(p, n, &d) || d.n == 0)
            return NAN;
        ms[i] = d.ms;
        *got = d.n;
    }
    return measure_median(ms, REPEATS);
}

static double time_verify(struct probe *p, const int32_t *tokens, size_t n)
{
    double ms[REPEATS];
    struct step v;
    for (int i = 0; i < REPEATS; i++) {
        if (!verify(p, tokens, n, &v))
            return NAN;
        ms[i] = v.ms;
    }
    return measure_median(ms, REPEATS);
}

/* Where the target gives text only. */
static void time_chat(struct probe *p, struct doctor_server *out)
{
    static const char prompt[] = "Tell me a story about a fox.";
    struct step warm, one, many;
    bool ok = chat(p, prompt, 1, &warm);
    ok = chat(p, prompt, 1, &one) && ok;
    ok = chat(p, prompt, ALONE, &many) && ok;
    if (ok && one.n == 1 && many.n > 1)
        out->alone_ms = fmax(0, many.ms - one.ms) / (double)(many.n - 1);
    free(warm.text);
    free(one.text);
    free(many.text);
}

void doctor_speed_target(struct event_base *base, struct backend *target, struct doctor_server *out)
{
    struct probe p = {.base = base, .target = target, .until_us = clock_us() + BUDGET_US};
    struct step own;
    sampler_params_init(&p.greedy);
    p.greedy.temperature = 0;
    if (!out->generates)
        time_chat(&p, out);
    else if (begin(&p, "Tell me a story about a fox.") && generate(&p, 1, &own)) {
        /* The first one pays for the prompt; then the difference of a long and a short answer is free of the trip. */
        struct step one, many;
        if (generate(&p, 1, &one) && generate(&p, ALONE, &many) && many.n > 1)
            out->alone_ms = fmax(0, many.ms - one.ms) / (double)(many.n - 1);
        if (out->verifies && many.n > DOCTOR_DRAFT) {
            /* What the target itself writes is a draft that is accepted: a pass of full length. */
            out->pass_ms = time_verify(&p, NULL, 0);
            out->pass_more_ms = fmax(0, time_verify(&p, many.tokens, DOCTOR_DRAFT) - out->pass_ms) / DOCTOR_DRAFT;
        }
    }
    finish(&p);
    sampler_params_finish(&p.greedy);
}

void doctor_speed_drafter(struct event_base *base, struct backend *target, struct backend *drafter,
                          struct doctor_server *out)
{
    struct probe p = {.base = base, .target = target, .drafter = drafter, .until_us = clock_us() + BUDGET_US};
    sampler_params_init(&p.greedy);
    p.greedy.temperature = 0;
    for (size_t i = 0; i < ARRAY_LEN(questions) && clock_us() < p.until_us; i++) {
        bool begun = begin(&p, questions[i]);
        if (begun && i == 0) {
            size_t one = 0, many = 0;
            time_draft(&p, 1, &one); /* the prompt is read now */
            double short_ms = time_draft(&p, 1, &one), long_ms = time_draft(&p, DOCTOR_DRAFT, &many);
            if (many > one)
                out->draft_ms = fmax(0, long_ms - short_ms) / (double)(many - one);
            out->draft_fixed_ms = fmax(0, short_ms - out->draft_ms);
        }
        if (begun && target->info.caps.verify)
            follow_verified(&p, out);
        else if (begun)
            follow_compared(&p, questions[i], out);
        finish(&p);
    }
    sampler_params_finish(&p.greedy);
}
