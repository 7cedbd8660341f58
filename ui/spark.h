/* Lines of the past, drawn with braille dots, or with ASCII where there are none.  Pure: no terminal is needed. */
#ifndef TIGHTWAD_UI_SPARK_H
#define TIGHTWAD_UI_SPARK_H

#include <stdbool.h>
#include <stddef.h>

enum {
    SPARK_BYTES = 4, /* of one column, at most */
};

/* How many samples a column of the screen shows. */
size_t spark_samples(bool braille);

/* The least of 1, 2, 5, 10, 20, 50, … that no sample exceeds, so that the scale seldom changes; 1 where all are
 * unknown. */
double spark_scale(const float *sample, size_t n);

/* Row `row` (0: the top) of a graph of cols by rows cells, over cols * spark_samples() samples from 0 to top.  Unknown
 * ones (NAN) are blank, 0 is one dot.  out: cols * SPARK_BYTES + 1 bytes. */
void spark_row(char *out, const float *sample, int cols, int row, int rows, double top, bool braille);

#endif
