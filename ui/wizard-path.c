/* Why it is to be so: the questions of the decision tree with their answers, the reasons, the warnings. */
#include "ui/wizard-internal.h"

enum { COLUMNS = 4 };

void wizard_draw_warnings(const struct advice *a, struct page *p)
{
    if (a->n_warnings > 0)
        page_say(p, THEME_TEXT, "%s", "");
    for (size_t i = 0; i < a->n_warnings; i++) {
        const struct advice_warning *warning = &a->warning[i];
        page_mark(p, THEME_WARN, "! ", THEME_TEXT, "%s", warning->text);
        if (warning->fix != NULL)
            page_mark(p, THEME_WARN, "  → ", THEME_TEXT, "%s", warning->fix);
    }
}

/* Whether that is a choice here. */
static bool offered(const struct advice *a, enum advice_mode mode)
{
    return a->asks && a->can[mode];
}

static void promise(struct wizard *w, enum advice_mode mode)
{
    if (offered(w->plan.advice, mode))
        wizard_plan_set_mode(&w->plan, mode);
}

static void exact(struct wizard *w)
{
    promise(w, ADVICE_EXACT);
}

static void consensus(struct wizard *w)
{
    promise(w, ADVICE_CONSENSUS);
}

static void gate(struct wizard *w)
{
    promise(w, ADVICE_GATE);
}

/* No words for the footer: they do nothing where there is nothing to choose, and the page says where there is. */
static const struct wizard_key keys[] = {
    {'e', "e", NULL, "answers are to be exact", exact},
    {'c', "c", NULL, "consensus, where it is possible: approximate", consensus},
    {'g', "g", NULL, "the quality gate, where it is possible: approximate", gate},
    {0},
};

static void draw_modes(const struct advice *a, struct page *p)
{
    static const struct page_column columns[COLUMNS] = {{"", false}, {"", false}, {"", false}, {"", true}};
    static const char *const words[ADVICE_MODES] = {
        [ADVICE_EXACT] = "the target's own words; the others only make it faster",
        [ADVICE_CONSENSUS] = "approximate: what the drafters agree on is not checked by the target",
        [ADVICE_GATE] = "approximate: the others write whole answers, the target reviews each",
    };
    struct page_cell cell[ADVICE_MODES * COLUMNS];
    size_t n = 0;
    if (!offered(a, ADVICE_CONSENSUS) && !offered(a, ADVICE_GATE))
        return;
    for (int m = 0; m < ADVICE_MODES; m++) {
        bool used = m == (int)a->mode;
        struct page_cell *c = &cell[n * COLUMNS];
        if (!a->can[m])
            continue;
        c[0] = (struct page_cell){used ? "✓" : "·", used ? THEME_GOOD : THEME_DIM};
        c[1] = (struct page_cell){keys[m].name, THEME_KEY};
        c[2] = (struct page_cell){advice_mode_name((enum advice_mode)m), used ? THEME_BOLD : THEME_TEXT};
        c[3] = (struct page_cell){words[m], THEME_TEXT};
        n++;
    }
    page_say(p, THEME_BOLD, "What the answers are to promise");
    page_table(p, columns, COLUMNS, cell, n, NULL);
    page_say(p, THEME_TEXT, "%s", "");
}

static void draw(struct wizard *w, struct page *p)
{
    const struct advice *a = w->plan.advice;
    page_say(p, THEME_BOLD, "%s", a->title);
    page_say(p, THEME_TEXT, "%s", "");
    draw_modes(a, p);
    for (size_t i = 0; i < a->n_path; i++) {
        page_mark(p, THEME_DIM, i == 0 ? "  " : "└ ", THEME_DIM, "%s", a->path[i].question);
        page_mark(p, THEME_GOOD, "  → ", THEME_TEXT, "%s", a->path[i].answer);
    }
    if (a->n_reasons > 0)
        page_say(p, THEME_BOLD, "\nWhy");
    for (size_t i = 0; i < a->n_reasons; i++)
        page_mark(p, THEME_DIM, "· ", THEME_TEXT, "%s", a->reason[i]);
    wizard_draw_warnings(a, p);
}

const struct wizard_step_ops wizard_path = {
    .title = "the way to do it",
    .enter_word = "agreed",
    .keys = keys,
    .draw = draw,
};
