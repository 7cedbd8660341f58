/* What is still to be started on other machines, where an agent there can do it: nodes with the models that were
 * chosen, and workers. */
#include "ui/wizard-internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "probe/agent-client.h"

enum wizard_start_state { START_OFFERED, START_ASKED, START_DONE, START_FAILED };

struct wizard_start {
    struct wizard *w;
    enum wizard_start_state state;
    char *what;    /* "gpu-box: a node with qwen3:1.7b" */
    char *message; /* what its agent said against it, NULL: nothing */
    const struct machine_service *agent;
    json_t *order;
    struct agent_call *call; /* NULL: none under way */
};

static const char *token(const struct wizard *w)
{
    return w->token != NULL ? w->token : w->opts->scan->agent_token;
}

/* The agent of machine i that takes orders from here, NULL: it has none, or its token is not known. */
static const struct machine_service *agent_of(const struct wizard *w, int i)
{
    const struct machine *m = i >= 0 ? &w->plan.machine[i] : NULL;
    if (m == NULL || m->origin == MACHINE_HERE || token(w) == NULL)
        return NULL;
    for (size_t k = 0; k < m->n_services; k++) {
        if (m->service[k].kind == SERVICE_AGENT && !m->service[k].needs_secret)
            return &m->service[k];
    }
    return NULL;
}

static bool lends_already(const struct machine *m)
{
    for (size_t k = 0; k < m->n_services; k++) {
        if (m->service[k].kind == SERVICE_WORKER)
            return true;
    }
    return false;
}

/* what and order are taken over. */
static void offer(struct wizard *w, const struct machine_service *agent, char *what, json_t *order)
{
    w->start = xreallocarray(w->start, w->n_starts + 1, sizeof(*w->start));
    w->start[w->n_starts++] = (struct wizard_start){.w = w, .what = what, .agent = agent, .order = order};
}

static void offer_node(struct wizard *w, int model)
{
    const struct advice_model *m = model >= 0 ? &w->plan.advice->model[model] : NULL;
    const struct machine_service *agent = m != NULL ? agent_of(w, m->machine) : NULL;
    const char *colon = m != NULL && m->url != NULL ? strrchr(m->url, ':') : NULL;
    if (agent == NULL || m->source != ADVICE_THERE || colon == NULL)
        return;
    json_t *order =
        json_pack("{s:s, s:s, s:{s:i, s:s}}", "program", "node", "model", m->path != NULL ? m->path : m->name,
                  "options", "port", atoi(colon + 1), "host", "0.0.0.0");
    offer(w, agent, xasprintf("%s: a node with %s", w->plan.machine[m->machine].name, m->name), order);
}

void wizard_start_offer(struct wizard *w)
{
    const struct advice *a = w->plan.advice;
    wizard_start_forget(w);
    offer_node(w, a->target);
    for (size_t i = 0; i < a->n_drafters; i++)
        offer_node(w, a->drafter[i]);
    for (size_t i = 0; i < a->n_workers; i++) {
        const struct machine *m = &w->plan.machine[a->worker[i]];
        const struct machine_service *agent = agent_of(w, a->worker[i]);
        if (agent != NULL && !lends_already(m))
            offer(w, agent, xasprintf("%s: a worker", m->name),
                  json_pack("{s:s, s:{s:i, s:s}}", "program", "worker", "options", "port", ADVICE_WORKER_PORT, "host",
                            "0.0.0.0"));
    }
}

void wizard_start_forget(struct wizard *w)
{
    for (size_t i = 0; i < w->n_starts; i++) {
        agent_client_cancel(w->start[i].call);
        free(w->start[i].what);
        free(w->start[i].message);
        json_decref(w->start[i].order);
    }
    free(w->start);
    w->start = NULL;
    w->n_starts = 0;
}

static void on_answer(const struct agent_answer *answer, void *arg)
{
    struct wizard_start *s = arg;
    s->call = NULL;
    s->state = answer->ok ? START_DONE : START_FAILED;
    free(s->message);
    s->message = answer->ok ? NULL : xstrdup(answer->message);
    s->w->dirty = true;
    if (answer->ok)
        wizard_checks_soon(s->w);
}

void wizard_start_all(struct wizard *w)
{
    for (size_t i = 0; i < w->n_starts; i++) {
        struct wizard_start *s = &w->start[i];
        struct agent_where at = {.host = s->agent->host, .port = s->agent->port, .token = token(w)};
        if (w->http == NULL || s->state == START_ASKED || s->state == START_DONE)
            continue;
        s->state = START_ASKED;
        s->call = agent_client_start(w->http, &at, json_incref(s->order), on_answer, s);
    }
}

void wizard_start_draw(const struct wizard *w, struct page *p)
{
    for (size_t i = 0; i < w->n_starts; i++) {
        const struct wizard_start *s = &w->start[i];
        switch (s->state) {
        case START_OFFERED:
            page_mark(p, THEME_WARN, "! ", THEME_TEXT, "%s is not started yet: its agent does it, by `s`", s->what);
            break;
        case START_ASKED:
            page_mark(p, THEME_DIM, "… ", THEME_TEXT, "%s is being started", s->what);
            break;
        case START_DONE:
            page_mark(p, THEME_GOOD, "✓ ", THEME_TEXT, "%s was started, and loads", s->what);
            break;
        case START_FAILED:
            page_mark(p, THEME_BAD, "✗ ", THEME_TEXT, "%s was not started: %s", s->what, s->message);
            break;
        }
    }
}
