/* The swarm: models that come and that are given out, which of their pieces are here, and who has them. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "ui/pane.h"
#include "ui/table.h"
#include "ui/text.h"
#include "ui/ui.h"

enum model_column { NAME, STATE, DONE, DOWN, UP, LEFT, PEERS, COPIES, SENT, MODEL_COLUMNS };
enum peer_column { ADDRESS, HOW, HAS, FROM, TO, ASKED, AWAY, WRONG, CALLED, WHICH, PEER_COLUMNS };

enum {
    NEVER = 99, /* rank of a column that has nothing to show */
    MOST = 14,  /* rows that it asks for */
    WORDS = 2,  /* lines of a reason */
    ROOMY = 4,  /* from so many rows on the lists have heads */
    TEXT = 24,
};

/* Lines are drawn one after the other, those before the top of the pane nowhere. */
struct pen {
    const struct view *v;
    int at; /* row of the view, may lie outside of it */
};

static const struct swarm_view *of(const struct ui *ui)
{
    return &ui->picture.snapshot.swarm;
}

static size_t models_of(const struct swarm_view *s)
{
    return s->n_models < SWARM_VIEW_MODELS ? s->n_models : SWARM_VIEW_MODELS;
}

static size_t peers_of(const struct swarm_view *s)
{
    return s->n_peers < SWARM_VIEW_PEERS ? s->n_peers : SWARM_VIEW_PEERS;
}

static bool moves(const struct swarm_view_model *m)
{
    return m->state != SWARM_SEEDING;
}

/* ---- figures ---- */

static char *rate(char *out, size_t size, double bytes, bool ascii)
{
    char text[16];
    bool known = isfinite(bytes) && bytes >= 0;
    snprintf(out, size, "%s%s", text_bytes(text, sizeof(text), known ? (int64_t)bytes : -1, ascii), known ? "/s" : "");
    return out;
}

/* 100 % is only what is complete. */
static char *percent(char *out, size_t size, double share, bool ascii)
{
    return text_percent(out, size, floor(100 * share) / 100, ascii);
}

static char *left(char *out, size_t size, double seconds, bool ascii)
{
    if (isfinite(seconds) && seconds >= 60)
        return text_duration(out, size, seconds < 1e9 ? (int64_t)(1000 * seconds) : INT64_C(1000000000000));
    return text_milliseconds(out, size, isfinite(seconds) && seconds < 1 ? 1000 : 1000 * seconds, ascii);
}

static void words(struct pen *p, enum theme_role role, const char *text)
{
    int lines = text_lines(text, strlen(text), p->v->cols - 4, !p->v->theme->unicode);
    lines = lines < WORDS ? lines : WORDS;
    if (text[0] == '\0')
        return;
    if (p->at >= 0) {
        struct view part = view_part(p->v, p->at, 4, lines, p->v->cols - 4);
        view_wrapped(&part, 0, role, text);
    }
    p->at += lines;
}

/* ---- models ---- */

static void sign(const struct view *v, int row, enum swarm_state state)
{
    if (state == SWARM_FAILED || state == SWARM_WAITING || state == SWARM_SEEDING)
        view_sign(v, row, 0, state == SWARM_FAILED ? THEME_BAD : state == SWARM_WAITING ? THEME_WARN : THEME_GOOD);
    else
        view_glyph(v, row, 0, THEME_BOLD, GLYPH_POINTER, 1);
}

static const char *name_of(const struct swarm_view_model *m)
{
    return m->name[0] != '\0' ? m->name : m->file[0] != '\0' ? m->file : m->id;
}

