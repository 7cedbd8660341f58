/* The making of an advice, step by step: what the files advice*.c share. */
#ifndef TIGHTWAD_ADVISE_MAKING_H
#define TIGHTWAD_ADVISE_MAKING_H

#include "advise/advice.h"

struct making {
    const struct machine *list;
    size_t n;
    const struct advice_wish *wish;
    struct advice *a;
    int here; /* index of this machine, ADVICE_NONE */
};

/* In this order; each fills its part of the advice. */
void making_machines(struct making *k); /* what each has */
void making_models(struct making *k);   /* the candidates, sorted */
void making_choice(struct making *k);   /* target, drafters, workers, roles */
void making_path(struct making *k);     /* kind, title, path, reasons */
void making_words(struct making *k);    /* warnings, tasks, what each machine does and why */

/* Whether the wish leaves role r to machine i. */
bool making_may(const struct making *k, int machine, enum advice_role r);
/* Whether somebody fixed a role for any machine. */
bool making_fixed(const struct making *k);

/* The first service of that kind on the machine, NULL: none. */
const struct machine_service *making_service(const struct machine *m, enum service_kind kind);

/* What pairs and comparisons want to know of a candidate. */
struct family_model making_family(const struct advice_model *m);

/* A new candidate, all unknown; its address changes with the next one. */
struct advice_model *making_add_model(struct making *k, enum advice_source source, int machine);
/* Completes size, memory and rate from what is set (name, quantisation, bytes, …). */
void making_complete(struct making *k, struct advice_model *m);

/* Memory for a pool over this machine and the workers, and in *network the seconds on it for each pass. */
int64_t making_pool(const struct making *k, int64_t need, int *worker, size_t *n_workers);

/* Formatted texts are appended; the lists grow by one. */
void making_turn(struct making *k, char *question, char *answer); /* both stolen */
void making_reason(struct making *k, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void making_task(struct making *k, int machine, char *command, const char *fmt, ...)
    __attribute__((format(printf, 4, 5))); /* command stolen, may be NULL */
void making_warn(struct making *k, enum advice_trouble what, char *fix, const char *fmt, ...)
    __attribute__((format(printf, 4, 5))); /* fix stolen, may be NULL */

#endif
