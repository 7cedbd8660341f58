/* The newest rounds: what each spent on drafting, verifying and waiting. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "ui/pane.h"
#include "ui/spark.h"
#include "ui/table.h"
#include "ui/text.h"
#include "ui/ui.h"

enum column { KEPT, TIME, BAR, DRAFTER, COLUMNS };

static const struct {
    const char *name;
    enum theme_role role;
    enum theme_glyph glyph;
} parts[] = {
    {"draft", THEME_DRAFT, GLYPH_FULL},
    {"verify", THEME_VERIFY, GLYPH_HALF},
    {"wait", THEME_WAIT, GLYPH_EMPTY},
};

static double known(double ms)
{
    return isnan(ms) || ms < 0 ? 0 : ms;
}

static double total(const struct live_round *r)
{
    double sum = known(r->draft_ms) + known(r->verify_ms) + known(r->wait_ms);
    return sum > 0 ? sum : known(r->round_ms);
}

/* The legend is the medians of the parts. */
static void legend(const struct ui *ui, const struct view *v)
{
    const struct snapshot *s = &ui->picture.snapshot;
    const double ms[] = {s->draft_ms, s->verify_ms, s->wait_ms};
    char text[16];
    int col = 0;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        text_milliseconds(text, sizeof(text), ms[i], !v->theme->unicode);
        int need = 2 + (int)strlen(parts[i].name) + 1 + text_columns(text, strlen(text), !v->theme->unicode);
        if (col + need > v->cols)
            return;
        view_glyph(v, 0, col, parts[i].role, parts[i].glyph, 1);
        view_printf(v, 0, col + 2, THEME_TEXT, "%s %s", parts[i].name, text);
        col += need + 2;
    }
}

static void bar(const struct view *v, int row, int col, int cols, const struct live_round *r, double top)
{
    const double ms[] = {known(r->draft_ms), known(r->verify_ms), known(r->wait_ms)};
    double sum = 0;
    int at = 0;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        sum += ms[i];
        int end = (int)lround(sum / top * cols);
        end = end > cols ? cols : end;
        view_glyph(v, row, col + at, parts[i].role, parts[i].glyph, end - at);
        at = end;
    }
}

static void round_line(const struct ui *ui, const struct view *v, int row, const struct table_column *c,
                       const struct live_round *r, double top)
{
    const struct snapshot *s = &ui->picture.snapshot;
    char text[32];
    snprintf(text, sizeof(text), "%u/%u", (unsigned)r->accepted, (unsigned)r->drafted);
    table_cell(v, row, c, KEPT, THEME_TEXT, r->drafted > 0 ? text : "alone");
    table_cell(v, row, c, TIME, THEME_TEXT, text_milliseconds(text, sizeof(text), total(r), !v->theme->unicode));
    if (c[BAR].cols > 0)
        bar(v, row, table_at(c, BAR), c[BAR].cols, r, top);
    table_cell(v, row, c, DRAFTER, THEME_DIM,
               r->drafter > 0 && r->drafter < s->n_backends ? s->backend[r->drafter].name : "");
}

static void draw(struct ui *ui, const struct view *v)
{
    const struct live *l = &ui->picture.live;
    struct table_column c[COLUMNS] = {
        [KEPT] = {.head = "kept", .least = 6, .rank = 0, .right = true},
        [TIME] = {.head = "time", .least = 8, .rank = 0, .right = true},
        [BAR] = {.head = "", .least = 10, .most = v->cols, .rank = 1},
        [DRAFTER] = {.head = "drafter", .least = 8, .rank = 2},
    };
    const struct snapshot *s = &ui->picture.snapshot;
    float times[LIVE_ROUNDS];
    size_t shown = v->rows > 1 ? (size_t)(v->rows - 1) : 0, n = l->n_rounds < LIVE_ROUNDS ? l->n_rounds : LIVE_ROUNDS;
    legend(ui, v);
    for (size_t i = 1; i < s->n_backends; i++)
        table_widen(v, &c[DRAFTER], s->backend[i].name, 20);
    table_fit(c, COLUMNS, v->cols);
    if (shown > n)
        shown = n;
    size_t most = n - shown, back = (size_t)ui->scroll[PANE_ROUNDS] < most ? (size_t)ui->scroll[PANE_ROUNDS] : most;
    ui->scroll[PANE_ROUNDS] = (int)back;
    for (size_t i = 0; i < shown; i++)
        times[i] = (float)total(&l->round[n - 1 - back - i]);
    double top = spark_scale(times, shown);
    for (size_t i = 0; i < shown; i++)
        round_line(ui, v, 1 + (int)i, c, &l->round[n - 1 - back - i], top);
}

static bool present(const struct ui *ui)
{
    return ui->picture.live.n_rounds > 0;
}

static int wants(const struct ui *ui, int cols)
{
    size_t n = ui->picture.live.n_rounds;
    (void)cols;
    return 1 + (int)(n > 6 ? 6 : n);
}

const struct pane_ops pane_rounds = {
    .name = "rounds",
    .every_ms = 1000,
    .grows = true,
    .present = present,
    .wants = wants,
    .draw = draw,
};
