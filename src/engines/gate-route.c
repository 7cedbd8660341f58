#include "engines/gate-route.h"

#include <string.h>

#include "base/mem.h"

static const char *const names[] = {
    [GATE_ROUND_ROBIN] = "round_robin", [GATE_LEAST_BUSY] = "least_busy", [GATE_RACE] = "race"};

enum {
    RECORD_AHEAD = 4,                 /* good answers that an agent is trusted to have written before */
    PATIENCE_RECORD = 8,              /* answers that make a record */
    PATIENCE_FLOOR_US = 10 * 1000000, /* what is given up sooner was perhaps only slow */
    PATIENCE_AHEAD = 64,              /* bytes that may be on their way */
    PATIENCE_READ = 8,                /* bytes that are read in the time of one that is written, at least */
};
static const double PATIENCE_TIMES = 8; /* times the slow answers of the record */

enum gate_routing gate_routing_by_name(const char *name)
{
    for (size_t i = 0; name != NULL && i < ARRAY_LEN(names); i++) {
        if (strcmp(names[i], name) == 0)
            return (enum gate_routing)i;
    }
    return GATE_LEAST_BUSY;
}

const char *gate_routing_name(enum gate_routing r)
{
    return names[r];
}

static bool is_free(const struct gate_seat *s)
{
    return s->usable && !s->tried && s->busy < s->slots;
}

void gate_record_add(struct gate_record *r, bool approved)
{
    r->approved[r->written++ % GATE_RECORD] = approved;
}

double gate_record_share(const struct gate_record *r)
{
    size_t n = r->written < GATE_RECORD ? r->written : GATE_RECORD, passed = 0;
    for (size_t i = 0; i < n; i++)
        passed += r->approved[i];
    return (double)(passed + RECORD_AHEAD) / (double)(n + RECORD_AHEAD);
}

/* Whether a is the better choice: it has less of its slots taken than b, or as much and the better record. */
static bool is_better(const struct gate_seat *a, const struct gate_seat *b)
{
    uint64_t x = (uint64_t)a->busy * b->slots, y = (uint64_t)b->busy * a->slots;
    return x != y ? x < y : a->record > b->record;
}

size_t gate_route(enum gate_routing how, const struct gate_seat *seats, size_t n, size_t last)
{
    size_t best = n;
    for (size_t k = 1; k <= n; k++) {
        size_t i = (last + k) % n;
        if (last >= n) /* nobody yet: from the first one on */
            i = k - 1;
        if (!is_free(&seats[i]))
            continue;
        if (how != GATE_LEAST_BUSY)
            return i;
        if (best == n || is_better(&seats[i], &seats[best]))
            best = i;
    }
    return best;
}

bool gate_route_possible(const struct gate_seat *seats, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (seats[i].usable && !seats[i].tried)
            return true;
    }
    return false;
}

size_t gate_race_share(size_t n_free, size_t waiting)
{
    size_t share = n_free / (waiting + 1);
    return share > 0 ? share : 1;
}

int64_t gate_patience_us(const struct stats_ring *record, size_t read, size_t written)
{
    if (stats_ring_count(record) < PATIENCE_RECORD)
        return INT64_MAX;
    double bytes = (double)written + PATIENCE_AHEAD + (double)read / PATIENCE_READ;
    double us = PATIENCE_TIMES * stats_ring_quantile(record, 0.95) * bytes;
    if (us < PATIENCE_FLOOR_US)
        return PATIENCE_FLOOR_US;
    return us < 1e15 ? (int64_t)us : INT64_MAX;
}
