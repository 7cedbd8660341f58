#include "swarm/swarm-pull.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/cause.h"
#include "base/clock.h"
#include "base/mem.h"

void pull_then(struct swarm_pull *p, void (*step)(struct swarm_pull *p))
{
    p->step = step;
    event_active(p->later, EV_TIMEOUT, 0);
}

static void on_later(evutil_socket_t fd, short what, void *arg)
{
    struct swarm_pull *p = arg;
    void (*step)(struct swarm_pull *) = p->step;
    p->step = NULL;
    if (step != NULL)
        step(p);
}

static void unlink_pull(struct swarm_pull *p)
{
    struct swarm_pull **at = &p->swarm->pulls;
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    p->swarm->n_pulls--;
}

/* How much has come so far, before the transfer goes. */
static void note_transfer(struct swarm_pull *p)
{
    struct swarm_view *v = xcalloc(1, sizeof(*v));
    struct swarm_view_model m = {0};
    transfer_fill(p->transfer, &m, v);
    p->fetched += m.fetched;
    p->wasted += m.wasted;
    free(v);
}

/* Whether nobody else has all of it: seen at the end of the transfer, before its peers are let go. */
static bool is_alone(const struct swarm_pull *p)
{
    struct swarm_view *v = xcalloc(1, sizeof(*v));
    struct swarm_view_model m = {0};
    bool alone = true;
    transfer_fill(p->transfer, &m, v);
    for (size_t i = 0; i < v->n_peers; i++)
        alone = alone && !(v->peer[i].state == SWARM_PEER_UP && v->peer[i].share >= 1);
    free(v);
    return alone;
}

/* All but p itself, its manifest and what a result names; it is in no list of the swarm any more. */
static void stop(struct swarm_pull *p, bool keep)
{
    struct swarm_item *item = p->item;
    library_cancel(p->library);
    needed_cancel(p->search);
    swarm_parse_cancel(p->parse);
    ask_destroy(p->ask);
    web_cancel(p->web);
    if (p->transfer != NULL) {
        note_transfer(p);
        transfer_destroy(p->transfer);
    }
    store_destroy(p->store);
    library_found_finish(&p->found);
    /* Whoever hears of the end may look at it once more. */
    p->library = NULL;
    p->search = NULL;
    p->parse = NULL;
    p->ask = NULL;
    p->web = NULL;
    p->transfer = NULL;
    p->store = NULL;
    if (!keep)
        p->item = NULL;
    if (item == NULL)
        return;
    item->pull = NULL;
    item->fetched = p->fetched;
    item->copied = p->copied;
    item->wasted = p->wasted;
    item->alone = p->alone;
    if (!keep)
        swarm_item_remove(item);
    else
        swarm_announce(p->swarm);
}

static void free_pull(struct swarm_pull *p)
{
    for (size_t i = 0; i < p->n_peers; i++)
        free(p->peer[i]);
    swarm_what_finish(&p->what);
    bits_finish(&p->want);
    manifest_destroy(p->m);
    event_free(p->later);
    free(p->ordered);
    free(p->dir);
    free(p->web_url);
    free(p->why);
    free(p->path);
    free(p);
}

static void leave(struct swarm_pull *p, bool keep)
{
    struct swarm *s = p->swarm;
    unlink_pull(p);
    stop(p, keep);
    s->fetched_before += p->fetched;
    swarm_balance(s);
}

static void ended(struct swarm_pull *p)
{
    struct swarm_view_model m;
    swarm_pull_fill(p, &m);
    leave(p, p->ok);
    m.fetched = p->fetched;
    m.wasted = p->wasted;
    m.up = 0;
    if (!p->ok)
        swarm_failed_add(p->swarm, p->ordered, &m, SWARM_FAILED_MS);
    const struct swarm_pull_result r = {.ok = p->ok,
                                        .why = p->why,
                                        .path = p->path,
                                        .manifest = p->m,
                                        .fetched = p->fetched,
                                        .copied = p->copied,
                                        .wasted = p->wasted,
                                        .seconds = (double)(clock_us() - p->began_us) / 1e6};
    if (p->calls.on_done != NULL)
        p->calls.on_done(p->calls.arg, &r);
    free_pull(p);
}

void pull_end(struct swarm_pull *p, bool ok, const char *path, const char *why)
{
    char *place = xstrdup(path), *words = xstrdup(why);
    free(p->why);
    free(p->path);
    p->why = words;
    p->path = place;
    p->ok = ok;
    p->phase = PULL_ENDED;
    pull_then(p, ended);
}

