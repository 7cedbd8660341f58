#include "base/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void stats_ring_add(struct stats_ring *r, double value)
{
    r->value[r->written % STATS_RING] = value;
    r->written++;
}

size_t stats_ring_count(const struct stats_ring *r)
{
    return r->written < STATS_RING ? r->written : STATS_RING;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Between two values the quantile is interpolated linearly (type 7 of Hyndman and Fan, 1996). */
double stats_ring_quantile(const struct stats_ring *r, double q)
{
    size_t n = stats_ring_count(r);
    if (n == 0)
        return NAN;
    double sorted[STATS_RING];
    memcpy(sorted, r->value, n * sizeof(*sorted));
    qsort(sorted, n, sizeof(*sorted), compare);
    if (!(q > 0))
        return sorted[0];
    if (q >= 1)
        return sorted[n - 1];
    double at = q * (double)(n - 1);
    size_t low = (size_t)at;
    size_t high = low + 1 < n ? low + 1 : low;
    return sorted[low] + (at - (double)low) * (sorted[high] - sorted[low]);
}

double stats_ring_mean(const struct stats_ring *r)
{
    size_t n = stats_ring_count(r);
    if (n == 0)
        return NAN;
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += r->value[i];
    return sum / (double)n;
}

void stats_wilson(uint64_t hits, uint64_t n, double *low, double *high)
{
    *low = *high = NAN;
    if (n == 0)
        return;
    const double z = 1.959963984540054; /* the 0.975 quantile of the normal distribution */
    double of = (double)n, share = hits < n ? (double)hits / of : 1;
    double centre = share + z * z / (2 * of), spread = z * sqrt((share * (1 - share) + z * z / (4 * of)) / of);
    double scale = 1 + z * z / of;
    /* At the ends the formula gives 0 and 1 but for rounding. */
    *low = hits == 0 ? 0 : (centre - spread) / scale;
    *high = hits >= n ? 1 : (centre + spread) / scale;
}
