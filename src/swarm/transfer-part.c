#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "swarm/transfer-impl.h"

enum {
    FULL_RETRY_US = 3000000,  /* how soon it is tried again whether the disk has room */
    CORRUPT_MAX = 2,          /* wrong pieces, and its sender is banned */
    STUCK_LEAST_US = 5000000, /* without a block, and a piece is taken from its sender: four times what another would */
    STUCK_MOST_US = 30000000, /* take for all of it, and each time that this happens to a piece twice as long */
    STUCK_DOUBLED = 6,
};

uint64_t part_block_size(const struct part *part, unsigned block)
{
    uint64_t at = (uint64_t)block * BLOCK;
    return part->size - at < BLOCK ? part->size - at : BLOCK;
}

struct part *part_find(const struct transfer *t, size_t piece)
{
    struct part *part;
    TAILQ_FOREACH(part, &t->parts, entry)
    if (part->piece == piece)
        return part;
    return NULL;
}

/* Tells the others whether it is being fetched. */
static void tell_asked(struct part *part)
{
    bool asked = part->lead != NULL || part->n_fetches > 0 || part->n_here == part->n;
    share_set_fetching(part->transfer->share, part->piece, asked);
}

struct part *part_begin(struct transfer *t, size_t piece)
{
    struct part *part = xcalloc(1, sizeof *part);
    part->transfer = t;
    part->piece = piece;
    part->serial = ++t->serial;
    part->moved_us = clock_us();
    part->size = t->o.manifest->piece[piece].size;
    part->n = part->n_free = (unsigned)((part->size + BLOCK - 1) / BLOCK);
    TAILQ_INSERT_TAIL(&t->parts, part, entry);
    t->n_parts++;
    t->pick.asked[piece] = 1;
    return part;
}

/* Those that no one else than p sent, or is to send. */
static bool only_of(const struct part *part, const struct swarm_peer *p)
{
    for (unsigned i = 0; i < part->n; i++)
        if (part->block[i].state == BLOCK_HERE && part->block[i].sender != p->serial)
            return false;
    return true;
}

bool part_allows(const struct part *part, const struct swarm_peer *p, bool beside)
{
    if (part->checking || part->n_free == 0 || !bits_has(&p->have, part->piece))
        return false;
    return (!part->alone && !p->doubted) || (!beside && only_of(part, p));
}

void part_lead(struct part *part, struct swarm_peer *p)
{
    if (part->lead && part->lead->part == part)
        part->lead->part = NULL;
    if (p->part)
        part_leave(p->part, p);
    part->lead = p;
    p->part = part;
    if (part->led != p->serial) {
        part->led = p->serial;
        part->moved_us = clock_us();
    }
    if (p->doubted)
        part->alone = true;
    tell_asked(part);
}

void part_leave(struct part *part, struct swarm_peer *p)
{
    if (p->part == part)
        p->part = NULL;
    if (part->lead != p)
        return;
    part->lead = NULL;
    if (part->n_free == part->n && part->n_fetches == 0 && part->shun == 0)
        part_drop(part); /* nothing is lost with it */
    else
        tell_asked(part);
}

void part_ask(struct part *part, unsigned first, unsigned n)
{
    for (struct block *b = part->block + first; b < part->block + first + n; b++) {
        if (b->state == BLOCK_FREE) {
            b->state = BLOCK_ASKED;
            part->n_free--;
        }
        b->askers++;
    }
    part->n_fetches++;
    tell_asked(part);
}

void part_unask(struct part *part, unsigned first, unsigned n)
{
    for (struct block *b = part->block + first; b < part->block + first + n; b++) {
        if (--b->askers == 0 && b->state == BLOCK_ASKED) {
            b->state = BLOCK_FREE;
            part->n_free++;
        }
    }
    part->n_fetches--;
    tell_asked(part);
}

/* Nothing of it is here any more. */
static void start_again(struct part *part)
{
    fetch_cancel_part(part);
    for (unsigned i = 0; i < part->n; i++)
        part->block[i] = (struct block){.state = BLOCK_FREE};
    part->n_free = part->n;
    part->n_here = part->n_written = 0;
    part->checking = false;
    part->led = 0;
    part->moved_us = clock_us();
    part->serial = ++part->transfer->serial; /* writes that are still under way are of no account */
    if (part->lead && part->lead->part == part)
        part->lead->part = NULL;
    part->lead = NULL;
    tell_asked(part);
}

void part_drop(struct part *part)
{
    struct transfer *t = part->transfer;
    fetch_cancel_part(part);
    if (part->lead && part->lead->part == part)
        part->lead->part = NULL;
    t->pick.asked[part->piece] = 0;
    share_set_fetching(t->share, part->piece, false);
    TAILQ_REMOVE(&t->parts, part, entry);
    t->n_parts--;
    free(part);
}

