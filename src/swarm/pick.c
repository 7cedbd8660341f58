#include "swarm/pick.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/noise.h"

void pick_init(struct pick *p, size_t n, enum pick_order order, uint64_t seed)
{
    *p = (struct pick){
        .n = n,
        .order = order,
        .copies = xcalloc(n + 1, sizeof *p->copies),
        .coming = xcalloc(n + 1, sizeof *p->coming),
        .asked = xcalloc(n + 1, sizeof *p->asked),
        .rng = seed,
    };
    bits_init(&p->want, n);
    bits_init(&p->have, n);
}

void pick_finish(struct pick *p)
{
    bits_finish(&p->want);
    bits_finish(&p->have);
    free(p->copies);
    free(p->coming);
    free(p->asked);
    *p = (struct pick){0};
}

/* What peers say is never trusted to balance: a counter stays within what it can hold. */
static void count(uint16_t *counter, int by)
{
    int now = *counter + by;
    *counter = (uint16_t)(now < 0 ? 0 : now > UINT16_MAX ? UINT16_MAX : now);
}

void pick_count(struct pick *p, const struct bits *has, int by)
{
    for (size_t i = 0; i < p->n; i++)
        if (bits_has(has, i))
            count(&p->copies[i], by);
}

void pick_count_one(struct pick *p, size_t piece, int by)
{
    if (piece < p->n)
        count(&p->copies[piece], by);
}

void pick_count_coming(struct pick *p, size_t piece, int by)
{
    if (piece < p->n)
        count(&p->coming[piece], by);
}

/* A number in [0, n). */
static size_t chance(struct pick *p, size_t n)
{
    p->rng += UINT64_C(0x9e3779b97f4a7c15);
    return (size_t)(((noise_mix(p->rng) >> 32) * n) >> 32);
}

/* Of eight pieces those that are wanted and not here, and that `has` (may be NULL: anybody) has. */
static unsigned missing_byte(const struct pick *p, const struct bits *has, size_t at)
{
    unsigned missing = p->want.byte[at] & ~(unsigned)p->have.byte[at] & 0xffu;
    if (has == NULL)
        return missing;
    return at < (has->n + 7) / 8 ? missing & has->byte[at] : 0;
}

/* The fewest copies first; among equals each has the same chance: the k-th of them takes the place of the one before
 * with 1/k. */
int64_t pick_next(struct pick *p, const struct bits *has)
{
    int64_t best = -1;
    unsigned fewest = 0;
    size_t equals = 0;
    for (size_t at = 0; at < (p->n + 7) / 8; at++) {
        for (unsigned left = missing_byte(p, has, at); left != 0;) {
            unsigned bit = (unsigned)__builtin_clz(left) - 24;
            size_t piece = at * 8 + bit;
            left &= ~(0x80u >> bit);
            unsigned copies = p->order == PICK_RAREST ? (unsigned)p->copies[piece] + p->coming[piece] : 0;
            if (p->asked[piece] > 0 || (best >= 0 && copies > fewest))
                continue;
            equals = best >= 0 && copies == fewest ? equals + 1 : 1;
            if (equals == 1 || chance(p, equals) == 0)
                best = (int64_t)piece;
            fewest = copies;
        }
    }
    return best;
}

bool pick_ending(const struct pick *p)
{
    bool any = false;
    for (size_t at = 0; at < (p->n + 7) / 8; at++) {
        for (unsigned left = missing_byte(p, NULL, at); left != 0;) {
            unsigned bit = (unsigned)__builtin_clz(left) - 24;
            size_t piece = at * 8 + bit;
            left &= ~(0x80u >> bit);
            if (p->asked[piece] == 0 && p->copies[piece] > 0)
                return false;
            any = any || p->asked[piece] > 0;
        }
    }
    return any;
}

size_t pick_missing(const struct pick *p)
{
    size_t n = 0;
    for (size_t at = 0; at < (p->n + 7) / 8; at++)
        n += (size_t)__builtin_popcount(missing_byte(p, NULL, at));
    return n;
}

bool pick_done(const struct pick *p)
{
    return pick_missing(p) == 0;
}

double pick_availability(const struct pick *p)
{
    unsigned fewest = UINT16_MAX + 1;
    size_t wanted = 0, more = 0;
    for (size_t i = 0; i < p->n; i++) {
        if (!bits_has(&p->want, i))
            continue;
        unsigned copies = p->copies[i] + (bits_has(&p->have, i) ? 1u : 0u);
        if (copies < fewest) {
            more = wanted; /* all before have more */
            fewest = copies;
        } else if (copies > fewest) {
            more++;
        }
        wanted++;
    }
    return wanted > 0 ? fewest + (double)more / (double)wanted : NAN;
}
