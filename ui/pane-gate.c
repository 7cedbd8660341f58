/* The quality gate: what became of the agents' answers, what they spared the target, and how each agent does. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "ui/pane.h"
#include "ui/table.h"
#include "ui/text.h"
#include "ui/ui.h"

enum {
    WIDE = 100,   /* from this on the agents stand beside the summary */
    SUMMARY = 50, /* its columns then */
    FLAT = 78,    /* from this on the bar and what it means are one line */
    LABEL = 15,
    BAR = 24,
    FIGURES = 5, /* lines of them */
};

enum column { NAME, STATE, ANSWERS, APPROVED, TIME, RATE, FAILED, WRONG, RTT, MODEL, COLUMNS };

enum { NEVER = 99 }; /* rank of a column that has nothing to show */

static const struct snapshot_gate *of(const struct ui *ui)
{
    return &ui->picture.snapshot.gate;
}

/* ---- what became of the answers ---- */

/* Requests that were answered. */
static uint64_t answered(const struct snapshot_gate *g)
{
    return g->approved + g->corrected + g->rejected + g->direct + g->unreviewed + g->cached;
}

static double ratio(uint64_t part, uint64_t all)
{
    return all > 0 ? (double)part / (double)all : NAN;
}

static int state(const struct view *v, const struct snapshot_gate *g)
{
    enum theme_role role = !g->on ? THEME_DIM : g->why[0] != '\0' ? THEME_WARN : THEME_GOOD;
    bool ascii = !v->theme->unicode;
    char text[160];
    int col = view_sign(v, 0, 0, role) + 1, row = 1;
    col = view_text(v, 0, col, role == THEME_GOOD ? THEME_BOLD : role, g->on ? "on" : "off") + 2;
    snprintf(text, sizeof(text), "%u being written, %u reviewed", (unsigned)g->writing, (unsigned)g->reviewing);
    if (text_columns(text, strlen(text), ascii) <= v->cols - col)
        view_text(v, 0, col, THEME_TEXT, text);
    if (g->why[0] != '\0' && row < v->rows) {
        struct view words = view_part(v, row, 0, v->rows - row, v->cols);
        row += view_wrapped(&words, 0, g->on ? THEME_WARN : THEME_DIM, g->why);
    }
    return row;
}

struct part {
    const char *name;
    uint64_t n;
    enum theme_role role;
    enum theme_glyph glyph;
};

enum { PARTS = 4 };

/* What a part is called with its share, and the columns that this takes. */
static int legend_of(const struct view *v, const struct part *p, uint64_t all, char *out, size_t size)
{
    char share[16];
    bool ascii = !v->theme->unicode;
    snprintf(out, size, "%s %s", p->name, text_percent(share, sizeof(share), ratio(p->n, all), ascii));
    return 2 + text_columns(out, strlen(out), ascii);
}

static void bar(const struct view *v, int row, int cols, const struct part *parts, size_t n, uint64_t all)
{
    uint64_t sum = 0;
    int at = 0;
    if (all == 0)
        view_bar(v, row, 0, cols, NAN, THEME_DIM);
    for (size_t i = 0; i < n && all > 0; i++) {
        sum += parts[i].n;
        int end = (int)((double)sum / (double)all * cols + 0.5);
        at = view_glyph(v, row, at, parts[i].role, parts[i].glyph, end - at);
    }
}

/* Lines that parts of such widths take, two columns apart. */
static int lines_of(const int *need, size_t n, int cols)
{
    int lines = 1, col = 0;
    for (size_t i = 0; i < n; i++) {
        if (col > 0 && col + need[i] > cols) {
            lines++;
            col = 0;
        }
        col += need[i] + 2;
    }
    return lines;
}

/* The shares as one bar, and what its parts are: to the right of it where there is room, else below, and without the
 * bar where rows are few. */
