#include "ui/layout.h"

#include <stddef.h>

#include "base/mem.h"

enum { BANDS = PANES, ACROSS = 3, LEAST = 3 };

struct slot {
    enum pane_id pane;
    int weight; /* share of the width, against its neighbours */
};

/* From the top of the screen.  A band without panes ends the list. */
struct band {
    struct slot slot[ACROSS];
    int n;
    int rank;  /* 0 stays longest, and is served first */
    int ahead; /* rows that it gets before others get more than the least, with the title line */
    int grow;  /* share of the rows that are left over; only where one of its panes grows */
};

struct set {
    int cols; /* from this width on */
    struct band band[BANDS];
};

/* Widest first. */
static const struct set sets[] = {
    {160,
     {{{{PANE_MACHINES, 5}, {PANE_SPECULATION, 4}, {PANE_POOL, 4}}, 3, 0, 6, 0},
      {{{PANE_GATE, 5}, {PANE_CONSENSUS, 3}}, 2, 1, 11, 0},
      {{{PANE_STREAM, 5}, {PANE_REQUESTS, 4}, {PANE_ROUNDS, 4}}, 3, 2, 6, 5},
      {{{PANE_SWARM, 5}, {PANE_LOG, 4}}, 2, 3, 0, 1}}},
    {100,
     {{{{PANE_MACHINES, 1}, {PANE_SPECULATION, 1}}, 2, 0, 5, 0},
      {{{PANE_GATE, 5}, {PANE_CONSENSUS, 4}}, 2, 1, 11, 0},
      {{{PANE_STREAM, 1}, {PANE_ROUNDS, 1}}, 2, 2, 6, 4},
      {{{PANE_REQUESTS, 1}, {PANE_POOL, 1}}, 2, 3, 4, 2},
      {{{PANE_SWARM, 1}, {PANE_LOG, 1}}, 2, 4, 0, 1}}},
    {76,
     {{{{PANE_MACHINES, 1}}, 1, 0, 5, 0},
      {{{PANE_GATE, 1}, {PANE_CONSENSUS, 1}}, 2, 1, 5, 0},
      {{{PANE_SPECULATION, 1}, {PANE_REQUESTS, 1}}, 2, 3, 5, 0},
      {{{PANE_STREAM, 1}}, 1, 2, 6, 3},
      {{{PANE_SWARM, 1}}, 1, 4, 0, 0},
      {{{PANE_ROUNDS, 1}, {PANE_POOL, 1}}, 2, 5, 0, 0},
      {{{PANE_LOG, 1}}, 1, 6, 0, 1}}},
    {0,
     {{{{PANE_MACHINES, 1}}, 1, 0, 4, 0},
      {{{PANE_GATE, 1}}, 1, 1, 4, 0},
      {{{PANE_CONSENSUS, 1}}, 1, 2, 4, 0},
      {{{PANE_SPECULATION, 1}}, 1, 3, 0, 0},
      {{{PANE_STREAM, 1}}, 1, 4, 5, 3},
      {{{PANE_REQUESTS, 1}}, 1, 5, 0, 2},
      {{{PANE_POOL, 1}}, 1, 6, 0, 0},
      {{{PANE_SWARM, 1}}, 1, 7, 0, 1},
      {{{PANE_ROUNDS, 1}}, 1, 8, 0, 1},
      {{{PANE_LOG, 1}}, 1, 9, 0, 1}}},
};

/* A band as this screen has it: only the panes that have something to show. */
struct row {
    struct slot slot[ACROSS];
    int n, rank, ahead, grow;
    int least, want, rows; /* with the title line */
    bool kept;             /* it holds the focus */
};

static size_t choose(const struct layout_ask *ask, struct row *rows)
{
    const struct set *set = sets;
    size_t n = 0;
    while (set->cols > ask->cols)
        set++;
    for (const struct band *b = set->band; b < set->band + BANDS && b->n > 0; b++) {
        struct row r = {.rank = b->rank, .ahead = b->ahead};
        for (int i = 0; i < b->n; i++) {
            enum pane_id id = b->slot[i].pane;
            const struct layout_want *w = &ask->want[id];
            if (!w->present)
                continue;
            r.slot[r.n++] = b->slot[i];
            r.want = w->rows + 1 > r.want ? w->rows + 1 : r.want;
            r.grow = w->grows ? b->grow : r.grow;
            r.kept = r.kept || id == ask->focus;
        }
        r.least = r.want < LEAST ? r.want : LEAST;
        if (r.n > 0)
            rows[n++] = r;
    }
    return n;
}

