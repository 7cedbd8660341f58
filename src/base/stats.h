/* Ring statistics: the last N values, their mean and quantiles; and how sure a share is. */
#ifndef TIGHTWAD_BASE_STATS_H
#define TIGHTWAD_BASE_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { STATS_RING = 128 };

struct stats_ring {
    double value[STATS_RING];
    size_t written; /* values ever added */
};

void stats_ring_add(struct stats_ring *r, double value);
size_t stats_ring_count(const struct stats_ring *r); /* values held, at most STATS_RING */
/* q in 0..1; NAN while empty. */
double stats_ring_quantile(const struct stats_ring *r, double q);
double stats_ring_mean(const struct stats_ring *r); /* NAN while empty */

/* The 95 % confidence interval of a share of which `hits` out of n were seen, 0..1: the score interval without
 * continuity correction (E. B. Wilson, JASA 22, 1927).  NAN both where n is 0; hits beyond n count as n. */
void stats_wilson(uint64_t hits, uint64_t n, double *low, double *high);

#endif
