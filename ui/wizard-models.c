/* Which model answers and which one drafts: from what is there, or named. */
#include "ui/wizard-internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { COLUMNS = 5 };

/* The list of the step: targets, then drafters, then "no drafter".  Indices into the advice's models. */
struct list {
    int *target, *drafter;
    size_t n_targets, n_drafters;
};

static struct list make_list(const struct advice *a)
{
    struct list l = {.target = xcalloc(a->n_models + 1, sizeof(int)), .drafter = xcalloc(a->n_models + 2, sizeof(int))};
    for (size_t i = 0; i < a->n_models; i++)
        l.target[l.n_targets++] = (int)i;
    if (a->target >= 0)
        l.n_drafters = advice_drafters_for(a, a->target, l.drafter);
    if (l.n_targets > 0)
        l.drafter[l.n_drafters++] = ADVICE_NONE;
    return l;
}

static void free_list(struct list *l)
{
    free(l->target);
    free(l->drafter);
}

static int items(struct wizard *w)
{
    struct list l = make_list(w->plan.advice);
    int n = (int)(l.n_targets + l.n_drafters);
    free_list(&l);
    return n;
}

static void choose(struct wizard *w)
{
    struct list l = make_list(w->plan.advice);
    size_t at = (size_t)w->chosen;
    if (at < l.n_targets)
        wizard_plan_set_target(&w->plan, l.target[at]);
    else if (at < l.n_targets + l.n_drafters)
        wizard_plan_set_drafter(&w->plan, l.drafter[at - l.n_targets]);
    free_list(&l);
}

static void mark_target(struct wizard *w)
{
    if (w->plan.advice->target >= 0)
        w->chosen = w->plan.advice->target;
}

static int target_typed(struct wizard *w, const char *text, char **cause)
{
    (void)cause;
    wizard_plan_name_target(&w->plan, text);
    mark_target(w);
    return 0;
}

static int drafter_typed(struct wizard *w, const char *text, char **cause)
{
    (void)cause;
    wizard_plan_name_drafter(&w->plan, text);
    return 0;
}

static const char *or_empty(const char *s)
{
    return s != NULL ? s : "";
}

static void name_target(struct wizard *w)
{
    wizard_ask(w, "Target: a model's name (qwen3:32b), or the path of a GGUF file here", or_empty(w->plan.target_name),
               target_typed);
}

static void name_drafter(struct wizard *w)
{
    wizard_ask(w, "Drafter: a model's name (qwen3:1.7b), or the path of a GGUF file here", or_empty(w->plan.draft_name),
               drafter_typed);
}

static void reset(struct wizard *w)
{
    wizard_plan_reset_models(&w->plan);
}

static const struct wizard_key keys[] = {
    {' ', "Space", "choose", "take the marked model, as target or as drafter", choose},
    {'t', "t", "name the target", "type the target's name, or the path of its file", name_target},
    {'d', "d", "name the drafter", "type the drafter's name, or the path of its file", name_drafter},
    {'u', "u", "undo", "the models that were suggested", reset},
    {0},
};

/* ":8081" of a URL without a path, "" where it has none. */
static const char *port_of(const char *url)
{
    const char *colon = url != NULL ? strrchr(url, ':') : NULL;
    return colon != NULL && colon[1] != '/' ? colon + 1 : "";
}

/* Where a model is: "gpu-box, ollama 11434", "this machine, a file". */
static char *place(const struct wizard *w, const struct advice_model *m)
{
    const char *where = m->machine >= 0 ? w->plan.machine[m->machine].name : m->url != NULL ? m->url : "";
    switch (m->source) {
    case ADVICE_RUNS:
        return xasprintf("%s, %s %s", where, m->backend, port_of(m->url));
    case ADVICE_HERE:
        return xasprintf("%s, a file", where);
    case ADVICE_THERE:
        return xasprintf("%s, to be started", where);
    case ADVICE_NAMED:
        return xasprintf("%s%sto be fetched", where, where[0] != '\0' ? ", " : "");
    default:
        return xasprintf("%s, an API", where);
    }
}

static char *fit(const struct advice_model *m)
{
    char lacks[32];
    if (m->missing > 0)
        return xasprintf("lacks %s", advice_bytes(lacks, sizeof(lacks), m->missing));
    return xstrdup(m->missing == 0 ? "fits" : "–");
}

static bool in_use(const struct advice *a, int model, bool drafter)
{
    if (!drafter)
        return model == a->target;
    return a->n_drafters > 0 ? model == a->drafter[0] : model == ADVICE_NONE;
}

