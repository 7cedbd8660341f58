/* How much of what is drafted is accepted, and how fast it goes: now, and in the last minutes. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ui/pane.h"
#include "ui/text.h"
#include "ui/trend.h"
#include "ui/ui.h"

enum {
    LABEL = 9,
    LONG_LABEL = 20,
    TALL = 10,
    LONG_PAST = 15, /* columns of a drafter's past, where its rate is to stand beside it */
    PAST = 8,       /* … and where more of its figures are */
    RATE = 15,      /* columns of its figures, with a blank before */
    WINS = 11,
    LATENCY = 9,
};

/* Of the longest drafter's name, where there is room for it. */
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

static void graph(const struct ui *ui, const struct view *v, int row, int rows, int wide, const char *label,
                  const char *figure, const struct history_line *line, double top)
{
    const struct trend t = {label, figure, wide, &ui->history, line, top};
    trend_draw(v, row, rows, &t);
}

/* What stands to the right of a drafter's past: columns of each, 0 where there is no room for it. */
struct figures {
    int rate, wins, latency;
};

static struct figures figures_of(const struct view *v, int wide, size_t drafters)
{
    struct figures f = {0};
    int room = v->cols - (wide + 1 + TREND_FIGURE + 1) - RATE;
    if (room < LONG_PAST)
        return f;
    f.rate = RATE;
    room -= PAST;
    if (drafters > 1 && room >= WINS) { /* one alone wins whatever it drafts */
        f.wins = WINS;
        room -= WINS;
    }
    if (room >= LATENCY)
        f.latency = LATENCY;
    return f;
}

/* A word for one that does not draft now; NULL: it does, or would if it were asked. */
static const char *idle(const struct snapshot_backend *b)
{
    return b->health == HEALTH_DOWN ? "down" : b->paused ? "paused" : b->resting ? "resting" : NULL;
}

static int drafter(const struct ui *ui, const struct view *v, int row, const struct snapshot_backend *b, int wide,
                   const struct figures *f)
{
    bool ascii = !v->theme->unicode;
    char figure[16], text[24];
    const struct history_drafter *h = history_find(&ui->history, b->name);
    const char *word = idle(b);
    double share = b->drafted > 0 ? (double)b->accepted / (double)b->drafted : NAN;
    double wins = b->offered > 0 ? (double)b->wins / (double)b->offered : NAN;
    int end = v->cols - f->rate - f->wins - f->latency;
    bool past = word == NULL || f->rate > 0;
    struct view left = view_part(v, row, 0, 1, end);
    graph(ui, &left, 0, 1, wide, b->name, text_percent(figure, sizeof(figure), share, ascii),
          h != NULL && past ? &h->acceptance : NULL, 1);
    if (!past)
        view_text(&left, 0, wide + 1 + TREND_FIGURE + 2, THEME_DIM, word);
    if (f->rate > 0 && word != NULL)
        view_field(v, row, end + 1, RATE - 1, true, THEME_DIM, word);
    else if (f->rate > 0) {
        int col = view_field(v, row, end + 1, RATE - 7, true, THEME_TEXT,
                             text_number(figure, sizeof(figure), b->tokens_per_second, ascii));
        view_text(v, row, col + 1, THEME_DIM, "tok/s");
    }
    end += f->rate;
    if (f->wins > 0) {
        int col =
            view_field(v, row, end + 1, WINS - 6, true, THEME_TEXT, text_percent(text, sizeof(text), wins, ascii));
        view_text(v, row, col + 1, THEME_DIM, "best");
    }
    end += f->wins;
    if (f->latency > 0)
        view_field(v, row, end + 1, LATENCY - 1, true, THEME_TEXT,
                   text_milliseconds(text, sizeof(text), b->call_ms, ascii));
    return row + 1;
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
        row = view_whole(v, row, s->drafting_pays ? THEME_DIM : THEME_WARN, s->governor);
    row = view_whole(v, row, THEME_DIM, s->exactness_note);
    char text[120];
    if (s->ahead_verdicts > 0) {
        snprintf(text, sizeof(text), "%llu verdicts met a drafter ahead, %llu on its line, %llu on a branch",
                 (unsigned long long)s->ahead_verdicts, (unsigned long long)s->ahead_line,
                 (unsigned long long)s->ahead_branch);
        row = view_whole(v, row, THEME_DIM, text);
    }
    if (s->resumed + s->fallback_rounds + s->draft_failures > 0) {
        snprintf(text, sizeof(text), "%llu drafts failed, %llu rounds without one, %llu answers resumed",
                 (unsigned long long)s->draft_failures, (unsigned long long)s->fallback_rounds,
                 (unsigned long long)s->resumed);
        row = view_whole(v, row, THEME_DIM, text);
    }
    if (s->near_ties > 0) {
        snprintf(text, sizeof(text), "%llu near-ties among %llu tokens", (unsigned long long)s->near_ties,
                 (unsigned long long)s->emitted);
        view_whole(v, row, THEME_DIM, text);
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
    int wide = label_columns(ui, v);
    const struct figures f = figures_of(v, wide, drafters(s));
    int shown = (int)drafters(s), tall = (v->rows - shown - detail_lines(s, v->cols, ascii)) / 2, row = 0;
    tall = tall < 1 ? v->rows - shown >= 4 ? 2 : 1 : tall > TALL ? TALL : tall;
    graph(ui, v, row, tall, wide, "tokens/s", text_number(figure, sizeof(figure), s->tokens_per_second, ascii),
          &ui->history.tokens_per_second, 0);
    row += tall;
    graph(ui, v, row, tall, wide, "accepted", text_percent(figure, sizeof(figure), s->acceptance, ascii),
          &ui->history.acceptance, 1);
    row += tall;
    for (size_t i = 0; i < s->n_backends && row < v->rows; i++) {
        if (s->backend[i].role == ROLE_DRAFTER)
            row = drafter(ui, v, row, &s->backend[i], wide, &f);
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