static struct disk_job *job_add(struct part *part, unsigned block, size_t len)
{
    struct transfer *t = part->transfer;
    struct disk_job *job = xcalloc(1, sizeof *job);
    *job = (struct disk_job){.transfer = t, .piece = part->piece, .part = part->serial, .block = block, .len = len};
    TAILQ_INSERT_TAIL(&t->jobs, job, entry);
    t->writing += len;
    return job;
}

/* The transfer of a job that has ended, and the part it was for if that is still the same (else NULL).  The job is
 * freed.  NULL: the transfer has gone, or is over. */
static struct transfer *job_end(struct disk_job *job, struct part **part)
{
    struct transfer *t = job->transfer;
    *part = NULL;
    if (t) {
        TAILQ_REMOVE(&t->jobs, job, entry);
        t->writing -= job->len;
        *part = part_find(t, job->piece);
        if (*part && (*part)->serial != job->part)
            *part = NULL;
    }
    free(job);
    return t && !t->over ? t : NULL;
}

void part_abandon_jobs(struct transfer *t)
{
    struct disk_job *job;
    while ((job = TAILQ_FIRST(&t->jobs))) {
        TAILQ_REMOVE(&t->jobs, job, entry);
        job->transfer = NULL; /* the store still calls for it */
    }
}

/* No room, or worse. */
static void disk_trouble(struct transfer *t, enum store_result result, const char *why)
{
    if (result == STORE_FAILED) {
        transfer_end(t, false, why);
        return;
    }
    if (!t->full)
        log_warn("swarm: %s", why);
    free(t->why);
    t->why = xstrdup(why);
    t->full = true;
    t->full_until_us = t->tick_us + FULL_RETRY_US;
    struct swarm_peer *p;
    TAILQ_FOREACH(p, &t->peers, entry)
    while (!TAILQ_EMPTY(&p->fetches))
        fetch_cancel(TAILQ_FIRST(&p->fetches));
}

/* Those who sent blocks of it, each once; at most max of them. */
static size_t senders(const struct part *part, struct swarm_peer **list, size_t max)
{
    struct swarm_peer *p;
    size_t n = 0;
    TAILQ_FOREACH(p, &part->transfer->peers, entry)
    {
        for (unsigned i = 0; i < part->n && n < max; i++) {
            if (part->block[i].sender != p->serial)
                continue;
            list[n++] = p;
            break;
        }
    }
    return n;
}

/* Of one sender alone it is known who was wrong; of several each gets whole pieces from now on, this one first of
 * all. */
static void blame(struct part *part)
{
    struct transfer *t = part->transfer;
    struct swarm_peer *who[PART_BLOCKS];
    size_t n = senders(part, who, PART_BLOCKS);
    t->wasted += part->size;
    bool single = only_of(part, n == 1 ? who[0] : &(struct swarm_peer){0});
    part->alone = true;
    part->shun = single ? who[0]->serial : UINT32_MAX;
    start_again(part);
    if (single) {
        who[0]->corrupt++;
        log_warn("swarm: %s sent piece %zu of %s wrong", who[0]->address, part->piece, t->o.manifest->filename);
        if (who[0]->corrupt >= CORRUPT_MAX)
            swarm_peer_ban(who[0], "it sent wrong pieces");
        return;
    }
    log_warn("swarm: piece %zu of %s came wrong from one of %zu peers", part->piece, t->o.manifest->filename, n);
    for (size_t i = 0; i < n; i++)
        who[i]->doubted = true;
}

static void check(struct part *part);

static void on_checked(void *arg, enum store_result result, const char *why)
{
    struct part *part;
    struct transfer *t = job_end(arg, &part);
    if (!t)
        return;
    if (part)
        part->checking = false;
    if (result == STORE_CORRUPT) {
        if (part)
            blame(part);
    } else if (result != STORE_OK) {
        disk_trouble(t, result, why); /* part_retry checks it again */
    } else if (part) {
        part_drop(part); /* it is had already by another way */
    }
    transfer_kick(t);
}

static void check(struct part *part)
{
    part->checking = true;
    store_check(part->transfer->o.store, part->piece, on_checked, job_add(part, 0, 0));
}

static void on_written(void *arg, enum store_result result, const char *why)
{
    unsigned block = ((struct disk_job *)arg)->block;
    struct part *part;
    struct transfer *t = job_end(arg, &part);
    if (!t)
        return;
    if (result != STORE_OK) {
        if (part) { /* those bytes are lost */
            part->block[block].state = BLOCK_FREE;
            part->block[block].sender = 0;
            part->n_free++;
            part->n_here--;
            tell_asked(part);
        }
        disk_trouble(t, result, why);
    } else if (part && ++part->n_written == part->n) {
        check(part);
    }
    transfer_kick(t);
}

void part_put(struct part *part, unsigned block, char *data, struct swarm_peer *from)
{
    struct transfer *t = part->transfer;
    struct block *b = &part->block[block];
    size_t len = (size_t)part_block_size(part, block);
    if (b->state == BLOCK_HERE || t->full || t->over) {
        t->wasted += len;
        free(data);
        return;
    }
    b->state = BLOCK_HERE;
    b->sender = from->serial;
    part->moved_us = clock_us();
    part->n_here++;
    bool doubled = b->askers > 1;
    store_write(t->o.store, part->piece, (uint64_t)block * BLOCK, data, len, on_written, job_add(part, block, len));
    if (doubled)
        fetch_cancel_needless(part);
}

