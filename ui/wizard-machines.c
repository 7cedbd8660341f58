/* What was found, as a table: one line a machine, whose role can be changed. */
#include "ui/wizard-internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ncurses.h>

#include "base/mem.h"

enum { COLUMNS = 5 };

static int items(struct wizard *w)
{
    return (int)w->plan.n;
}

static bool chosen(const struct wizard *w)
{
    return w->chosen >= 0 && (size_t)w->chosen < w->plan.n;
}

static void next_role(struct wizard *w)
{
    if (chosen(w))
        wizard_plan_next_role(&w->plan, (size_t)w->chosen);
}

static void reset(struct wizard *w)
{
    wizard_plan_reset(&w->plan);
}

static int add_typed(struct wizard *w, const char *text, char **cause)
{
    return text[0] == '\0' ? 0 : wizard_look_at(w, text, cause);
}

static void add(struct wizard *w)
{
    wizard_ask(w, "Address of the machine (name, or name:port)", "", add_typed);
}

static int memory_typed(struct wizard *w, const char *text, char **cause)
{
    if (text[0] == '\0' || !chosen(w))
        return 0;
    return wizard_plan_set_memory(&w->plan, (size_t)w->chosen, text, cause);
}

static void memory(struct wizard *w)
{
    if (chosen(w))
        wizard_ask(w, "Memory that a model can use there, in GB (of the GPU; of a Mac, of all)", "", memory_typed);
}

/* The agent that tells nothing without its token. */
static const struct machine_service *shy_agent(const struct wizard *w)
{
    const struct machine *m = chosen(w) ? &w->plan.machine[w->chosen] : NULL;
    for (size_t i = 0; m != NULL && i < m->n_services; i++) {
        if (m->service[i].kind == SERVICE_AGENT && m->service[i].needs_secret)
            return &m->service[i];
    }
    return NULL;
}

static int token_typed(struct wizard *w, const char *text, char **cause)
{
    const struct machine_service *agent = shy_agent(w);
    if (text[0] == '\0' || agent == NULL)
        return 0;
    free(w->token);
    w->token = xstrdup(text);
    char *host = xasprintf("%s:%d", agent->host, agent->port);
    int rc = wizard_look_at(w, host, cause);
    free(host);
    return rc;
}

static void token(struct wizard *w)
{
    if (shy_agent(w) == NULL)
        return;
    wizard_ask(w, "The token of the agent there (`tightwad agent` has said where it is)", "", token_typed);
    w->secret = true;
}

static const struct wizard_key keys[] = {
    {' ', "Space", "role", "the next role for the chosen machine: target, drafter, both, worker, not used", next_role},
    {'r', "r", NULL, "the same", next_role},
    {'a', "a", "add", "add a machine by its address", add},
    {'m', "m", "memory", "type the memory of a machine that does not tell it", memory},
    {'t', "t", "token", "type the token of the machine's agent, which then tells what the machine has", token},
    {'u', "u", "undo", "all roles as suggested", reset},
    {0},
};

static char *away(const struct machine *m)
{
    int64_t us = m->rtt_us;
    if (m->origin == MACHINE_HERE)
        return xstrdup("here");
    if (us < 0)
        return xstrdup("–");
    return us < 10000 ? xasprintf("%.1f ms", (double)us / 1000) : xasprintf("%lld ms", (long long)(us / 1000));
}

static const char *role_words(enum advice_role r)
{
    static const char *const words[] = {
        [ADVICE_ROLE_AUTO] = "–",          [ADVICE_ROLE_NONE] = "not used",        [ADVICE_ROLE_TARGET] = "target",
        [ADVICE_ROLE_DRAFTER] = "drafter", [ADVICE_ROLE_BOTH] = "target, drafter", [ADVICE_ROLE_WORKER] = "worker",
    };
    return words[r];
}

static void draw_table(struct wizard *w, struct page *p)
{
    static const struct page_column columns[COLUMNS] = {
        {"machine", true}, {"has", true}, {"runs", true}, {"away", false}, {"role", false}};
    const struct wizard_plan *plan = &w->plan;
    struct page_cell *cell = xcalloc(plan->n * COLUMNS, sizeof(*cell));
    char **own = xcalloc(2 * plan->n, sizeof(*own));
    int *item = xcalloc(plan->n, sizeof(*item));
    for (size_t i = 0; i < plan->n; i++) {
        const struct machine *m = &plan->machine[i];
        const struct advice_machine *a = &plan->advice->machine[i];
        struct page_cell *c = &cell[i * COLUMNS];
        bool used = a->role != ADVICE_ROLE_NONE;
        item[i] = (int)i;
        own[2 * i] = wizard_services(m);
        own[2 * i + 1] = away(m);
        c[0] = (struct page_cell){m->name, THEME_BOLD};
        c[1] = (struct page_cell){a->hardware, a->known ? THEME_TEXT : THEME_DIM};
        c[2] = (struct page_cell){m->n_services > 0 ? own[2 * i] : "–", m->n_services > 0 ? THEME_TEXT : THEME_DIM};
        c[3] = (struct page_cell){own[2 * i + 1], THEME_TEXT};
        c[4] = (struct page_cell){role_words(a->role), used ? THEME_GOOD : THEME_DIM};
    }
    page_table(p, columns, COLUMNS, cell, plan->n, item);
    for (size_t i = 0; i < 2 * plan->n; i++)
        free(own[i]);
    free(own);
    free(item);
    free(cell);
}

static void draw(struct wizard *w, struct page *p)
{
    const struct wizard_plan *plan = &w->plan;
    page_say(p, THEME_BOLD, "%zu machine%s found: who does what?", plan->n, plan->n == 1 ? "" : "s");
    page_say(p, THEME_TEXT, "%s", "");
    draw_table(w, p);
    page_say(p, THEME_TEXT, "%s", "");
    if (chosen(w)) {
        const struct machine *m = &plan->machine[w->chosen];
        const struct advice_machine *a = &plan->advice->machine[w->chosen];
        page_say(p, THEME_TEXT, "%s: %s", m->name, a->why != NULL ? a->why : "");
        if (!a->known)
            page_say(p, THEME_TEXT, "Its hardware is not known from here: `m` types its memory.");
        if (shy_agent(w) != NULL)
            page_say(p, THEME_TEXT, "Its agent tells what it has once it is given its token: `t`.");
        for (size_t i = 0; i < m->n_notes; i++)
            page_mark(p, THEME_DIM, "  ", THEME_DIM, "%s", m->note[i]);
    }
    if (w->adding)
        page_mark(p, THEME_DIM, "… ", THEME_TEXT, "asking the machine that was typed");
    for (size_t i = 0; i < w->n_notes; i++)
        page_mark(p, THEME_WARN, "! ", THEME_TEXT, "%s", w->note[i]);
}

static void end(struct wizard *w)
{
    wizard_look_stop(w);
    w->adding = false;
}

const struct wizard_step_ops wizard_machines = {
    .title = "machines",
    .enter_word = "take it",
    .keys = keys,
    .end = end,
    .items = items,
    .draw = draw,
};
