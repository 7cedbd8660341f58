/* Answers: taken in, queued in order, started as slots are free, ended once. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "engines/gate.h"
#include "engines/names.h"
#include "engines/consensus.h"
#include "engines/proxy-internal.h"

static void append(struct answer_list *l, struct proxy_answer *a)
{
    a->prev = l->last;
    a->next = NULL;
    *(l->last != NULL ? &l->last->next : &l->first) = a;
    l->last = a;
    l->n++;
}

static void unlink_answer(struct answer_list *l, struct proxy_answer *a)
{
    *(a->prev != NULL ? &a->prev->next : &l->first) = a->next;
    *(a->next != NULL ? &a->next->prev : &l->last) = a->prev;
    l->n--;
}

/* ---- taking in ---- */

int proxy_refuse(struct proxy *p, struct oai_error *err, int status, const char *param, const char *code,
                 const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    *err = (struct oai_error){
        .status = status, .message = xvasprintf(fmt, ap), .param = xstrdup(param), .code = xstrdup(code)};
    va_end(ap);
    p->requests_refused++;
    return -1;
}

bool proxy_wants_present(const struct proxy *p, const struct proxy_answer *a)
{
    return names_asks_present(p, a->req.model);
}

bool proxy_is_quiet(const struct proxy *p)
{
    bool quiet = p->running.n == 0;
    for (const struct proxy_answer *a = p->queue.first; a != NULL && quiet; a = a->next)
        quiet = !proxy_wants_present(p, a);
    return quiet;
}

struct member *proxy_draft_server(const struct proxy *p)
{
    struct member *found = NULL;
    for (size_t i = 0; i < p->n_drafters; i++) {
        struct member *m = p->drafter[i];
        if (!member_is_text(m) && (found == NULL || (member_up(m) && !member_up(found))))
            found = m;
    }
    return found;
}

static void begin_by_gate(struct proxy *p, struct proxy_answer *a)
{
    unlink_answer(&p->queue, a);
    append(&p->running, a);
    a->target = p->target;
    a->running_us = clock_us();
    a->runner = &gate_runner;
    a->runner->start(a);
}

struct proxy_answer *proxy_submit(struct proxy *p, struct oai_request *q, const struct proxy_ops *ops, void *arg,
                                  struct oai_error *err)
{
    enum proxy_mode mode;
    if (p->draining) {
        proxy_refuse(p, err, 503, NULL, "stopping", "this instance is stopping");
        return NULL;
    }
    if (names_choose(p, q->model, &mode, err) != 0)
        return NULL;
    if (mode == PROXY_GATE && !gate_serves(p->gate, q))
        mode = PROXY_EXACT;
    /* What agents do beside the target's work needs no place in the queue. */
    uint64_t beside = mode == PROXY_GATE ? gate_slots(p->gate) : gate_busy(p->gate);
    if (p->queue.n + p->running.n >= (uint64_t)p->settings.max_queue + proxy_slots(p) + beside) {
        proxy_refuse(p, err, 429, NULL, "queue_full", "%u requests run and %u wait already: try again later",
                     (unsigned)p->running.n, (unsigned)p->queue.n);
        return NULL;
    }
    struct proxy_answer *a = xcalloc(1, sizeof(*a));
    a->proxy = p;
    a->id = p->next_id++;
    a->mode = mode;
    a->state = REQUEST_QUEUED;
    a->req = *q;
    memset(q, 0, sizeof(*q));
    a->ops = ops;
    a->arg = arg;
    a->started_us = clock_us();
    a->started_wall_ms = clock_wall_ms();
    append(&p->queue, a);
    if (mode == PROXY_GATE && gate_take_in(p->gate, a))
        begin_by_gate(p, a);
    proxy_wake(p);
    return a;
}

/* ---- slots ---- */

uint32_t proxy_slots(const struct proxy *p)
{
    return member_slots(p->target);
}

static bool has_room(const struct member *m)
{
    return m->taken < member_slots(m);
}

static void take_slot(struct proxy_answer *a, struct member *of)
{
    a->slot_of = of;
    of->taken++;
}

/* By arrival: whoever came first is served first, whatever was done for it before. */
void proxy_answer_want_slot(struct proxy_answer *a, struct member *of)
{
    struct proxy *p = a->proxy;
    struct proxy_answer *before = NULL, *behind = p->line;
    while (behind != NULL && behind->id < a->id) {
        before = behind;
        behind = behind->wants_next;
    }
    a->wants = of;
    a->wants_prev = before;
    a->wants_next = behind;
    *(before != NULL ? &before->wants_next : &p->line) = a;
    if (behind != NULL)
        behind->wants_prev = a;
    proxy_wake(p);
}

