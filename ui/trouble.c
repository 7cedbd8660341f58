#include "ui/trouble.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "ui/text.h"

/* A drafter's acceptance is judged after this many tokens. */
enum {
    JUDGED = 500,
    EARNS = 20, /* a drafter among several is worth having where one round in so many is its own */
};
/* Below these shares something is the matter with the pair of models, as the field has it. */
static const double other_family = 0.10, poor = 0.40;

struct list {
    struct trouble *at;
    size_t n;
};

__attribute__((format(printf, 3, 4))) static void add(struct list *l, enum theme_role role, const char *fmt, ...)
{
    va_list ap;
    if (l->n == TROUBLES)
        return;
    struct trouble *t = &l->at[l->n++];
    t->role = role;
    va_start(ap, fmt);
    vsnprintf(t->text, sizeof(t->text), fmt, ap);
    va_end(ap);
}

/* What to do about a server that is down for that reason. */
static const char *remedy(const char *kind, const char *url, const char *reason)
{
    bool ollama = strcmp(kind, "ollama") == 0 || strstr(url, ":11434") != NULL;
    if (text_holds(reason, "connect") || text_holds(reason, "refused"))
        return ollama
                   ? "start it there so that the network reaches it (OLLAMA_HOST=0.0.0.0 ollama serve), and open its "
                     "port (sudo ufw allow 11434)"
                   : "start it there, let it listen on the network's address, and open its port in the firewall";
    if (text_holds(reason, "resolve"))
        return "no host of that name is known: give its address";
    if (text_holds(reason, "timed out") || text_holds(reason, "no answer"))
        return "is the machine on, and does its firewall let the port through?";
    if (text_holds(reason, "key") || text_holds(reason, "401"))
        return "give it the right api_key";
    return "tightwad doctor says more";
}

static void servers(struct list *l, const struct snapshot *s, enum snapshot_role role)
{
    for (size_t i = 0; i < s->n_backends; i++) {
        const struct snapshot_backend *b = &s->backend[i];
        bool target = b->role == ROLE_TARGET;
        if (b->role != role || b->paused)
            continue;
        if (target && s->pool.configured && !s->pool.up) /* the pool says why */
            continue;
        if (b->health == HEALTH_DOWN)
            add(l, target ? THEME_BAD : THEME_WARN, "%s %s is down: %s. %s: %s", target ? "target" : "drafter", b->name,
                b->reason[0] != '\0' ? b->reason : "no reason is known",
                target ? "Requests wait for it" : "The target goes on without it", remedy(b->kind, b->url, b->reason));
        else if (b->reason[0] != '\0')
            add(l, THEME_WARN, "%s %s: %s", target ? "target" : "drafter", b->name, b->reason);
    }
}

static void pool(struct list *l, const struct snapshot_pool *p)
{
    char when[16];
    if (!p->configured)
        return;
    bool failed = strcmp(p->state, "failed") == 0, waits = strcmp(p->state, "backoff") == 0;
    if (failed || waits || (strcmp(p->state, "off") == 0 && p->why[0] != '\0')) {
        const char *why = p->why[0] != '\0' ? p->why : "it is not loaded";
        if (p->retry_ms >= 0)
            add(l, THEME_BAD, "pool: %s (tried again in %s)", why,
                text_milliseconds(when, sizeof(when), (double)(p->retry_ms / 1000 * 1000), true));
        else
            add(l, THEME_BAD, "pool: %s", why);
    } else if (!p->up && p->why[0] != '\0')
        add(l, THEME_WARN, "pool, %s: %s", p->state, p->why);
    if (p->swap_error[0] != '\0')
        add(l, THEME_WARN, "the last swap failed: %s", p->swap_error);
    for (size_t i = 0; i < p->n_devices; i++) {
        const struct snapshot_device *d = &p->device[i];
        if (d->reason[0] != '\0')
            add(l, THEME_WARN, "%s of %s is not used: %s", d->name, d->machine, d->reason);
    }
}

static void consensus(struct list *l, const struct snapshot_consensus *c)
{
    if (c->configured && c->why[0] != '\0')
        add(l, THEME_WARN, "consensus: %s; answers are exact%s", c->why,
            c->suspended ? " until it is chosen anew (C)" : "");
}

