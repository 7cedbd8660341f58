#include "advise/pairs.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"

const struct pair_row pair_table[] = {
    {7, 14, 0.5, 1.5, 0.40, 0.60},
    {32, 72, 3, 8, 0.50, 0.70},
    {70, 405, 8, 14, 0.60, 0.80},
};
const size_t pair_count = ARRAY_LEN(pair_table);

const struct pair_proven pair_proven_table[] = {
    {"qwen3", "qwen3", 8, 1.7, NAN, ""},
    {"qwen3", "qwen3", 32, 8, 0.64, ""},
    {"qwen3.5", "qwen3", 397, 8, 0.80, "by API"},
    {"qwen3", "qwen3", 32, 1.7, NAN, "CPU to GPU"},
};
const size_t pair_proven_count = ARRAY_LEN(pair_proven_table);

const struct pair_row *pair_row_of(double target_b)
{
    const struct pair_row *best = NULL;
    double nearest = INFINITY;
    if (!(target_b > 0))
        return NULL;
    for (size_t i = 0; i < pair_count; i++) {
        const struct pair_row *r = &pair_table[i];
        /* Sizes are factors of each other, so their distance is one of logarithms. */
        double away = target_b < r->target_min   ? log(r->target_min / target_b)
                      : target_b > r->target_max ? log(target_b / r->target_max)
                                                 : 0;
        if (away <= nearest) {
            nearest = away;
            best = r;
        }
    }
    return best;
}

/* What is sold as 8B has 8.19 thousand millions: within a tenth it is that size. */
static bool is_size(double b, double named)
{
    return b > 0.9 * named && b < 1.1 * named;
}

static bool within(double b, double low, double high)
{
    return b > 0.9 * low && b < 1.1 * high;
}

static const struct pair_proven *find_proven(const struct family *t, double target, const struct family *d,
                                             double draft)
{
    for (size_t i = 0; t && d && i < pair_proven_count; i++) {
        const struct pair_proven *p = &pair_proven_table[i];
        if (strcmp(p->target_family, t->id) == 0 && strcmp(p->draft_family, d->id) == 0 && is_size(target, p->target) &&
            is_size(draft, p->draft))
            return p;
    }
    return NULL;
}

struct pair_outlook pair_expect(const struct family_model *target, int64_t target_parameters,
                                const struct family_model *draft, int64_t draft_parameters)
{
    double t = (double)target_parameters / 1e9, d = (double)draft_parameters / 1e9;
    struct pair_outlook o = {PAIR_GUESS, NAN, NAN, NULL};
    const struct pair_row *row = pair_row_of(t);
    o.proven = find_proven(family_of_model(target), t, family_of_model(draft), d);
    if (o.proven) {
        bool told = !isnan(o.proven->accepted);
        o.basis = PAIR_PROVEN;
        o.low = told ? o.proven->accepted : row->low;
        o.high = told ? o.proven->accepted : row->high;
        return o;
    }
    enum family_match match = family_compare(target, draft);
    if (match == FAMILY_OTHER) {
        o.basis = PAIR_OTHER;
        o.low = o.high = PAIR_OTHER_FAMILY;
    } else if (match != FAMILY_UNKNOWN && row && d > 0) {
        bool exact = within(t, row->target_min, row->target_max) && within(d, row->draft_min, row->draft_max);
        o.basis = exact ? PAIR_ROW : PAIR_NEAR;
        o.low = row->low;
        o.high = row->high;
    }
    return o;
}

double pair_chance(const struct pair_outlook *o)
{
    return (o->low + o->high) / 2;
}
