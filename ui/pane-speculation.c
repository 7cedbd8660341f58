/* How much of what is drafted is accepted, and how fast it goes: now, and in the last minutes. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ui/pane.h"
#include "ui/spark.h"
#include "ui/text.h"
#include "ui/ui.h"

enum { LABEL = 9, LONG_LABEL = 20, FIGURE = 7, TALL = 10 };

/* The longest drafter's name, where there is room for it. */
static int label_columns(const struct ui *ui, const struct view *v)
{
    const struct snapshot *s = &ui->picture.snapshot;
    int most = v->cols / 2 < LONG_LABEL ? v->cols / 2 : LONG_LABEL, wide = LABEL;
    for (size_t i = 1; i < s->n_backends; i++) {
        int cols = text_columns(s->backend[i].name, strlen(s->backend[i].name), !v->theme->unicode);
        wide = cols > wide ? cols : wide;
    }
    return wide < most ? wide : most > LABEL ? most : LABEL;
}

/* A label, a figure, and the past to the right of them, `rows` high.  top: the scale's end, 0: it is found. */
static void graph(const struct ui *ui, const struct view *v, int row, int rows, const char *label, const char *figure,
                  const struct history_line *line, double top)
{
    bool braille = v->theme->signs, ascii = !v->theme->unicode;
    int wide = label_columns(ui, v), at = wide + 1 + FIGURE + 1, cols = v->cols - at;
    view_field(v, row, 0, wide, false, THEME_DIM, label);
    view_field(v, row, wide + 1, FIGURE, true, THEME_BOLD, figure);
    if (cols < 4 || line == NULL)
        return;
    if (cols > HISTORY_SAMPLES / 2)
        cols = HISTORY_SAMPLES / 2;
    size_t n = (size_t)cols * spark_samples(braille);
    float *sample = xcalloc(n, sizeof(*sample));
    char *text = xmalloc((size_t)cols * SPARK_BYTES + 1);
    history_newest(&ui->history, line, sample, n);
    bool found = top <= 0;
    if (found)
        top = spark_scale(sample, n);
    for (int i = 0; i < rows; i++) {
        spark_row(text, sample, cols, i, rows, top, braille);
        view_text(v, row + i, at, THEME_GRAPH, text);
    }
    if (rows > 1 && found) {
        char scale[24], number[16];
        snprintf(scale, sizeof(scale), "0 to %s", text_number(number, sizeof(number), top, ascii));
        view_field(v, row + 1, 0, wide + 1 + FIGURE, true, THEME_DIM, scale);
    }
    free(sample);
    free(text);
}

static int drafter(const struct ui *ui, const struct view *v, int row, const struct snapshot_backend *b)
{
    bool ascii = !v->theme->unicode;
    char figure[16], rate[16];
    const struct history_drafter *h = history_find(&ui->history, b->name);
    double share = b->drafted > 0 ? (double)b->accepted / (double)b->drafted : NAN;
    struct view left = view_part(v, row, 0, 1, v->cols > 48 ? v->cols - 16 : v->cols);
    graph(ui, &left, 0, 1, b->name, text_percent(figure, sizeof(figure), share, ascii),
          h != NULL ? &h->acceptance : NULL, 1);
    if (left.cols < v->cols) {
        struct view right = view_part(v, row, left.cols + 1, 1, 15);
        text_number(rate, sizeof(rate), b->tokens_per_second, ascii);
        view_field(&right, 0, 0, 8, true, THEME_TEXT, rate);
        view_text(&right, 0, 9, THEME_DIM, "tok/s");
    }
    return row + 1;
}

/* In whole, or not at all. */
static int words(const struct view *v, int row, enum theme_role role, const char *text)
{
    int lines = text_lines(text, strlen(text), v->cols, !v->theme->unicode);
    struct view part = view_part(v, row, 0, lines, v->cols);
    return lines > v->rows - row ? row : row + view_wrapped(&part, 0, role, text);
}