static int verdicts(const struct view *v, int row, const struct snapshot_gate *g)
{
    const struct part parts[PARTS] = {
        {"approved", g->approved + g->cached, THEME_GOOD, GLYPH_FULL},
        {"corrected", g->corrected, THEME_VERIFY, GLYPH_HALF},
        {"rejected", g->rejected, THEME_WARN, GLYPH_EMPTY},
        {"others", g->direct + g->unreviewed, THEME_DIM, GLYPH_DOT},
    };
    uint64_t all = answered(g);
    size_t n = parts[PARTS - 1].n * 200 > all ? PARTS : PARTS - 1; /* not less than half a percent */
    int cols = v->cols < BAR ? v->cols : BAR, need[PARTS], col = 0;
    char text[PARTS][40];
    for (size_t i = 0; i < n; i++)
        need[i] = legend_of(v, &parts[i], all, text[i], sizeof(text[i]));
    bool beside = v->cols > cols + 2 && lines_of(need, n, v->cols - cols - 2) == 1;
    bool below = !beside && row + 1 + lines_of(need, n, v->cols) <= v->rows;
    if (beside || below)
        bar(v, row, cols, parts, n, all);
    row += below;
    int from = beside ? cols + 2 : 0;
    col = from;
    for (size_t i = 0; i < n; i++) {
        if (col > from && col + need[i] > v->cols) {
            row++;
            col = from;
        }
        if (row >= v->rows)
            break;
        view_glyph(v, row, col, parts[i].role, parts[i].glyph, 1);
        col = view_text(v, row, col + 2, THEME_TEXT, text[i]) + 2;
    }
    return row + 1;
}

/* ---- what it cost and what it saved ---- */

/* A label with one or two figures: on one line where both fit. */
static int line(const struct view *v, int row, const char *label, const char *first, const char *second)
{
    bool ascii = !v->theme->unicode;
    int wide = text_columns(first, strlen(first), ascii);
    bool fits = LABEL + wide + 2 + text_columns(second, strlen(second), ascii) <= v->cols;
    if (row >= v->rows)
        return row;
    view_field(v, row, 0, LABEL - 1, false, THEME_DIM, label);
    view_printf(v, row, LABEL, THEME_TEXT, "%s%s%s", first, fits && second[0] != '\0' ? ", " : "", fits ? second : "");
    if (fits || second[0] == '\0')
        return row + 1;
    if (row + 1 < v->rows)
        view_text(v, row + 1, LABEL, THEME_TEXT, second);
    return row + 2;
}

static const char *energy(char *out, size_t size, double joules, bool ascii)
{
    char number[16];
    bool kilo = fabs(joules) >= 1000;
    if (isnan(joules))
        return text_number(out, size, NAN, ascii);
    snprintf(out, size, "%s %s", text_number(number, sizeof(number), kilo ? joules / 1000 : joules, ascii),
             kilo ? "kJ" : "J");
    return out;
}

static const char *seconds(char *out, size_t size, double value, bool ascii)
{
    char span[24];
    if (isnan(value))
        return text_number(out, size, NAN, ascii);
    snprintf(out, size, "%s%s", value < 0 ? "-" : "", text_milliseconds(span, sizeof(span), fabs(value) * 1000, ascii));
    return out;
}

static int rare(const struct view *v, int row, const struct snapshot_gate *g)
{
    const struct {
        uint64_t n;
        const char *what;
    } all[] = {
        {g->errors, "failed"},      {g->direct, "by the target alone"}, {g->unreviewed, "unreviewed"},
        {g->cached, "from before"}, {g->retries, "agents replaced"},    {g->unreadable, "verdicts unreadable"},
    };
    char text[200] = "";
    int n = 0;
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        if (all[i].n > 0)
            n += snprintf(text + n, sizeof(text) - (size_t)n, "%s%" PRIu64 " %s", n > 0 ? ", " : "", all[i].n,
                          all[i].what);
    }
    return n > 0 ? view_whole(v, row, THEME_DIM, text) : row;
}

