#include <math.h>

#include "swarm/transfer-impl.h"

enum {
    AHEAD_MS = 250, /* of what a peer sends is asked for at a time */
    PATIENCE_LEAST_US = 1000000,
    PATIENCE_MOST_US = 30000000,
    PATIENCE_NEW_US = 2000000, /* while its speed is unknown */
    JOIN_US = 300000,          /* what is left at others takes longer than this: worth a request to one more */
    SILENCE_US = 1500000,      /* nothing came for so long: asked of another peer as well, at the end */
};

/* Who goes before: peers that have a part (their pieces come and go round among them), then those that have all (their
 * uplink is for what nobody else has), then web servers. */
static int rank_of(const struct swarm_peer *p)
{
    return p->url ? 2 : bits_full(&p->have) ? 1 : 0;
}

static bool is_ready(const struct swarm_peer *p, int64_t now)
{
    return p->state == SWARM_PEER_UP && p->rest_until_us <= now;
}

/* How long p's uplink is spared for what others can give as well: three times what it would take itself. */
static double patience_us(const struct swarm_peer *p, uint64_t size)
{
    if (!(p->speed > 0))
        return PATIENCE_NEW_US;
    double us = 3e6 * (double)size / p->speed;
    return us < PATIENCE_LEAST_US ? PATIENCE_LEAST_US : us > PATIENCE_MOST_US ? PATIENCE_MOST_US : us;
}

/* Whether a piece is left to peers of a lower rank than p, which have it or will soon. */
static bool stands_back(const struct transfer *t, const struct swarm_peer *p, size_t piece, int64_t now)
{
    int rank = rank_of(p);
    if (rank == 0)
        return false;
    double rate = 0; /* bytes a second */
    bool any = false, unknown = false;
    const struct swarm_peer *other;
    TAILQ_FOREACH(other, &t->peers, entry)
    {
        if (rank_of(other) >= rank || !is_ready(other, now))
            continue;
        bool has = bits_has(&other->have, piece);
        any = any || has;
        unknown = unknown || (has && isnan(other->speed));
        rate += isnan(other->speed) ? 0 : other->speed;
    }
    uint64_t size = t->o.manifest->piece[piece].size;
    double left_us = rate > 0 ? (double)t->missing * 1e6 / rate : INFINITY;
    if (any && p->url)
        return unknown || (left_us <= PATIENCE_MOST_US && !(p->speed > rate * 4));
    if (any)
        return (unknown && rate <= 0) || left_us <= patience_us(p, size);
    if (t->pick.coming[piece] == 0)
        return false;
    return (double)(now - t->start_us) - t->coming_ms[piece] * 1e3 <= patience_us(p, size);
}

/* Blocks that a request to p is for. */
static unsigned blocks_of(const struct swarm_peer *p)
{
    double n = isnan(p->speed) ? 2 : p->speed * AHEAD_MS / 1000 / BLOCK;
    return n < 1 ? 1 : n > FETCH_BLOCKS ? FETCH_BLOCKS : (unsigned)n;
}

/* Requests that p is to have: enough that its link never waits for the next, and no more. */
static unsigned requests_of(const struct swarm_peer *p)
{
    double n = isnan(p->speed) ? 2 : 1 + p->speed * AHEAD_MS / 1000 / (FETCH_BLOCKS * (double)BLOCK);
    n = n < 2 ? 2 : n > PEER_FETCHES ? PEER_FETCHES : n;
    return p->most > 0 && p->most < n ? p->most : (unsigned)n;
}

/* The first run of free blocks at or after `from`, at most max of them; 0: none. */
static unsigned free_run(const struct part *part, unsigned from, unsigned max, unsigned *first)
{
    unsigned n = 0;
    while (from < part->n && part->block[from].state != BLOCK_FREE)
        from++;
    *first = from;
    while (n < max && from + n < part->n && part->block[from + n].state == BLOCK_FREE)
        n++;
    return n;
}

/* The last run. */
static unsigned free_tail(const struct part *part, unsigned max, unsigned *first)
{
    unsigned end = part->n, n = 0;
    while (end > 0 && part->block[end - 1].state != BLOCK_FREE)
        end--;
    while (n < max && n < end && part->block[end - 1 - n].state == BLOCK_FREE)
        n++;
    *first = end - n;
    return n;
}

/* Whether another peer that is ready has the piece. */
static bool others_have(const struct transfer *t, const struct swarm_peer *p, size_t piece, int64_t now)
{
    const struct swarm_peer *other;
    TAILQ_FOREACH(other, &t->peers, entry)
    if (other != p && is_ready(other, now) && bits_has(&other->have, piece))
        return true;
    return false;
}

/* A piece that somebody began and that nobody leads now. */
static struct part *left_behind(struct transfer *t, struct swarm_peer *p, int64_t now)
{
    struct part *part;
    TAILQ_FOREACH(part, &t->parts, entry)
    {
        if (part->lead && part->lead->part == part)
            continue;
        if (!part_allows(part, p, part->n_fetches > 0) || stands_back(t, p, part->piece, now))
            continue;
        if (part->shun == p->serial && others_have(t, p, part->piece, now))
            continue;
        return part;
    }
    return NULL;
}