static void leave_line(struct proxy_answer *a)
{
    if (a->wants == NULL)
        return;
    *(a->wants_prev != NULL ? &a->wants_prev->wants_next : &a->proxy->line) = a->wants_next;
    if (a->wants_next != NULL)
        a->wants_next->wants_prev = a->wants_prev;
    a->wants = NULL;
    a->wants_prev = a->wants_next = NULL;
}

void proxy_answer_leave_slot(struct proxy_answer *a)
{
    leave_line(a);
    if (a->slot_of == NULL)
        return;
    a->slot_of->taken--;
    a->slot_of = NULL;
    proxy_wake(a->proxy);
}

/* Gives slots to those in the line who came before the request with this id. */
static void serve_line(struct proxy *p, uint64_t before)
{
    for (struct proxy_answer *a = p->line; a != NULL && a->id < before;) {
        struct member *m = a->wants;
        if (!has_room(m) || !member_ready(m)) {
            a = a->wants_next;
            continue;
        }
        leave_line(a);
        take_slot(a, m);
        a->lost_us = 0;
        a->runner->slot(a);
        a = p->line; /* it may have changed */
    }
}

/* ---- starting ---- */

/* The member that answers, or NULL while none can. */
static struct member *answering_member(struct proxy *p, const struct proxy_answer *a)
{
    if (a->mode != PROXY_DRAFT)
        return member_up(p->target) ? p->target : NULL;
    struct member *m = proxy_draft_server(p);
    return m != NULL && member_up(m) ? m : NULL;
}

static bool by_tokens(const struct proxy *p, const struct backend_caps *caps, const struct oai_request *q)
{
    if (caps->relay_alone && p->n_drafters == 0)
        return false;
    bool prompt = q->prompt_tokens != NULL || (q->chat ? caps->templated : caps->tokenize);
    bool verify = caps->verify && (!caps->verify_greedy_only || q->sampling.temperature == 0);
    return prompt && !q->echo && (caps->generate || verify);
}

void proxy_answer_run(struct proxy_answer *a)
{
    a->state = REQUEST_PREFILL;
    if (a->mode == PROXY_CONSENSUS && !consensus_serves(a))
        a->mode = PROXY_EXACT;
    a->runner = a->mode == PROXY_CONSENSUS                                     ? &consensus_runner
                : by_tokens(a->proxy, &a->target->backend->info.caps, &a->req) ? &speculate_runner
                                                                               : &relay_runner;
    a->runner->start(a);
}

static void start(struct proxy *p, struct proxy_answer *a, struct member *m)
{
    unlink_answer(&p->queue, a);
    append(&p->running, a);
    a->target = m;
    a->running_us = clock_us();
    take_slot(a, p->target);
    if (a->mode == PROXY_GATE && gate_is_on(p->gate)) {
        gate_begins_direct(a);
    } else if (a->mode == PROXY_GATE) { /* it was stopped meanwhile */
        a->mode = PROXY_EXACT;
        gate_ticket_destroy(a->gate);
        a->gate = NULL;
    }
    proxy_answer_run(a);
}

/* Starts it if what it needs is there. */
static void try_start(struct proxy *p, struct proxy_answer *a)
{
    enum gate_entry by = a->mode == PROXY_GATE ? gate_entry(p->gate, a) : GATE_BY_TARGET;
    struct member *m = answering_member(p, a);
    if (by == GATE_BEGINS)
        begin_by_gate(p, a);
    else if (by == GATE_BY_TARGET && m != NULL && has_room(p->target))
        start(p, a, m);
}

static void reap(struct proxy *p)
{
    while (p->ended.first != NULL) {
        struct proxy_answer *a = p->ended.first;
        unlink_answer(&p->ended, a);
        if (a->runner != NULL)
            a->runner->stop(a);
        answer_destroy(a->text);
        gate_ticket_destroy(a->gate);
        oai_request_finish(&a->req);
        free(a);
    }
}

