#include "ui/wizard-plan.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "advise/fold.h"
#include "base/cause.h"
#include "base/mem.h"

static const double GIB = 1024.0 * 1024 * 1024;

static void advise(struct wizard_plan *p)
{
    struct advice_wish wish = p->wish;
    wish.role = p->role;
    struct advice *next = advice_make(p->machine, p->n, &wish);
    advice_destroy(p->advice);
    p->advice = next;
}

static void free_machines(struct machine *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        machine_finish(&list[i]);
    free(list);
}

/* An index of a model means nothing once the candidates are others. */
static void forget_models(struct wizard_plan *p)
{
    p->wish.target = p->given.target;
    p->wish.drafter = p->given.drafter;
}

void wizard_plan_init(struct wizard_plan *p, const struct advice_wish *wish)
{
    *p = (struct wizard_plan){.given = *wish, .wish = *wish};
    advise(p);
}

void wizard_plan_finish(struct wizard_plan *p)
{
    free_machines(p->machine, p->n);
    free(p->role);
    free(p->target_name);
    free(p->draft_name);
    advice_destroy(p->advice);
    *p = (struct wizard_plan){0};
}

static void resize_roles(struct wizard_plan *p, size_t before)
{
    p->role = xreallocarray(p->role, p->n + 1, sizeof(*p->role));
    for (size_t i = before; i < p->n; i++)
        p->role[i] = ADVICE_ROLE_AUTO;
}

void wizard_plan_machines(struct wizard_plan *p, struct machine *list, size_t n)
{
    free_machines(p->machine, p->n);
    p->machine = list;
    p->n = fold_machines(list, n, NULL);
    resize_roles(p, 0);
    forget_models(p);
    advise(p);
}

void wizard_plan_add(struct wizard_plan *p, struct machine *list, size_t n)
{
    size_t before = p->n;
    p->machine = xreallocarray(p->machine, p->n + n + 1, sizeof(*p->machine));
    memcpy(p->machine + p->n, list, n * sizeof(*list));
    free(list);
    p->n = fold_machines(p->machine, p->n + n, NULL);
    resize_roles(p, before < p->n ? before : p->n);
    forget_models(p);
    advise(p);
}

static bool targets(enum advice_role r)
{
    return r == ADVICE_ROLE_TARGET || r == ADVICE_ROLE_BOTH;
}

void wizard_plan_next_role(struct wizard_plan *p, size_t i)
{
    static const enum advice_role order[] = {ADVICE_ROLE_TARGET, ADVICE_ROLE_DRAFTER, ADVICE_ROLE_BOTH,
                                             ADVICE_ROLE_WORKER, ADVICE_ROLE_NONE};
    enum advice_role now = p->role[i] != ADVICE_ROLE_AUTO ? p->role[i] : p->advice->machine[i].role;
    size_t at = 0;
    while (at < ARRAY_LEN(order) && order[at] != now)
        at++;
    at = (at + 1) % ARRAY_LEN(order);
    if (order[at] == ADVICE_ROLE_WORKER && p->machine[i].origin == MACHINE_HERE)
        at++; /* what is here belongs to the pool anyway */
    p->role[i] = order[at];
    for (size_t k = 0; k < p->n; k++) {
        if (k != i && targets(p->role[i]) && targets(p->role[k]))
            p->role[k] = p->role[k] == ADVICE_ROLE_BOTH ? ADVICE_ROLE_DRAFTER : ADVICE_ROLE_AUTO;
    }
    forget_models(p);
    advise(p);
}

void wizard_plan_reset(struct wizard_plan *p)
{
    for (size_t i = 0; i < p->n; i++)
        p->role[i] = ADVICE_ROLE_AUTO;
    wizard_plan_reset_models(p);
}

void wizard_plan_reset_models(struct wizard_plan *p)
{
    free(p->target_name);
    free(p->draft_name);
    p->target_name = p->draft_name = NULL;
    enum advice_mode mode = p->wish.mode; /* was chosen in another step */
    p->wish = p->given;
    p->wish.mode = mode;
    advise(p);
}

static const char typed_name[] = "as typed";

static bool was_typed(const struct machine *m)
{
    return m->n_gpus > 0 && strcmp(m->gpu[m->n_gpus - 1].name, typed_name) == 0;
}

