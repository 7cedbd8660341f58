/* The shadow check: some of the approved requests are answered by the target as well, afterwards and when it is idle,
 * and the two texts are compared.  It gives way to everything: a request that wants the slot ends it. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
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
    if (s->by != NULL)
        s->by->taken--;
    json_decref(s->body);
    buf_finish(&s->answer);
    free(s->text);
    free(s);
}

/* What a number makes of another: Vigna's splitmix64, one step. */
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15ULL;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
    return x ^ x >> 31;
}

/* Which requests: by their number, so that nobody chooses. */
static bool is_chosen(const struct gate *g, uint64_t request)
{
    return (double)(mix(request) >> 11) * 0x1p-53 < g->cfg.shadow_share;
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

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool same_text(const char *a, size_t n, const char *b, size_t m)
{
    for (; n > 0 && is_blank(*a); a++)
        n--;
    for (; m > 0 && is_blank(*b); b++)
        m--;
    while (n > 0 && is_blank(a[n - 1]))
        n--;
    while (m > 0 && is_blank(b[m - 1]))
        m--;
    return n == m && memcmp(a, b, n) == 0;
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
    g->shadow_us += clock_us() - s->began_us;
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
