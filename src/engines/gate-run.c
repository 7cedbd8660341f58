/* One answer of the gate: an agent writes it, the verifier reviews it, and it is told, corrected or written anew. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "engines/gate-internal.h"

#define TO(state) (1u << (state))
static const unsigned may_follow[] = {
    [GATE_WAITING] = TO(GATE_WRITING) | TO(GATE_LINED_UP) | TO(GATE_TELLING),
    [GATE_WRITING] = TO(GATE_WAITING) | TO(GATE_LINED_UP),
    [GATE_LINED_UP] = TO(GATE_REVIEWING) | TO(GATE_TELLING) | TO(GATE_OVER),
    [GATE_REVIEWING] = TO(GATE_LINED_UP) | TO(GATE_TELLING) | TO(GATE_OVER),
    [GATE_TELLING] = TO(GATE_OVER),
    [GATE_OVER] = 0,
};
#undef TO

enum { PIECE_BYTES = 64 }; /* of text that is told at a time */

static struct gate *gate_of(const struct gate_run *r)
{
    return r->a->proxy->gate;
}

void gate_run_state(struct gate_run *r, enum gate_state to)
{
    if ((may_follow[r->state] & 1u << to) == 0) {
        log_error("request %llu: no way from state %d to %d of the gate", (unsigned long long)r->a->id, r->state, to);
        abort();
    }
    r->state = to;
    r->a->state = to == GATE_WAITING || to == GATE_LINED_UP ? REQUEST_QUEUED : REQUEST_RUNNING;
}

static void settle(struct gate_run *r, enum gate_outcome outcome)
{
    r->a->gate->outcome = outcome;
}

/* ---- the target takes over ---- */

static void gate_stop(struct proxy_answer *a);

static void hand_over(struct gate_run *r)
{
    struct proxy_answer *a = r->a;
    gate_run_state(r, GATE_OVER);
    a->gate->target_us = clock_us();
    gate_stop(a);
    proxy_answer_run(a);
}

static void line_up(struct gate_run *r)
{
    gate_run_state(r, GATE_LINED_UP);
    proxy_answer_want_slot(r->a, r->by_target ? r->a->proxy->target : gate_verifier(gate_of(r)));
}

void gate_run_by_target(struct gate_run *r, enum gate_outcome outcome)
{
    settle(r, outcome);
    r->by_target = true;
    if (r->a->slot_of == r->a->proxy->target) {
        hand_over(r);
        return;
    }
    proxy_answer_leave_slot(r->a);
    line_up(r);
}

static bool is_empty(const char *text, size_t len)
{
    (void)review_trim(text, &len);
    return len == 0;
}

void gate_run_written(struct gate_run *r)
{
    if (is_empty(r->text, r->len))
        gate_run_by_target(r, OUTCOME_REJECTED);
    else
        line_up(r);
}

/* ---- telling ---- */

/* Bytes of a piece: some tens, never a part of a character. */
static size_t piece_at(const char *text, size_t len)
{
    if (len <= PIECE_BYTES)
        return len;
    size_t n = PIECE_BYTES;
    while (n > 1 && ((unsigned char)text[n] & 0xc0) == 0x80)
        n--;
    return n;
}

static void tell(struct gate_run *r)
{
    struct proxy_answer *a = r->a;
    proxy_answer_tell_start(a, r->prompt_tokens > 0 ? r->prompt_tokens : 0);
    while (r->told < r->len && !a->paused && !a->ended) {
        size_t n = piece_at(r->text + r->told, r->len - r->told);
        bool reads = proxy_answer_tell_text(a, r->text + r->told, n, NULL, NULL, 0);
        r->told += n;
        if (!reads && !a->ended)
            a->paused = true;
    }
    if (a->ended || a->paused)
        return;
    gate_run_state(r, GATE_OVER);
    a->tokens = r->tokens > 0 ? r->tokens : 0;
    a->proxy->emitted += (uint64_t)a->tokens;
    proxy_answer_done(a, a->prompt_tokens, a->tokens, r->finish);
}

static void on_tell(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct gate_run *r = arg;
    if (!r->a->ended)
        tell(r);
}

static void pass(struct gate_run *r, enum gate_outcome outcome)
{
    settle(r, outcome);
    proxy_answer_leave_slot(r->a);
    gate_run_state(r, GATE_TELLING);
    event_active(r->tell, EV_TIMEOUT, 0);
}

/* ---- the review ---- */

/* The verifier has been away for too long.  False: the request has to fail. */
static bool pass_unreviewed(struct gate_run *r)
{
    if (r->state != GATE_LINED_UP || r->by_target || !gate_of(r)->cfg.fail_open)
        return false;
    log_warn("request %llu: passes unreviewed, because the verifier %s is away (fail_open)",
             (unsigned long long)r->a->id, gate_verifier(gate_of(r))->name);
    r->a->lost_us = 0;
    pass(r, OUTCOME_UNREVIEWED);
    return true;
}