/* The GPU that gets the memory that was typed: the one that does not tell its own, else a new one. */
static struct machine_gpu *typed_gpu(struct machine *m)
{
    for (size_t i = 0; i < m->n_gpus; i++) {
        if (m->gpu[i].memory < 0)
            return &m->gpu[i];
    }
    if (was_typed(m))
        return &m->gpu[m->n_gpus - 1];
    struct machine_gpu *g = machine_add_gpu(m);
    g->vendor = GPU_OTHER;
    snprintf(g->name, sizeof(g->name), "%s", typed_name);
    return g;
}

int wizard_plan_set_memory(struct wizard_plan *p, size_t i, const char *text, char **cause)
{
    char *end;
    errno = 0;
    double v = strtod(text, &end);
    double unit = GIB;
    if (end == text)
        return cause_set(cause, "\"%s\" is no size: type it in GB, as 24 or 16.5", text);
    while (isspace((unsigned char)*end))
        end++;
    if (toupper((unsigned char)*end) == 'M')
        unit = GIB / 1024;
    else if (*end != '\0' && toupper((unsigned char)*end) != 'G')
        return cause_set(cause, "\"%s\" is no unit: GB or MB", end);
    if (isnan(v) || v * unit < GIB / 8 || v * unit > 16384 * GIB)
        return cause_set(cause, "%s is no memory that a machine has: type it in GB, as 24", text);
    if (p->advice->machine[i].memory >= 0 && !was_typed(&p->machine[i]))
        return cause_set(cause, "%s tells its memory itself", p->machine[i].name);
    struct machine_gpu *g = typed_gpu(&p->machine[i]);
    g->memory = (int64_t)(v * unit);
    forget_models(p);
    advise(p);
    return 0;
}

void wizard_plan_set_target(struct wizard_plan *p, int model)
{
    p->wish.target = model;
    p->wish.drafter = ADVICE_AUTO;
    advise(p);
}

void wizard_plan_set_drafter(struct wizard_plan *p, int model)
{
    if (p->advice->target >= 0)
        p->wish.target = p->advice->target;
    p->wish.drafter = model;
    advise(p);
}

void wizard_plan_set_mode(struct wizard_plan *p, enum advice_mode mode)
{
    p->wish.mode = mode;
    advise(p);
}

static bool same_text(const char *a, const char *b)
{
    return (a == NULL) == (b == NULL) && (a == NULL || strcmp(a, b) == 0);
}

/* The same model in an advice that was made with other names; ADVICE_AUTO: it is not there any more. */
static int find_again(const struct advice *before, int model, const struct advice *now)
{
    for (size_t i = 0; model >= 0 && i < now->n_models; i++) {
        const struct advice_model *a = &before->model[model], *b = &now->model[i];
        if (a->machine == b->machine && same_text(a->name, b->name) && same_text(a->url, b->url) &&
            same_text(a->path, b->path))
            return (int)i;
    }
    return ADVICE_AUTO;
}

/* Sets one of the typed names.  A name is a candidate more or less, so the other choice has a new index. */
static void set_name(struct wizard_plan *p, const char *name, const char *given, char **own, const char **wish,
                     int *chosen, int *other)
{
    struct advice *before = p->advice;
    int was = *other;
    p->advice = NULL;
    free(*own);
    *own = name[0] != '\0' ? xstrdup(name) : NULL;
    *wish = *own != NULL ? *own : given;
    *chosen = ADVICE_AUTO;
    *other = was == ADVICE_NONE ? ADVICE_NONE : ADVICE_AUTO;
    advise(p);
    if (was >= 0) {
        *other = find_again(before, was, p->advice);
        advise(p);
    }
    advice_destroy(before);
}

void wizard_plan_name_target(struct wizard_plan *p, const char *name)
{
    p->wish.drafter = ADVICE_AUTO; /* what suited the other target */
    set_name(p, name, p->given.target_name, &p->target_name, &p->wish.target_name, &p->wish.target, &p->wish.drafter);
}

void wizard_plan_name_drafter(struct wizard_plan *p, const char *name)
{
    set_name(p, name, p->given.draft_name, &p->draft_name, &p->wish.draft_name, &p->wish.drafter, &p->wish.target);
}
