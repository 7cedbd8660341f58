/* Which sizes go together in one family, and how much of what the small one drafts the big one accepts. */
#ifndef TIGHTWAD_ADVISE_PAIRS_H
#define TIGHTWAD_ADVISE_PAIRS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "advise/family.h"

/* A row: sizes in thousand millions of parameters, acceptance as shares of what is drafted. */
struct pair_row {
    double target_min, target_max;
    double draft_min, draft_max;
    double low, high;
};

extern const struct pair_row pair_table[];
extern const size_t pair_count;

/* A pair that somebody has run. */
struct pair_proven {
    const char *target_family, *draft_family;
    double target, draft; /* sizes */
    double accepted;      /* NAN: it worked, the figure is not known */
    const char *how;      /* "by API", "CPU to GPU", "" */
};

extern const struct pair_proven pair_proven_table[];
extern const size_t pair_proven_count;

enum pair_basis {
    PAIR_PROVEN, /* these two have been run together */
    PAIR_ROW,    /* a row of the table has both sizes */
    PAIR_NEAR,   /* the target's row, with a drafter smaller or larger than it has; or a target between or below rows */
    PAIR_OTHER,  /* another family */
    PAIR_GUESS,  /* sizes or families are not known: nothing can be said, low and high are NAN */
};

struct pair_outlook {
    enum pair_basis basis;
    double low, high;                 /* share of drafted tokens that are accepted */
    const struct pair_proven *proven; /* NULL: none */
};

/* About 3 % of what a model of another family drafts is accepted. */
#define PAIR_OTHER_FAMILY 0.03

/* The row for a target of that size: the one that has it, between two rows the nearer one, below all the first; NULL:
 * the size is not known.  Where two rows have it, the one for the larger targets. */
const struct pair_row *pair_row_of(double target_b);

/* Sizes in parameters, -1 unknown.  A proven pair is told as such, with its row's range around what is not known. */
struct pair_outlook pair_expect(const struct family_model *target, int64_t target_parameters,
                                const struct family_model *draft, int64_t draft_parameters);

/* The middle of the range, NAN unknown. */
double pair_chance(const struct pair_outlook *o);

#endif
