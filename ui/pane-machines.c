/* Machines and the servers on them: what each is for, how it is, what it has left. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "config/url.h"
#include "ui/pane.h"
#include "ui/table.h"
#include "ui/text.h"
#include "ui/ui.h"

enum { ROWS = 64 };

enum column { NAME, ROLE, STATE, RTT, MEMORY, USE, RATE, HEAT, MODEL, COLUMNS };

struct line {
    enum theme_role sign; /* THEME_DIM: neither good nor bad */
    bool part;            /* a GPU of the machine above */
    char name[64], role[12], state[12], model[128];
    const char *reason;
    int64_t rtt_us, memory, used;
    double use, rate, heat, power;
};

struct list {
    struct line *line;
    size_t n;
};

static struct line *add(struct list *l, const char *name, const char *role)
{
    static struct line spare;
    struct line *line = l->n < ROWS ? &l->line[l->n++] : &spare;
    *line = (struct line){.sign = THEME_DIM, .reason = "", .rtt_us = -1, .memory = -1, .used = -1};
    line->use = line->rate = line->heat = line->power = NAN;
    snprintf(line->name, sizeof(line->name), "%s", name);
    snprintf(line->role, sizeof(line->role), "%s", role);
    return line;
}

static bool same_host(const char *a, const char *b)
{
    size_t n = strcspn(b, "]") + (b[0] == '['), m = b[0] == '[' ? n : strcspn(b, ":");
    return strlen(a) == m && strncmp(a, b, m) == 0;
}

static bool is_loopback(const char *host_port)
{
    return strncmp(host_port, "127.", 4) == 0 || strncmp(host_port, "localhost:", 10) == 0 ||
           strncmp(host_port, "[::1]", 5) == 0;
}

/* The machine that a server runs on; -1: it is not known. */
static int machine_of(const struct snapshot *s, const struct snapshot_backend *b)
{
    int found = -1;
    if (b->url[0] == '\0')
        return s->n_machines > 0 ? 0 : -1;
    char *at = url_host_port(b->url);
    for (size_t i = 0; i < s->n_machines && found < 0; i++) {
        const char *address = s->machine[i].address;
        if (address[0] == '\0' ? is_loopback(at) : same_host(address, at))
            found = (int)i;
    }
    free(at);
    return found;
}

static void describe(struct line *line, const struct snapshot_backend *b)
{
    bool target = b->role == ROLE_TARGET;
    line->sign = b->health == HEALTH_DOWN                   ? THEME_BAD
                 : b->health == HEALTH_UNKNOWN || b->paused ? THEME_DIM
                 : b->resting                               ? THEME_DIM
                 : b->reason[0] != '\0'                     ? THEME_WARN
                 : target || b->active                      ? THEME_GOOD
                                                            : THEME_DIM;
    const char *state = b->health == HEALTH_DOWN      ? "down"
                        : b->health == HEALTH_UNKNOWN ? "unknown"
                        : b->paused                   ? "paused"
                        : target                      ? "up"
                        : b->resting                  ? "resting"
                        : b->active                   ? "drafts"
                        : b->reason[0] != '\0'        ? "not used"
                                                      : "stands by";
    snprintf(line->state, sizeof(line->state), "%s", state);
    snprintf(line->model, sizeof(line->model), "%.100s%s%.20s", b->model, b->kind[0] != '\0' ? ", " : "", b->kind);
    line->rtt_us = b->rtt_us;
    line->rate = b->tokens_per_second;
    line->reason = b->reason;
}

static void own_figures(struct line *line, const struct snapshot_machine *m)
{
    line->memory = m->memory;
    line->used = m->memory_used;
    line->use = m->cpu;
}

static void machine_lines(struct list *l, const struct snapshot *s, size_t i)
{
    const struct snapshot_machine *m = &s->machine[i];
    struct line *line = add(l, m->name, i == 0 ? "here" : "machine");
    own_figures(line, m);
    line->sign = m->health == HEALTH_UP ? THEME_GOOD : m->health == HEALTH_DOWN ? THEME_BAD : THEME_DIM;
    snprintf(line->state, sizeof(line->state), "%s", snapshot_health_name(m->health));
    line->rtt_us = m->rtt_us;
    line->reason = m->reason;
    if (m->cores > 0)
        snprintf(line->model, sizeof(line->model), "%lld threads", (long long)m->cores);
    for (size_t k = 0; k < m->n_gpus && k < SNAPSHOT_GPUS; k++) {
        const struct snapshot_gpu *g = &m->gpu[k];
        line = add(l, g->name, "gpu");
        line->part = true;
        line->memory = g->memory;
        line->used = g->memory_used;
        line->use = g->utilisation;
        line->heat = g->temperature;
        line->power = g->power;
        if (!isnan(g->power))
            snprintf(line->model, sizeof(line->model), "%.0f W", g->power);
    }
}