/* One of the two lists, as a table: its items begin at first. */
static void draw_models(struct wizard *w, struct page *p, const int *model, size_t n, int first, bool drafter)
{
    static const struct page_column columns[COLUMNS] = {
        {"", false}, {"model", true}, {"size", false}, {"where", true}, {"fit", false}};
    const struct advice *a = w->plan.advice;
    struct page_cell *cell = xcalloc(n * COLUMNS, sizeof(*cell));
    char **own = xcalloc(3 * n, sizeof(*own));
    int *item = xcalloc(n, sizeof(*item));
    char size[32];
    for (size_t i = 0; i < n; i++) {
        struct page_cell *c = &cell[i * COLUMNS];
        bool used = in_use(a, model[i], drafter);
        item[i] = first + (int)i;
        c[0] = (struct page_cell){used ? "✓" : "·", used ? THEME_GOOD : THEME_DIM};
        if (model[i] < 0) {
            c[1] = (struct page_cell){a->ngram ? "no server: what repeats the text" : "no drafter", THEME_TEXT};
            continue;
        }
        const struct advice_model *m = &a->model[model[i]];
        own[3 * i] = xstrdup(m->bytes >= 0 ? advice_bytes(size, sizeof(size), m->bytes) : "–");
        own[3 * i + 1] = place(w, m);
        own[3 * i + 2] = fit(m);
        c[1] = (struct page_cell){m->name, used ? THEME_BOLD : THEME_TEXT};
        c[2] = (struct page_cell){own[3 * i], THEME_TEXT};
        c[3] = (struct page_cell){own[3 * i + 1], THEME_TEXT};
        c[4] = (struct page_cell){own[3 * i + 2], m->missing > 0 ? THEME_WARN : THEME_TEXT};
    }
    page_table(p, columns, COLUMNS, cell, n, item);
    for (size_t i = 0; i < 3 * n; i++)
        free(own[i]);
    free(own);
    free(item);
    free(cell);
}

/* What the chosen pair promises, or why the marked target can't check drafts. */
static void draw_pair(const struct advice *a, struct page *p)
{
    const struct advice_estimate *e = &a->estimate;
    if (a->target >= 0 && a->model[a->target].cannot != NULL)
        page_mark(p, THEME_WARN, "! ", THEME_TEXT, "%s", a->model[a->target].cannot);
    if (a->n_drafters == 0)
        return;
    if (e->pair.low < e->pair.high)
        page_mark(p, THEME_DIM, "  ", THEME_TEXT, "%.0f to %.0f %% of what is drafted should be accepted.",
                  100 * e->pair.low, 100 * e->pair.high);
    else if (!isnan(e->pair.low))
        page_mark(p, THEME_DIM, "  ", THEME_TEXT, "About %.0f %% of what is drafted should be accepted.",
                  100 * e->pair.low);
    if (!isnan(e->drafted) && !isnan(e->alone))
        page_mark(p, THEME_DIM, "  ", THEME_TEXT, "About %.0f tokens/s, %.0f without the drafter.", e->drafted,
                  e->alone);
}

/* Nothing to choose from: how to get something. */
static void draw_none(struct wizard *w, struct page *p)
{
    page_say(p, THEME_BOLD, "No model was found: `t` names one.");
    page_say(
        p, THEME_TEXT,
        "\nA name as Ollama has it is fetched there by `ollama pull`; a path is that of a GGUF file on this machine.");
    wizard_draw_tasks(w, p);
    wizard_draw_warnings(w->plan.advice, p);
}

static void draw(struct wizard *w, struct page *p)
{
    const struct advice *a = w->plan.advice;
    struct list l = make_list(a);
    if (l.n_targets == 0) {
        draw_none(w, p);
    } else {
        page_say(p, THEME_BOLD, "The target: it decides every word");
        draw_models(w, p, l.target, l.n_targets, 0, false);
        page_say(p, THEME_BOLD, "\nThe drafter: small, quick, of the same family");
        draw_models(w, p, l.drafter, l.n_drafters, (int)l.n_targets, true);
        page_say(p, THEME_TEXT, "%s", "");
        draw_pair(a, p);
        wizard_draw_warnings(a, p);
    }
    free_list(&l);
}

const struct wizard_step_ops wizard_models = {
    .title = "models",
    .enter_word = "take them",
    .keys = keys,
    .begin = mark_target,
    .items = items,
    .draw = draw,
};