void proxy_pump(struct proxy *p)
{
    reap(p);
    gate_pump(p->gate);
    for (struct proxy_answer *a = p->queue.first, *next; a != NULL; a = next) {
        if (!has_room(p->target) && !gate_has_room(p->gate))
            break;
        next = a->next;
        if (p->held && !proxy_wants_present(p, a))
            continue;
        serve_line(p, a->id);
        try_start(p, a);
    }
    serve_line(p, UINT64_MAX);
    gate_shadow_pump(p->gate);
}

/* ---- waiting ---- */

/* The pool knows better than a refused connection. */
static const char *why_gone(const struct proxy *p, const struct member *m)
{
    return m == p->target && p->trouble[0] != '\0' ? p->trouble : m->reason;
}

/* Those in the line whose server is away: it is as if they had lost it. */
static void check_line(struct proxy *p, int64_t now)
{
    for (struct proxy_answer *a = p->line; a != NULL; a = a->wants_next) {
        bool up = member_up(a->wants);
        a->lost_us = up ? 0 : a->lost_us != 0 ? a->lost_us : now;
        if (!up)
            a->state = REQUEST_WAITING;
    }
    if (p->line != NULL) /* a penalty ends without an event of its own */
        proxy_wake(p);
}

static void check_running(struct proxy *p, int64_t now, int64_t most)
{
    for (struct proxy_answer *a = p->running.first, *next; a != NULL; a = next) {
        next = a->next;
        if (a->ended || a->lost_us == 0)
            continue;
        struct member *m = a->wants != NULL ? a->wants : a->target;
        bool off = p->hope == PROXY_POOL_OFF && m == p->target;
        bool late = now - a->lost_us >= most && !(p->hope == PROXY_POOL_COMING && m == p->target);
        if ((off || late) && a->runner->forsaken != NULL && a->runner->forsaken(a))
            continue;
        if (off)
            proxy_answer_fail(a, 503, "server_error", "target_gone", "%s is gone: %s", m->name, why_gone(p, m));
        else if (late)
            proxy_answer_fail(a, 503, "server_error", "target_gone", "%s %s did not come back within %lld s: %s",
                              a->mode == PROXY_DRAFT ? "drafter" : "target", m->name,
                              (long long)(p->settings.target_wait_ms / 1000), why_gone(p, m));
        else if (a->wants == NULL && member_ready(m))
            a->runner->member_changed(a, m, false);
    }
}

void proxy_check_waiting(struct proxy *p)
{
    int64_t now = clock_us(), most = p->hope == PROXY_POOL_OFF ? 0 : p->settings.target_wait_ms * 1000;
    check_line(p, now);
    check_running(p, now, most);
    for (struct proxy_answer *a = p->queue.first, *next; a != NULL; a = next) {
        next = a->next;
        if (answering_member(p, a) != NULL || p->hope == PROXY_POOL_COMING)
            continue;
        if (a->mode == PROXY_GATE && gate_goes_without(p->gate))
            continue;
        const struct member *m = a->mode == PROXY_DRAFT ? proxy_draft_server(p) : p->target;
        int64_t since = a->started_us;
        if (a->mode != PROXY_DRAFT && p->target_down_us > since)
            since = p->target_down_us;
        if (m == NULL)
            proxy_answer_fail(a, 503, "server_error", "draft_gone", "there is no drafter any more");
        else if (now - since >= most)
            proxy_answer_fail(a, 503, "server_error", "target_gone", "%s cannot be reached: %s", m->name,
                              why_gone(p, m));
    }
}

/* ---- ending ---- */

/* What an answer promises, where that is less than the target's own text. */
static const char *promise(const struct proxy_answer *a)
{
    return a->mode == PROXY_CONSENSUS ? " by consensus (approximate)"
           : a->mode == PROXY_GATE    ? " by the gate (approximate)"
                                      : "";
}

/* Failures have a line of their own, with the reason. */
static void tell_end(const struct proxy_answer *a)
{
    double seconds = (double)(a->ended_us - a->started_us) / 1e6;
    const char *how = a->state == REQUEST_DONE ? "answered" : "cancelled";
    const char *outcome = proxy_answer_outcome(a), *agent = proxy_answer_agent(a);
    char more[160] = "";
    if (a->state == REQUEST_FAILED)
        return;
    if (a->drafted > 0)
        snprintf(more, sizeof(more), "; %lld of %lld drafted ones accepted", (long long)a->accepted,
                 (long long)a->drafted);
    if (outcome != NULL && a->state == REQUEST_DONE) {
        size_t n = strlen(more);
        snprintf(more + n, sizeof(more) - n, "; %s, written by %.60s", outcome, agent != NULL ? agent : "the target");
    }
    log_event("request %llu: %s%s, %lld tokens in %.2f s%s", (unsigned long long)a->id, how, promise(a),
              (long long)a->tokens, seconds, more);
}

