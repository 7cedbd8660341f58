#include "fake-proxy.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cause.h"
#include "base/mem.h"
#include "engines/command.h"

struct proxy_answer {
    struct proxy *proxy;
    const struct proxy_ops *ops;
    void *arg;
    struct event *turn;
    size_t given;
    int waited;
    bool started, paused;
    char *bulk;
};

static void answer_free(struct proxy_answer *a)
{
    struct proxy *p = a->proxy;
    p->open--;
    if (p->open == 0 && p->draining && p->on_drained)
        p->on_drained(p->on_drained_arg);
    event_free(a->turn);
    free(a->bulk);
    free(a);
}

static size_t script_length(const struct fake_script *s)
{
    size_t n = 0;
    while (s->pieces && s->pieces[n])
        n++;
    return s->repeat ? s->repeat : n;
}

static void finish(struct proxy_answer *a)
{
    const struct proxy_ops *ops = a->ops;
    void *arg = a->arg;
    struct oai_usage usage = {
        .prompt_tokens = 7, .completion_tokens = (int64_t)a->given, .drafted_tokens = 4, .accepted_tokens = 3};
    enum answer_finish f = a->proxy->script.finish;
    ops->on_done(arg, f, &usage);
    answer_free(a);
}

static void give(struct proxy_answer *a)
{
    const struct fake_script *s = &a->proxy->script;
    const char *piece = s->repeat ? a->bulk : s->pieces[a->given];
    const struct oai_top top[] = {{.id = 65, .piece = "A", .len = 1, .logprob = -0.5f},
                                  {.id = 66, .piece = "B", .len = 1, .logprob = -1.5f}};
    struct oai_token token = {.id = 65, .piece = piece, .len = strlen(piece), .logprob = -0.5f, .top = top, .n_top = 2};
    bool drafted = a->given % 2 == 1;
    a->given++;
    a->proxy->pieces_given++;
    if (!a->ops->on_text(a->arg, piece, strlen(piece), &token, &drafted, 1)) {
        a->paused = true;
        a->proxy->paused++;
        return;
    }
    event_active(a->turn, EV_TIMEOUT, 0);
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    struct proxy_answer *a = arg;
    const struct fake_script *s = &a->proxy->script;
    if (s->hang || a->paused)
        return;
    if (!a->started) {
        a->started = true;
        a->ops->on_start(a->arg, 7);
    }
    if (a->waited < s->waits) {
        a->waited++;
        a->ops->on_wait(a->arg);
        event_active(a->turn, EV_TIMEOUT, 0);
    } else if (s->error_after >= 0 && a->given == (size_t)s->error_after) {
        const struct proxy_ops *ops = a->ops;
        void *to = a->arg;
        int status = s->error_status;
        ops->on_error(to, status, "server_error", "target_lost", "the target is gone");
        answer_free(a);
    } else if (a->given == script_length(s)) {
        finish(a);
    } else {
        give(a);
    }
}

struct proxy_answer *proxy_submit(struct proxy *p, struct oai_request *q, const struct proxy_ops *ops, void *arg,
                                  struct oai_error *err)
{
    snprintf(p->model_asked, sizeof(p->model_asked), "%s", q->model ? q->model : "");
    if (p->script.refuse_status || p->draining) {
        err->status = p->draining ? 503 : p->script.refuse_status;
        err->message = xstrdup(p->draining ? "stopping" : p->script.refuse_message);
        return NULL;
    }
    struct proxy_answer *a = xcalloc(1, sizeof(*a));
    a->proxy = p;
    a->ops = ops;
    a->arg = arg;
    if (p->script.bulk) {
        a->bulk = xmalloc(p->script.bulk + 1);
        memset(a->bulk, 'x', p->script.bulk);
        a->bulk[p->script.bulk] = '\0';
    }
    a->turn = event_new(p->base, -1, 0, on_turn, a);
    event_active(a->turn, EV_TIMEOUT, 0);
    p->submitted++;
    p->open++;
    return a;
}

void proxy_answer_cancel(struct proxy_answer *a)
{
    a->proxy->cancelled++;
    answer_free(a);
}

void proxy_answer_resume(struct proxy_answer *a)
{
    if (!a->paused)
        return;
    a->proxy->resumed++;
    a->paused = false;
    event_active(a->turn, EV_TIMEOUT, 0);
}

enum proxy_mode proxy_answer_mode(const struct proxy_answer *a)
{
    return a->proxy->script.mode;
}

const char *proxy_answer_outcome(const struct proxy_answer *a)
{
    return a->given > 0 ? a->proxy->script.outcome : NULL;
}