void part_give_up(struct part *part, struct swarm_peer *p)
{
    part->shun = p->serial; /* before part_leave, which would forget it */
    part_leave(part, p);
}

/* One that must come from one peer alone, which has gone in the middle of it, or goes silent. */
static bool is_stranded(const struct part *part)
{
    const struct swarm_peer *p;
    if (!part->alone || part->n_here == 0 || part->n_here == part->n || part->n_here != part->n_written ||
        part->n_fetches > 0)
        return false;
    TAILQ_FOREACH(p, &part->transfer->peers, entry)
    if (p->state == SWARM_PEER_UP && p->serial != part->shun && bits_has(&p->have, part->piece) && only_of(part, p))
        return false;
    return true;
}

/* A peer that has the piece and may not help whoever holds it: of several the one that has held up the fewest, then the
 * fastest.  NULL: there is none. */
static struct swarm_peer *rescuer(const struct part *part)
{
    struct swarm_peer *p, *best = NULL;
    bool apart = part->alone || (part->lead && part->lead->doubted);
    TAILQ_FOREACH(p, &part->transfer->peers, entry)
    {
        if (p->state != SWARM_PEER_UP || p == part->lead || !bits_has(&p->have, part->piece))
            continue;
        if (!(apart || p->doubted) || (p->serial == part->led && part_allows(part, p, false)))
            continue;
        if (!best || p->stuck < best->stuck || (p->stuck == best->stuck && p->speed > best->speed))
            best = p;
    }
    return best;
}

/* For how long no block of it may come before it is given to that peer, microseconds. */
static double stuck_us(const struct part *part, const struct swarm_peer *other)
{
    const struct transfer *t = part->transfer;
    double us = other->speed > 0 ? 4e6 * (double)part->size / other->speed : STUCK_MOST_US;
    us = us < STUCK_LEAST_US ? STUCK_LEAST_US : us > STUCK_MOST_US ? STUCK_MOST_US : us;
    us *= 1u << (part->stuck < STUCK_DOUBLED ? part->stuck : STUCK_DOUBLED);
    if (t->o.download_limit > 0)
        us += 1e6 * BLOCK * (double)(t->n_fetches + 1) / (double)t->o.download_limit;
    return us;
}

/* One that may come from one peer only, who sends nothing of it or next to nothing, whatever he says meanwhile. */
static struct swarm_peer *is_stuck(const struct part *part, int64_t now)
{
    if (part->led == 0 || part->checking || part->n_here == part->n || part->n_here != part->n_written ||
        now - part->moved_us < STUCK_LEAST_US)
        return NULL;
    struct swarm_peer *other = rescuer(part);
    return other && (double)(now - part->moved_us) > stuck_us(part, other) ? other : NULL;
}

static void lose(struct part *part)
{
    struct transfer *t = part->transfer;
    for (unsigned i = 0; i < part->n; i++)
        t->wasted += part->block[i].state == BLOCK_HERE ? part_block_size(part, i) : 0;
    store_forget(t->o.store, part->piece);
    start_again(part);
}

static void hand_over(struct part *part, struct swarm_peer *to)
{
    struct swarm_peer *p;
    uint32_t from = part->led;
    TAILQ_FOREACH(p, &part->transfer->peers, entry)
    if (p->serial == from) {
        p->stuck++;
        log_info("swarm: %s holds piece %zu of %s up", p->address, part->piece, part->transfer->o.manifest->filename);
    }
    part->shun = from;
    part->stuck++;
    lose(part);
    if (!to->part || to->part->n_free == 0)
        part_lead(part, to);
}

void part_tick(struct transfer *t)
{
    struct part *part, *next;
    if (t->full || t->over)
        return;
    for (part = TAILQ_FIRST(&t->parts); part; part = next) {
        next = TAILQ_NEXT(part, entry);
        struct swarm_peer *other = is_stuck(part, t->tick_us);
        if (other)
            hand_over(part, other);
        else if (is_stranded(part))
            lose(part);
    }
}

void part_retry(struct transfer *t)
{
    struct part *part;
    uint64_t missing;
    int64_t room;
    store_room(t->o.store, &missing, &room);
    const struct manifest *m = t->o.manifest;
    if (room >= 0 && (uint64_t)room < (missing < m->piece_size ? missing : m->piece_size)) { /* reserved at once */
        t->full_until_us = t->tick_us + FULL_RETRY_US;
        return;
    }
    t->full = false;
    free(t->why);
    t->why = NULL;
    TAILQ_FOREACH(part, &t->parts, entry)
    {
        part->moved_us = t->tick_us; /* nobody was asked meanwhile */
        if (part->n_written == part->n && !part->checking)
            check(part);
    }
}
