/* The making of an advice, step by step: what the files advice-*.c share. */
#ifndef TIGHTWAD_ADVISE_MAKING_H
#define TIGHTWAD_ADVISE_MAKING_H

#include "advise/advice.h"

/* Seconds of a trip in a local network where nobody measured it. */
#define MAKING_TRIP 0.5e-3

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
void making_modes(struct making *k);    /* what the answers promise, agents */
void making_path(struct making *k);     /* kind, title, path, reasons */
void making_words(struct making *k);    /* warnings, what each machine does and why */
void making_tasks(struct making *k);    /* what is still to be done */

/* Whether the wish leaves role r to machine i. */
bool making_may(const struct making *k, int machine, enum advice_role r);
/* Whether somebody fixed a role for any machine. */
bool making_fixed(const struct making *k);

/* The first service of that kind on the machine, NULL: none. */
const struct machine_service *making_service(const struct machine *m, enum service_kind kind);

/* What pairs and comparisons want to know of a candidate. */
struct family_model making_family(const struct advice_model *m);

/* Candidates for what the wish names and nobody has, or gives the address of. */
void making_named(struct making *k);
/* Whether that is its name (":latest" may be left out) or its path. */
bool making_is_called(const struct advice_model *m, const char *name);
/* http://HOST:PORT of a server, owned by the caller; why an Ollama does not check drafts. */
char *making_url(const struct machine_service *s);
extern const char making_ollama_cannot[];

/* A new candidate, all unknown; its address changes with the next one. */
struct advice_model *making_add_model(struct making *k, enum advice_source source, int machine);
/* Completes size, memory and rate from what is set (name, quantisation, bytes, …). */
void making_complete(struct making *k, struct advice_model *m);

/* How a drafter suits the target, in doublings of what it brings; -INFINITY: not at all. */
double making_drafter_score(const struct making *k, int target, int draft);

/* Whether a model has a part beside the target and the n others: it is another server's, runs (wished: or can be
 * started), and is on a machine of its own (wished: or shares one). */
bool making_joins(const struct making *k, int model, const int *others, size_t n, bool wished);

/* Whether that model is among the drafters. */
bool making_drafts(const struct advice *a, int model);

/* The fewest workers (ADVICE_WORKERS_MAX at most) that make up for what this machine lacks of need bytes,
 * or all that are wished for; returns the bytes that there are then.  A worker of which nothing is known is taken to
 * do. */
int64_t making_pool(const struct making *k, int64_t need, int *worker, size_t *n_workers);
/* Seconds a token of the model over this machine and these workers: each reads its share, and each worker is a trip for
 * every pass. */
double making_pool_token(const struct making *k, const struct advice_model *m, const int *worker, size_t n_workers);
/* Whether the chosen target is run here, and over whom. */
void making_pool_choice(struct making *k);
/* Where the chosen servers will be that are still to be started. */
void making_ports(struct making *k);

/* Formatted texts are appended; the lists grow by one. */
void making_turn(struct making *k, char *question, char *answer); /* both stolen */
void making_reason(struct making *k, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void making_task(struct making *k, int machine, char *command, const char *fmt, ...)
    __attribute__((format(printf, 4, 5))); /* command stolen, may be NULL */
void making_warn(struct making *k, enum advice_trouble what, char *fix, const char *fmt, ...)
    __attribute__((format(printf, 4, 5))); /* fix stolen, may be NULL */

#endif
