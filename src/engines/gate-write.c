/* Agents at work on an answer: who writes, who is given up, and what becomes of a text that is whole. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "engines/gate-internal.h"

enum {
    TOKEN_BYTES = 64,            /* longest that a token can be, for the length of an answer */
    SILENT_US = 1 * 1000 * 1000, /* an agent that is down and has been silent for so long is not waited for */
};

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
    if (r->retries >= r->a->proxy->gate->cfg.max_retries) {
        gate_run_by_target(r, OUTCOME_DIRECT);
        return;
    }
    r->retries++;
    gate_write(r);
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
    gate_run_written(r);
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
    w->call = backend_chat(agent->m->backend, r->request, a->req.chat, (int)r->a->proxy->gate->cfg.agent_timeout_ms,
                           on_text, on_written, w);
}

/* ---- who writes ---- */

static size_t seats_for(const struct gate_run *r, struct gate_seat *seats)
{
    return gate_seats(r->a->proxy->gate, r->tried, r->n_tried, seats);
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
    struct gate *g = r->a->proxy->gate;
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
            gate_run_state(r, GATE_WRITING);
        begin_writing(r, g->agent[i]);
        seats[i].tried = true; /* one answer from each */
    }
    return r->n_writing > 0;
}

void gate_write(struct gate_run *r)
{
    struct gate *g = r->a->proxy->gate;
    struct gate_seat seats[GATE_AGENTS];
    if (r->state != GATE_WAITING)
        gate_run_state(r, GATE_WAITING);
    if (!gate_route_possible(seats, seats_for(r, seats))) {
        gate_run_by_target(r, OUTCOME_DIRECT);
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
    for (struct gate_run **at = &r->a->proxy->gate->waiting; *at != NULL; at = &(*at)->next) {
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
        gate_write(r);
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
            r->retries -= r->n_writing == 1; /* another one is asked then, and that is nobody's fault */
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

void gate_write_check(struct gate_run *r, int64_t now)
{
    for (size_t i = r->n_writing; i-- > 0;) {
        const char *why = dawdles(r->writing[i], now);
        if (why == NULL)
            continue;
        const struct backend_status st = {.error = BACKEND_TIMEOUT, .message = why};
        blame(r, r->writing[i], &st);
        return; /* the next one at the next tick */
    }
}

void gate_write_stop(struct gate_run *r)
{
    leave_waiting(r);
    while (r->n_writing > 0)
        drop_writing(r, 0);
}
