#include "ui/frame.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ui/keys.h"
#include "ui/pane.h"
#include "ui/text.h"
#include "ui/trouble.h"
#include "ui/ui.h"

enum { SEGMENTS = 7, HINTS = 16 };

static struct view box_view(const struct ui *ui, const struct layout_box *b)
{
    return (struct view){.theme = &ui->theme, .y = b->y, .x = b->x, .rows = b->rows, .cols = b->cols};
}

/* ---- the header ---- */

/* How the model's plain name is answered, where that is not exact; NULL: it is. */
static const char *approximate(const struct snapshot *s)
{
    if (strcmp(s->mode, "consensus") == 0)
        return s->consensus.why[0] != '\0' ? NULL : "by consensus, approximate";
    return strcmp(s->mode, "gate") == 0 ? "by the gate, approximate" : NULL;
}

/* Those that matter most come first; one that does not fit is left out. */
static void header(const struct ui *ui)
{
    const struct snapshot *s = &ui->picture.snapshot;
    struct view v = box_view(ui, &ui->layout.header);
    char segment[SEGMENTS][200], share[16], since[24];
    size_t n = 0;
    bool ascii = !ui->theme.unicode;
    if (!ui->picture.have) {
        view_field(&v, 0, 0, v.cols, false, THEME_HEADER, " tightwad");
        return;
    }
    snprintf(segment[n++], sizeof(*segment), "%.120s", s->model[0] != '\0' ? s->model : "no model yet");
    const char *how = approximate(s);
    if (how != NULL)
        snprintf(segment[n++], sizeof(*segment), "%s", how);
    const char *host = strstr(s->listen, "://");
    snprintf(segment[n++], sizeof(*segment), "at %.120s", host != NULL ? host + 3 : s->listen);
    if (s->speculating && !isnan(s->acceptance))
        snprintf(segment[n++], sizeof(*segment), "%s accepted",
                 text_percent(share, sizeof(share), s->acceptance, ascii));
    else
        snprintf(segment[n++], sizeof(*segment), s->speculating ? "speculating" : "no speculation");
    if (ui->attached)
        snprintf(segment[n++], sizeof(*segment), ui->picture.connected ? "attached" : "NOT CONNECTED");
    if (how == NULL && strcmp(s->exactness, "unknown") != 0 && s->exactness[0] != '\0')
        snprintf(segment[n++], sizeof(*segment), "exact %s", s->exactness);
    snprintf(segment[n++], sizeof(*segment), "up %s", text_duration(since, sizeof(since), s->uptime_ms));
    view_field(&v, 0, 0, v.cols, false, THEME_HEADER, "");
    int col = view_text(&v, 0, 1, THEME_HEADER, "tightwad") + 2;
    for (size_t i = 0; i < n; i++) {
        int cols = text_columns(segment[i], strlen(segment[i]), ascii);
        if (col + cols + 1 > v.cols && i > 0)
            continue;
        int most = v.cols - col - 1;
        if (i == 0 && n > 1 && most > v.cols / 2) /* a long name leaves room for the others */
            most = v.cols / 2;
        struct view room = view_part(&v, 0, col, 1, most);
        col += view_text(&room, 0, 0, THEME_HEADER, segment[i]) + 2;
    }
}

/* ---- what is wrong ---- */

static int lines_of(const struct ui *ui, const struct trouble *t)
{
    return text_lines(t->text, strlen(t->text), ui->cols - 3, !ui->theme.unicode);
}

static int notice_lines(const struct ui *ui, const struct trouble *t, size_t n)
{
    int lines = 0;
    for (size_t i = 0; i < n && lines < LAYOUT_NOTICES; i++)
        lines += lines_of(ui, &t[i]);
    return lines < LAYOUT_NOTICES ? lines : LAYOUT_NOTICES;
}

/* Whole ones as far as they fit, and the first one in any case; of the others their number. */
static void notices(const struct ui *ui, const struct trouble *t, size_t n)
{
    struct view v = box_view(ui, &ui->layout.notices);
    int row = 0;
    view_clear(&v);
    for (size_t i = 0; i < n && row < v.rows; i++) {
        int lines = lines_of(ui, &t[i]), room = v.rows - row;
        if (i > 0 && lines > room)
            break;
        size_t left = n - i - 1;
        bool all = left == 0 || (lines < room && lines_of(ui, &t[i + 1]) <= room - lines);
        char more[32] = "";
        if (!all)
            snprintf(more, sizeof(more), " +%zu more", left);
        int last = lines < room ? lines : room, width = (int)strlen(more);
        struct view words = view_part(&v, row, 2, last, v.cols - 3);
        view_sign(&v, row, 0, t[i].role);
        view_wrapped(&words, 0, t[i].role, t[i].text);
        row += last;
        if (!all)
            view_text(&v, row - 1, v.cols - width, THEME_KEY, more);
    }
}

/* ---- the footer ---- */

static void footer(const struct ui *ui)
{
    const char *key[HINTS], *word[HINTS];
    struct view v = box_view(ui, &ui->layout.footer);
    view_clear(&v);
    if (ui->notice[0] != '\0') {
        int col = view_sign(&v, 0, 0, ui->notice_role) + 1;
        view_text(&v, 0, col, ui->notice_role, ui->notice);
        return;
    }
    size_t n = keys_hints(ui, key, word, HINTS);
    int col = 0;
    for (size_t i = 0; i < n; i++) {
        int need = (int)(strlen(key[i]) + 1 + strlen(word[i]));
        if (col + need > v.cols)
            break;
        col = view_text(&v, 0, col, THEME_KEY, key[i]) + 1;
        col = view_text(&v, 0, col, THEME_DIM, word[i]) + 2;
    }
}

