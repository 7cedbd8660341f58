#include "ui/trend.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "ui/spark.h"
#include "ui/text.h"

void trend_draw(const struct view *v, int row, int rows, const struct trend *t)
{
    bool braille = v->theme->signs, found = t->top <= 0;
    int at = t->wide + 1 + TREND_FIGURE + 1, cols = v->cols - at;
    view_field(v, row, 0, t->wide, false, THEME_DIM, t->label);
    view_field(v, row, t->wide + 1, TREND_FIGURE, true, THEME_BOLD, t->figure);
    if (cols < 4 || t->line == NULL)
        return;
    if (cols > HISTORY_SAMPLES / 2)
        cols = HISTORY_SAMPLES / 2;
    size_t n = (size_t)cols * spark_samples(braille);
    float *sample = xcalloc(n, sizeof(*sample));
    char *text = xmalloc((size_t)cols * SPARK_BYTES + 1);
    history_newest(t->history, t->line, sample, n);
    double top = found ? spark_scale(sample, n) : t->top;
    for (int i = 0; i < rows; i++) {
        spark_row(text, sample, cols, i, rows, top, braille);
        view_text(v, row + i, at, THEME_GRAPH, text);
    }
    if (rows > 1 && found) {
        char scale[24], number[16];
        snprintf(scale, sizeof(scale), "0 to %s", text_number(number, sizeof(number), top, !v->theme->unicode));
        view_field(v, row + 1, 0, t->wide + 1 + TREND_FIGURE, true, THEME_DIM, scale);
    }
    free(sample);
    free(text);
}