static void model_line(const struct view *v, int row, const struct table_column *c, const struct swarm_view_model *m)
{
    bool ascii = !v->theme->unicode;
    struct view cells = view_part(v, row, 2, 1, v->cols - 2);
    char text[TEXT];
    sign(v, row, m->state);
    table_cell(&cells, 0, c, NAME, moves(m) ? THEME_BOLD : THEME_TEXT, name_of(m));
    table_cell(&cells, 0, c, STATE, THEME_TEXT, swarm_state_name(m->state));
    double share = m->wanted > 0 ? (double)m->have / (double)m->wanted : NAN;
    table_cell(&cells, 0, c, DONE, THEME_BOLD, percent(text, sizeof(text), share, ascii));
    table_cell(&cells, 0, c, DOWN, THEME_TEXT, rate(text, sizeof(text), moves(m) ? m->down : NAN, ascii));
    table_cell(&cells, 0, c, UP, THEME_TEXT, rate(text, sizeof(text), m->up, ascii));
    table_cell(&cells, 0, c, LEFT, THEME_TEXT, left(text, sizeof(text), m->eta, ascii));
    snprintf(text, sizeof(text), "%" PRIu32, m->peers);
    table_cell(&cells, 0, c, PEERS, THEME_TEXT, text);
    table_cell(&cells, 0, c, COPIES, m->availability < 1 ? THEME_WARN : THEME_TEXT,
               text_number(text, sizeof(text), m->availability, ascii));
    table_cell(&cells, 0, c, SENT, THEME_TEXT, text_bytes(text, sizeof(text), (int64_t)m->sent, ascii));
}

/* How much of some neighbouring columns of the map is here: what stands for all, a part, none; and for none wanted. */
static enum theme_glyph piece_glyph(const struct swarm_view_column *map, size_t n)
{
    size_t all = 0, none = 0, wanted = 0;
    for (size_t i = 0; i < n; i++) {
        if (map[i].had > 100)
            continue;
        wanted++;
        all += map[i].had == 100;
        none += map[i].had == 0;
    }
    return wanted == 0 ? GLYPH_DOT : all == wanted ? GLYPH_FULL : none == wanted ? GLYPH_EMPTY : GLYPH_HALF;
}

/* The pieces from the file's start, and how many they are: "####==...... 41/128 pieces, 11.5/18.5 GiB". */
static void map_line(const struct view *v, int row, const struct swarm_view_model *m)
{
    size_t n = m->n_map < SWARM_VIEW_MAP ? m->n_map : SWARM_VIEW_MAP;
    char text[64], share[TEXT];
    text_share(share, sizeof(share), (int64_t)m->have, (int64_t)m->wanted, !v->theme->unicode);
    snprintf(text, sizeof(text), "%" PRIu32 "/%" PRIu32 " pieces, %s", m->pieces_have, m->pieces, share);
    int room = v->cols - 2 - (int)strlen(text) - 1, least = 16, col = 2;
    if (room < least) {
        snprintf(text, sizeof(text), "%" PRIu32 "/%" PRIu32, m->pieces_have, m->pieces);
        room = v->cols - 2 - (int)strlen(text) - 1;
    }
    size_t cols = room > 0 ? (size_t)room : 0;
    cols = cols < n ? cols : n;
    for (size_t k = 0; k < cols; k++) {
        size_t first = k * n / cols, end = (k + 1) * n / cols;
        enum theme_glyph g = piece_glyph(&m->map[first], end - first);
        col = view_glyph(v, row, col, g == GLYPH_EMPTY || g == GLYPH_DOT ? THEME_DIM : THEME_GRAPH, g, 1);
    }
    view_text(v, row, col + 1, THEME_DIM, text);
}

static bool has_map(const struct swarm_view_model *m)
{
    return moves(m) && m->n_map > 0 && m->wanted > 0;
}

