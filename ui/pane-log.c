/* The newest lines of the log, the last one at the bottom; long ones go on in the next line. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "ui/pane.h"
#include "ui/text.h"
#include "ui/ui.h"

enum { STAMP = 9, LEVEL = 6 };

static enum theme_role role_of(int level)
{
    return level >= LOG_ERROR   ? THEME_BAD
           : level == LOG_WARN  ? THEME_WARN
           : level == LOG_DEBUG ? THEME_DIM
                                : THEME_TEXT;
}

static const char *word_of(int level)
{
    return level >= LOG_ERROR ? "error" : level == LOG_WARN ? "warn" : "";
}

static int lines_of(const struct view *v, const struct snapshot_log *l)
{
    int cols = v->cols - STAMP - (word_of(l->level)[0] != '\0' ? LEVEL : 0);
    return text_lines(l->text, strlen(l->text), cols > 8 ? cols : 8, !v->theme->unicode);
}

static void draw(struct ui *ui, const struct view *v)
{
    const struct snapshot *s = &ui->picture.snapshot;
    const struct snapshot_log *shown[SNAPSHOT_LOG];
    size_t n = 0;
    char stamp[16];
    for (size_t i = 0; i < s->n_log && i < SNAPSHOT_LOG; i++) {
        if (text_holds(s->log[i].text, ui->filter))
            shown[n++] = &s->log[i];
    }
    size_t most = n > 0 ? n - 1 : 0, back = (size_t)ui->scroll[PANE_LOG] < most ? (size_t)ui->scroll[PANE_LOG] : most;
    ui->scroll[PANE_LOG] = (int)back;
    size_t end = n - back, first = end;
    int used = 0;
    while (first > 0 && used + lines_of(v, shown[first - 1]) <= v->rows)
        used += lines_of(v, shown[--first]);
    if (first == end && end > 0) /* one that is longer than the pane: its beginning */
        first--;
    int row = 0;
    for (size_t i = first; i < end && row < v->rows; i++) {
        const struct snapshot_log *l = shown[i];
        const char *word = word_of(l->level);
        int lines = lines_of(v, l), at = STAMP + (word[0] != '\0' ? LEVEL : 0);
        view_text(v, row, 0, THEME_DIM, text_clock(stamp, sizeof(stamp), l->wall_ms));
        view_text(v, row, STAMP, role_of(l->level), word);
        struct view words = view_part(v, row, at, lines, v->cols - at);
        view_wrapped(&words, 0, role_of(l->level), l->text);
        row += lines;
    }
}

static bool present(const struct ui *ui)
{
    return ui->picture.snapshot.n_log > 0;
}

static int wants(const struct ui *ui, int cols)
{
    size_t n = ui->picture.snapshot.n_log;
    (void)cols;
    return (int)(n > 4 ? 4 : n);
}

static void title(const struct ui *ui, char *out, size_t size)
{
    if (ui->filter[0] != '\0')
        snprintf(out, size, "with \"%s\"", ui->filter);
}

const struct pane_ops pane_log = {
    .name = "log",
    .every_ms = 500,
    .grows = true,
    .present = present,
    .wants = wants,
    .title = title,
    .draw = draw,
};