static struct part *new_part(struct transfer *t, struct swarm_peer *p, int64_t now)
{
    if (t->n_parts >= PARTS_MAX)
        return NULL;
    int64_t piece = pick_next(&t->pick, &p->have);
    if (piece < 0 || part_find(t, (size_t)piece) || stands_back(t, p, (size_t)piece, now))
        return NULL;
    return part_begin(t, (size_t)piece);
}

/* Nothing is left to begin: some of what another peer has still before it. */
static bool join(struct transfer *t, struct swarm_peer *p, int64_t now)
{
    struct part *part, *best = NULL;
    double most = JOIN_US;
    TAILQ_FOREACH(part, &t->parts, entry)
    {
        const struct swarm_peer *lead = part->lead;
        if (!lead || lead == p || lead->doubted || !part_allows(part, p, true) || stands_back(t, p, part->piece, now))
            continue;
        double left = lead->speed > 0 ? 1e6 * part->n_free * BLOCK / lead->speed : PATIENCE_NEW_US;
        if (left > most) {
            most = left;
            best = part;
        }
    }
    if (!best)
        return false;
    unsigned first, n = free_tail(best, blocks_of(p), &first);
    if (n > 1 && n > best->n_free / 2)
        n /= 2;
    fetch_start(p, best, first, n);
    return true;
}

static bool any_free(const struct transfer *t, const struct swarm_peer *p)
{
    const struct part *part;
    TAILQ_FOREACH(part, &t->parts, entry)
    if (part->n_free > 0 && bits_has(&p->have, part->piece))
        return true;
    return false;
}

/* Blocks of a request that have come from nobody yet and that nobody else is asked for: the last of them, and how many
 * in all. */
static unsigned outstanding(const struct fetch *f, unsigned *last)
{
    unsigned n = 0;
    for (unsigned i = f->first + f->at; i < f->first + f->n; i++) {
        const struct block *b = &f->part->block[i];
        if (b->state != BLOCK_ASKED || b->askers > 1)
            continue;
        *last = i;
        n++;
    }
    return n;
}

/* How long until what is asked of p is here, microseconds. */
static double time_left(const struct swarm_peer *p, int64_t now)
{
    const struct fetch *f;
    unsigned blocks = 0, last;
    int64_t heard = 0;
    TAILQ_FOREACH(f, &p->fetches, entry)
    {
        blocks += outstanding(f, &last);
        if (f->heard_us > heard)
            heard = f->heard_us;
    }
    if (now - heard > SILENCE_US)
        return PATIENCE_MOST_US;
    return p->speed > 0 ? 1e6 * blocks * BLOCK / p->speed : PATIENCE_NEW_US;
}

/* The end game: what a slow peer has before it is asked of p as well, and whoever is first wins. */
static bool ask_again(struct transfer *t, struct swarm_peer *p, int64_t now)
{
    if (p->n_fetches > 0 || p->doubted || any_free(t, p) || !pick_ending(&t->pick))
        return false;
    double mine = p->speed > 0 ? 1e6 * BLOCK / p->speed : JOIN_US, most = 4 * mine + JOIN_US;
    struct fetch *f;
    struct part *part = NULL;
    struct swarm_peer *other;
    unsigned block = 0;
    TAILQ_FOREACH(other, &t->peers, entry)
    {
        double left = other == p || other->doubted ? 0 : time_left(other, now);
        if (left <= most)
            continue;
        TAILQ_FOREACH(f, &other->fetches, entry)
        {
            if (f->part->alone || !bits_has(&p->have, f->part->piece) || outstanding(f, &block) == 0)
                continue;
            part = f->part; /* the last that it will come to */
            most = left;
        }
    }
    if (!part)
        return false;
    fetch_start(p, part, block, 1);
    return true;
}

/* One more request to p.  False: there is nothing to ask it for now. */
static bool ask(struct transfer *t, struct swarm_peer *p, int64_t now)
{
    unsigned first, n;
    if (!p->part || p->part->n_free == 0) {
        struct part *part = left_behind(t, p, now);
        if (!part)
            part = new_part(t, p, now);
        if (!part)
            return join(t, p, now) || ask_again(t, p, now);
        part_lead(part, p);
    }
    n = free_run(p->part, 0, blocks_of(p), &first);
    if (n == 0)
        return false;
    fetch_start(p, p->part, first, n);
    return true;
}

void transfer_ask(struct transfer *t, int64_t now)
{
    if (t->full || t->over)
        return;
    struct swarm_peer *p;
    unsigned n_ready = 1;
    TAILQ_FOREACH(p, &t->peers, entry)
    n_ready += is_ready(p, now);
    unsigned fair = FETCHES_MAX / n_ready > 1 ? FETCHES_MAX / n_ready : 1;
    for (int rank = 0; rank <= 2; rank++) {
        TAILQ_FOREACH(p, &t->peers, entry)
        {
            if (rank_of(p) != rank || !is_ready(p, now))
                continue;
            unsigned most = requests_of(p);
            while (p->n_fetches < most && p->n_fetches < fair)
                if (!ask(t, p, now))
                    break;
        }
    }
}
