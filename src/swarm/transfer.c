#include "swarm/transfer.h"

#include <arpa/inet.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/mem.h"
#include "http/peer.h"
#include "swarm/transfer-impl.h"

enum {
    FAILURES_ROOM = 3,       /* … and makes room for another in a full table */
    HOST_MAX = 8,            /* addresses of one host that others told of, this machine's own aside */
    FAILURES_MAX = 6,        /* in a row: an address that others told of is forgotten */
    AGAIN_US = 1000000,      /* an address that is told of again is tried soon */
    ALLOWANCE_MS = 200,      /* of the download limit that may come at once */
    WHOLE_US = 2000000,      /* before a web server is asked for all of it, peers may still come; */
    WHOLE_HAD_US = 30000000, /* longer, where pieces are here: they would come once more */
};

void transfer_kick(struct transfer *t)
{
    event_active(t->kick, EV_TIMEOUT, 0);
}

void transfer_end(struct transfer *t, bool ok, const char *why)
{
    if (t->over)
        return;
    t->over = true;
    t->ok = ok;
    free(t->why);
    t->why = xstrdup(why);
    transfer_kick(t);
}

/* Nothing is asked for any more. */
static void hang_up(struct transfer *t)
{
    while (!TAILQ_EMPTY(&t->peers)) {
        struct swarm_peer *p = TAILQ_FIRST(&t->peers);
        TAILQ_REMOVE(&t->peers, p, entry);
        swarm_peer_destroy(p);
    }
    t->n_peers = 0;
    while (!TAILQ_EMPTY(&t->parts))
        part_drop(TAILQ_FIRST(&t->parts));
}

static void on_kick(evutil_socket_t fd, short what, void *arg)
{
    struct transfer *t = arg;
    if (!t->over) {
        fetch_go_on(t);
        transfer_ask(t, clock_us());
        return;
    }
    transfer_done_cb *done = t->done;
    t->done = NULL;
    event_del(t->tick);
    if (done) /* who may look at the peers once more */
        done(t->arg, t->ok, t->why);
    hang_up(t);
}

static size_t peers_in(const struct transfer *t, enum swarm_peer_state a, enum swarm_peer_state b)
{
    const struct swarm_peer *p;
    size_t n = 0;
    TAILQ_FOREACH(p, &t->peers, entry)
    n += p->state == a || p->state == b;
    return n;
}

static void tick_peers(struct transfer *t, int64_t now, double seconds)
{
    struct swarm_peer *p, *next;
    size_t up = peers_in(t, SWARM_PEER_UP, SWARM_PEER_CONNECTING);
    for (p = TAILQ_FIRST(&t->peers); p; p = next) {
        next = TAILQ_NEXT(p, entry);
        swarm_peer_rate(p, seconds);
        if (p->state == SWARM_PEER_DOWN && p->failures >= FAILURES_MAX && !p->given && !p->self && !p->url) {
            TAILQ_REMOVE(&t->peers, p, entry);
            t->n_peers--;
            share_remove_peer(t->share, p->address);
            swarm_peer_destroy(p);
        } else if (p->state != SWARM_PEER_DOWN || up < PEERS_UP) {
            bool was_down = p->state == SWARM_PEER_DOWN;
            swarm_peer_tick(p, now);
            up += was_down && p->state != SWARM_PEER_DOWN;
        }
    }
}

/* A web server gives no parts of files, and is all there is. */
static bool is_whole_only(const struct transfer *t, int64_t now)
{
    int64_t wait = t->share->have.count > 0 ? WHOLE_HAD_US : WHOLE_US;
    return t->whole_us > 0 && !t->partial && now - t->whole_us >= wait &&
           peers_in(t, SWARM_PEER_UP, SWARM_PEER_UP) == 0;
}

