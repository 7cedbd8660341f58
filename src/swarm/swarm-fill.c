/* What can be seen of the swarm. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "swarm/swarm-internal.h"

/* Columns of equal numbers of pieces. */
static void fill_map(struct swarm_view_model *m, const struct bits *have)
{
    m->n_map = have->n < SWARM_VIEW_MAP ? have->n : SWARM_VIEW_MAP;
    for (size_t c = 0; c < m->n_map; c++) {
        size_t from = c * have->n / m->n_map, to = (c + 1) * have->n / m->n_map, had = 0;
        for (size_t i = from; i < to; i++)
            had += bits_has(have, i);
        m->map[c].had = (uint8_t)(100 * had / (to - from));
    }
}

void swarm_fill_given(const struct swarm_item *item, struct swarm_view_model *m)
{
    const struct share *share = item->share;
    const struct manifest *f = share->manifest;
    uint64_t have = 0;
    for (size_t i = 0; i < f->n_pieces; i++)
        have += bits_has(&share->have, i) ? f->piece[i].size : 0;
    *m = (struct swarm_view_model){.state = SWARM_SEEDING,
                                   .size = f->total_size,
                                   .wanted = have,
                                   .have = have,
                                   .fetched = item->fetched,
                                   .copied = item->copied,
                                   .wasted = item->wasted,
                                   .sent = share->sent,
                                   .up = item->up,
                                   .eta = NAN,
                                   .availability = NAN,
                                   .pieces = (uint32_t)f->n_pieces,
                                   .pieces_have = (uint32_t)share->have.count};
    snprintf(m->id, sizeof(m->id), "%s", f->id);
    snprintf(m->name, sizeof(m->name), "%s", f->model != NULL ? f->model : f->filename);
    snprintf(m->file, sizeof(m->file), "%s", f->filename);
    fill_map(m, &share->have);
}

static void fill_models(const struct swarm *s, struct swarm_view *v)
{
    struct swarm_view_model *extra = xcalloc(1, sizeof(*extra));
    for (struct swarm_pull *p = s->pulls; p != NULL; p = swarm_pull_next(p)) {
        struct swarm_view_model *m = v->n_models < SWARM_VIEW_MODELS ? &v->model[v->n_models++] : extra;
        swarm_pull_view(p, m, v);
        v->down += isfinite(m->down) ? m->down : 0;
        v->fetched += m->fetched;
        v->models_in_all++;
    }
    swarm_failed_fill(s, v);
    if (swarm_give_fill(s, extra)) {
        v->models_in_all++;
        if (v->n_models < SWARM_VIEW_MODELS)
            v->model[v->n_models++] = *extra;
    }
    for (const struct swarm_item *i = s->items; i != NULL; i = i->next) {
        if (i->pull != NULL)
            continue;
        v->models_in_all++;
        if (v->n_models < SWARM_VIEW_MODELS)
            swarm_fill_given(i, &v->model[v->n_models++]);
    }
    free(extra);
}

/* Of all that a swarm does on the loop: its server, its requests, the ends of what its crew does.  Microseconds. */
static uint64_t slowest_of(const struct swarm *s, const struct swarm_server_counters *server)
{
    struct httpc_counters http;
    httpc_get_counters(s->http, &http);
    uint64_t crew = crew_slowest_us(s->crew), most = server->slowest_us;
    most = http.slowest_us > most ? http.slowest_us : most;
    return crew > most ? crew : most;
}

void swarm_fill(const struct swarm *s, struct swarm_view *v)
{
    struct swarm_server_counters c;
    memset(v, 0, sizeof(*v));
    swarm_server_counters(s->server, &c);
    v->on = true;
    v->discovery = s->discovery && s->find != NULL;
    snprintf(v->listen, sizeof(v->listen), strchr(s->host, ':') != NULL ? "[%s]:%d" : "%s:%d", s->host,
             swarm_server_port(s->server));
    if (s->discovery && s->find == NULL)
        snprintf(v->why, sizeof(v->why), "peers of the local network can't be heard: there is no multicast here");
    v->up = s->up;
    v->sent = c.sent;
    v->fetched = s->fetched_before;
    v->uploads = c.uploads;
    v->waiting = c.waiting;
    v->slowest_ms = (double)slowest_of(s, &c) / 1000;
    fill_models(s, v);
}