/* There is no verdict.  The verifier, which has been marked, is waited for like a target that is lost. */
static void review_failed(struct gate_run *r, const struct review_result *res)
{
    struct proxy_answer *a = r->a;
    int64_t now = clock_us();
    log_warn("request %llu: the review broke off and is made again: %s", (unsigned long long)a->id, res->message);
    proxy_answer_leave_slot(a);
    line_up(r);
    r->doubt_us = r->doubt_us != 0 ? r->doubt_us : now;
    if (!member_up(a->wants) || now - r->doubt_us < proxy_settings(a->proxy)->target_wait_ms * 1000)
        return;
    /* It is there, and refuses again and again. */
    if (!pass_unreviewed(r))
        proxy_answer_fail(a, 503, "server_error", "verifier_unavailable", "the verifier %s can't review the answer: %s",
                          a->wants->name, res->message);
}

/* The verifier's own counts are those of the client's model. */
static void take_counts(struct gate_run *r, const struct review_result *res)
{
    if (res->request_tokens != NULL)
        r->prompt_tokens = (int64_t)res->n_request_tokens;
    if (res->n_tokens > 0)
        r->tokens = (int64_t)res->n_tokens + (r->finish == ANSWER_STOP);
}

/* The longest answer is the client's to say, and it is meant in the model's tokens, whatever the agent counts. */
static bool is_too_long(const struct gate_run *r, const struct review_result *res)
{
    int64_t most = r->a->req.max_tokens;
    if (most < 0)
        return false;
    return res->verdict == VERDICT_CORRECT ? (int64_t)res->n_kept > most : res->n_tokens > 0 && r->tokens > most;
}

static void correct(struct gate_run *r, const struct review_result *res)
{
    struct proxy_answer *a = r->a;
    if (res->kept != NULL && res->request_tokens != NULL) {
        settle(r, OUTCOME_CORRECTED);
        a->gate->kept = (int64_t)res->n_kept;
        a->gate->target_us = clock_us();
        a->target = a->slot_of;
        gate_run_state(r, GATE_OVER);
        gate_stop(a);
        speculate_from(a, res->request_tokens, res->n_request_tokens, res->kept, res->n_kept, res->kept_text,
                       res->kept_len);
        return;
    }
    free(r->text);
    r->text = xstrndup(res->correction, res->correction_len);
    r->len = res->correction_len;
    r->tokens = res->tokens;
    r->finish = ANSWER_STOP;
    pass(r, OUTCOME_CORRECTED);
}

static void on_review(void *arg, const struct review_result *res)
{
    struct gate_run *r = arg;
    struct gate *g = gate_of(r);
    r->review = NULL;
    if (r->a->ended)
        return;
    g->review_us += res->elapsed_us;
    if (res->tokens > 0) /* not where it is unknown */
        r->a->gate->target_tokens += res->tokens;
    if (res->error != BACKEND_OK) {
        review_failed(r, res);
        return;
    }
    r->doubt_us = 0;
    g->unreadable += res->verdict == VERDICT_UNREADABLE;
    log_debug("request %llu: the answer of %s: %s%s%s", (unsigned long long)r->a->id, r->a->gate->agent,
              verdict_name(res->verdict), res->message != NULL ? ", " : "", res->message != NULL ? res->message : "");
    take_counts(r, res);
    if (is_too_long(r, res))
        gate_run_by_target(r, OUTCOME_REJECTED);
    else if (res->verdict == VERDICT_APPROVE)
        pass(r, OUTCOME_APPROVED);
    else if (res->verdict == VERDICT_CORRECT && (res->kept != NULL || res->correction != NULL))
        correct(r, res);
    else
        gate_run_by_target(r, OUTCOME_REJECTED);
}

static void gate_slot(struct proxy_answer *a)
{
    struct gate_run *r = a->run;
    struct gate *g = gate_of(r);
    if (r->by_target) {
        hand_over(r);
        return;
    }
    gate_run_state(r, GATE_REVIEWING);
    const struct review_opts o = {.verifier = a->slot_of,
                                  .words = &g->words,
                                  .request = &a->req,
                                  .text = r->text,
                                  .len = r->len,
                                  .finish = r->finish,
                                  .kind = g->review,
                                  .prompt = g->prompt,
                                  .min_token_probability = g->cfg.min_token_probability,
                                  .keep_share = g->cfg.keep_share};
    r->review = review_start(&o, on_review, r);
}

/* ---- time ---- */

static void check_run(struct gate_run *r, int64_t now)
{
    if (r->state == GATE_WRITING)
        gate_write_check(r, now);
    const struct proxy *p = r->a->proxy;
    bool coming = p->hope == PROXY_POOL_COMING && gate_verifier(p->gate) == p->target;
    if (r->state == GATE_LINED_UP && !coming && gate_verifier_gone_us(p->gate) > p->settings.target_wait_ms * 1000)
        pass_unreviewed(r);
}

