/* The pool: what it is doing, how a load or a swap goes, and which device holds which layers. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "ui/pane.h"
#include "ui/table.h"
#include "ui/text.h"
#include "ui/ui.h"

enum column { MACHINE, LAYERS, SHARE, BYTES, DEVICE, ADDRESS, COLUMNS };

enum { LOADING_BAR = 24, SHARE_BAR = 8 };

static enum theme_role sign_of(const struct snapshot_pool *p)
{
    bool failed = strcmp(p->state, "failed") == 0 || strcmp(p->state, "backoff") == 0;
    return failed ? THEME_BAD : strcmp(p->state, "up") == 0 ? THEME_GOOD : THEME_WARN;
}

/* What it is about: state, model, and what is coming. */
static int state(const struct view *v, const struct snapshot_pool *p)
{
    enum theme_role role = sign_of(p);
    int col = view_sign(v, 0, 0, role) + 1, row = 1;
    col = view_text(v, 0, col, role, p->state) + 1;
    view_printf(v, 0, col, THEME_BOLD, "%s%s%s", p->model,
                p->next[0] != '\0' && strcmp(p->next, p->model) != 0 ? " > " : "",
                strcmp(p->next, p->model) != 0 ? p->next : "");
    if (!isnan(p->progress)) {
        int cols = v->cols - 7 < LOADING_BAR ? v->cols - 7 : LOADING_BAR;
        int at = view_bar(v, row, 0, cols, p->progress, THEME_DRAFT);
        view_printf(v, row++, at + 1, THEME_BOLD, "%3.0f %%", 100 * p->progress);
    }
    if (p->why[0] != '\0' && row < v->rows) {
        struct view words = view_part(v, row, 0, v->rows - row, v->cols);
        row += view_wrapped(&words, 0, role == THEME_GOOD ? THEME_DIM : role, p->why);
    }
    return row;
}

static int devices(const struct ui *ui, const struct view *v, int row)
{
    const struct snapshot_pool *p = &ui->picture.snapshot.pool;
    struct table_column c[COLUMNS] = {
        [MACHINE] = {.head = "machine", .least = 9, .rank = 0},
        [LAYERS] = {.head = "layers", .least = 7, .rank = 1, .right = true},
        [SHARE] = {.head = "memory", .least = SHARE_BAR, .rank = 3},
        [BYTES] = {.head = "", .least = 15, .rank = 2, .right = true},
        [DEVICE] = {.head = "device", .least = 10, .rank = 4},
        [ADDRESS] = {.head = "at", .least = 12, .rank = 5},
    };
    bool ascii = !v->theme->unicode;
    for (size_t i = 0; i < p->n_devices; i++) {
        table_widen(v, &c[MACHINE], p->device[i].machine, v->cols / 3);
        table_widen(v, &c[DEVICE], p->device[i].name, 20);
        table_widen(v, &c[ADDRESS], p->device[i].address, 24);
    }
    table_fit(c, COLUMNS, v->cols - 2);
    for (size_t i = 0; i < p->n_devices && row < v->rows; i++) {
        const struct snapshot_device *d = &p->device[i];
        struct view cells = view_part(v, row, 2, 1, v->cols - 2);
        char text[64], a[16];
        view_sign(v, row++, 0, d->reason[0] != '\0' ? THEME_BAD : d->health == HEALTH_DOWN ? THEME_BAD : THEME_GOOD);
        table_cell(&cells, 0, c, MACHINE, THEME_TEXT, d->machine);
        if (d->n_layers > 0)
            snprintf(text, sizeof(text), "%d-%d", (int)d->first_layer, (int)(d->first_layer + d->n_layers - 1));
        else
            snprintf(text, sizeof(text), "%s", d->n_layers == 0 ? "none" : text_number(a, sizeof(a), NAN, ascii));
        table_cell(&cells, 0, c, LAYERS, THEME_TEXT, text);
        double share = d->bytes >= 0 && d->memory > 0 ? (double)d->bytes / (double)d->memory : NAN;
        if (c[SHARE].cols > 0 && !isnan(share))
            view_bar(&cells, 0, table_at(c, SHARE), c[SHARE].cols, share, THEME_GRAPH);
        table_cell(&cells, 0, c, BYTES, d->bytes < 0 ? THEME_DIM : THEME_TEXT,
                   text_share(text, sizeof(text), d->bytes, d->memory, ascii));
        table_cell(&cells, 0, c, DEVICE, THEME_DIM, d->name);
        table_cell(&cells, 0, c, ADDRESS, THEME_DIM, d->address);
    }
    return row;
}

static void draw(struct ui *ui, const struct view *v)
{
    const struct snapshot_pool *p = &ui->picture.snapshot.pool;
    char took[16], away[16];
    bool ascii = !v->theme->unicode;
    int row = devices(ui, v, state(v, p));
    if (row < v->rows && p->server[0] != '\0')
        view_printf(v, row++, 0, THEME_DIM, "%s%s%s", p->server, p->draft[0] != '\0' ? ", drafter " : "", p->draft);
    if (row < v->rows && !isnan(p->load_ms))
        view_printf(v, row++, 0, THEME_DIM, "loaded in %s, last away for %s",
                    text_milliseconds(took, sizeof(took), p->load_ms, ascii),
                    text_milliseconds(away, sizeof(away), p->pause_ms, ascii));
    if (row < v->rows && p->restarts + p->swaps > 0)
        view_printf(v, row++, 0, THEME_DIM, "%" PRIu64 " unplanned starts, %" PRIu64 " swaps", p->restarts, p->swaps);
    if (row < v->rows && p->reclaimed >= 0)
        view_printf(v, row++, 0, THEME_DIM, "%s of page cache reclaimed",
                    text_bytes(took, sizeof(took), p->reclaimed, ascii));
    if (row < v->rows && p->swap_error[0] != '\0') {
        struct view words = view_part(v, row, 0, v->rows - row, v->cols);
        view_wrapped(&words, 0, THEME_WARN, p->swap_error);
    }
}

static bool present(const struct ui *ui)
{
    return ui->picture.snapshot.pool.configured;
}

static int wants(const struct ui *ui, int cols)
{
    const struct snapshot_pool *p = &ui->picture.snapshot.pool;
    int why = p->why[0] != '\0' ? text_lines(p->why, strlen(p->why), cols, !ui->theme.unicode) : 0;
    return 1 + !isnan(p->progress) + (why > 4 ? 4 : why) + (int)p->n_devices + (p->server[0] != '\0');
}

const struct pane_ops pane_pool = {
    .name = "pool",
    .every_ms = 250,
    .present = present,
    .wants = wants,
    .draw = draw,
};
