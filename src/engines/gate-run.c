/* One answer of the gate: an agent writes it, the verifier reviews it, and it is told, corrected or written anew. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "engines/gate-internal.h"

enum gate_state {
    GATE_WAITING,   /* for an agent that is free */
    GATE_WRITING,   /* by one agent, or by several of which the first counts */
    GATE_LINED_UP,  /* for a slot: of the verifier's, or of the target's when it is to answer itself */
    GATE_REVIEWING, /* the verifier is at work */
    GATE_TELLING,   /* the client gets the text, or reads it too slowly */
    GATE_OVER,      /* it was told, or handed over to the target */
};

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

enum {
    PIECE_BYTES = 64,            /* of text that is told at a time */
    TOKEN_BYTES = 64,            /* longest that a token can be, for the length of an answer */
    SILENT_US = 1 * 1000 * 1000, /* an agent that is down and has been silent for so long is not waited for */
};

/* An agent at work on an answer. */
struct writing {
    struct gate_run *r;
    struct agent *agent;
    struct backend_call *call;
    struct buf text;
    int64_t began_us, heard_us;
};

struct gate_run {
    struct proxy_answer *a;
    enum gate_state state;
    json_t *request; /* as agents get it */
    struct writing *writing[GATE_AGENTS];
    size_t n_writing;
    uint64_t tried[GATE_AGENTS]; /* agents that have failed it */
    size_t n_tried;
    int64_t retries;
    size_t to_read; /* bytes of the request */
    bool by_target; /* no agent, or a rejection: the target answers itself */
    /* the answer */
    char *text;
    size_t len, told;
    enum answer_finish finish;
    int64_t prompt_tokens, tokens; /* -1 unknown */
    struct review *review;
    int64_t doubt_us;      /* since when reviews fail, 0: the last one did not */
    struct event *tell;    /* begins to tell outside of the callback that found the text to be right */
    struct gate_run *next; /* in gate.waiting */
};

static struct gate *gate_of(const struct gate_run *r)
{
    return r->a->proxy->gate;
}

static void change_state(struct gate_run *r, enum gate_state to)
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
    change_state(r, GATE_OVER);
    a->gate->target_us = clock_us();
    gate_stop(a);
    proxy_answer_run(a);
}

static void line_up(struct gate_run *r)
{
    change_state(r, GATE_LINED_UP);
    proxy_answer_want_slot(r->a, r->by_target ? r->a->proxy->target : gate_verifier(gate_of(r)));
}

static void answer_by_target(struct gate_run *r, enum gate_outcome outcome)
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
    change_state(r, GATE_OVER);
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
    change_state(r, GATE_TELLING);
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