static int figures(const struct view *v, int row, const struct snapshot_gate *g)
{
    bool ascii = !v->theme->unicode;
    char first[80], second[80], number[24];
    uint64_t wrote = g->corrected + g->rejected + g->direct;
    snprintf(first, sizeof(first), "%s of requests",
             text_percent(number, sizeof(number), ratio(wrote, answered(g)), ascii));
    snprintf(second, sizeof(second), "%s of tokens",
             text_percent(number, sizeof(number), ratio(g->target_tokens, g->tokens), ascii));
    row = line(v, row, "target needed", first, second);
    text_small(first, sizeof(first), ratio(g->false_approved, g->shadowed), ascii);
    if (g->shadowed > 0)
        text_interval(second, sizeof(second), g->shadow_low, g->shadow_high, ascii);
    else
        second[0] = '\0';
    row = line(v, row, "wrongly passed", first, second);
    snprintf(first, sizeof(first), "%s of the target", seconds(number, sizeof(number), g->seconds_saved, ascii));
    row = line(v, row, "saved", first, energy(second, sizeof(second), g->joules_saved, ascii));
    row = line(v, row, "agents chosen", g->routing, "");
    row = line(v, row, "review", g->review, g->verifier);
    return rare(v, row, g);
}

/* ---- the agents ---- */

static enum theme_role sign_of(const struct snapshot_agent *a)
{
    return a->health == HEALTH_DOWN      ? THEME_BAD
           : a->health == HEALTH_UNKNOWN ? THEME_DIM
           : a->reason[0] != '\0'        ? THEME_WARN
                                         : THEME_GOOD;
}

static void agent(const struct view *v, int row, const struct table_column *c, const struct snapshot_agent *a)
{
    bool ascii = !v->theme->unicode;
    char text[160];
    enum theme_role sign = sign_of(a);
    struct view cells = view_part(v, row, 2, 1, v->cols - 2);
    view_sign(v, row, 0, sign);
    table_cell(&cells, 0, c, NAME, THEME_TEXT, a->name);
    snprintf(text, sizeof(text), "%u/%u", (unsigned)a->busy, (unsigned)a->slots);
    table_cell(&cells, 0, c, STATE, sign == THEME_BAD ? sign : THEME_TEXT,
               a->health == HEALTH_UP ? text : snapshot_health_name(a->health));
    snprintf(text, sizeof(text), "%" PRIu64, a->answers);
    table_cell(&cells, 0, c, ANSWERS, THEME_TEXT, text);
    double share = ratio(a->approved, a->approved + a->corrected + a->rejected);
    table_cell(&cells, 0, c, APPROVED, THEME_TEXT, text_percent(text, sizeof(text), share, ascii));
    table_cell(&cells, 0, c, TIME, THEME_TEXT, text_milliseconds(text, sizeof(text), a->answer_ms, ascii));
    table_cell(&cells, 0, c, RATE, THEME_TEXT, text_number(text, sizeof(text), a->tokens_per_second, ascii));
    snprintf(text, sizeof(text), "%" PRIu64, a->failures);
    table_cell(&cells, 0, c, FAILED, a->failures > 0 ? THEME_WARN : THEME_TEXT, text);
    table_cell(&cells, 0, c, WRONG, THEME_TEXT,
               text_small(text, sizeof(text), ratio(a->false_approved, a->shadowed), ascii));
    text_milliseconds(text, sizeof(text), a->rtt_us >= 0 ? (double)a->rtt_us / 1000 : NAN, ascii);
    table_cell(&cells, 0, c, RTT, THEME_TEXT, text);
    snprintf(text, sizeof(text), "%.100s%s%.20s", a->model, a->model[0] != '\0' && a->kind[0] != '\0' ? ", " : "",
             a->kind);
    table_cell(&cells, 0, c, MODEL, THEME_DIM, text);
}

