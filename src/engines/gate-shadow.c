/* The shadow check: some of the approved requests are answered by the target as well, afterwards and when it is idle,
 * and the two texts are compared.  It gives way to everything: a request that wants the slot ends it. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/noise.h"
#include "engines/gate-internal.h"

enum { SHADOWS_MOST = 16 }; /* that wait; one more takes the place of the oldest */

struct gate_shadow {
    struct gate *g;
    struct gate_shadow *next;
    uint64_t request, agent_id;
    bool chat;
    json_t *body;
    char *text; /* the agent's */
    size_t len;
    struct member *by; /* the target, while it runs */
    struct backend_call *call;
    struct buf answer;
    int64_t began_us;
};

static void shadow_free(struct gate_shadow *s)
{
    if (s->call != NULL)
        backend_cancel(s->call);
    if (s->by != NULL) {
        s->by->taken--;
        s->g->shadow_us += clock_us() - s->began_us;
    }
    json_decref(s->body);
    buf_finish(&s->answer);
    free(s->text);
    free(s);
}

/* Which requests: by their number, so that nobody chooses. */
static bool is_chosen(const struct gate *g, uint64_t request)
{
    return noise_share(request) < g->cfg.shadow_share;
}

void gate_shadow_add(struct gate *g, const struct proxy_answer *a, const char *text, size_t len)
{
    if (!is_chosen(g, a->id))
        return;
    if (g->n_shadows == SHADOWS_MOST) {
        struct gate_shadow *oldest = g->shadows;
        g->shadows = oldest->next;
        g->n_shadows--;
        shadow_free(oldest);
    }
    struct gate_shadow *s = xcalloc(1, sizeof(*s));
    s->g = g;
    s->request = a->id;
    s->agent_id = a->gate->agent_id;
    s->chat = a->req.chat;
    s->body = json_deep_copy(a->req.original);
    json_object_del(s->body, "model");
    json_object_set_new(s->body, "seed", json_integer((json_int_t)a->req.sampling.seed));
    s->text = xstrndup(text, len);
    s->len = len;
    buf_init(&s->answer, GATE_TEXT_MAX);
    struct gate_shadow **at = &g->shadows;
    while (*at != NULL)
        at = &(*at)->next;
    *at = s;
    g->n_shadows++;
    proxy_wake(g->p);
}

void gate_shadow_drop(struct gate *g)
{
    if (g->shadow != NULL)
        shadow_free(g->shadow);
    g->shadow = NULL;
    while (g->shadows != NULL) {
        struct gate_shadow *s = g->shadows;
        g->shadows = s->next;
        shadow_free(s);
    }
    g->n_shadows = 0;
}

static bool same_text(const char *a, size_t n, const char *b, size_t m)
{
    a = review_trim(a, &n);
    b = review_trim(b, &m);
    return n == m && (n == 0 || memcmp(a, b, n) == 0);
}

static bool on_text(void *arg, const char *text, size_t len, json_t *logprobs)
{
    (void)logprobs;
    struct gate_shadow *s = arg;
    buf_add(&s->answer, text, len); /* beyond the bound it differs anyway */
    return true;
}

static void on_done(void *arg, const struct backend_status *st, const char *finish, int64_t prompt_tokens,
                    int64_t completion_tokens)
{
    (void)finish;
    (void)prompt_tokens;
    (void)completion_tokens;
    struct gate_shadow *s = arg;
    struct gate *g = s->g;
    s->call = NULL;
    g->shadow = NULL;
    if (st->error == BACKEND_OK) {
        bool wrong = !same_text(s->text, s->len, s->answer.data, s->answer.len);
        struct agent *agent = gate_agent_by_id(g, s->agent_id);
        g->shadowed++;
        g->false_approved += wrong;
        if (agent != NULL) {
            agent->shadowed++;
            agent->false_approved += wrong;
        }
        if (wrong)
            log_info("request %llu: the target answers otherwise than the approved answer of %s",
                     (unsigned long long)s->request, agent != NULL ? agent->m->name : "an agent that is gone");
    }
    shadow_free(s);
    proxy_wake(g->p);
}

/* Whether a request could use the slot that a check has or wants. */
static bool is_wanted(const struct proxy *p)
{
    return p->line != NULL || p->queue.first != NULL;
}

void gate_shadow_pump(struct gate *g)
{
    struct member *target = g->p->target;
    if (g->shadow != NULL && is_wanted(g->p) && target->taken >= member_slots(target)) {
        shadow_free(g->shadow);
        g->shadow = NULL;
        proxy_wake(g->p); /* the slot is free now */
    }
    if (g->shadow != NULL || g->shadows == NULL || is_wanted(g->p) || !member_ready(target) ||
        target->taken >= member_slots(target))
        return;
    struct gate_shadow *s = g->shadows;
    g->shadows = s->next;
    g->n_shadows--;
    g->shadow = s;
    s->next = NULL;
    s->by = target;
    target->taken++;
    s->began_us = clock_us();
    s->call = backend_chat(target->backend, s->body, s->chat, member_deadline_ms(target, 0), on_text, on_done, s);
}
