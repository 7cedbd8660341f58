/* Why it is to be so: the questions of the decision tree with their answers, the reasons, the warnings. */
#include "ui/wizard-internal.h"

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

static void draw(struct wizard *w, struct page *p)
{
    const struct advice *a = w->plan.advice;
    page_say(p, THEME_BOLD, "%s", a->title);
    page_say(p, THEME_TEXT, "%s", "");
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
    .draw = draw,
};
