#include <math.h>
#include <stdio.h>
#include <string.h>

#include "swarm/transfer-impl.h"

static void fill_map(const struct transfer *t, struct swarm_view_model *m)
{
    const struct pick *p = &t->pick;
    m->n_map = p->n < SWARM_VIEW_MAP ? p->n : SWARM_VIEW_MAP;
    for (size_t c = 0; c < m->n_map; c++) {
        size_t wanted = 0, have = 0;
        for (size_t i = c * p->n / m->n_map; i < (c + 1) * p->n / m->n_map; i++) {
            wanted += bits_has(&p->want, i);
            have += bits_has(&p->want, i) && bits_has(&p->have, i);
        }
        m->map[c].had = wanted > 0 ? (uint8_t)(100 * have / wanted) : 255;
    }
}

/* Bytes of pieces under way that are here already. */
static uint64_t half_way(const struct transfer *t)
{
    const struct part *part;
    uint64_t bytes = 0;
    TAILQ_FOREACH(part, &t->parts, entry)
    bytes += (uint64_t)part->n_here * BLOCK < part->size ? (uint64_t)part->n_here * BLOCK : part->size;
    return bytes;
}

/* Pieces that are missing and that nobody has, or is fetching. */
static size_t nowhere(const struct transfer *t)
{
    const struct pick *p = &t->pick;
    size_t n = 0;
    for (size_t i = 0; i < p->n; i++)
        n += bits_has(&p->want, i) && !bits_has(&p->have, i) && p->copies[i] == 0 && p->coming[i] == 0;
    return n;
}

static void fill_state(const struct transfer *t, struct swarm_view_model *m)
{
    const struct swarm_peer *p, *told = NULL;
    bool up = false;
    TAILQ_FOREACH(p, &t->peers, entry)
    {
        up = up || p->state == SWARM_PEER_UP;
        if (p->state != SWARM_PEER_UP && p->why[0] != '\0' && !p->self)
            told = p;
    }
    m->why[0] = '\0';
    if (t->over) {
        m->state = t->ok ? SWARM_LANDING : SWARM_FAILED;
        snprintf(m->why, sizeof m->why, "%.250s", t->why);
    } else if (t->full) {
        m->state = SWARM_WAITING;
        snprintf(m->why, sizeof m->why, "%.250s", t->why);
    } else if (!up) {
        m->state = told ? SWARM_WAITING : SWARM_FINDING;
        if (told)
            snprintf(m->why, sizeof m->why, "no peer can be asked; %s: %s", told->address, told->why);
    } else if (t->n_fetches == 0 && nowhere(t) > 0) {
        m->state = SWARM_WAITING;
        snprintf(m->why, sizeof m->why, "%zu of the missing pieces are with no peer that is connected", nowhere(t));
    } else {
        m->state = SWARM_FETCHING;
    }
}

static void fill_peer(const struct transfer *t, const struct swarm_peer *p, struct swarm_view_peer *v)
{
    *v = (struct swarm_view_peer){.state = p->state,
                                  .share = NAN,
                                  .down = p->down,
                                  .up = NAN,
                                  .fetched = p->fetched,
                                  .asked = p->n_fetches,
                                  .corrupt = p->corrupt,
                                  .rtt_us = p->rtt_us};
    snprintf(v->address, sizeof v->address, "%s", p->address);
    snprintf(v->model, sizeof v->model, "%.127s", t->o.manifest->filename);
    snprintf(v->why, sizeof v->why, "%s", p->why);
    if (p->state == SWARM_PEER_UP && p->have.n > 0)
        v->share = (double)p->have.count / (double)p->have.n;
}

void transfer_fill(const struct transfer *t, struct swarm_view_model *m, struct swarm_view *v)
{
    const struct manifest *manifest = t->o.manifest;
    const struct swarm_peer *p;
    fill_state(t, m);
    m->size = manifest->total_size;
    m->wanted = m->have = 0;
    m->pieces = (uint32_t)t->pick.n;
    m->pieces_have = (uint32_t)t->pick.have.count;
    for (size_t i = 0; i < t->pick.n; i++) {
        if (!bits_has(&t->pick.want, i))
            continue;
        m->wanted += manifest->piece[i].size;
        m->have += bits_has(&t->pick.have, i) ? manifest->piece[i].size : 0;
    }
    m->fetched = t->fetched;
    m->wasted = t->wasted;
    m->down = t->down;
    double left = (double)t->missing - (double)half_way(t);
    m->eta = t->down > 1 ? (left > 0 ? left : 0) / t->down : NAN;
    m->availability = pick_availability(&t->pick);
    m->peers = 0;
    TAILQ_FOREACH(p, &t->peers, entry)
    {
        m->peers += p->state == SWARM_PEER_UP;
        if (p->self)
            continue;
        v->peers_in_all++;
        if (v->n_peers < SWARM_VIEW_PEERS)
            fill_peer(t, p, &v->peer[v->n_peers++]);
    }
    fill_map(t, m);
}