/* ---- the panes ---- */

static void draw_title(const struct ui *ui, int id, const struct view *box)
{
    const struct pane_ops *ops = pane_table[id];
    char more[160] = "", text[200];
    if (ops->title != NULL)
        ops->title(ui, more, sizeof(more));
    snprintf(text, sizeof(text), "%s%s%s", ops->name, more[0] != '\0' ? ": " : "", more);
    int end = view_rule(box, 0, text, ui->focus == (enum pane_id)id);
    struct view rest = view_part(box, 0, end + 1, 1, box->cols - end - 2);
    if (ops->legend != NULL)
        ops->legend(ui, &rest);
}

static void draw_pane(struct ui *ui, int id, int64_t now_us)
{
    struct view box = box_view(ui, &ui->layout.pane[id]), body = view_part(&box, 1, 0, box.rows - 1, box.cols);
    draw_title(ui, id, &box);
    view_clear(&body);
    pane_table[id]->draw(ui, &body);
    ui->drawn_us[id] = now_us;
}

static int64_t due(const struct ui *ui, int id)
{
    if (ui->layout.pane[id].rows == 0 || ui->drawn_us[id] >= ui->news_us)
        return INT64_MAX;
    int64_t at = ui->drawn_us[id] + (int64_t)pane_table[id]->every_ms * 1000;
    return id == PANE_STREAM && ui->stream.next_us > at ? ui->stream.next_us : at;
}

static void separators(const struct ui *ui)
{
    struct view all = ui_view(ui);
    for (int id = 0; id < PANES; id++) {
        const struct layout_box *b = &ui->layout.pane[id];
        for (int row = 0; row < b->rows && ui->layout.separator[id] >= 0; row++)
            view_glyph(&all, b->y + row, ui->layout.separator[id], THEME_RULE, row == 0 ? GLYPH_ACROSS : GLYPH_DOWN, 1);
    }
}

static void ask_panes(struct ui *ui, struct layout_ask *ask)
{
    for (int id = 0; id < PANES; id++) {
        const struct pane_ops *ops = pane_table[id];
        struct layout_want *w = &ask->want[id];
        w->present = ui->picture.have && (ops->present == NULL || ops->present(ui));
        /* Asked with the width it had last; half of the screen before that. */
        int cols = ui->layout.pane[id].rows > 0 ? ui->layout.pane[id].cols : ui->cols / 2;
        w->rows = w->present ? ops->wants(ui, cols) : 0;
        w->grows = ops->grows;
    }
    if (!ask->want[ui->focus].present)
        ui->focus = PANE_MACHINES;
    ask->focus = ui->focus;
    ask->zoomed = ui->zoomed;
}

static void nothing_yet(const struct ui *ui)
{
    struct view all = ui_view(ui), middle = view_part(&all, 2, 2, all.rows - 4, all.cols - 4);
    if (ui->picture.connection[0] == '\0' || ui->picture.connected)
        view_wrapped(&middle, 0, THEME_DIM, "waiting for the first picture of the engines");
}

static void too_small(const struct ui *ui)
{
    char text[100];
    struct view all = ui_view(ui);
    snprintf(text, sizeof(text), "tightwad needs %d x %d; this window is %d x %d", LAYOUT_COLS, LAYOUT_ROWS, ui->cols,
             ui->rows);
    erase();
    view_wrapped(&all, 0, THEME_TEXT, text);
}

void frame_draw(struct ui *ui, int64_t now_us)
{
    struct layout_ask ask = {.rows = ui->rows, .cols = ui->cols};
    struct trouble *troubles = xcalloc(TROUBLES, sizeof(*troubles));
    size_t n = trouble_find(&ui->picture, ui->attached, troubles);
    struct layout before = ui->layout;
    ask.notices = notice_lines(ui, troubles, n);
    ask_panes(ui, &ask);
    layout_make(&ui->layout, &ask);
    bool all = ui->redraw || memcmp(&before, &ui->layout, sizeof(before)) != 0;
    ui->redraw = false;
    if (ui->notice[0] != '\0' && now_us >= ui->notice_until_us)
        ui->notice[0] = '\0';
    if (ui->layout.too_small) {
        too_small(ui);
    } else {
        if (all) {
            erase();
            separators(ui);
        }
        header(ui);
        notices(ui, troubles, n);
        if (!ui->picture.have)
            nothing_yet(ui);
        for (int id = 0; id < PANES; id++) {
            if (ui->layout.pane[id].rows > 0 && (all || due(ui, id) <= now_us))
                draw_pane(ui, id, now_us);
        }
        footer(ui);
    }
    free(troubles);
}

int64_t frame_due(const struct ui *ui)
{
    int64_t first = ui->notice[0] != '\0' ? ui->notice_until_us : INT64_MAX;
    for (int id = 0; id < PANES; id++) {
        int64_t at = due(ui, id);
        first = at < first ? at : first;
    }
    return first;
}