static void correct(struct gate_run *r, const struct review_result *res)
{
    struct proxy_answer *a = r->a;
    if (res->kept != NULL && res->request_tokens != NULL) {
        settle(r, OUTCOME_CORRECTED);
        a->gate->kept = (int64_t)res->n_kept;
        a->gate->target_us = clock_us();
        a->target = a->slot_of;
        change_state(r, GATE_OVER);
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
    if (res->verdict == VERDICT_APPROVE)
        pass(r, OUTCOME_APPROVED);
    else if (res->verdict == VERDICT_CORRECT && (res->kept != NULL || res->correction != NULL))
        correct(r, res);
    else
        answer_by_target(r, OUTCOME_REJECTED);
}

static void gate_slot(struct proxy_answer *a)
{
    struct gate_run *r = a->run;
    struct gate *g = gate_of(r);
    if (r->by_target) {
        hand_over(r);
        return;
    }
    change_state(r, GATE_REVIEWING);
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

/* ---- writing ---- */

static void seek_agent(struct gate_run *r);

/* Ends it without a word to anybody. */
static void drop_writing(struct gate_run *r, size_t i)
{
    struct writing *w = r->writing[i];
    if (w->call != NULL)
        backend_cancel(w->call);
    w->agent->busy--;
    w->agent->busy_us += clock_us() - w->began_us;
    buf_finish(&w->text);
    free(w);
    r->writing[i] = r->writing[--r->n_writing];
    proxy_wake(r->a->proxy); /* the agent is free */
}

static size_t index_of(const struct gate_run *r, const struct writing *w)
{
    size_t i = 0;
    while (r->writing[i] != w)
        i++;
    return i;
}

/* It brought nothing: another agent's turn, unless others are at work on it still. */
static void lose_writing(struct gate_run *r, struct writing *w, const char *why)
{
    log_warn("request %llu: agent %s did not answer: %s", (unsigned long long)r->a->id, w->agent->m->name, why);
    w->agent->failures++;
    if (r->n_tried < GATE_AGENTS)
        r->tried[r->n_tried++] = w->agent->id;
    drop_writing(r, index_of(r, w));
    if (r->n_writing > 0)
        return;
    if (r->retries >= gate_of(r)->cfg.max_retries) {
        answer_by_target(r, OUTCOME_DIRECT);
        return;
    }
    r->retries++;
    seek_agent(r);
}

/* As lose_writing, and the agent is known to be in trouble. */
static void blame(struct gate_run *r, struct writing *w, const struct backend_status *st)
{
    struct member *m = w->agent->m;
    lose_writing(r, w, st->message);
    member_failed(m, st);
}

/* A text that ends at a stop string ends there, whether the agent knew or not. */
static void obey_stops(struct gate_run *r, const struct buf *text)
{
    const struct oai_request *q = &r->a->req;
    struct answer *cut = answer_create((const char *const *)q->stops, q->n_stops, INT64_MAX);
    size_t len;
    bool open = answer_feed(cut, text->data, text->len, false) == ANSWER_OPEN;
    if (open)
        answer_cut(cut); /* gives what might have become a stop string */
    const char *whole = answer_text(cut, &len);
    r->text = xstrndup(whole, len);
    r->len = len;
    if (!open)
        r->finish = ANSWER_STOP;
    answer_destroy(cut);
}

static bool is_empty(const char *text, size_t len)
{
    return strspn(text, " \t\r\n") >= len;
}

static void take_answer(struct gate_run *r, struct writing *w, const struct backend_status *st, const char *finish,
                        int64_t prompt_tokens, int64_t tokens)
{
    struct proxy_answer *a = r->a;
    struct agent *agent = w->agent;
    int64_t us = clock_us() - w->began_us;
    member_ok(agent->m, st->elapsed_us, tokens > 0 ? (size_t)tokens : 0);
    agent->answers++;
    stats_ring_add(&agent->answer_us, (double)us);
    if (w->text.len > 0)
        stats_ring_add(&agent->byte_us, (double)us / (double)w->text.len);
    a->gate->agent_id = agent->id;
    snprintf(a->gate->agent, sizeof(a->gate->agent), "%.63s", agent->m->name);
    r->finish = finish != NULL && strcmp(finish, "length") == 0 ? ANSWER_LENGTH : ANSWER_STOP;
    r->prompt_tokens = prompt_tokens;
    r->tokens = tokens;
    obey_stops(r, &w->text);
    while (r->n_writing > 0)
        drop_writing(r, 0);
    json_decref(r->request);
    r->request = NULL;
    if (is_empty(r->text, r->len))
        answer_by_target(r, OUTCOME_REJECTED);
    else
        line_up(r);
}

static void on_written(void *arg, const struct backend_status *st, const char *finish, int64_t prompt_tokens,
                       int64_t tokens)
{
    struct writing *w = arg;
    struct gate_run *r = w->r;
    w->call = NULL;
    if (r->a->ended)
        return;
    if (st->error == BACKEND_REFUSED || st->error == BACKEND_UNSUPPORTED || st->error == BACKEND_TOO_LONG)
        lose_writing(r, w, st->message); /* this request it can't serve; others perhaps */
    else if (st->error != BACKEND_OK)
        blame(r, w, st);
    else if (r->a->req.max_tokens >= 0 && tokens > r->a->req.max_tokens)
        lose_writing(r, w, "it wrote more tokens than were asked for");
    else
        take_answer(r, w, st, finish, prompt_tokens, tokens);
}

static bool on_text(void *arg, const char *text, size_t len, json_t *logprobs)
{
    (void)logprobs;
    struct writing *w = arg;
    w->heard_us = clock_us();
    if (w->r->a->ended) /* it is about to be dropped */
        return true;
    if (!buf_add(&w->text, text, len)) {
        const struct backend_status st = {.error = BACKEND_BROKEN, .message = "it writes without end"};
        blame(w->r, w, &st);
    }
    return true;
}

static size_t most_bytes(const struct proxy_answer *a)
{
    int64_t tokens = a->req.max_tokens >= 0 ? a->req.max_tokens : proxy_default_tokens(a->proxy);
    return tokens < GATE_TEXT_MAX / TOKEN_BYTES ? ((size_t)tokens + 1) * TOKEN_BYTES : GATE_TEXT_MAX;
}

static void begin_writing(struct gate_run *r, struct agent *agent)
{
    struct proxy_answer *a = r->a;
    struct writing *w = xcalloc(1, sizeof(*w));
    w->r = r;
    w->agent = agent;
    w->began_us = w->heard_us = clock_us();
    buf_init(&w->text, most_bytes(a));
    agent->busy++;
    r->writing[r->n_writing++] = w;
    w->call = backend_chat(agent->m->backend, r->request, a->req.chat, (int)gate_of(r)->cfg.agent_timeout_ms, on_text,
                           on_written, w);
}

/* ---- who writes ---- */

static size_t seats_for(const struct gate_run *r, struct gate_seat *seats)
{
    return gate_seats(gate_of(r), r->tried, r->n_tried, seats);
}

/* Requests of the gate that wait for an agent, as far as it matters to a race. */
static size_t count_waiting(const struct gate *g)
{
    size_t n = 0;
    for (const struct gate_run *r = g->waiting; r != NULL; r = r->next)
        n++;
    for (const struct proxy_answer *a = g->p->queue.first; a != NULL && n < GATE_AGENTS; a = a->next)
        n += a->mode == PROXY_GATE;
    return n;
}

/* False: nobody is free. */
static bool begin_with_free(struct gate_run *r)
{
    struct gate *g = gate_of(r);
    struct gate_seat seats[GATE_AGENTS];
    size_t n = seats_for(r, seats), most = 1, free = 0;
    for (size_t i = 0; i < n; i++)
        free += seats[i].usable && !seats[i].tried && seats[i].busy < seats[i].slots;
    if (g->routing == GATE_RACE)
        most = gate_race_share(free, count_waiting(g));
    for (size_t k = 0; k < most; k++) {
        size_t i = gate_choose(g, seats);
        if (i == n)
            break;
        if (r->n_writing == 0)
            change_state(r, GATE_WRITING);
        begin_writing(r, g->agent[i]);
        seats[i].tried = true; /* one answer from each */
    }
    return r->n_writing > 0;
}

static void seek_agent(struct gate_run *r)
{
    struct gate *g = gate_of(r);
    struct gate_seat seats[GATE_AGENTS];
    if (r->state != GATE_WAITING)
        change_state(r, GATE_WAITING);
    if (!gate_route_possible(seats, seats_for(r, seats))) {
        answer_by_target(r, OUTCOME_DIRECT);
        return;
    }
    if (begin_with_free(r)) {
        g->retries += r->retries > 0;
        return;
    }
    struct gate_run **at = &g->waiting;
    while (*at != NULL && (*at)->a->id < r->a->id)
        at = &(*at)->next;
    r->next = *at;
    *at = r;
}

static void leave_waiting(struct gate_run *r)
{
    for (struct gate_run **at = &gate_of(r)->waiting; *at != NULL; at = &(*at)->next) {
        if (*at == r) {
            *at = r->next;
            return;
        }
    }
}

void gate_serve_waiting(struct gate *g)
{
    for (struct gate_run *r = g->waiting, *next; r != NULL; r = next) {
        next = r->next;
        leave_waiting(r);
        seek_agent(r);
    }
}

void gate_agent_leaves(struct gate *g, struct agent *agent)
{
    for (struct proxy_answer *a = g->p->running.first, *next; a != NULL; a = next) {
        next = a->next;
        struct gate_run *r = a->runner == &gate_runner ? a->run : NULL;
        for (size_t i = r != NULL && !a->ended ? r->n_writing : 0; i-- > 0;) {
            if (r->writing[i]->agent != agent)
                continue;
            r->retries--; /* that is nobody's fault */
            lose_writing(r, r->writing[i], "it was removed");
            break;
        }
    }
}

/* ---- time ---- */

/* Why an agent is not waited for any longer; NULL: it is. */
static const char *dawdles(const struct writing *w, int64_t now)
{
    int64_t us = now - w->began_us;
    if (us > w->r->a->proxy->gate->cfg.agent_timeout_ms * 1000)
        return "it takes longer than agent_timeout";
    if (us > gate_patience_us(&w->agent->byte_us, w->r->to_read, w->text.len))
        return "it takes far longer than it used to";
    if (!member_up(w->agent->m) && now - w->heard_us > SILENT_US)
        return "it has fallen silent, and does not answer when asked how it is";
    return NULL;
}

static void check_run(struct gate_run *r, int64_t now)
{
    for (size_t i = r->n_writing; r->state == GATE_WRITING && i-- > 0;) {
        const char *why = dawdles(r->writing[i], now);
        if (why == NULL)
            continue;
        const struct backend_status st = {.error = BACKEND_TIMEOUT, .message = why};
        blame(r, r->writing[i], &st);
        return; /* the next one at the next tick */
    }
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
    seek_agent(r);
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
    leave_waiting(r);
    while (r->n_writing > 0)
        drop_writing(r, 0);
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
