/* What will be written, and where; Enter writes it. */
#include "ui/wizard-internal.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/child.h"
#include "base/mem.h"
#include "config/compose.h"
#include "config/config.h"
#include "config/install.h"

enum { USUAL_PORT = 8088, PORTS_TRIED = 12 };

void wizard_summary_forget(struct wizard *w)
{
    free(w->text);
    free(w->problem);
    w->text = w->problem = NULL;
}

/* The port of the file that is there, else the usual one, else the next that is free. */
static int choose_port(const char *path)
{
    struct config_findings findings = {0};
    struct config *c = access(path, R_OK) == 0 ? config_load(path, &findings) : NULL;
    int port = c != NULL ? (int)c->proxy.port : 0;
    config_destroy(c);
    config_findings_finish(&findings);
    for (int p = USUAL_PORT; port == 0 && p < USUAL_PORT + PORTS_TRIED; p++)
        port = child_free_port(p) == p ? p : 0;
    return port != 0 ? port : USUAL_PORT;
}

static void compose(struct wizard *w)
{
    struct compose_opts o = {.host = w->open ? "0.0.0.0" : NULL, .port = w->port};
    wizard_summary_forget(w);
    if (w->plan.advice->target < 0)
        w->problem = xstrdup("there is no target, the model that answers: name one among the models, or add a machine");
    else
        w->text = compose_yaml(w->plan.advice, w->plan.machine, &o);
}

static void begin(struct wizard *w)
{
    w->port = choose_port(w->opts->path);
    compose(w);
}

static void open_or_close(struct wizard *w)
{
    w->open = !w->open;
    compose(w);
}

static const struct wizard_key keys[] = {
    {'l', "l", "listen", "listen for this machine only, or for the private networks that it is in as well",
     open_or_close},
    {0},
};

static bool take(struct wizard *w)
{
    char *backup = NULL;
    if (w->text == NULL)
        return false;
    free(w->problem);
    w->problem = NULL;
    if (install_config(w->opts->path, w->text, &backup, &w->problem) != 0)
        return false;
    free(w->backup);
    w->backup = backup;
    w->written = true;
    return true;
}

static void draw_who(const struct wizard *w, struct page *p)
{
    const struct advice *a = w->plan.advice;
    if (a->target >= 0) {
        const struct advice_model *m = &a->model[a->target];
        page_mark(p, THEME_DIM, "target:   ", THEME_TEXT, "%s%s%s%s", m->name, m->url != NULL ? " at " : "",
                  m->url != NULL ? m->url : " on this machine", a->n_workers > 0 ? ", pooled" : "");
    }
    for (size_t i = 0; i < a->n_workers; i++)
        page_mark(p, THEME_DIM, "worker:   ", THEME_TEXT, "%s", w->plan.machine[a->worker[i]].name);
    for (size_t i = 0; i < a->n_drafters; i++) {
        const struct advice_model *m = &a->model[a->drafter[i]];
        page_mark(p, THEME_DIM, "drafter:  ", THEME_TEXT, "%s%s%s", m->name, m->url != NULL ? " at " : "",
                  m->url != NULL ? m->url : " on this machine");
    }
    for (size_t i = 0; i < a->n_agents && a->mode == ADVICE_GATE; i++) {
        const struct advice_model *m = &a->model[a->agent[i]];
        page_mark(p, THEME_DIM, "agent:    ", THEME_TEXT, "%s at %s", m->name, m->url);
    }
    if (a->mode != ADVICE_EXACT)
        page_mark(p, THEME_WARN, "answers:  ", THEME_TEXT, "approximate, by %s; NAME@exact is exact",
                  a->mode == ADVICE_GATE ? "the quality gate" : "consensus");
    if (a->ngram)
        page_mark(p, THEME_DIM, "drafter:  ", THEME_TEXT, "the text itself (what repeats in it)");
}

/* What has to be typed on which machine. */
void wizard_draw_tasks(const struct wizard *w, struct page *p)
{
    const struct advice *a = w->plan.advice;
    for (size_t i = 0; i < a->n_tasks; i++) {
        const struct advice_task *task = &a->task[i];
        if (i == 0)
            page_say(p, THEME_BOLD, "\nTo be done before all of it works");
        const char *where = task->machine >= 0 ? w->plan.machine[task->machine].name : NULL;
        page_mark(p, THEME_WARN, "! ", THEME_TEXT, "%s%s%s", where != NULL ? where : "", where != NULL ? ": " : "",
                  task->text);
        if (task->command != NULL)
            page_mark(p, THEME_WARN, "  → ", THEME_TEXT, "`%s`", task->command);
    }
}

static void draw(struct wizard *w, struct page *p)
{
    if (w->text == NULL) {
        page_mark(p, THEME_BAD, "✗ ", THEME_TEXT, "Nothing can be written yet: %s",
                  w->problem != NULL ? w->problem : "");
        page_say(p, THEME_TEXT, "\n`b` goes back to the models and machines.");
        return;
    }
    bool there = access(w->opts->path, F_OK) == 0;
    page_say(p, THEME_BOLD, "`Enter` writes %s", w->opts->path);
    page_say(p, THEME_TEXT,
             there ? "The file that is there is kept beside it as a backup." : "There is no such file yet.");
    if (w->problem != NULL)
        page_mark(p, THEME_BAD, "✗ ", THEME_TEXT, "%s", w->problem);
    page_say(p, THEME_TEXT, "%s", "");
    draw_who(w, p);
    page_mark(p, THEME_DIM, "endpoint: ", THEME_TEXT, "port %d, %s%s", w->port,
              w->open ? "for this machine and its private networks" : "for this machine only",
              w->port != USUAL_PORT ? " (not 8088, which is taken or was changed)" : "");
    wizard_draw_tasks(w, p);
    page_say(p, THEME_BOLD, "\nThe file");
    page_mark(p, THEME_DIM, "  ", THEME_DIM, "%s", w->text);
}

const struct wizard_step_ops wizard_summary = {
    .title = "summary",
    .enter_word = "write it",
    .keys = keys,
    .begin = begin,
    .accept = take,
    .draw = draw,
};