const char *proxy_answer_agent(const struct proxy_answer *a)
{
    return a->given > 0 ? a->proxy->script.agent : NULL;
}

const char *proxy_mode_name(enum proxy_mode mode)
{
    static const char *const names[] = {"exact", "consensus", "gate", "target", "draft"};
    return names[mode];
}

bool proxy_mode_is_approximate(enum proxy_mode mode)
{
    return mode == PROXY_CONSENSUS || mode == PROXY_GATE;
}

json_t *proxy_models(const struct proxy *p)
{
    return json_pack("[s, s, s]", "demo/tiny", "demo/tiny@target", "demo/tiny@draft");
}

const char *proxy_model(const struct proxy *p)
{
    return "demo/tiny";
}

const struct snapshot *proxy_snapshot(const struct proxy *p)
{
    return &p->snapshot;
}

const struct live *proxy_live(const struct proxy *p)
{
    return &p->live;
}

void proxy_set_listen(struct proxy *p, const char *text)
{
    snprintf(p->listen, sizeof(p->listen), "%s", text);
}

void proxy_listen(struct proxy *p, struct proxy_listener *l)
{
    l->next = p->listeners;
    p->listeners = l;
}

void proxy_unlisten(struct proxy *p, struct proxy_listener *l)
{
    struct proxy_listener **at = &p->listeners;
    while (*at && *at != l)
        at = &(*at)->next;
    if (*at)
        *at = l->next;
}

void proxy_drain(struct proxy *p, void (*fn)(void *arg), void *arg)
{
    p->draining = true;
    p->on_drained = fn;
    p->on_drained_arg = arg;
    if (p->open == 0)
        fn(arg);
}

const char *snapshot_health_name(enum snapshot_health h)
{
    static const char *const name[] = {"unknown", "up", "down"};
    return name[h];
}

const char *snapshot_state_name(enum snapshot_state s)
{
    static const char *const name[] = {"queued", "prefill", "running", "waiting", "done", "failed", "cancelled"};
    return name[s];
}

static json_t *run_pause(const struct engines *e, const json_t *args, char **cause)
{
    return json_pack("{s:b}", "paused", 1);
}

const struct command command_table[] = {{"pause", "[name]", "pauses a drafter", run_pause, NULL},
                                        {"wait", "", "ends when it is told to", NULL, NULL}};
const size_t command_count = 2;

struct command_call {
    command_done_cb *done;
    void *arg;
};
static struct command_call waiting;

struct command_call *command_run(const struct engines *e, const json_t *request, command_done_cb *done, void *arg)
{
    const char *name = json_string_value(json_object_get(request, "command"));
    if (name && strcmp(name, "wait") == 0) {
        waiting = (struct command_call){done, arg};
        return &waiting;
    }
    if (name && strcmp(name, "pause") == 0)
        done(arg, run_pause(e, request, NULL), NULL);
    else
        done(arg, NULL, "unknown command: did you mean pause?");
    return NULL;
}

void command_cancel(struct command_call *c)
{
    if (c)
        c->done = NULL;
}

bool fake_command_waits(void)
{
    return waiting.done != NULL;
}

bool fake_command_end(void)
{
    if (!waiting.done)
        return false;
    command_done_cb *done = waiting.done;
    waiting.done = NULL;
    done(waiting.arg, json_pack("{s:b}", "waited", 1), NULL);
    return true;
}

struct proxy *fake_proxy_create(struct event_base *base)
{
    struct proxy *p = xcalloc(1, sizeof(*p));
    p->base = base;
    p->script.error_after = -1;
    p->script.finish = ANSWER_STOP;
    struct snapshot *s = &p->snapshot;
    s->n_backends = 1;
    s->backend[0] = (struct snapshot_backend){.role = ROLE_TARGET,
                                              .health = HEALTH_UP,
                                              .active = true,
                                              .rtt_us = -1,
                                              .tokens_per_second = NAN,
                                              .call_ms = NAN};
    s->acceptance = s->tokens_per_round = s->draft_ms = s->verify_ms = s->wait_ms = NAN;
    return p;
}

void fake_proxy_destroy(struct proxy *p)
{
    free(p);
}

void fake_proxy_tick(struct proxy *p)
{
    p->snapshot.tick++;
    for (struct proxy_listener *l = p->listeners, *next; l; l = next) {
        next = l->next;
        if (l->on_tick)
            l->on_tick(l->arg, &p->snapshot);
    }
}

void fake_proxy_round(struct proxy *p, const struct snapshot_round *r)
{
    for (struct proxy_listener *l = p->listeners, *next; l; l = next) {
        next = l->next;
        if (l->on_round)
            l->on_round(l->arg, r);
    }
}