static void end_answer(struct proxy_answer *a, enum snapshot_state state)
{
    struct proxy *p = a->proxy;
    a->ended = true;
    a->state = state;
    a->ended_us = clock_us();
    a->lost_us = 0;
    a->ops = NULL;
    proxy_answer_leave_slot(a);
    unlink_answer(a->runner != NULL ? &p->running : &p->queue, a);
    append(&p->ended, a);
    gate_answer_ended(a);
    consensus_answer_ended(a);
    proxy_answer_snapshot(a, &p->done[p->done_written++ % SNAPSHOT_REQUESTS]);
    live_recorder_end(&p->live, a->id, a->ended_us);
    tell_end(a);
    if (state == REQUEST_DONE)
        p->requests_ok++;
    else if (state == REQUEST_FAILED)
        p->requests_failed++;
    else
        p->requests_cancelled++;
    proxy_wake(p);
}

void proxy_answer_done(struct proxy_answer *a, int64_t prompt_tokens, int64_t completion_tokens, enum answer_finish f)
{
    if (a->ended)
        return;
    bool verified = a->runner == &speculate_runner && a->rounds > 0;
    struct oai_usage usage = {.prompt_tokens = prompt_tokens,
                              .completion_tokens = completion_tokens,
                              .drafted_tokens = verified ? a->drafted : -1,
                              .accepted_tokens = verified ? a->accepted : -1};
    const struct proxy_ops *ops = a->ops;
    void *arg = a->arg;
    end_answer(a, REQUEST_DONE);
    ops->on_done(arg, f, &usage);
}

void proxy_answer_fail(struct proxy_answer *a, int status, const char *type, const char *code, const char *fmt, ...)
{
    if (a->ended)
        return;
    va_list ap;
    va_start(ap, fmt);
    char *message = xvasprintf(fmt, ap);
    va_end(ap);
    const struct proxy_ops *ops = a->ops;
    void *arg = a->arg;
    log_warn("request %llu failed: %s", (unsigned long long)a->id, message);
    end_answer(a, REQUEST_FAILED);
    ops->on_error(arg, status, type, code, message);
    free(message);
}

void proxy_answer_fail_backend(struct proxy_answer *a, const struct backend_status *st)
{
    const char *name = a->target->name;
    if (st->error == BACKEND_TOO_LONG)
        proxy_answer_fail(a, 400, "invalid_request_error", "context_length_exceeded", "%s: %s", name, st->message);
    else if (st->error == BACKEND_REFUSED)
        proxy_answer_fail(a, 400, "invalid_request_error", NULL, "%s: %s", name, st->message);
    else if (st->error == BACKEND_UNSUPPORTED)
        proxy_answer_fail(a, 400, "invalid_request_error", "unsupported", "%s: %s", name, st->message);
    else
        proxy_answer_fail(a, 503, "server_error", backend_error_name(st->error), "%s: %s", name, st->message);
}

void proxy_answer_cancel(struct proxy_answer *a)
{
    if (!a->ended)
        end_answer(a, REQUEST_CANCELLED);
}

void proxy_answer_resume(struct proxy_answer *a)
{
    if (a->ended || !a->paused)
        return;
    a->paused = false;
    if (a->runner != NULL)
        a->runner->resume(a);
}

void proxy_answer_tell_start(struct proxy_answer *a, int64_t prompt_tokens)
{
    a->prompt_tokens = prompt_tokens;
    if (a->ended || a->told_start)
        return;
    a->told_start = true;
    a->ops->on_start(a->arg, prompt_tokens);
}

bool proxy_answer_tell_text(struct proxy_answer *a, const char *text, size_t len, const struct oai_token *tokens,
                            const bool *drafted, size_t n)
{
    if (a->ended)
        return true;
    if (a->first_us == 0)
        a->first_us = clock_us();
    proxy_live_text(a, text, len, tokens, drafted, n);
    return a->ops->on_text(a->arg, text, len, tokens, drafted, n);
}

void proxy_stop_answers(struct proxy *p)
{
    struct answer_list *lists[] = {&p->running, &p->queue};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        while (lists[i]->first != NULL)
            end_answer(lists[i]->first, REQUEST_CANCELLED);
    }
    reap(p);
}