static void agents(struct ui *ui, const struct view *v)
{
    const struct snapshot_gate *g = of(ui);
    struct table_column c[COLUMNS] = {
        [NAME] = {.head = "agent", .least = 7, .rank = 0},
        [STATE] = {.head = "busy", .least = 7, .rank = 0, .right = true},
        [ANSWERS] = {.head = "answers", .least = 7, .rank = 2, .right = true},
        [APPROVED] = {.head = "passed", .least = 6, .rank = 1, .right = true},
        [TIME] = {.head = "time", .least = 8, .rank = 3, .right = true},
        [RATE] = {.head = "tok/s", .least = 6, .rank = 4, .right = true},
        [FAILED] = {.head = "failed", .least = 6, .rank = NEVER, .right = true},
        [WRONG] = {.head = "wrongly", .least = 7, .rank = 5, .right = true},
        [RTT] = {.head = "away", .least = 8, .rank = 7, .right = true},
        [MODEL] = {.head = "model", .least = 12, .rank = 6},
    };
    size_t n = g->n_agents < SNAPSHOT_AGENTS ? g->n_agents : SNAPSHOT_AGENTS;
    for (size_t i = 0; i < n; i++) {
        c[FAILED].rank = g->agent[i].failures > 0 ? 4 : c[FAILED].rank;
        char *model = xasprintf("%s, %s", g->agent[i].model, g->agent[i].kind);
        table_widen(v, &c[NAME], g->agent[i].name, v->cols / 3);
        table_widen(v, &c[MODEL], model, 28);
        free(model);
    }
    table_fit(c, COLUMNS, v->cols - 2);
    struct view heads = view_part(v, 0, 2, 1, v->cols - 2);
    table_heads(&heads, 0, c, COLUMNS);
    int row = 1, spare = v->rows - 1 - (int)n;
    int most = spare < 0 ? -spare : 0, first = ui->scroll[PANE_GATE] < most ? ui->scroll[PANE_GATE] : most;
    ui->scroll[PANE_GATE] = first;
    for (size_t i = (size_t)first; i < n && row < v->rows; i++) {
        const struct snapshot_agent *a = &g->agent[i];
        agent(v, row++, c, a);
        int lines = a->reason[0] != '\0' ? text_lines(a->reason, strlen(a->reason), v->cols - 4, false) : 0;
        if (lines == 0 || lines > spare)
            continue;
        struct view why = view_part(v, row, 4, lines, v->cols - 4);
        view_wrapped(&why, 0, THEME_DIM, a->reason);
        row += lines;
        spare -= lines;
    }
}

/* ---- the whole ---- */

/* Returns the row behind it. */
static int summary(const struct ui *ui, const struct view *v)
{
    const struct snapshot_gate *g = of(ui);
    int row = figures(v, verdicts(v, state(v, g), g), g);
    return row < v->rows ? row : v->rows;
}

static int list_rows(const struct snapshot_gate *g)
{
    return 1 + (int)(g->n_agents < SNAPSHOT_AGENTS ? g->n_agents : SNAPSHOT_AGENTS);
}

/* Side by side where there is room; else the agents stand below what is said of all, which gives way to them down to a
 * few lines. */
static void draw(struct ui *ui, const struct view *v)
{
    int rows = v->rows - list_rows(of(ui)), least = v->cols >= FLAT ? 2 : 3;
    if (v->cols >= WIDE) {
        struct view left = view_part(v, 0, 0, v->rows, SUMMARY);
        struct view right = view_part(v, 0, SUMMARY + 2, v->rows, v->cols - SUMMARY - 2);
        summary(ui, &left);
        agents(ui, &right);
        return;
    }
    rows = rows < least ? least : rows;
    struct view top = view_part(v, 0, 0, rows < v->rows ? rows : v->rows, v->cols);
    int at = summary(ui, &top);
    struct view below = view_part(v, at, 0, v->rows - at, v->cols);
    if (below.rows > 1)
        agents(ui, &below);
}

static bool present(const struct ui *ui)
{
    return of(ui)->configured;
}

static int wants(const struct ui *ui, int cols)
{
    const struct snapshot_gate *g = of(ui);
    bool wide = cols >= WIDE;
    int own = wide ? SUMMARY : cols, list = list_rows(g);
    int why = g->why[0] != '\0' ? text_lines(g->why, strlen(g->why), own, !ui->theme.unicode) : 0;
    int lines = 1 + (why > 3 ? 3 : why) + (own >= FLAT ? 1 : own >= SUMMARY ? 2 : 3) + FIGURES;
    return !wide ? lines + list : lines > list ? lines : list;
}

static void title(const struct ui *ui, char *out, size_t size)
{
    if (of(ui)->on)
        snprintf(out, size, "approximate");
}

const struct pane_ops pane_gate = {
    .name = "gate",
    .every_ms = 1000,
    .present = present,
    .wants = wants,
    .title = title,
    .draw = draw,
};