static struct list collect(const struct snapshot *s)
{
    struct list l = {.line = xcalloc(ROWS, sizeof(struct line))};
    for (size_t b = 0; b < s->n_backends; b++) {
        const struct snapshot_backend *backend = &s->backend[b];
        struct line *line = add(&l, backend->name, backend->role == ROLE_TARGET ? "target" : "drafter");
        describe(line, backend);
        int at = machine_of(s, backend);
        if (at >= 0)
            own_figures(line, &s->machine[at]);
    }
    for (size_t i = 0; i < s->n_machines && i < SNAPSHOT_MACHINES; i++)
        machine_lines(&l, s, i);
    return l;
}

static void fill(const struct view *v, int row, const struct table_column *c, const struct line *line)
{
    bool ascii = !v->theme->unicode;
    char text[64];
    struct view cells = view_part(v, row, 2, 1, v->cols - 2);
    if (!line->part)
        view_sign(v, row, 0, line->sign);
    enum theme_role role = line->part ? THEME_DIM : THEME_TEXT;
    snprintf(text, sizeof(text), "%s%.60s", line->part ? " " : "", line->name);
    table_cell(&cells, 0, c, NAME, role, text);
    table_cell(&cells, 0, c, ROLE, role, line->role);
    table_cell(&cells, 0, c, STATE, line->sign == THEME_DIM ? THEME_TEXT : line->sign, line->state);
    text_milliseconds(text, sizeof(text), line->rtt_us >= 0 ? (double)line->rtt_us / 1000 : NAN, ascii);
    table_cell(&cells, 0, c, RTT, line->rtt_us < 0 ? THEME_DIM : role, line->part ? "" : text);
    table_cell(&cells, 0, c, MEMORY, line->memory < 0 ? THEME_DIM : role,
               text_share(text, sizeof(text), line->used, line->memory, ascii));
    table_cell(&cells, 0, c, USE, isnan(line->use) ? THEME_DIM : role,
               text_percent(text, sizeof(text), line->use, ascii));
    table_cell(&cells, 0, c, RATE, role, isnan(line->rate) ? "" : text_number(text, sizeof(text), line->rate, ascii));
    snprintf(text, sizeof(text), isnan(line->heat) ? "" : "%.0f C", line->heat);
    table_cell(&cells, 0, c, HEAT, role, text);
    table_cell(&cells, 0, c, MODEL, role, line->model);
}

static bool any_heat(const struct list *l)
{
    for (size_t i = 0; i < l->n; i++) {
        if (!isnan(l->line[i].heat))
            return true;
    }
    return false;
}

static void draw(struct ui *ui, const struct view *v)
{
    struct list l = collect(&ui->picture.snapshot);
    struct table_column c[COLUMNS] = {
        [NAME] = {.head = "name", .least = 8, .rank = 0},
        [ROLE] = {.head = "role", .least = 7, .rank = 2},
        [STATE] = {.head = "state", .least = 9, .rank = 1},
        [RTT] = {.head = "away", .least = 8, .rank = 3, .right = true},
        [MEMORY] = {.head = "memory used", .least = 15, .rank = 5, .right = true},
        [USE] = {.head = "busy", .least = 5, .rank = 4, .right = true},
        [RATE] = {.head = "tok/s", .least = 6, .rank = 6, .right = true},
        [HEAT] = {.head = "heat", .least = 5, .rank = any_heat(&l) ? 8 : 99, .right = true},
        [MODEL] = {.head = "model", .least = 12, .rank = 7},
    };
    for (size_t i = 0; i < l.n; i++) {
        char *name = xasprintf("%s%s", l.line[i].part ? " " : "", l.line[i].name);
        table_widen(v, &c[NAME], name, v->cols / 3);
        table_widen(v, &c[MODEL], l.line[i].model, 28);
        free(name);
    }
    table_fit(c, COLUMNS, v->cols - 2);
    struct view heads = view_part(v, 0, 2, 1, v->cols - 2);
    table_heads(&heads, 0, c, COLUMNS);
    int row = 1, spare = v->rows - 1 - (int)l.n;
    size_t first = (size_t)ui->scroll[PANE_MACHINES];
    if (spare >= 0)
        first = 0;
    else if ((int)first > -spare)
        first = (size_t)-spare;
    ui->scroll[PANE_MACHINES] = (int)first;
    for (size_t i = first; i < l.n && row < v->rows; i++) {
        const struct line *line = &l.line[i];
        fill(v, row++, c, line);
        int lines = line->reason[0] != '\0' ? text_lines(line->reason, strlen(line->reason), v->cols - 4, false) : 0;
        if (lines == 0 || lines > spare)
            continue;
        struct view why = view_part(v, row, 4, lines, v->cols - 4);
        view_wrapped(&why, 0, THEME_DIM, line->reason);
        row += lines;
        spare -= lines;
    }
    free(l.line);
}

static int wants(const struct ui *ui, int cols)
{
    const struct snapshot *s = &ui->picture.snapshot;
    size_t n = s->n_backends + s->n_machines;
    (void)cols;
    for (size_t i = 0; i < s->n_machines; i++)
        n += s->machine[i].n_gpus;
    return 1 + (int)(n > ROWS ? ROWS : n);
}

const struct pane_ops pane_machines = {
    .name = "machines",
    .every_ms = 1000,
    .wants = wants,
    .draw = draw,
};