static void details(const struct ui *ui, const struct view *v, int row)
{
    const struct snapshot *s = &ui->picture.snapshot;
    bool ascii = !v->theme->unicode;
    char number[16];
    if (row < v->rows && !isnan(s->tokens_per_round))
        view_printf(v, row++, 0, THEME_TEXT, "%s tokens a round, %llu rounds",
                    text_number(number, sizeof(number), s->tokens_per_round, ascii), (unsigned long long)s->rounds);
    if (strcmp(s->governor, "off") != 0)
        row = words(v, row, s->drafting_pays ? THEME_DIM : THEME_WARN, s->governor);
    row = words(v, row, THEME_DIM, s->exactness_note);
    char text[120];
    if (s->ahead_verdicts > 0) {
        snprintf(text, sizeof(text), "%llu verdicts met a drafter ahead, %llu on its line, %llu on a branch",
                 (unsigned long long)s->ahead_verdicts, (unsigned long long)s->ahead_line,
                 (unsigned long long)s->ahead_branch);
        row = words(v, row, THEME_DIM, text);
    }
    if (s->resumed + s->fallback_rounds + s->draft_failures > 0) {
        snprintf(text, sizeof(text), "%llu drafts failed, %llu rounds without one, %llu answers resumed",
                 (unsigned long long)s->draft_failures, (unsigned long long)s->fallback_rounds,
                 (unsigned long long)s->resumed);
        row = words(v, row, THEME_DIM, text);
    }
    if (s->near_ties > 0) {
        snprintf(text, sizeof(text), "%llu near-ties among %llu tokens", (unsigned long long)s->near_ties,
                 (unsigned long long)s->emitted);
        words(v, row, THEME_DIM, text);
    }
}

static size_t drafters(const struct snapshot *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_backends; i++)
        n += s->backend[i].role == ROLE_DRAFTER;
    return n;
}

/* Of what matters most among the details. */
static int detail_lines(const struct snapshot *s, int cols, bool ascii)
{
    return 1 + text_lines(s->governor, strlen(s->governor), cols, ascii) +
           text_lines(s->exactness_note, strlen(s->exactness_note), cols, ascii);
}

static void draw(struct ui *ui, const struct view *v)
{
    const struct snapshot *s = &ui->picture.snapshot;
    bool ascii = !v->theme->unicode;
    char figure[16];
    int shown = (int)drafters(s), tall = (v->rows - shown - detail_lines(s, v->cols, ascii)) / 2, row = 0;
    tall = tall < 1 ? v->rows - shown >= 4 ? 2 : 1 : tall > TALL ? TALL : tall;
    graph(ui, v, row, tall, "tokens/s", text_number(figure, sizeof(figure), s->tokens_per_second, ascii),
          &ui->history.tokens_per_second, 0);
    row += tall;
    graph(ui, v, row, tall, "accepted", text_percent(figure, sizeof(figure), s->acceptance, ascii),
          &ui->history.acceptance, 1);
    row += tall;
    for (size_t i = 0; i < s->n_backends && row < v->rows; i++) {
        if (s->backend[i].role == ROLE_DRAFTER)
            row = drafter(ui, v, row, &s->backend[i]);
    }
    details(ui, v, row);
}

static int wants(const struct ui *ui, int cols)
{
    const struct snapshot *s = &ui->picture.snapshot;
    int lines = detail_lines(s, cols, !ui->theme.unicode);
    return 2 * 2 + (int)drafters(s) + (lines > 6 ? 6 : lines);
}

static void title(const struct ui *ui, char *out, size_t size)
{
    if (strcmp(ui->picture.snapshot.acceptance_source, "compared") == 0)
        snprintf(out, size, "accepted: by comparing, the target can't verify");
}

const struct pane_ops pane_speculation = {
    .name = "speculation",
    .every_ms = 1000,
    .wants = wants,
    .title = title,
    .draw = draw,
};
