/* Consensus: how many tokens the drafters give without the target, and how often they are wrong by the audit. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ui/pane.h"
#include "ui/text.h"
#include "ui/trend.h"
#include "ui/ui.h"

enum { LABEL = 9, TALL = 6, FIXED = 3 }; /* FIXED: lines besides the graph and what is in the way */

static const struct snapshot_consensus *of(const struct ui *ui)
{
    return &ui->picture.snapshot.consensus;
}

/* Whether answers are approximate by it now. */
static bool in_use(const struct snapshot_consensus *c)
{
    return strcmp(c->mode, "off") != 0 && !c->suspended && c->why[0] == '\0';
}

static int state(const struct view *v, const struct snapshot_consensus *c)
{
    enum theme_role role = in_use(c) ? THEME_GOOD : THEME_WARN;
    bool ascii = !v->theme->unicode;
    char text[96], share[16];
    int col = view_sign(v, 0, 0, role) + 1, row = 1;
    col = view_text(v, 0, col, role == THEME_GOOD ? THEME_BOLD : role, c->mode) + 2;
    snprintf(text, sizeof(text), "%" PRId64 " tokens a window, %s audited", c->window,
             text_small(share, sizeof(share), c->audit_share, ascii));
    if (text_columns(text, strlen(text), ascii) <= v->cols - col)
        view_text(v, 0, col, THEME_DIM, text);
    if (c->why[0] != '\0' && row < v->rows) {
        struct view words = view_part(v, row, 0, v->rows - row, v->cols);
        row += view_wrapped(&words, 0, THEME_WARN, c->why);
    }
    return row;
}

/* The share of wrong tokens among those that were audited, with what it may be. */
static int error(const struct view *v, int row, const struct snapshot_consensus *c)
{
    bool ascii = !v->theme->unicode, high = !isnan(c->error) && c->error > c->max_error;
    char figure[16], text[64], most[16];
    const struct trend t = {
        .label = "wrong", .figure = text_small(figure, sizeof(figure), c->error, ascii), .wide = LABEL};
    int col = LABEL + 1 + TREND_FIGURE + 1;
    if (row >= v->rows)
        return row;
    trend_draw(v, row, 1, &t);
    if (!isnan(c->error_low))
        col = view_printf(v, row, col, high ? THEME_WARN : THEME_TEXT, "(%s)",
                          text_interval(text, sizeof(text), c->error_low, c->error_high, ascii));
    snprintf(text, sizeof(text), " %s may be", text_small(most, sizeof(most), c->max_error, ascii));
    if (text_columns(text, strlen(text), ascii) <= v->cols - col)
        view_text(v, row, col, THEME_DIM, text);
    return row + 1;
}

static int counts(const struct view *v, int row, const struct snapshot_consensus *c)
{
    char text[200];
    snprintf(text, sizeof(text), "%" PRIu64 " tokens without the target, %" PRIu64 " with it in %" PRIu64 " passes",
             c->accepted, c->fallback, c->target_passes);
    row = view_whole(v, row, THEME_TEXT, text);
    snprintf(text, sizeof(text),
             "%" PRIu64 " of %" PRIu64 " windows without it; %" PRIu64 " audited, %" PRIu64 " wrong", c->skipped,
             c->windows, c->audited, c->wrong);
    row = view_whole(v, row, THEME_TEXT, text);
    snprintf(text, sizeof(text), "%" PRIu64 " of %" PRIu64 " audited tokens were wrong", c->wrong_tokens,
             c->audited_tokens);
    return view_whole(v, row, THEME_DIM, text);
}

static void draw(struct ui *ui, const struct view *v)
{
    const struct snapshot_consensus *c = of(ui);
    bool ascii = !v->theme->unicode;
    char figure[16];
    int row = state(v, c), tall = v->rows - row - FIXED - 2;
    uint64_t all = c->accepted + c->fallback;
    const struct trend t = {
        .label = "no target",
        .figure = text_percent(figure, sizeof(figure), all > 0 ? (double)c->accepted / (double)all : NAN, ascii),
        .wide = LABEL,
        .history = &ui->history,
        .line = &ui->history.without_target,
        .top = 1,
    };
    tall = tall < 1 ? 1 : tall > TALL ? TALL : tall;
    if (row < v->rows)
        trend_draw(v, row, tall, &t);
    counts(v, error(v, row + tall, c), c);
}

static bool present(const struct ui *ui)
{
    return of(ui)->configured;
}

static int wants(const struct ui *ui, int cols)
{
    const struct snapshot_consensus *c = of(ui);
    int why = c->why[0] != '\0' ? text_lines(c->why, strlen(c->why), cols, !ui->theme.unicode) : 0;
    return 1 + (why > 3 ? 3 : why) + 1 + FIXED + (cols < 50 ? 3 : 1);
}

static void title(const struct ui *ui, char *out, size_t size)
{
    if (in_use(of(ui)))
        snprintf(out, size, "approximate");
}

const struct pane_ops pane_consensus = {
    .name = "consensus",
    .every_ms = 1000,
    .present = present,
    .wants = wants,
    .title = title,
    .draw = draw,
};