static void models(const struct swarm_view *s, struct pen *p, bool heads)
{
    const struct view *v = p->v;
    struct table_column c[MODEL_COLUMNS] = {
        [NAME] = {.head = "model", .least = 8, .rank = 0},
        [STATE] = {.head = "state", .least = 8, .rank = 0},
        [DONE] = {.head = "here", .least = 5, .rank = 0, .right = true},
        [DOWN] = {.head = "in", .least = 10, .rank = 2, .right = true},
        [UP] = {.head = "out", .least = 10, .rank = 4, .right = true},
        [LEFT] = {.head = "left", .least = 8, .rank = 3, .right = true},
        [PEERS] = {.head = "peers", .least = 5, .rank = 5, .right = true},
        [COPIES] = {.head = "copies", .least = 6, .rank = 6, .right = true},
        [SENT] = {.head = "sent", .least = 8, .rank = 7, .right = true},
    };
    bool any = false;
    for (size_t i = 0; i < models_of(s); i++) {
        table_widen(v, &c[NAME], name_of(&s->model[i]), v->cols / 3);
        any = any || moves(&s->model[i]);
    }
    if (!any) /* what is given out has a rate to others, and nothing else */
        c[DOWN].rank = c[LEFT].rank = c[COPIES].rank = NEVER;
    table_fit(c, MODEL_COLUMNS, v->cols - 2);
    if (heads && models_of(s) > 0) {
        struct view line = view_part(v, p->at, 2, 1, v->cols - 2);
        table_heads(&line, 0, c, MODEL_COLUMNS);
        p->at++;
    }
    for (size_t i = 0; i < models_of(s); i++) {
        const struct swarm_view_model *m = &s->model[i];
        model_line(v, p->at++, c, m);
        if (has_map(m))
            map_line(v, p->at++, m);
        words(p, m->state == SWARM_FAILED ? THEME_BAD : THEME_WARN, m->why);
    }
    if (models_of(s) == 0)
        view_text(v, p->at++, 2, THEME_DIM, "no model is given out or on its way: w pulls one");
    if (s->models_in_all > models_of(s))
        view_printf(v, p->at++, 2, THEME_DIM, "and %" PRIu64 " more", s->models_in_all - models_of(s));
}

/* ---- peers ---- */

static void peer_line(const struct view *v, int row, const struct table_column *c, const struct swarm_view_peer *p)
{
    static const enum theme_role roles[] = {[SWARM_PEER_CONNECTING] = THEME_DIM,
                                            [SWARM_PEER_UP] = THEME_GOOD,
                                            [SWARM_PEER_DOWN] = THEME_WARN,
                                            [SWARM_PEER_BANNED] = THEME_BAD};
    bool ascii = !v->theme->unicode, up = p->state == SWARM_PEER_UP;
    enum theme_role role = up ? THEME_TEXT : THEME_DIM;
    struct view cells = view_part(v, row, 2, 1, v->cols - 2);
    char text[TEXT];
    view_sign(v, row, 0, (size_t)p->state < ARRAY_LEN(roles) ? roles[p->state] : THEME_DIM);
    table_cell(&cells, 0, c, ADDRESS, role, p->address);
    table_cell(&cells, 0, c, HOW, p->state == SWARM_PEER_BANNED ? THEME_BAD : role, swarm_peer_state_name(p->state));
    table_cell(&cells, 0, c, HAS, role, percent(text, sizeof(text), p->share, ascii));
    table_cell(&cells, 0, c, FROM, role, rate(text, sizeof(text), p->down, ascii));
    table_cell(&cells, 0, c, TO, role, rate(text, sizeof(text), p->up, ascii));
    snprintf(text, sizeof(text), "%" PRIu32, p->asked);
    table_cell(&cells, 0, c, ASKED, role, text);
    text_milliseconds(text, sizeof(text), p->rtt_us >= 0 ? (double)p->rtt_us / 1000 : NAN, ascii);
    table_cell(&cells, 0, c, AWAY, role, text);
    snprintf(text, sizeof(text), "%" PRIu32, p->corrupt);
    table_cell(&cells, 0, c, WRONG, p->corrupt > 0 ? THEME_BAD : role, text);
    table_cell(&cells, 0, c, CALLED, THEME_DIM, p->name);
    table_cell(&cells, 0, c, WHICH, THEME_DIM, p->model);
}

