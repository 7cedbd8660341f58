/* Forty peers and a seeder that leaves early, in virtual time: with the rarest pieces first nobody is ever stuck, with
 * pieces by chance most runs are.  Both run on the selection of src/swarm/pick.c and differ in its order alone.
 *
 * The unit of time is what a peer's uplink needs for one piece.  An uplink is shared evenly by the uploads under way;
 * waiting requests get a place in the order in which the server gives them: whoever has fewest under way goes first.
 * Every message takes LATENCY, so that what peers know of each other is always a little old.  There is no end game
 * here: it brings nobody a piece that is not about. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/noise.h"
#include "swarm/pick.h"

enum {
    PEERS = 40,
    SEEDER = PEERS, /* the node after the peers */
    NODES = PEERS + 1,
    PIECES = 240,
    SLOTS = 4,    /* uploads at a time */
    AHEAD = 2,    /* requests of one peer to another */
    AT_ONCE = 10, /* requests of one peer in all */
    SEEDS = 100,
};

static const double LATENCY = 0.01, SEEDER_RATE = 4, SEEDER_COPIES = 1.2;

enum kind { REQUEST, DATA, HAVE, FETCHING, DROPPED, GONE };

struct letter {
    double at;
    enum kind kind;
    int from, to; /* to: of the first two; the others go to all */
    size_t piece;
};

struct upload {
    int to;
    size_t piece;
    double left; /* of the piece, 1…0 */
    bool active;
};

struct request {
    int from;
    size_t piece;
};

struct node {
    struct pick pick;
    struct bits known; /* what the others know that it has */
    struct request asked[AT_ONCE];
    size_t n_asked;
    struct upload upload[PEERS * AHEAD];
    size_t n_uploads, n_active;
    double rate, sent; /* pieces per unit of time; pieces */
    double since;      /* up to when `left` is right */
    double next;       /* when its next upload ends */
    bool gone;
};

struct world {
    struct node node[NODES];
    struct letter *letter; /* all of them, in order of time as they all take as long */
    size_t n_letters, size, read;
    double now;
    uint64_t rng;
};

static void post(struct world *w, enum kind kind, int from, int to, size_t piece)
{
    if (w->n_letters == w->size) {
        w->size = w->size > 0 ? w->size * 2 : 4096;
        w->letter = xreallocarray(w->letter, w->size, sizeof *w->letter);
    }
    w->letter[w->n_letters++] = (struct letter){w->now + LATENCY, kind, from, to, piece};
}

/* --- uploads --- */

static void advance(struct world *w, struct node *n)
{
    if (n->n_active > 0) {
        double done = (w->now - n->since) * n->rate;
        n->sent += done;
        for (size_t i = 0; i < n->n_uploads; i++)
            if (n->upload[i].active)
                n->upload[i].left -= done / (double)n->n_active;
    }
    n->since = w->now;
}

static size_t under_way(const struct node *n, int peer)
{
    size_t count = 0;
    for (size_t i = 0; i < n->n_uploads; i++)
        count += n->upload[i].active && n->upload[i].to == peer;
    return count;
}

/* Gives out free slots, and finds when something ends. */
static void schedule(struct world *w, struct node *n)
{
    while (n->n_active < SLOTS && n->n_active < n->n_uploads) {
        struct upload *best = NULL;
        size_t fewest = SIZE_MAX;
        for (size_t i = 0; i < n->n_uploads; i++) {
            struct upload *u = &n->upload[i];
            size_t busy = u->active ? SIZE_MAX : under_way(n, u->to);
            if (busy < fewest) {
                fewest = busy;
                best = u;
            }
        }
        best->active = true;
        n->n_active++;
    }
    double left = INFINITY;
    for (size_t i = 0; i < n->n_uploads; i++)
        if (n->upload[i].active && n->upload[i].left < left)
            left = n->upload[i].left;
    n->next = n->n_active > 0 ? w->now + left * (double)n->n_active / n->rate : INFINITY;
    if (n == &w->node[SEEDER] && n->n_active > 0)
        n->next = fmin(n->next, w->now + (SEEDER_COPIES * PIECES - n->sent) / n->rate);
}

