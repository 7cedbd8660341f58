#include "swarm/peer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "swarm/transfer-impl.h"

enum {
    SILENT_MS = 40000,            /* a stream says something every 15 s */
    RETRY_US = 500000,            /* to the next attempt to connect, doubled each time … */
    RETRY_MOST_US = 20000000,     /* … up to this */
    LATE_US = 2000000,            /* without a byte of the first reply: counts as slow */
    TWIN_US = 60000000,           /* to the next look at an address of a peer that is connected already … */
    FRESH_US = 10000000,          /* … and has given something, or has had so long to; else to the next after this */
    LINE_BYTES = 4 << 20,         /* that a stream may send at once */
    LINE_BYTES_SECOND = 64 << 10, /* and all the time */
};

static bool is_here(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strncmp(address, "[::1]:", 6) == 0 ||
           strncmp(address, "localhost:", 10) == 0;
}

struct swarm_peer *swarm_peer_create(struct transfer *t, const char *address, const char *url, bool given)
{
    struct swarm_peer *p = xcalloc(1, sizeof *p);
    *p = (struct swarm_peer){.transfer = t,
                             .serial = ++t->serial,
                             .url = xstrdup(url),
                             .given = given,
                             .state = SWARM_PEER_DOWN,
                             .line_bytes = LINE_BYTES,
                             .speed = NAN,
                             .rtt_us = -1};
    snprintf(p->address, sizeof p->address, "%.63s", address);
    p->local = is_here(address);
    TAILQ_INIT(&p->fetches);
    bits_init(&p->have, t->pick.n);
    bits_init(&p->fetching, t->pick.n);
    return p;
}

static void close_stream(struct swarm_peer *p)
{
    if (p->stream)
        httpc_cancel(p->stream);
    p->stream = NULL;
    lines_destroy(p->lines);
    p->lines = NULL;
}

/* All that it had and did is of no account any more. */
static void forget(struct swarm_peer *p)
{
    struct pick *pick = &p->transfer->pick;
    while (!TAILQ_EMPTY(&p->fetches))
        fetch_cancel(TAILQ_FIRST(&p->fetches));
    if (p->part)
        part_leave(p->part, p);
    struct part *part, *next;
    for (part = TAILQ_FIRST(&p->transfer->parts); part; part = next) {
        next = TAILQ_NEXT(part, entry);
        part_leave(part, p);
    }
    pick_count(pick, &p->have, -1);
    for (size_t i = 0; p->fetching.count > 0 && i < p->fetching.n; i++)
        if (bits_set(&p->fetching, i, false))
            pick_count_coming(pick, i, -1);
    bits_finish(&p->have);
    bits_init(&p->have, pick->n);
}

void swarm_peer_destroy(struct swarm_peer *p)
{
    forget(p);
    close_stream(p);
    bits_finish(&p->have);
    bits_finish(&p->fetching);
    free(p->at);
    free(p->url);
    free(p);
}

void swarm_peer_down(struct swarm_peer *p, const char *why)
{
    if (p->feeding) { /* its parser is in use */
        p->verdict = p->verdict > PEER_DROP ? p->verdict : PEER_DROP;
        snprintf(p->why, sizeof p->why, "%s", why);
        return;
    }
    int64_t wait = (int64_t)RETRY_US << (p->failures < 6 ? p->failures : 6);
    close_stream(p);
    forget(p);
    if (p->state == SWARM_PEER_UP)
        log_info("swarm: %s has gone: %s", p->address, why);
    p->state = SWARM_PEER_DOWN;
    p->failures++;
    p->speed = NAN;
    p->next_try_us = clock_us() + (wait < RETRY_MOST_US ? wait : RETRY_MOST_US);
    if (why != p->why)
        snprintf(p->why, sizeof p->why, "%s", why);
    transfer_kick(p->transfer);
}

void swarm_peer_ban(struct swarm_peer *p, const char *why)
{
    struct transfer *t = p->transfer;
    if (p->state == SWARM_PEER_BANNED)
        return;
    if (p->feeding) {
        p->verdict = PEER_BAN;
        snprintf(p->why, sizeof p->why, "%s", why);
        return;
    }
    swarm_peer_down(p, why);
    p->state = SWARM_PEER_BANNED;
    share_remove_peer(t->share, p->address);
    log_warn("swarm: %s is banned: %s", p->address, p->why);
    struct swarm_peer *other;
    TAILQ_FOREACH(other, &t->peers, entry)
    {
        other->doubted = false; /* whom it was mixed up with */
        if (other->state == SWARM_PEER_DOWN && strcmp(other->id, p->id) == 0)
            other->next_try_us = 0;
    }
}