static void gate(struct list *l, const struct snapshot_gate *g)
{
    if (!g->configured || !g->on)
        return;
    if (g->why[0] != '\0')
        add(l, THEME_WARN, "gate: %s", g->why);
    for (size_t i = 0; i < g->n_agents && i < SNAPSHOT_AGENTS; i++) {
        const struct snapshot_agent *a = &g->agent[i];
        if (a->health == HEALTH_DOWN)
            add(l, THEME_WARN, "agent %s is down: %s. Others write in its place: %s", a->name,
                a->reason[0] != '\0' ? a->reason : "no reason is known", remedy(a->kind, a->url, a->reason));
        else if (a->reason[0] != '\0')
            add(l, THEME_WARN, "agent %s: %s", a->name, a->reason);
    }
}

/* What waits and what failed; peers that are gone are no trouble while others are there. */
static void swarm(struct list *l, const struct swarm_view *v)
{
    if (v->why[0] != '\0')
        add(l, THEME_WARN, "swarm: %s", v->why);
    for (size_t i = 0; v->on && i < v->n_models && i < SWARM_VIEW_MODELS; i++) {
        const struct swarm_view_model *m = &v->model[i];
        const char *name = m->name[0] != '\0' ? m->name : m->file;
        if (m->state == SWARM_FAILED)
            add(l, THEME_BAD, "swarm: %s failed: %s", name, m->why);
        else if (m->state == SWARM_WAITING)
            add(l, THEME_WARN, "swarm: %s waits: %s", name, m->why);
    }
}

/* One of several that is seldom right may know what the others do not: then it earns its place. */
static bool earns(const struct snapshot_backend *b, size_t drafters)
{
    return drafters > 1 && (b->resting || (b->wins > 0 && b->wins * EARNS >= b->offered));
}

static void acceptance(struct list *l, const struct snapshot *s)
{
    size_t drafters = 0;
    for (size_t i = 0; i < s->n_backends; i++)
        drafters += s->backend[i].role == ROLE_DRAFTER;
    for (size_t i = 0; i < s->n_backends; i++) {
        const struct snapshot_backend *b = &s->backend[i];
        if (b->role != ROLE_DRAFTER || b->drafted < JUDGED || earns(b, drafters))
            continue;
        double share = (double)b->accepted / (double)b->drafted;
        if (share < other_family)
            add(l, THEME_WARN,
                "only %.0f %% of what %s drafts is accepted: its model is hardly of the target's family; take one "
                "that is",
                100 * share, b->name);
        else if (share < poor)
            add(l, THEME_WARN,
                "only %.0f %% of what %s drafts is accepted: its quantisation or fine-tune differs from the target's; "
                "take one that is nearer, or a larger one",
                100 * share, b->name);
    }
}

size_t trouble_find(const struct feed_picture *p, bool attached, struct trouble *out)
{
    const struct snapshot *s = &p->snapshot;
    struct list l = {.at = out};
    if (!p->connected && p->connection[0] != '\0')
        add(&l, THEME_BAD, "%s%s", p->connection, p->have && attached ? " (what is shown is from before)" : "");
    if (!p->have)
        return l.n;
    servers(&l, s, ROLE_TARGET);
    pool(&l, &s->pool);
    if (s->max_queue > 0 && s->queued >= s->max_queue)
        add(&l, THEME_WARN, "requests are turned away: %u wait, which is all that may (max_queue)",
            (unsigned)s->queued);
    size_t before = l.n;
    servers(&l, s, ROLE_DRAFTER);
    gate(&l, &s->gate);
    consensus(&l, &s->consensus);
    swarm(&l, &s->swarm);
    acceptance(&l, s);
    if (!s->speculating && s->why_not[0] != '\0' && l.n == before && s->backend[0].health != HEALTH_DOWN &&
        (!s->pool.configured || s->pool.up))
        add(&l, THEME_WARN, "no speculation: %s", s->why_not);
    /* The worst first; their order stays otherwise. */
    for (size_t i = 1; i < l.n; i++) {
        for (size_t k = i; k > 0 && out[k].role == THEME_BAD && out[k - 1].role != THEME_BAD; k--) {
            struct trouble t = out[k];
            out[k] = out[k - 1];
            out[k - 1] = t;
        }
    }
    return l.n;
}
