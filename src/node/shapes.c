#include "node/shapes.h"

#include <math.h>

enum { CELLS = 256 }; /* llama.cpp computes attention over whole steps of so many */

/* What a new shape costs before one was measured: so many passes. */
static const double NEW_PASSES = 5;
/* A new shape may be so much dearer to serve more lengths. */
static const double ROUND_SHARE = 0.1;

static struct shape steps_of(struct shape s)
{
    s.cells = (s.cells + CELLS - 1) / CELLS;
    return s;
}

static bool same(struct shape a, struct shape b)
{
    return a.sequences == b.sequences && a.length == b.length && a.outputs == b.outputs && a.cells == b.cells;
}

/* NULL where there is no more room: such a shape counts as seen. */
static struct shape_record *find(struct shapes *t, struct shape shape)
{
    for (size_t i = 0; i < t->n; i++)
        if (same(t->record[i].shape, shape))
            return &t->record[i];
    if (t->n == SHAPES_MAX)
        return NULL;
    t->record[t->n] = (struct shape_record){.shape = shape};
    return &t->record[t->n++];
}

double shapes_new_us(const struct shapes *t, const struct pass_cost *c)
{
    return t->new_us > 0 ? t->new_us : NEW_PASSES * c->first_us;
}

/* The same with length tokens in each sequence. */
static struct shape stretch(struct shape s, size_t length)
{
    size_t more = length - s.length;
    return (struct shape){.sequences = s.sequences,
                          .length = length,
                          .outputs = s.outputs > 0 ? s.outputs + more * s.sequences : 0,
                          .cells = s.cells + more};
}

static bool reaches(struct shape s, struct shape least)
{
    return s.sequences == least.sequences && s.length >= least.length && s.outputs >= least.outputs &&
           s.outputs - least.outputs <= (s.length - least.length) * s.sequences;
}

static size_t rounded(size_t n)
{
    if (n > 8)
        return (n + 7) / 8 * 8;
    return n <= 2 ? n : n <= 4 ? 4 : 8;
}

static double price(const struct pass_cost *c, struct shape s, struct shape least)
{
    return (double)((s.length - least.length) * s.sequences) * c->token_us;
}

struct shape shapes_choose(struct shapes *t, const struct pass_cost *c, struct shape least, size_t most)
{
    struct shape_record *own = find(t, steps_of(least));
    if (own == NULL || own->seen)
        return least;
    struct shape best = least;
    double cost = c->known ? shapes_new_us(t, c) : INFINITY;
    for (size_t i = 0; i < t->n; i++) {
        const struct shape_record *r = &t->record[i];
        struct shape s = r->shape;
        s.cells = least.cells + (s.length - least.length);
        if (!r->seen || !reaches(s, least) || s.length > most || steps_of(s).cells != r->shape.cells ||
            (c->known ? price(c, s, least) : (double)s.length) >= cost)
            continue;
        /* Before anything was measured the shortest will do. */
        cost = c->known ? price(c, s, least) : (double)s.length;
        best = s;
    }
    if (!c->known)
        return best;
    if (best.length > least.length && own->paid_us + cost <= shapes_new_us(t, c)) {
        own->paid_us += cost;
        return best;
    }
    struct shape round = stretch(least, rounded(least.length));
    return round.length <= most && price(c, round, least) <= ROUND_SHARE * shapes_new_us(t, c) ? round : least;
}

bool shapes_add(struct shapes *t, struct shape shape, double extra_us)
{
    struct shape_record *r = find(t, steps_of(shape));
    if (r == NULL || r->seen)
        return false;
    r->seen = true;
    if (extra_us > 0)
        t->new_us = t->new_us > 0 ? 0.7 * t->new_us + 0.3 * extra_us : extra_us;
    return true;
}
