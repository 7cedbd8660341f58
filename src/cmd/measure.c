#include "cmd/measure.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

double measure_median(double *values, size_t n)
{
    if (n == 0)
        return NAN;
    qsort(values, n, sizeof(*values), by_value);
    return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

const char *measure_format(char *buf, size_t size, double value)
{
    if (isnan(value))
        snprintf(buf, size, "-");
    else
        snprintf(buf, size, "%.*f", value >= 100 ? 0 : value >= 10 ? 1 : value >= 1 ? 2 : 3, value);
    return buf;
}

size_t measure_common(const char *a, size_t na, const char *b, size_t nb)
{
    size_t n = 0, most = na < nb ? na : nb;
    while (n < most && a[n] == b[n])
        n++;
    while (n > 0 &&
           ((n < na && ((unsigned char)a[n] & 0xc0) == 0x80) || (n < nb && ((unsigned char)b[n] & 0xc0) == 0x80)))
        n--;
    return n;
}
