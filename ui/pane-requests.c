/* Requests: those that run, those that wait, and the last ones that are done. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "ui/pane.h"
#include "ui/table.h"
#include "ui/text.h"
#include "ui/ui.h"

enum column { ID, STATE, OUTCOME, MODE, RATE, TOKENS, TIME, AGENT, ACCEPTED, FIRST, PROMPT, BEGAN, MODEL, COLUMNS };

enum { NEVER = 99 }; /* rank of a column that has nothing to show */

static bool passes(const struct ui *ui, const struct snapshot_request *r)
{
    char id[24];
    snprintf(id, sizeof(id), "%" PRIu64, r->id);
    return text_holds(r->model, ui->filter) || text_holds(snapshot_state_name(r->state), ui->filter) ||
           text_holds(r->mode, ui->filter) || text_holds(r->outcome, ui->filter) || text_holds(r->agent, ui->filter) ||
           text_holds(id, ui->filter);
}

static enum theme_role role_of(enum snapshot_state state)
{
    return state == REQUEST_FAILED                                ? THEME_BAD
           : state == REQUEST_WAITING                             ? THEME_WARN
           : state == REQUEST_RUNNING || state == REQUEST_PREFILL ? THEME_GOOD
           : state == REQUEST_QUEUED                              ? THEME_TEXT
                                                                  : THEME_DIM;
}

static void line(const struct view *v, int row, const struct table_column *c, const struct snapshot_request *r)
{
    bool ascii = !v->theme->unicode, ended = r->state >= REQUEST_DONE;
    enum theme_role role = ended ? THEME_DIM : THEME_TEXT;
    char text[32];
    snprintf(text, sizeof(text), "%" PRIu64, r->id);
    table_cell(v, row, c, ID, role, text);
    table_cell(v, row, c, STATE, role_of(r->state), snapshot_state_name(r->state));
    table_cell(v, row, c, OUTCOME, role, r->outcome);
    table_cell(v, row, c, MODE, role, r->mode);
    table_cell(v, row, c, AGENT, role, r->agent);
    table_cell(v, row, c, RATE, role, text_number(text, sizeof(text), r->tokens_per_second, ascii));
    snprintf(text, sizeof(text), "%" PRId64, r->tokens);
    table_cell(v, row, c, TOKENS, role, text);
    table_cell(v, row, c, TIME, role, text_milliseconds(text, sizeof(text), r->seconds * 1000, ascii));
    double share = r->drafted > 0 ? (double)r->accepted / (double)r->drafted : NAN;
    table_cell(v, row, c, ACCEPTED, role, text_percent(text, sizeof(text), share, ascii));
    table_cell(v, row, c, FIRST, role, text_milliseconds(text, sizeof(text), r->first_token_seconds * 1000, ascii));
    snprintf(text, sizeof(text), "%" PRId64, r->prompt_tokens);
    table_cell(v, row, c, PROMPT, role, r->prompt_tokens >= 0 ? text : text_number(text, sizeof(text), NAN, ascii));
    table_cell(v, row, c, BEGAN, role, text_clock(text, sizeof(text), r->started_wall_ms));
    table_cell(v, row, c, MODEL, role, r->model);
}

/* The columns of modes come in before others once a request was not answered exactly. */
static void rank_modes(const struct snapshot *s, struct table_column *c)
{
    bool modes = false, outcomes = false;
    for (size_t i = 0; i < s->n_requests && i < SNAPSHOT_REQUESTS; i++) {
        const struct snapshot_request *r = &s->request[i];
        modes |= r->mode[0] != '\0' && strcmp(r->mode, "exact") != 0;
        outcomes |= r->outcome[0] != '\0';
    }
    c[MODE].rank = !modes ? NEVER : outcomes ? 2 : 1;
    c[OUTCOME].rank = outcomes ? 1 : NEVER;
    c[AGENT].rank = outcomes ? 3 : NEVER;
    c[ID].rank = c[TOKENS].rank = modes || outcomes ? 2 : 1;
}

static void draw(struct ui *ui, const struct view *v)
{
    const struct snapshot *s = &ui->picture.snapshot;
    const struct snapshot_request *shown[SNAPSHOT_REQUESTS];
    size_t n = 0, lines = v->rows > 1 ? (size_t)(v->rows - 1) : 0;
    struct table_column c[COLUMNS] = {
        [ID] = {.head = "no.", .least = 5, .right = true},
        [STATE] = {.head = "state", .least = 9, .rank = 0},
        [OUTCOME] = {.head = "gate", .least = 10},
        [MODE] = {.head = "mode", .least = 9},
        [RATE] = {.head = "tok/s", .least = 6, .rank = 0, .right = true},
        [TOKENS] = {.head = "tokens", .least = 6, .right = true},
        [TIME] = {.head = "time", .least = 8, .rank = 0, .right = true},
        [AGENT] = {.head = "agent", .least = 8},
        [ACCEPTED] = {.head = "accepted", .least = 8, .rank = 4, .right = true},
        [FIRST] = {.head = "first", .least = 8, .rank = 6, .right = true},
        [PROMPT] = {.head = "prompt", .least = 6, .rank = 7, .right = true},
        [BEGAN] = {.head = "began", .least = 8, .rank = 8},
        [MODEL] = {.head = "model", .least = 12, .rank = 5},
    };
    rank_modes(s, c);
    for (size_t i = 0; i < s->n_requests && i < SNAPSHOT_REQUESTS; i++) {
        if (!passes(ui, &s->request[i]))
            continue;
        shown[n++] = &s->request[i];
        table_widen(v, &c[MODEL], s->request[i].model, 24);
        table_widen(v, &c[AGENT], s->request[i].agent, 20);
    }
    table_fit(c, COLUMNS, v->cols);
    table_heads(v, 0, c, COLUMNS);
    size_t most = n > lines ? n - lines : 0, first = (size_t)ui->scroll[PANE_REQUESTS];
    first = first < most ? first : most;
    ui->scroll[PANE_REQUESTS] = (int)first;
    for (size_t i = 0; i < lines && first + i < n; i++)
        line(v, 1 + (int)i, c, shown[first + i]);
    if (n == 0)
        view_text(v, 1, 0, THEME_DIM, "none of them holds the filter's text");
}

static bool present(const struct ui *ui)
{
    return ui->picture.snapshot.n_requests > 0;
}

static int wants(const struct ui *ui, int cols)
{
    size_t n = ui->picture.snapshot.n_requests;
    (void)cols;
    return 1 + (int)(n > 6 ? 6 : n);
}

static void title(const struct ui *ui, char *out, size_t size)
{
    const struct snapshot *s = &ui->picture.snapshot;
    int n = snprintf(out, size, "%u of %u at work", (unsigned)s->running, (unsigned)s->slots);
    if (s->queued > 0)
        n += snprintf(out + n, size - (size_t)n, ", %u waiting", (unsigned)s->queued);
    if (s->requests_failed + s->requests_refused > 0)
        n += snprintf(out + n, size - (size_t)n, ", %" PRIu64 " failed", s->requests_failed + s->requests_refused);
    if (ui->filter[0] != '\0')
        snprintf(out + n, size - (size_t)n, ", with \"%s\"", ui->filter);
}

const struct pane_ops pane_requests = {
    .name = "requests",
    .every_ms = 500,
    .grows = true,
    .present = present,
    .wants = wants,
    .title = title,
    .draw = draw,
};