static void remove_upload(struct node *n, size_t i)
{
    n->n_active -= n->upload[i].active;
    memmove(&n->upload[i], &n->upload[i + 1], (--n->n_uploads - i) * sizeof n->upload[0]);
}

static void end_uploads(struct world *w, int from)
{
    struct node *n = &w->node[from];
    advance(w, n);
    if (from == SEEDER && n->sent >= SEEDER_COPIES * PIECES - 1e-6) {
        n->gone = true;
        n->n_uploads = n->n_active = 0;
        n->next = INFINITY;
        post(w, GONE, from, -1, 0);
        return;
    }
    for (size_t i = n->n_uploads; i-- > 0;) {
        if (!n->upload[i].active || n->upload[i].left > 1e-9)
            continue;
        post(w, DATA, from, n->upload[i].to, n->upload[i].piece);
        remove_upload(n, i);
    }
    schedule(w, n);
}

/* --- requests --- */

static size_t asked_of(const struct node *n, int from)
{
    size_t count = 0;
    for (size_t i = 0; i < n->n_asked; i++)
        count += n->asked[i].from == from;
    return count;
}

static void forget(struct node *n, size_t i)
{
    n->pick.asked[n->asked[i].piece] = 0;
    n->asked[i] = n->asked[--n->n_asked];
}

static void ask(struct world *w, int me, int from)
{
    struct node *n = &w->node[me];
    while (from != me && n->n_asked < AT_ONCE && asked_of(n, from) < AHEAD) {
        int64_t piece = pick_next(&n->pick, &w->node[from].known);
        if (piece < 0)
            return;
        n->pick.asked[piece] = 1;
        post(w, FETCHING, me, -1, (size_t)piece);
        n->asked[n->n_asked++] = (struct request){from, (size_t)piece};
        post(w, REQUEST, me, from, (size_t)piece);
    }
}

static void ask_all(struct world *w, int me)
{
    size_t first = (size_t)(noise_mix(++w->rng) % NODES);
    for (size_t i = 0; i < NODES && w->node[me].n_asked < AT_ONCE; i++)
        ask(w, me, (int)((first + i) % NODES));
}

/* --- what letters do --- */

static void take_data(struct world *w, int me, int from, size_t piece)
{
    struct node *n = &w->node[me];
    size_t i = 0;
    while (i < n->n_asked && n->asked[i].piece != piece)
        i++;
    assert_true(i < n->n_asked && n->asked[i].from == from);
    forget(n, i);
    assert_true(bits_set(&n->pick.have, piece, true));
    post(w, HAVE, me, -1, piece);
    ask_all(w, me);
}

static void hear_gone(struct world *w, int me, int from)
{
    struct node *n = &w->node[me];
    pick_count(&n->pick, &w->node[from].known, -1);
    for (size_t i = n->n_asked; i-- > 0;) {
        size_t piece = n->asked[i].piece;
        if (n->asked[i].from != from)
            continue;
        forget(n, i);
        post(w, DROPPED, me, -1, piece);
    }
}

static void hear(struct world *w, int me, const struct letter *l)
{
    struct pick *p = &w->node[me].pick;
    if (l->kind == GONE) {
        hear_gone(w, me, l->from);
        return;
    }
    pick_count_coming(p, l->piece, l->kind == FETCHING ? 1 : -1);
    if (l->kind == HAVE)
        pick_count_one(p, l->piece, 1);
}

