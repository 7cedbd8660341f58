#include "ui/waiting.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "ui/text.h"

enum { WIDE = 60, TURN_US = 250 * 1000, BAR_LEAST = 10 };

struct waiting {
    struct dialog dialog;
    char *text; /* what is waited for; of a load the model */
};

static enum dialog_outcome waiting_key(struct ui *ui, struct dialog *d, int key)
{
    (void)ui;
    (void)d;
    bool leaves =
        key == SCREEN_ESCAPE || key == SCREEN_CTRL_C || key == '\r' || key == '\n' || key == KEY_ENTER || key == 'q';
    return leaves ? DIALOG_LEFT : DIALOG_STAYS;
}

/* What turns and what gets on is drawn anew with each picture. */
static enum dialog_outcome waiting_picture(struct ui *ui, struct dialog *d)
{
    (void)d;
    ui_redraw(ui);
    return DIALOG_STAYS;
}

static void waiting_destroy(struct dialog *d)
{
    struct waiting *w = (struct waiting *)d;
    free(w->text);
    free(w);
}

static uint64_t open_kind(struct ui *ui, const struct dialog_ops *ops, const char *title, const char *text)
{
    struct waiting *w = xcalloc(1, sizeof(*w));
    *w = (struct waiting){.dialog.ops = ops, .text = xstrdup(text)};
    return dialog_open(ui, &w->dialog, title);
}

/* ---- an answer ---- */

static void answer_wants(struct ui *ui, struct dialog *d, int *rows, int *cols)
{
    const struct waiting *w = (const struct waiting *)d;
    *cols = *cols < WIDE ? *cols : WIDE;
    int want = text_lines(w->text, strlen(w->text), *cols - 2, !ui->theme.unicode) + 2;
    *rows = want < *rows ? want : *rows;
}

static void answer_draw(struct ui *ui, struct dialog *d, const struct view *v)
{
    static const char *const turn[] = {"|", "/", "-", "\\"};
    const struct waiting *w = (const struct waiting *)d;
    (void)ui;
    struct view text = view_part(v, 0, 2, v->rows, v->cols - 2);
    view_text(v, 0, 0, THEME_BOLD, turn[clock_us() / TURN_US % (int64_t)ARRAY_LEN(turn)]);
    int row = view_wrapped(&text, 0, THEME_TEXT, w->text);
    view_text(v, row + 1, 0, THEME_DIM, "Esc: do not wait");
}

static const struct dialog_ops answer_ops = {
    .key = waiting_key,
    .wants = answer_wants,
    .draw = answer_draw,
    .picture = waiting_picture,
    .destroy = waiting_destroy,
};

uint64_t waiting_open(struct ui *ui, const char *title, const char *text)
{
    return open_kind(ui, &answer_ops, title, text);
}

/* ---- a load ---- */

static void load_wants(struct ui *ui, struct dialog *d, int *rows, int *cols)
{
    const struct snapshot_pool *p = &ui->picture.snapshot.pool;
    (void)d;
    *cols = *cols < WIDE ? *cols : WIDE;
    int want = 4 + text_lines(p->why, strlen(p->why), *cols, !ui->theme.unicode);
    *rows = want < *rows ? want : *rows;
}

static const char *state_in_words(const char *state)
{
    static const struct {
        const char *state, *words;
    } all[] = {
        {"draining", "the answers under way are finished"},
        {"stopping", "the old one ends"},
        {"preflight", "looking whether it can be started"},
        {"starting", "it is being loaded"},
        {"up", "it serves"},
        {"backoff", "it is tried again in a while"},
        {"failed", "it can't be started"},
        {"off", "the pool is stopped"},
    };
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        if (strcmp(all[i].state, state) == 0)
            return all[i].words;
    }
    return state;
}

static void load_draw(struct ui *ui, struct dialog *d, const struct view *v)
{
    const struct waiting *w = (const struct waiting *)d;
    const struct snapshot_pool *p = &ui->picture.snapshot.pool;
    view_printf(v, 0, 0, THEME_TEXT, "%s: %s", w->text, state_in_words(p->state));
    if (!isnan(p->progress) && v->cols > BAR_LEAST) {
        char percent[16];
        text_percent(percent, sizeof(percent), p->progress, !ui->theme.unicode);
        view_bar(v, 1, 0, v->cols - 6, p->progress, THEME_GRAPH);
        view_field(v, 1, v->cols - 5, 5, true, THEME_BOLD, percent);
    }
    struct view why = view_part(v, 2, 0, v->rows - 3, v->cols);
    view_wrapped(&why, 0, THEME_DIM, p->why);
    view_text(v, v->rows - 1, 0, THEME_DIM, "Esc: it goes on behind the panes");
}

static const struct dialog_ops load_ops = {
    .key = waiting_key,
    .wants = load_wants,
    .draw = load_draw,
    .picture = waiting_picture,
    .destroy = waiting_destroy,
};

uint64_t waiting_open_load(struct ui *ui, const char *model)
{
    return open_kind(ui, &load_ops, "loading", model);
}