bool transfer_gives_whole(const struct transfer *t)
{
    return t->whole;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct transfer *t = arg;
    int64_t now = clock_us();
    double seconds = (double)(now - t->tick_us) / 1e6;
    if (seconds <= 0)
        return;
    t->tick_us = now;
    t->down += ((double)(t->fetched - t->counted) / seconds - t->down) * (1 - exp(-seconds));
    if (t->down < 1)
        t->down = 0;
    t->counted = t->fetched;
    t->allowance += (double)t->o.download_limit * seconds;
    double most = (double)t->o.download_limit * ALLOWANCE_MS / 1000;
    if (t->allowance > most)
        t->allowance = most;
    tick_peers(t, now, seconds);
    fetch_tick(t, now);
    part_tick(t);
    if (t->full && now >= t->full_until_us)
        part_retry(t);
    if (!t->over && is_whole_only(t, now)) {
        t->whole = true;
        transfer_end(t, false, "the server gives no parts of files, and no peer has it");
    }
    transfer_ask(t, now);
}

static void on_share(void *arg, enum share_change what, size_t piece)
{
    struct transfer *t = arg;
    if (what != SHARE_HAVE || !bits_set(&t->pick.have, piece, true))
        return;
    if (bits_has(&t->pick.want, piece))
        t->missing -= t->o.manifest->piece[piece].size;
    struct part *part = part_find(t, piece);
    if (part)
        part_drop(part);
    if (pick_done(&t->pick))
        transfer_end(t, true, "");
    else
        transfer_kick(t);
}

struct transfer *transfer_create(const struct transfer_opts *o, transfer_done_cb *done, void *arg)
{
    struct transfer *t = xcalloc(1, sizeof *t);
    *t = (struct transfer){.o = *o, .done = done, .arg = arg, .start_us = clock_us()};
    t->tick_us = t->start_us;
    t->o.manifest = manifest_keep(o->manifest);
    t->o.peer = xstrdup(o->peer);
    t->o.token = xstrdup(o->token);
    t->o.want = NULL;
    t->partial = o->want != NULL;
    TAILQ_INIT(&t->peers);
    TAILQ_INIT(&t->parts);
    TAILQ_INIT(&t->jobs);
    t->share = store_share(o->store);
    pick_init(&t->pick, o->manifest->n_pieces, PICK_RAREST, o->seed);
    t->coming_ms = xcalloc(o->manifest->n_pieces + 1, sizeof *t->coming_ms);
    if (o->want)
        bits_copy(&t->pick.want, o->want);
    else
        bits_fill(&t->pick.want);
    bits_copy(&t->pick.have, &t->share->have);
    for (size_t i = 0; i < t->pick.n; i++)
        if (bits_has(&t->pick.want, i) && !bits_has(&t->pick.have, i))
            t->missing += o->manifest->piece[i].size;
    share_watch(t->share, &t->watch, on_share, t);
    t->kick = event_new(o->base, -1, 0, on_kick, t);
    t->tick = event_new(o->base, -1, EV_PERSIST, on_tick, t);
    event_add(t->tick, &(struct timeval){.tv_usec = TICK_MS * 1000});
    if (pick_done(&t->pick))
        transfer_end(t, true, "");
    return t;
}

void transfer_destroy(struct transfer *t)
{
    if (!t)
        return;
    share_unwatch(t->share, &t->watch);
    t->over = true;
    hang_up(t);
    part_abandon_jobs(t);
    event_free(t->tick);
    event_free(t->kick);
    pick_finish(&t->pick);
    manifest_destroy(t->o.manifest);
    free((char *)t->o.peer);
    free((char *)t->o.token);
    free(t->coming_ms);
    free(t->why);
    free(t);
}

