#include "advise/advice.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "advise/making.h"
#include "base/mem.h"

void advice_wish_init(struct advice_wish *w)
{
    *w = (struct advice_wish){.target = ADVICE_AUTO, .drafter = ADVICE_AUTO};
}

/* ---- growing lists ---- */

void making_turn(struct making *k, char *question, char *answer)
{
    struct advice *a = k->a;
    a->path = xreallocarray(a->path, a->n_path + 1, sizeof(*a->path));
    a->path[a->n_path++] = (struct advice_turn){question, answer};
}

void making_reason(struct making *k, const char *fmt, ...)
{
    struct advice *a = k->a;
    va_list ap;
    va_start(ap, fmt);
    a->reason = xreallocarray(a->reason, a->n_reasons + 1, sizeof(*a->reason));
    a->reason[a->n_reasons++] = xvasprintf(fmt, ap);
    va_end(ap);
}

void making_task(struct making *k, int machine, char *command, const char *fmt, ...)
{
    struct advice *a = k->a;
    va_list ap;
    va_start(ap, fmt);
    a->task = xreallocarray(a->task, a->n_tasks + 1, sizeof(*a->task));
    a->task[a->n_tasks++] = (struct advice_task){machine, xvasprintf(fmt, ap), command};
    va_end(ap);
}

void making_warn(struct making *k, enum advice_trouble what, char *fix, const char *fmt, ...)
{
    struct advice *a = k->a;
    va_list ap;
    va_start(ap, fmt);
    a->warning = xreallocarray(a->warning, a->n_warnings + 1, sizeof(*a->warning));
    a->warning[a->n_warnings++] = (struct advice_warning){what, xvasprintf(fmt, ap), fix};
    va_end(ap);
}

/* ---- the whole ---- */

struct advice *advice_make(const struct machine *list, size_t n, const struct advice_wish *wish)
{
    struct advice_wish none;
    advice_wish_init(&none);
    struct advice *a = xcalloc(1, sizeof(*a));
    struct making k = {.list = list, .n = n, .wish = wish ? wish : &none, .a = a};
    making_machines(&k);
    making_models(&k);
    making_choice(&k);
    making_modes(&k);
    making_path(&k);
    making_words(&k);
    making_tasks(&k);
    return a;
}

static void finish_models(struct advice *a)
{
    for (size_t i = 0; i < a->n_models; i++) {
        struct advice_model *m = &a->model[i];
        free(m->name);
        free(m->url);
        free(m->model_name);
        free(m->path);
        free(m->key);
    }
    free(a->model);
}

void advice_destroy(struct advice *a)
{
    if (!a)
        return;
    finish_models(a);
    for (size_t i = 0; i < a->n_machines; i++) {
        free(a->machine[i].hardware);
        free(a->machine[i].why);
    }
    free(a->machine);
    for (size_t i = 0; i < a->n_path; i++) {
        free(a->path[i].question);
        free(a->path[i].answer);
    }
    free(a->path);
    for (size_t i = 0; i < a->n_reasons; i++)
        free(a->reason[i]);
    free(a->reason);
    for (size_t i = 0; i < a->n_warnings; i++) {
        free(a->warning[i].text);
        free(a->warning[i].fix);
    }
    free(a->warning);
    for (size_t i = 0; i < a->n_tasks; i++) {
        free(a->task[i].text);
        free(a->task[i].command);
    }
    free(a->task);
    free(a->worker);
    free(a->estimate.basis);
    free(a->title);
    free(a);
}

/* ---- words ---- */

const char *advice_kind_name(enum advice_kind k)
{
    static const char *const names[] = {"nothing",           "Ollama directly",        "pool",
                                        "speculative proxy", "CPU drafts for the GPU", "local draft for an API",
                                        "combined",          "a crowd of CPUs"};
    return names[k];
}

const char *advice_mode_name(enum advice_mode m)
{
    static const char *const names[] = {"exact", "consensus", "gate"};
    return names[m];
}

const char *advice_role_name(enum advice_role r)
{
    static const char *const names[] = {"auto", "unused", "target", "drafter", "target + drafter", "worker"};
    return names[r];
}

const char *advice_source_name(enum advice_source s)
{
    static const char *const names[] = {"runs", "file here", "file there", "to be fetched", "API"};
    return names[s];
}