struct store *pull_store(const struct swarm_pull *p)
{
    return p->item != NULL ? p->item->store : p->store;
}

static void land(struct swarm_pull *p);

static void on_landed(void *arg, enum store_result result, const char *why)
{
    struct swarm_pull *p = arg;
    if (result == STORE_OK) {
        pull_end(p, true, store_path(p->item->store), "");
    } else if (result == STORE_FULL) {
        free(p->why);
        p->why = xstrdup(why);
        p->step = land;
        evtimer_add(p->later, &(struct timeval){.tv_sec = PULL_LAND_AGAIN_S});
    } else {
        pull_end(p, false, NULL, why);
    }
}

static void land(struct swarm_pull *p)
{
    p->phase = PULL_LANDING;
    store_land(p->item->store, on_landed, p);
}

/* Which pieces the layers need is known now, or where the rest of the head lies. */
static void on_needed(void *arg, const struct bits *want, bool more, const char *why)
{
    struct swarm_pull *p = arg;
    p->search = NULL;
    if (want == NULL) {
        pull_end(p, false, NULL, why);
        return;
    }
    bits_copy(&p->want, want);
    p->head = more;
    p->item->pull = NULL;
    pull_then(p, pull_open);
}

static void fetched(struct swarm_pull *p)
{
    struct share *share = p->item->share;
    note_transfer(p);
    transfer_destroy(p->transfer);
    p->transfer = NULL;
    p->item->wanted = p->m->total_size;
    if (p->layers && p->head) {
        p->phase = PULL_READING;
        p->search = needed_find(p->swarm->crew, p->m, share->path, &share->have, &p->needed, on_needed, p);
    } else if (p->layers) {
        pull_end(p, true, share->path, "");
    } else {
        land(p);
    }
}

/* Nothing is kept of what is here: the server sends all of it. */
static void whole(struct swarm_pull *p)
{
    struct swarm_item *item = p->item;
    note_transfer(p);
    transfer_destroy(p->transfer);
    p->transfer = NULL;
    p->item = NULL;
    store_discard(item->store, true);
    swarm_item_remove(item);
    pull_download(p);
}

static void on_transferred(void *arg, bool ok, const char *why)
{
    struct swarm_pull *p = arg;
    p->alone = is_alone(p);
    if (ok)
        pull_then(p, fetched);
    else if (transfer_gives_whole(p->transfer) && p->web_url != NULL)
        pull_then(p, whole);
    else
        pull_end(p, false, NULL, why);
}

static bool known_has(const struct swarm_known *k, const struct manifest *m)
{
    for (size_t i = 0; i < k->n_ids; i++) {
        if (strncmp(k->id[i], m->id, 16) == 0)
            return true;
    }
    return false;
}

static void add_peers(struct swarm_pull *p)
{
    const struct swarm *s = p->swarm;
    int64_t now = clock_us() / 1000;
    const char *address;
    bool given;
    for (size_t i = 0; p->ask != NULL && (address = ask_source(p->ask, i, &given)) != NULL; i++)
        transfer_add_peer(p->transfer, address, given);
    for (size_t i = 0; i < p->n_peers; i++)
        transfer_add_peer(p->transfer, p->peer[i], true);
    for (size_t i = 0; i < SWARM_KNOWN_MAX; i++) {
        if (s->known[i].seen_ms > 0 && now - s->known[i].seen_ms < SWARM_KNOWN_MS && known_has(&s->known[i], p->m))
            transfer_add_peer(p->transfer, s->known[i].address, false);
    }
    if (p->web_url != NULL)
        transfer_add_web(p->transfer, p->web_url);
    if (s->find != NULL)
        find_ask(s->find);
}

void pull_fetch(struct swarm_pull *p)
{
    struct swarm *s = p->swarm;
    uint64_t chance = 0;
    if (getrandom(&chance, sizeof(chance), 0) != (ssize_t)sizeof(chance))
        chance = (uint64_t)clock_us();
    const struct transfer_opts o = {.base = s->base,
                                    .http = s->http,
                                    .crew = s->crew,
                                    .store = p->item->store,
                                    .manifest = p->m,
                                    .want = p->layers ? &p->want : NULL,
                                    .peer = s->id,
                                    .port = swarm_server_port(s->server),
                                    .local_only = s->local_only,
                                    .token = s->token,
                                    .server = s->server,
                                    .download_limit = swarm_pull_limit(s),
                                    .seed = chance};
    p->phase = PULL_FETCHING;
    p->transfer = transfer_create(&o, on_transferred, p);
    add_peers(p);
}