void gate_check_runs(struct gate *g, int64_t now)
{
    for (struct proxy_answer *a = g->p->running.first, *next; a != NULL; a = next) {
        next = a->next;
        if (a->runner == &gate_runner && !a->ended && a->run != NULL)
            check_run(a->run, now);
    }
}

/* ---- the runner ---- */

static void recall(struct gate_run *r, const struct gate_cached *was)
{
    r->text = xstrndup(was->text, was->len);
    r->len = was->len;
    r->finish = was->finish;
    r->prompt_tokens = was->prompt_tokens;
    r->tokens = was->tokens;
    snprintf(r->a->gate->agent, sizeof(r->a->gate->agent), "%.63s", was->agent);
    pass(r, OUTCOME_CACHED);
}

static size_t request_bytes(const struct oai_request *q)
{
    size_t n = q->prompt != NULL ? strlen(q->prompt) : 0, i;
    const json_t *m;
    json_array_foreach(q->messages, i, m) n += json_string_length(json_object_get(m, "content"));
    return n;
}

static void gate_start(struct proxy_answer *a)
{
    struct gate_run *r = xcalloc(1, sizeof(*r));
    struct gate *g = a->proxy->gate;
    r->a = a;
    r->prompt_tokens = r->tokens = -1;
    r->tell = event_new(proxy_base(a->proxy), -1, 0, on_tell, r);
    a->run = r;
    a->state = REQUEST_QUEUED;
    const struct gate_cached *was = a->gate->key != NULL ? gate_cache_find(g->cache, a->gate->key) : NULL;
    if (was != NULL) {
        recall(r, was);
        return;
    }
    r->to_read = request_bytes(&a->req);
    r->request = json_deep_copy(a->req.original);
    json_object_del(r->request, "model");
    /* Told to all, so that who answers makes no difference where they draw alike. */
    json_object_set_new(r->request, "seed", json_integer((json_int_t)a->req.sampling.seed));
    gate_write(r);
}

static void gate_resume(struct proxy_answer *a)
{
    struct gate_run *r = a->run;
    if (r->state == GATE_TELLING)
        event_active(r->tell, EV_TIMEOUT, 0);
}

/* Agents that go are taken away by the gate; the verifier and the target are waited for in the line. */
static void gate_other_changed(struct proxy_answer *a, struct member *m, bool going)
{
    (void)a;
    (void)m;
    (void)going;
}

static bool gate_forsaken(struct proxy_answer *a)
{
    return pass_unreviewed(a->run);
}

static void gate_stop(struct proxy_answer *a)
{
    struct gate_run *r = a->run;
    if (r == NULL)
        return;
    a->run = NULL;
    gate_write_stop(r);
    review_cancel(r->review);
    event_free(r->tell);
    json_decref(r->request);
    free(r->text);
    free(r);
}

const struct runner gate_runner = {
    .name = "gate",
    .start = gate_start,
    .resume = gate_resume,
    .member_changed = gate_other_changed,
    .slot = gate_slot,
    .forsaken = gate_forsaken,
    .stop = gate_stop,
};

/* ---- what others want to know ---- */

uint32_t gate_count_runs(const struct gate *g, bool reviewing)
{
    uint32_t n = 0;
    for (const struct proxy_answer *a = g->p->running.first; a != NULL; a = a->next) {
        const struct gate_run *r = a->runner == &gate_runner ? a->run : NULL;
        n += r != NULL && r->state == (reviewing ? GATE_REVIEWING : GATE_WRITING);
    }
    return n;
}

const char *gate_run_text(const struct proxy_answer *a, size_t *len, enum answer_finish *finish)
{
    const struct gate_run *r = a->runner == &gate_runner ? a->run : NULL;
    if (r != NULL) {
        *len = r->len;
        *finish = r->finish;
        return r->text;
    }
    if (a->text == NULL)
        return NULL;
    *finish = answer_state(a->text);
    return answer_text(a->text, len);
}

const char *gate_answer_state(const struct proxy_answer *a)
{
    static const char *const names[] = {
        [GATE_WAITING] = "waiting",     [GATE_WRITING] = "writing", [GATE_LINED_UP] = "written",
        [GATE_REVIEWING] = "reviewing", [GATE_TELLING] = "",        [GATE_OVER] = "",
    };
    if (a->gate == NULL)
        return "";
    const char *outcome = proxy_answer_outcome(a);
    if (outcome != NULL)
        return outcome;
    const struct gate_run *r = a->runner == &gate_runner ? a->run : NULL;
    return r != NULL ? names[r->state] : a->ended ? "" : "waiting";
}