/* Leaves out what is least important until the rest fits. */
static size_t leave_out(struct row *rows, size_t n, int room)
{
    int need = 0;
    for (size_t i = 0; i < n; i++)
        need += rows[i].least;
    while (need > room && n > 1) {
        size_t out = 0;
        for (size_t i = 1; i < n; i++) {
            if (rows[out].kept || (!rows[i].kept && rows[i].rank > rows[out].rank))
                out = i;
        }
        need -= rows[out].least;
        for (size_t i = out; i + 1 < n; i++)
            rows[i] = rows[i + 1];
        n--;
    }
    return n;
}

/* What a band gets before the others get more than the least: by rank. */
static int serve(struct row *rows, size_t n, int room)
{
    for (int rank = 0; rank < BANDS; rank++) {
        for (size_t i = 0; i < n; i++) {
            int more = (rows[i].ahead < rows[i].want ? rows[i].ahead : rows[i].want) - rows[i].rows;
            if (rows[i].rank != rank || more <= 0)
                continue;
            more = more < room ? more : room;
            rows[i].rows += more;
            room -= more;
        }
    }
    return room;
}

/* One row each in turn, up to what each wants. */
static int go_round(struct row *rows, size_t n, int room)
{
    for (bool more = true; room > 0 && more;) {
        more = false;
        for (size_t i = 0; i < n && room > 0; i++) {
            if (rows[i].rows < rows[i].want) {
                rows[i].rows++;
                room--;
                more = true;
            }
        }
    }
    return room;
}

static void share_rows(struct row *rows, size_t n, int room)
{
    int shares = 0, given = 0;
    size_t last = n - 1;
    for (size_t i = 0; i < n; i++) {
        rows[i].rows = rows[i].least < room ? rows[i].least : room;
        room -= rows[i].rows;
        shares += rows[i].grow;
        if (rows[i].grow > rows[last].grow)
            last = i;
    }
    room = go_round(rows, n, serve(rows, n, room));
    for (size_t i = 0; i < n && shares > 0; i++) {
        int part = room * rows[i].grow / shares;
        rows[i].rows += part;
        given += part;
    }
    rows[last].rows += room - given; /* what division left over */
}

static void place(struct layout *out, const struct row *r, int y)
{
    int weights = 0, x = 0, room = out->cols - (r->n - 1);
    for (int i = 0; i < r->n; i++)
        weights += r->slot[i].weight;
    for (int i = 0; i < r->n; i++) {
        enum pane_id id = r->slot[i].pane;
        int cols = i + 1 == r->n ? out->cols - x : room * r->slot[i].weight / weights;
        out->pane[id] = (struct layout_box){.y = y, .x = x, .rows = r->rows, .cols = cols};
        if (i > 0)
            out->separator[id] = x - 1;
        x += cols + 1;
    }
}

void layout_make(struct layout *out, const struct layout_ask *ask)
{
    struct row rows[BANDS];
    *out = (struct layout){.rows = ask->rows, .cols = ask->cols};
    out->too_small = ask->rows < LAYOUT_ROWS || ask->cols < LAYOUT_COLS;
    for (int i = 0; i < PANES; i++)
        out->separator[i] = -1;
    if (out->too_small)
        return;
    int notices = ask->notices < LAYOUT_NOTICES ? ask->notices : LAYOUT_NOTICES;
    if (notices > ask->rows / 5)
        notices = ask->rows / 5;
    out->header = (struct layout_box){.rows = 1, .cols = ask->cols};
    out->notices = (struct layout_box){.y = 1, .rows = notices, .cols = ask->cols};
    out->footer = (struct layout_box){.y = ask->rows - 1, .rows = 1, .cols = ask->cols};
    int y = 1 + notices, room = ask->rows - 2 - notices;
    if (ask->zoomed && ask->want[ask->focus].present) {
        out->pane[ask->focus] = (struct layout_box){.y = y, .rows = room, .cols = ask->cols};
        return;
    }
    size_t n = leave_out(rows, choose(ask, rows), room);
    if (n == 0)
        return;
    share_rows(rows, n, room);
    for (size_t i = 0; i < n; i++) {
        place(out, &rows[i], y);
        y += rows[i].rows;
    }
}