static int read_opts(struct swarm_pull *p, const struct swarm_pull_opts *o, char **cause)
{
    const struct swarm *s = p->swarm;
    if (swarm_what_read(&p->what, o->what, cause) != 0)
        return -1;
    for (size_t i = 0; i < o->n_peers + s->n_peers && p->n_peers < PULL_PEERS_MAX; i++) {
        char address[SWARM_ADDRESS];
        if (swarm_peer_read(i < o->n_peers ? o->peers[i] : s->peers[i - o->n_peers], address, cause) != 0)
            return -1;
        p->peer[p->n_peers++] = xstrdup(address);
    }
    p->layers = o->first_layer >= 0 || o->output;
    p->needed =
        (struct needed){.first = o->first_layer >= 0 ? o->first_layer : 0, .last = o->last_layer, .output = o->output};
    return 0;
}

struct swarm_pull *swarm_pull(struct swarm *s, const struct swarm_pull_opts *o, const struct swarm_pull_calls *calls,
                              char **cause)
{
    if (s->n_pulls >= SWARM_PULLS_MAX) {
        cause_set(cause, "%d models are being pulled already", SWARM_PULLS_MAX);
        return NULL;
    }
    struct swarm_pull *p = xcalloc(1, sizeof(*p));
    *p = (struct swarm_pull){.swarm = s,
                             .calls = *calls,
                             .ordered = xstrdup(o->what),
                             .dir = xstrdup(o->dir != NULL ? o->dir : s->dir),
                             .no_local = o->no_local,
                             .only_estimate = o->only_estimate,
                             .began_us = clock_us(),
                             .alone = true};
    p->later = evtimer_new(s->base, on_later, p);
    if (read_opts(p, o, cause) != 0) {
        free_pull(p);
        return NULL;
    }
    p->next = s->pulls;
    s->pulls = p;
    s->n_pulls++;
    swarm_balance(s);
    swarm_failed_forget(s, o->what, p->what.kind == WHAT_ID ? p->what.id : NULL);
    pull_then(p, pull_look);
    return p;
}

void swarm_pull_cancel(struct swarm_pull *p)
{
    leave(p, false);
    free_pull(p);
}

bool swarm_is_pulling(const struct swarm *s, const char *id)
{
    for (const struct swarm_pull *p = s->pulls; p != NULL; p = p->next) {
        if (strcmp(p->m != NULL ? p->m->id : p->what.id, id) == 0)
            return true;
    }
    return false;
}

void swarm_pull_add_peer(struct swarm_pull *p, const char *peer)
{
    char address[SWARM_ADDRESS];
    if (swarm_peer_read(peer, address, NULL) != 0)
        return;
    if (p->n_peers < PULL_PEERS_MAX)
        p->peer[p->n_peers++] = xstrdup(address);
    if (p->transfer != NULL)
        transfer_add_peer(p->transfer, address, true);
    else if (p->ask != NULL)
        ask_add(p->ask, address, true);
}

void swarm_pull_met(struct swarm_pull *p, const char *address)
{
    if (p->transfer != NULL)
        transfer_add_peer(p->transfer, address, false);
}

void swarm_pull_found(struct swarm_pull *p, const char *address, const char *const *ids, size_t n_ids)
{
    bool has = false;
    for (size_t i = 0; i < n_ids && p->m != NULL; i++)
        has = has || strncmp(ids[i], p->m->id, 16) == 0;
    if (p->transfer != NULL && has)
        transfer_add_peer(p->transfer, address, false);
    else if (p->transfer == NULL && p->ask != NULL && p->phase == PULL_LOOKING &&
             (p->what.kind == WHAT_ID || p->what.peer[0] == '\0'))
        ask_add(p->ask, address, false);
}

void swarm_pull_set_limit(struct swarm_pull *p, int64_t bytes_a_second)
{
    if (p->transfer != NULL)
        transfer_set_limit(p->transfer, bytes_a_second);
    if (p->phase == PULL_WEB && p->web != NULL)
        web_set_limit(p->web, bytes_a_second);
}

struct swarm_pull *swarm_pull_next(const struct swarm_pull *p)
{
    return p->next;
}