static void deliver(struct world *w, const struct letter *l)
{
    struct node *to = l->to >= 0 ? &w->node[l->to] : NULL;
    if (l->kind == DATA) {
        take_data(w, l->to, l->from, l->piece);
    } else if (to != NULL && !to->gone) {
        advance(w, to);
        to->upload[to->n_uploads++] = (struct upload){.to = l->from, .piece = l->piece, .left = 1};
        schedule(w, to);
    } else if (to == NULL) {
        for (int i = 0; i < PEERS; i++)
            if (i != l->from)
                hear(w, i, l);
        if (l->kind == HAVE)
            bits_set(&w->node[l->from].known, l->piece, true);
        if (l->kind == GONE) {
            struct bits *known = &w->node[l->from].known;
            bits_finish(known);
            bits_init(known, PIECES);
        }
        for (int i = 0; i < PEERS; i++) {
            const struct pick *p = &w->node[i].pick;
            if (l->kind == GONE || l->kind == DROPPED)
                ask_all(w, i);
            else if (l->kind == HAVE && !bits_has(&p->have, l->piece) && p->asked[l->piece] == 0)
                ask(w, i, l->from);
        }
    }
}

/* --- a run --- */

static void begin(struct world *w, enum pick_order order, uint64_t seed)
{
    *w = (struct world){.rng = noise_mix(seed)};
    for (int i = 0; i < NODES; i++) {
        struct node *n = &w->node[i];
        pick_init(&n->pick, PIECES, order, noise_key(seed, (size_t)i));
        bits_fill(&n->pick.want);
        bits_init(&n->known, PIECES);
        n->rate = i == SEEDER ? SEEDER_RATE : 1;
        n->next = INFINITY;
    }
    bits_fill(&w->node[SEEDER].known);
    for (int i = 0; i < PEERS; i++)
        pick_count(&w->node[i].pick, &w->node[SEEDER].known, 1);
    for (int i = 0; i < PEERS; i++)
        ask_all(w, i);
}

static void finish(struct world *w)
{
    for (int i = 0; i < NODES; i++) {
        pick_finish(&w->node[i].pick);
        bits_finish(&w->node[i].known);
    }
    free(w->letter);
}

/* One event; false: nothing is going to happen any more. */
static bool step(struct world *w)
{
    int first = 0;
    for (int i = 1; i < NODES; i++)
        if (w->node[i].next < w->node[first].next)
            first = i;
    double mail = w->read < w->n_letters ? w->letter[w->read].at : INFINITY;
    w->now = fmin(mail, w->node[first].next);
    if (isinf(w->now))
        return false;
    if (mail <= w->node[first].next) {
        struct letter l = w->letter[w->read++];
        deliver(w, &l);
    } else {
        end_uploads(w, first);
    }
    return true;
}

/* Peers that did not get all of it; *took: until the last had what it could get; *copies: of the file, that the seeder
 * sent. */
static int run(enum pick_order order, uint64_t seed, double *took, double *copies)
{
    struct world *w = xmalloc(sizeof *w);
    int stuck = 0;
    begin(w, order, seed);
    while (step(w))
        continue;
    for (int i = 0; i < PEERS; i++)
        stuck += !pick_done(&w->node[i].pick);
    *took = w->letter[w->n_letters - 1].at;
    *copies = w->node[SEEDER].sent / PIECES;
    assert_true(w->node[SEEDER].gone);
    finish(w);
    free(w);
    return stuck;
}

static int stuck_runs(enum pick_order order, const char *name)
{
    int runs = 0;
    double slowest = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        double took, copies;
        runs += run(order, seed, &took, &copies) > 0;
        slowest = fmax(slowest, took);
        assert_float_equal(copies, SEEDER_COPIES, 1e-3);
    }
    printf("# %s: in %d of %d runs somebody is stuck; the slowest run took %.2f times what one uplink needs for the "
           "file\n",
           name, runs, SEEDS, slowest / PIECES);
    return runs;
}

static void rarest_first_saves_all(void **state)
{
    (void)state;
    int rarest = stuck_runs(PICK_RAREST, "rarest first");
    int random = stuck_runs(PICK_RANDOM, "any by chance");
    assert_int_equal(rarest, 0);
    assert_true(random > SEEDS / 2);
}

const struct CMUnitTest simulation_tests[] = {cmocka_unit_test(rarest_first_saves_all)};
const size_t simulation_count = ARRAY_LEN(simulation_tests);