static void peers(const struct swarm_view *s, struct pen *p, bool heads)
{
    const struct view *v = p->v;
    struct table_column c[PEER_COLUMNS] = {
        [ADDRESS] = {.head = "peer", .least = 12, .rank = 0},
        [HOW] = {.head = "state", .least = 10, .rank = 0},
        [HAS] = {.head = "has", .least = 5, .rank = 1, .right = true},
        [FROM] = {.head = "in", .least = 10, .rank = 2, .right = true},
        [TO] = {.head = "out", .least = 10, .rank = 3, .right = true},
        [ASKED] = {.head = "asked", .least = 5, .rank = 4, .right = true},
        [AWAY] = {.head = "away", .least = 8, .rank = 5, .right = true},
        [WRONG] = {.head = "wrong", .least = 5, .rank = NEVER, .right = true},
        [CALLED] = {.head = "name", .least = 8, .rank = NEVER},
        [WHICH] = {.head = "model", .least = 8, .rank = 7},
    };
    size_t n = peers_of(s);
    for (size_t i = 0; i < n; i++) {
        const struct swarm_view_peer *q = &s->peer[i];
        table_widen(v, &c[ADDRESS], q->address, v->cols / 2);
        table_widen(v, &c[CALLED], q->name, 20);
        table_widen(v, &c[WHICH], q->model, 28);
        c[WRONG].rank = q->corrupt > 0 ? 1 : c[WRONG].rank;
        c[CALLED].rank = q->name[0] != '\0' ? 6 : c[CALLED].rank;
    }
    table_fit(c, PEER_COLUMNS, v->cols - 2);
    if (heads && n > 0) {
        struct view line = view_part(v, p->at, 2, 1, v->cols - 2);
        table_heads(&line, 0, c, PEER_COLUMNS);
        p->at++;
    }
    for (size_t i = 0; i < n; i++) {
        peer_line(v, p->at++, c, &s->peer[i]);
        words(p, THEME_DIM, s->peer[i].why);
    }
    if (s->peers_in_all > n)
        view_printf(v, p->at++, 2, THEME_DIM, "and %" PRIu64 " more", s->peers_in_all - n);
}

/* ---- the whole ---- */

/* Where it can be found, and what it has moved: as much as fits. */
static void about(const struct swarm_view *s, struct pen *p)
{
    bool ascii = !p->v->theme->unicode;
    char part[4][128], in[16], out[16];
    int col = 0;
    snprintf(part[0], sizeof(part[0]), "%s%.90s", s->listen[0] != '\0' ? "at " : "nobody can ask it for pieces",
             s->listen);
    snprintf(part[1], sizeof(part[1]), "fetched %s, sent %s", text_bytes(in, sizeof(in), (int64_t)s->fetched, ascii),
             text_bytes(out, sizeof(out), (int64_t)s->sent, ascii));
    snprintf(part[2], sizeof(part[2]), "%" PRIu32 " uploads, %" PRIu32 " waiting", s->uploads, s->waiting);
    snprintf(part[3], sizeof(part[3]), "%s", s->discovery ? "announced in the network" : "not announced");
    for (size_t i = 0; i < ARRAY_LEN(part); i++) {
        int need = text_columns(part[i], strlen(part[i]), ascii);
        if (col + need > p->v->cols)
            continue;
        col = view_text(p->v, p->at, col, THEME_DIM, part[i]) + 2;
    }
    p->at++;
}

/* All of it from row `first` of the view on; returns the row behind it. */
static int all(const struct swarm_view *s, const struct view *v, int first, bool heads)
{
    struct pen p = {v, first};
    words(&p, THEME_WARN, s->why);
    models(s, &p, heads);
    peers(s, &p, heads);
    about(s, &p);
    return p.at;
}

static void draw(struct ui *ui, const struct view *v)
{
    struct view nowhere = {.theme = v->theme, .cols = v->cols};
    bool heads = v->rows >= ROOMY;
    int rows = all(of(ui), &nowhere, 0, heads);
    int most = rows > v->rows ? rows - v->rows : 0, *scroll = &ui->scroll[PANE_SWARM];
    *scroll = *scroll < most ? *scroll : most;
    all(of(ui), v, -*scroll, heads);
}

static bool present(const struct ui *ui)
{
    return of(ui)->on || of(ui)->why[0] != '\0';
}

static int wants(const struct ui *ui, int cols)
{
    struct view nowhere = {.theme = &ui->theme, .cols = cols};
    int rows = all(of(ui), &nowhere, 0, true);
    return rows < MOST ? rows : MOST;
}

static void title(const struct ui *ui, char *out, size_t size)
{
    const struct swarm_view *s = of(ui);
    char in[16], away[16];
    bool ascii = !ui->theme.unicode;
    snprintf(out, size, "%s in, %s out", rate(in, sizeof(in), s->down, ascii), rate(away, sizeof(away), s->up, ascii));
}

const struct pane_ops pane_swarm = {
    .name = "swarm",
    .every_ms = 500,
    .grows = true,
    .present = present,
    .wants = wants,
    .title = title,
    .draw = draw,
};
