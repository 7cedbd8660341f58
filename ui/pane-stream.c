/* The newest answer as it is written, each token in the colour of who wrote it.
 *
 * When the page is full it is turned by two thirds instead of scrolled line by line, and text that comes faster than
 * anybody reads is shown in larger steps: a terminal at the other end of a slow line gets each character little more
 * than once. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "ui/pane.h"
#include "ui/text.h"
#include "ui/ui.h"

enum {
    CELLS_PER_SECOND = 1600, /* on an average; a person reads some 25 */
    RUN_CELLS = 10,          /* what a change of colour costs, in cells */
};

static const struct {
    const char *name;
    enum theme_role role;
} writers[] = {
    [LIVE_TARGET] = {"target", THEME_TARGET},
    [LIVE_DRAFTER] = {"drafted", THEME_DRAFTED},
    [LIVE_QUOTE] = {"quoted", THEME_QUOTED},
    [LIVE_AGENT] = {"agent", THEME_DRAFTED},
};

/* Where the lines begin from `from` on, as offsets in the text that is kept.  Returns how many there are; starts holds
 * one more, the end. */
static size_t break_lines(const struct live *l, size_t from, int cols, bool ascii, uint16_t *starts)
{
    size_t n = 0, at = from;
    while (at < l->n_text) {
        starts[n++] = (uint16_t)at;
        at += text_line(l->text + at, l->n_text - at, cols, true, ascii);
    }
    starts[n] = (uint16_t)at;
    return n;
}

/* One line, run by run of one writer. */
static size_t draw_line(const struct view *v, int row, const struct live *l, size_t from, size_t to, size_t *piece,
                        size_t *piece_at)
{
    int col = 0;
    size_t runs = 0;
    while (from < to) {
        while (*piece < l->n_pieces && *piece_at + l->piece[*piece].length <= from)
            *piece_at += l->piece[(*piece)++].length;
        size_t end = *piece < l->n_pieces ? *piece_at + l->piece[*piece].length : to;
        unsigned writer = *piece < l->n_pieces ? l->piece[*piece].writer : LIVE_TARGET;
        end = end < to ? end : to;
        size_t seen = end; /* the line's end is not shown */
        while (seen > from && seen == to && l->text[seen - 1] == '\n')
            seen--;
        col =
            view_span(v, row, col, writers[writer < ARRAY_LEN(writers) ? writer : 0].role, l->text + from, seen - from);
        from = end;
        runs++;
    }
    return runs;
}

static void hint(const struct ui *ui, const struct view *v)
{
    const struct snapshot *s = &ui->picture.snapshot;
    char text[640];
    snprintf(text, sizeof(text),
             "No answer has been written yet. Point a chat program at %s/v1 (model %s), and its newest answer "
             "appears here, each token in the colour of who wrote it.",
             s->listen[0] != '\0' ? s->listen : "http://127.0.0.1:8088",
             s->model[0] != '\0' ? s->model : "as configured");
    view_wrapped(v, 0, THEME_DIM, text);
}

/* Turns the page where the text has outgrown it.  Returns the first line shown. */
static size_t turn(struct ui_stream *st, uint64_t before, const uint16_t *starts, size_t n, int rows, bool anew)
{
    size_t first = 0;
    if (n > (size_t)rows)
        first = anew ? n - (size_t)rows : n - 1 - (size_t)rows / 3;
    st->top = before + starts[first];
    return first;
}

static void draw(struct ui *ui, const struct view *v)
{
    const struct live *l = &ui->picture.live;
    struct ui_stream *st = &ui->stream;
    bool ascii = !v->theme->unicode, moved = false;
    if (l->request == 0 || v->rows < 1 || v->cols < 2) {
        hint(ui, v);
        return;
    }
    uint64_t before = l->text_seen > l->n_text ? l->text_seen - l->n_text : 0;
    if (st->request != l->request || st->rows != v->rows || st->cols != v->cols) {
        *st = (struct ui_stream){.request = l->request, .rows = v->rows, .cols = v->cols};
        moved = true;
    }
    size_t from = st->top > before ? (size_t)(st->top - before) : 0, piece = 0, piece_at = 0, runs = 0;
    uint16_t *starts = xcalloc(LIVE_TEXT + 1, sizeof(*starts));
    size_t n = break_lines(l, from < l->n_text ? from : l->n_text, v->cols, ascii, starts);
    size_t first = n > 0 ? turn(st, before, starts, n, v->rows, moved) : 0;
    for (size_t i = first; i < n; i++)
        runs += draw_line(v, (int)(i - first), l, starts[i], starts[i + 1], &piece, &piece_at);
    moved |= first > 0;
    uint64_t fresh = l->text_seen - (st->shown < l->text_seen ? st->shown : l->text_seen);
    uint64_t cost = moved ? l->text_seen - st->top + RUN_CELLS * runs
                          : fresh + RUN_CELLS * runs * fresh / (l->text_seen - st->top + 1);
    st->shown = l->text_seen;
    st->next_us = clock_us() + (int64_t)(cost * 1000000 / CELLS_PER_SECOND);
    free(starts);
}

static int wants(const struct ui *ui, int cols)
{
    (void)ui;
    (void)cols;
    return 6;
}

/* Which answer, and that it is approximate where it is. */
static void title(const struct ui *ui, char *out, size_t size)
{
    const struct snapshot *s = &ui->picture.snapshot;
    uint64_t id = ui->picture.live.request;
    const char *how = "";
    for (size_t i = 0; i < s->n_requests && i < SNAPSHOT_REQUESTS; i++) {
        const struct snapshot_request *r = &s->request[i];
        if (r->id == id)
            how = strcmp(r->mode, "consensus") == 0 || strcmp(r->mode, "gate") == 0 ? ", approximate" : "";
    }
    if (id != 0)
        snprintf(out, size, "%" PRIu64 "%s", id, how);
}

static void legend(const struct ui *ui, const struct view *v)
{
    static const enum live_writer order[] = {LIVE_DRAFTER, LIVE_TARGET, LIVE_QUOTE, LIVE_AGENT};
    bool seen[ARRAY_LEN(writers)] = {[LIVE_DRAFTER] = true, [LIVE_TARGET] = true};
    int need = 1, col;
    if (ui->picture.live.request == 0)
        return;
    for (size_t i = 0; i < ui->picture.live.n_pieces; i++) {
        unsigned writer = ui->picture.live.piece[i].writer;
        seen[writer < ARRAY_LEN(seen) ? writer : 0] = true;
    }
    for (size_t i = 0; i < ARRAY_LEN(order); i++)
        need += seen[order[i]] ? (int)strlen(writers[order[i]].name) + 1 : 0;
    col = v->cols - need;
    if (col < 0)
        return;
    view_text(v, 0, col++, THEME_TEXT, " ");
    for (size_t i = 0; i < ARRAY_LEN(order); i++) {
        if (!seen[order[i]])
            continue;
        col = view_text(v, 0, col, writers[order[i]].role, writers[order[i]].name);
        col = view_text(v, 0, col, THEME_TEXT, " ");
    }
}

const struct pane_ops pane_stream = {
    .name = "answer",
    .grows = true,
    .wants = wants,
    .title = title,
    .legend = legend,
    .draw = draw,
};