void swarm_peer_lacks(struct swarm_peer *p, size_t piece)
{
    if (bits_set(&p->have, piece, false))
        pick_count_one(&p->transfer->pick, piece, -1);
    if (p->part && p->part->piece == piece)
        part_leave(p->part, p);
}

static void has_piece(struct swarm_peer *p, size_t piece)
{
    struct pick *pick = &p->transfer->pick;
    if (bits_set(&p->have, piece, true))
        pick_count_one(pick, piece, 1);
    if (bits_set(&p->fetching, piece, false))
        pick_count_coming(pick, piece, -1);
}

static void fetches_piece(struct swarm_peer *p, size_t piece)
{
    struct transfer *t = p->transfer;
    if (bits_has(&p->have, piece) || !bits_set(&p->fetching, piece, true))
        return;
    pick_count_coming(&t->pick, piece, 1);
    if (t->coming_ms[piece] == 0)
        t->coming_ms[piece] = (uint32_t)((clock_us() - t->start_us) / 1000 + 1);
}

static void drops_piece(struct swarm_peer *p, size_t piece)
{
    if (bits_set(&p->fetching, piece, false))
        pick_count_coming(&p->transfer->pick, piece, -1);
}

/* Another peer that goes by the same id and is connected: mostly a second address of one process.  But an id is only
 * what a peer says, so nobody is kept away by it whom the user named, or whose double was banned, or gives nothing. */
static struct swarm_peer *twin_of(const struct swarm_peer *p)
{
    struct swarm_peer *other;
    if (p->given)
        return NULL;
    TAILQ_FOREACH(other, &p->transfer->peers, entry)
    if (other != p && strcmp(other->id, p->id) == 0 && other->state == SWARM_PEER_UP &&
        (other->fetched > 0 || clock_us() - other->up_us < FRESH_US))
        return other;
    return NULL;
}

static void on_hello(struct swarm_peer *p, const struct message *m)
{
    struct transfer *t = p->transfer;
    char address[SWARM_ADDRESS];
    snprintf(p->id, sizeof p->id, "%s", m->peer);
    const struct swarm_peer *twin = twin_of(p);
    if (strcmp(p->id, t->o.peer) == 0) {
        p->self = true;
        swarm_peer_down(p, "it is this process");
        return;
    }
    if (twin) {
        swarm_peer_down(p, "it is another address of a peer that is known");
        return;
    }
    p->state = SWARM_PEER_UP;
    p->up_us = clock_us();
    p->failures = 0;
    p->troubles = 0;
    p->why[0] = '\0';
    bits_copy(&p->have, &m->have);
    pick_count(&t->pick, &p->have, 1);
    for (size_t i = 0; i < m->n_pieces; i++)
        fetches_piece(p, m->piece[i]);
    if (message_address(p->address, address))
        share_add_peer(t->share, address);
    log_debug("swarm: %s has %zu of %zu pieces", p->address, p->have.count, p->have.n);
}

static void on_message(struct swarm_peer *p, const struct message *m)
{
    switch (m->kind) {
    case MESSAGE_HELLO:
        on_hello(p, m);
        break;
    case MESSAGE_HAVE:
        for (size_t i = 0; i < m->n_pieces; i++)
            has_piece(p, m->piece[i]);
        break;
    case MESSAGE_FETCHING:
        for (size_t i = 0; i < m->n_pieces; i++)
            fetches_piece(p, m->piece[i]);
        break;
    case MESSAGE_DROPPED:
        for (size_t i = 0; i < m->n_pieces; i++)
            drops_piece(p, m->piece[i]);
        break;
    case MESSAGE_PEERS:
        for (size_t i = 0; i < m->n_addresses; i++)
            if (transfer_may_ask(p->transfer, p, m->address[i]))
                transfer_add_peer(p->transfer, m->address[i], false);
        break;
    case MESSAGE_ALIVE:
        break;
    case MESSAGE_BYE:
        swarm_peer_down(p, "it said goodbye");
        break;
    }
}

