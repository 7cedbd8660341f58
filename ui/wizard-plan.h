/* What the wizard has found and what was chosen of it: machines, their roles, models, and the advice for them.  Every
 * change makes the advice anew.  Pure: nothing is asked, read or shown. */
#ifndef TIGHTWAD_UI_WIZARD_PLAN_H
#define TIGHTWAD_UI_WIZARD_PLAN_H

#include <stdbool.h>
#include <stddef.h>

#include "advise/advice.h"
#include "probe/machine.h"

struct wizard_plan {
    struct machine *machine; /* this one first, where it is known; owned */
    size_t n;
    enum advice_role *role;         /* wished, one for each machine */
    struct advice_wish given;       /* on the command line */
    struct advice_wish wish;        /* as chosen */
    char *target_name, *draft_name; /* typed, NULL: not; wish borrows them */
    struct advice *advice;          /* never NULL after wizard_plan_init */
};

/* wish is copied; what it points to is borrowed. */
void wizard_plan_init(struct wizard_plan *p, const struct advice_wish *wish);
void wizard_plan_finish(struct wizard_plan *p);

/* Replaces the machines by list (owned from now on), and every choice by the advice's. */
void wizard_plan_machines(struct wizard_plan *p, struct machine *list, size_t n);
/* Adds machines (taken over, list itself is freed); those that are known already get what is new.  Choices of roles
 * stay. */
void wizard_plan_add(struct wizard_plan *p, struct machine *list, size_t n);

/* The next role for machine i after the one it has: target, drafter, both, worker, not used.  There is one target. */
void wizard_plan_next_role(struct wizard_plan *p, size_t i);
/* All roles and models as the advice has them. */
void wizard_plan_reset(struct wizard_plan *p);
void wizard_plan_reset_models(struct wizard_plan *p);

/* Memory that a model can use on machine i, as somebody typed it: "24", "24 GB", "16384 MB".  -1 and a cause. */
int wizard_plan_set_memory(struct wizard_plan *p, size_t i, const char *text, char **cause);

/* Indices of the present advice's models; drafter ADVICE_NONE: none. */
void wizard_plan_set_target(struct wizard_plan *p, int model);
void wizard_plan_set_drafter(struct wizard_plan *p, int model);
/* What the answers are to promise; stays when other models are chosen. */
void wizard_plan_set_mode(struct wizard_plan *p, enum advice_mode mode);
/* By name or path; "" takes back what was typed. */
void wizard_plan_name_target(struct wizard_plan *p, const char *name);
void wizard_plan_name_drafter(struct wizard_plan *p, const char *name);

#endif