/* The host of "HOST:PORT" or "[HOST]:PORT", numeric. */
static bool describe(struct peer *who, const char *address)
{
    char host[SWARM_ADDRESS];
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    snprintf(host, sizeof host, "%s", address + (address[0] == '['));
    char *end = strrchr(host, address[0] == '[' ? ']' : ':');
    if (!end)
        return false;
    *end = '\0';
    if (inet_pton(AF_INET, host, &v4.sin_addr) == 1)
        peer_describe(who, (struct sockaddr *)&v4);
    else if (inet_pton(AF_INET6, host, &v6.sin6_addr) == 1)
        peer_describe(who, (struct sockaddr *)&v6);
    else
        return false;
    return true;
}

bool transfer_may_ask(const struct transfer *t, const struct swarm_peer *from, const char *address)
{
    struct peer who;
    if (!describe(&who, address))
        return false;
    if (who.local) /* of that peer's machine, which is this one only if it is a local peer itself */
        return from->local;
    return t->o.server ? swarm_server_allows(t->o.server, address) : who.private;
}

/* A full table lets go of the address that has failed most often, else of the one that was banned first. */
static bool make_room(struct transfer *t)
{
    struct swarm_peer *p, *worst = NULL, *banned = NULL;
    if (t->n_peers < PEERS_MAX)
        return true;
    TAILQ_FOREACH(p, &t->peers, entry)
    {
        if (p->given || p->url)
            continue;
        if (p->state == SWARM_PEER_DOWN && p->failures >= FAILURES_ROOM && p->failures > (worst ? worst->failures : 0))
            worst = p;
        if (p->state == SWARM_PEER_BANNED && !banned)
            banned = p;
    }
    worst = worst ? worst : banned;
    if (!worst)
        return false;
    TAILQ_REMOVE(&t->peers, worst, entry);
    t->n_peers--;
    swarm_peer_destroy(worst);
    return true;
}

/* Whether others told of many ports of that host already, so that it can't take the whole table. */
static bool is_crowded(const struct transfer *t, const char *address)
{
    const struct swarm_peer *p;
    const char *port = strrchr(address, ':');
    size_t len = port ? (size_t)(port - address) + 1 : strlen(address), n = 0;
    TAILQ_FOREACH(p, &t->peers, entry)
    n += !p->given && !p->local && strncmp(p->address, address, len) == 0;
    return n >= HOST_MAX;
}

static void add(struct transfer *t, const char *address, const char *url, bool given)
{
    if (t->over || (!given && is_crowded(t, address)) || !make_room(t))
        return;
    bool now = given || peers_in(t, SWARM_PEER_UP, SWARM_PEER_CONNECTING) < PEERS_UP;
    struct swarm_peer *p = swarm_peer_create(t, address, url, given);
    TAILQ_INSERT_TAIL(&t->peers, p, entry);
    t->n_peers++;
    if (now) /* else when there are fewer */
        swarm_peer_tick(p, clock_us());
}

void transfer_add_peer(struct transfer *t, const char *address, bool given)
{
    char plain[SWARM_ADDRESS];
    struct swarm_peer *p;
    if (!message_address(address, plain)) {
        if (!given || strlen(address) >= sizeof plain || strpbrk(address, "/?#@ ") != NULL)
            return;
        snprintf(plain, sizeof plain, "%s", address);
    }
    TAILQ_FOREACH(p, &t->peers, entry)
    if (!p->url && strcmp(p->address, plain) == 0)
        break;
    if (!p) {
        add(t, plain, NULL, given);
        return;
    }
    int64_t soon = clock_us() + AGAIN_US;
    p->given = p->given || given;
    if (p->next_try_us > soon && p->failures < FAILURES_MAX)
        p->next_try_us = soon;
}

void transfer_add_web(struct transfer *t, const char *url)
{
    const struct swarm_peer *p;
    TAILQ_FOREACH(p, &t->peers, entry)
    if (p->url && strcmp(p->url, url) == 0)
        return;
    add(t, url, url, true);
}

void transfer_set_limit(struct transfer *t, int64_t download_limit)
{
    t->o.download_limit = download_limit;
    t->allowance = 0;
}