static void on_line(void *arg, const char *data, size_t len)
{
    struct swarm_peer *p = arg;
    struct message m;
    char *cause = NULL;
    if (p->verdict != PEER_FINE)
        return;
    if (message_parse(&m, data, len, p->transfer->pick.n, &cause) != 0) {
        snprintf(p->why, sizeof p->why, "it talks nonsense: %.90s", cause);
        free(cause);
        swarm_peer_ban(p, p->why);
        return;
    }
    if ((m.kind == MESSAGE_HELLO) != (p->state == SWARM_PEER_CONNECTING))
        swarm_peer_ban(p, "it does not begin with its hello, or says it again");
    else
        on_message(p, &m);
    message_finish(&m);
}

static bool on_data(void *arg, const char *data, size_t len)
{
    struct swarm_peer *p = arg;
    p->line_bytes -= (int64_t)len;
    if (p->line_bytes < 0) {
        swarm_peer_ban(p, "it floods");
        return true;
    }
    p->feeding = true;
    bool fine = lines_feed(p->lines, data, len);
    p->feeding = false;
    if (!fine && p->verdict == PEER_FINE)
        swarm_peer_ban(p, "it says lines that are too long");
    else if (p->verdict == PEER_BAN)
        swarm_peer_ban(p, p->why);
    else if (p->verdict == PEER_DROP)
        swarm_peer_down(p, p->why);
    const struct swarm_peer *twin = p->verdict == PEER_DROP && p->id[0] != '\0' ? twin_of(p) : NULL;
    if (twin)
        p->next_try_us = clock_us() + (twin->fetched > 0 ? TWIN_US : FRESH_US);
    transfer_kick(p->transfer);
    return true;
}

static void on_done(void *arg, const struct httpc_result *r)
{
    struct swarm_peer *p = arg;
    const char *why = r->message;
    p->stream = NULL;
    p->self = p->self || (r->error == HTTPC_OK && r->status == 409);
    if (r->error == HTTPC_OK)
        why = r->status == 200   ? "it hung up"
              : r->status == 401 ? "it wants another token"
              : r->status == 403 ? "it does not serve this machine"
              : r->status == 404 ? "it does not have this model"
                                 : "it does not answer as a swarm does";
    swarm_peer_down(p, why);
}

static void connect_to(struct swarm_peer *p)
{
    struct transfer *t = p->transfer;
    char *url = xasprintf("http://%s/v1/swarm/%s/events?peer=%s&port=%d", p->address, t->o.manifest->id, t->o.peer,
                          t->o.local_only && !p->local ? 0 : t->o.port);
    p->state = SWARM_PEER_CONNECTING;
    p->verdict = PEER_FINE;
    p->lines = lines_create(LINES_NDJSON, SWARM_LINE_MAX, on_line, p);
    p->stream = httpc_start(t->o.http, &(struct httpc_opts){.url = url,
                                                            .bearer = t->o.token,
                                                            .idle_timeout_ms = SILENT_MS,
                                                            .max_reply = SWARM_LINE_MAX,
                                                            .on_data = on_data,
                                                            .on_done = on_done,
                                                            .arg = p});
    free(url);
}

void swarm_peer_tick(struct swarm_peer *p, int64_t now)
{
    if (p->line_bytes < LINE_BYTES)
        p->line_bytes += LINE_BYTES_SECOND * TICK_MS / 1000;
    if (p->state != SWARM_PEER_DOWN || p->self || now < p->next_try_us)
        return;
    if (!p->url) {
        connect_to(p);
        return;
    }
    p->state = SWARM_PEER_UP;
    bits_fill(&p->have);
    pick_count(&p->transfer->pick, &p->have, 1);
    transfer_kick(p->transfer);
}

void swarm_peer_rate(struct swarm_peer *p, double seconds)
{
    double now = (double)(p->fetched - p->counted) / seconds, weight = 1 - exp(-seconds);
    bool moved = p->fetched != p->counted, held = false, late = false;
    const struct fetch *f;
    p->counted = p->fetched;
    p->down += (now - p->down) * weight;
    if (p->down < 1)
        p->down = 0;
    TAILQ_FOREACH(f, &p->fetches, entry)
    {
        held = held || f->held;
        late = late || p->transfer->tick_us - f->start_us > LATE_US;
    }
    if (isnan(p->speed))
        p->speed = moved ? now : late ? 0 : NAN;
    else if ((p->n_fetches > 0 || moved) && !held)
        p->speed += (now - p->speed) * weight;
}
