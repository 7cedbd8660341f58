#include "ui/spark.h"

#include <math.h>
#include <string.h>

enum { BRAILLE_LEVELS = 4, ASCII_LEVELS = 3 };

size_t spark_samples(bool braille)
{
    return braille ? 2 : 1;
}

double spark_scale(const float *sample, size_t n)
{
    static const double step[] = {2, 2.5, 2}; /* 1, 2, 5, 10 */
    double most = 0, top = 1;
    for (size_t i = 0; i < n; i++) {
        if (!isnan(sample[i]) && sample[i] > most)
            most = sample[i];
    }
    for (size_t i = 0; top < most && i < 60; i++)
        top *= step[i % 3];
    return top;
}

/* How many of the levels of this row a sample fills, counted from the bottom of the graph; 0: none. */
static int filled(float sample, int row, int rows, int levels, double top)
{
    if (isnan(sample))
        return 0;
    int all = rows * levels, height = 1 + (int)lround((double)sample / top * (all - 1));
    height = height > all ? all : height < 1 ? 1 : height;
    int here = height - (rows - 1 - row) * levels;
    return here < 0 ? 0 : here > levels ? levels : here;
}

void spark_row(char *out, const float *sample, int cols, int row, int rows, double top, bool braille)
{
    /* Dots of the left and of the right column, from the bottom up. */
    static const unsigned char left[] = {0, 0x40, 0x44, 0x46, 0x47}, right[] = {0, 0x80, 0xa0, 0xb0, 0xb8};
    static const char ascii[] = " .:#";
    for (int i = 0; i < cols; i++) {
        if (!braille) {
            *out++ = ascii[filled(sample[i], row, rows, ASCII_LEVELS, top)];
            continue;
        }
        unsigned dots = left[filled(sample[2 * i], row, rows, BRAILLE_LEVELS, top)] |
                        (unsigned)right[filled(sample[2 * i + 1], row, rows, BRAILLE_LEVELS, top)];
        if (dots == 0) {
            *out++ = ' ';
            continue;
        }
        *out++ = (char)0xe2; /* U+2800 and the dots */
        *out++ = (char)(0xa0 | dots >> 6);
        *out++ = (char)(0x80 | (dots & 0x3f));
    }
    *out = '\0';
}