const char *advice_bytes(char *buf, size_t size, int64_t bytes)
{
    double mb = (double)bytes / (1 << 20), gb = mb / 1024;
    if (bytes < 0)
        snprintf(buf, size, "?");
    else if (gb >= 9.95 || (gb >= 0.95 && fabs(gb - round(gb)) < 0.05))
        snprintf(buf, size, "%.0f GB", gb);
    else if (gb >= 0.95)
        snprintf(buf, size, "%.1f GB", gb);
    else
        snprintf(buf, size, mb >= 1 ? "%.0f MB" : "%.1f MB", mb);
    return buf;
}

const char *advice_size(char *buf, size_t size, int64_t parameters)
{
    double b = (double)parameters / 1e9;
    if (parameters <= 0)
        snprintf(buf, size, "?");
    else if (b >= 9.95)
        snprintf(buf, size, "%.0fB", b);
    else if (b >= 0.395)
        snprintf(buf, size, "%.3gB", round(b * 10) / 10);
    else if (parameters >= 1000000)
        snprintf(buf, size, parameters >= 10000000 ? "%.0fM" : "%.2gM", b * 1e3);
    else
        snprintf(buf, size, "%.0fK", b * 1e6);
    return buf;
}

/* What a model's place is called. */
static const char *place(const struct advice_model *m, const struct machine *list)
{
    return m->machine < 0                            ? "its server"
           : list[m->machine].origin == MACHINE_HERE ? "this machine"
                                                     : list[m->machine].name;
}

/* What drafting brings, as far as it is known. */
static char *gain(const struct advice *a, const struct advice_measured *m)
{
    const struct advice_model *t = &a->model[a->target], *d = &a->model[a->drafter[0]];
    bool loses = m ? m->loses : a->estimate.drafted <= a->estimate.alone;
    if (loses)
        return xasprintf("By %s drafting does not pay with these two as they are, so it is left off until it does: the "
                         "answers come as fast as %s writes them.",
                         m ? "the measurement" : "the estimate", t->name);
    bool other = d->machine >= 0 && d->machine != t->machine;
    const char *part =
        other ? " The machine that had nothing to do now does its part; switched off, it is only slower." : "";
    if (m && !isnan(m->accepted))
        return xasprintf(
            "So they come sooner: %.0f %% of what is drafted is accepted, and that share of the text comes at "
            "the drafter's pace.%s",
            100 * m->accepted, part);
    return xasprintf("How much of the draft is accepted shows in the dashboard after a few answers.%s", part);
}

char *advice_tell(const struct advice *a, const struct machine *list, const char *endpoint,
                  const struct advice_measured *m)
{
    if (a->target < 0)
        return xstrdup("There is nothing to tell yet: no model was found.");
    const struct advice_model *t = &a->model[a->target], *d = a->n_drafters > 0 ? &a->model[a->drafter[0]] : NULL;
    char *head = xasprintf("Point the chat app at http://%s/v1 instead of Ollama's port 11434. ", endpoint), *text;
    if (a->mode == ADVICE_GATE) {
        text =
            xasprintf("%sThe small models write, and %s on %s reviews every answer before it is passed on: most come "
                      "unchanged, some are corrected or written anew. So answers may differ from those of before; "
                      "the dashboard shows how often a wrong one passes. Whoever needs %s word for word asks for "
                      "the model NAME@exact.",
                      head, t->name, place(t, list), t->name);
    } else if (a->mode == ADVICE_CONSENSUS) {
        text =
            xasprintf("%sWhere the small models agree, their words are taken; where they do not, %s on %s decides. So "
                      "answers may differ from those of before; the dashboard shows how often. Whoever needs %s "
                      "word for word asks for the model NAME@exact.",
                      head, t->name, place(t, list), t->name);
    } else if (!d || !t->verifies) {
        text = xasprintf("%sThe models and the answers are the same as before; %s answers, on %s.", head, t->name,
                         place(t, list));
    } else {
        char *brings = gain(a, m);
        text =
            xasprintf("%sThe answers are the same as before, word for word: %s on %s drafts, %s on %s checks and has "
                      "the last word. %s",
                      head, d->name, place(d, list), t->name, place(t, list), brings);
        free(brings);
    }
    free(head);
    return text;
}
