/* Medians and comparisons of bench and bench exact: arithmetic only. */
#ifndef TIGHTWAD_CMD_MEASURE_H
#define TIGHTWAD_CMD_MEASURE_H

#include <stddef.h>

/* Sorts values and returns their median; NAN for none. */
double measure_median(double *values, size_t n);

/* "42", "4.2", "0.042": three digits that matter.  Into buf. */
const char *measure_format(char *buf, size_t size, double value);

/* Bytes that two texts have in common at their beginning, never in the middle of a UTF-8 character. */
size_t measure_common(const char *a, size_t na, const char *b, size_t nb);

#endif
