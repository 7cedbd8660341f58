#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "swarm/transfer-impl.h"

enum {
    SILENT_US = 8000000,   /* no byte in the middle of a reply for so long: the request is given up */
    WAITING_US = 30000000, /* none at all: it may stand in the peer's queue (20 s) */
    REST_US = 500000,      /* a peer is left alone after a request that came to nothing; doubled each time */
    REST_DOUBLED = 5,
    TROUBLES_MAX = 6, /* such requests in a row, and the connection is given up */
    REDIRECTS_MAX = 20,
    LIES_MAX = 4, /* pieces that it said to have and had not, and it is banned */
};

static uint64_t offset_of(const struct fetch *f)
{
    return (uint64_t)f->first * BLOCK;
}

static uint64_t size_of(const struct fetch *f)
{
    uint64_t end = (uint64_t)(f->first + f->n) * BLOCK;
    return (end < f->part->size ? end : f->part->size) - offset_of(f);
}

static void free_fetch(struct fetch *f)
{
    struct swarm_peer *p = f->peer;
    struct transfer *t = p->transfer;
    part_unask(f->part, f->first, f->n);
    TAILQ_REMOVE(&p->fetches, f, entry);
    p->n_fetches--;
    t->n_fetches--;
    for (unsigned i = f->given; i < f->n; i++)
        free(f->data[i]);
    t->wasted += f->len + (uint64_t)(f->at - f->given) * BLOCK;
    free(f->url);
    free(f);
}

void fetch_cancel(struct fetch *f)
{
    httpc_cancel(f->call);
    free_fetch(f);
}

void fetch_cancel_part(struct part *part)
{
    struct swarm_peer *p;
    struct fetch *f, *next;
    TAILQ_FOREACH(p, &part->transfer->peers, entry)
    for (f = TAILQ_FIRST(&p->fetches); f; f = next) {
        next = TAILQ_NEXT(f, entry);
        if (f->part == part)
            fetch_cancel(f);
    }
}

static bool is_needless(const struct fetch *f)
{
    for (unsigned i = f->first + f->at; i < f->first + f->n; i++)
        if (f->part->block[i].state != BLOCK_HERE)
            return false;
    return true;
}

void fetch_cancel_needless(struct part *part)
{
    struct swarm_peer *p;
    struct fetch *f, *next;
    TAILQ_FOREACH(p, &part->transfer->peers, entry)
    for (f = TAILQ_FIRST(&p->fetches); f; f = next) {
        next = TAILQ_NEXT(f, entry);
        if (f->part == part && !f->giving && is_needless(f))
            fetch_cancel(f);
    }
}

/* Inside the client: copies, and no more. */
static bool on_take(void *arg, int status, const char *data, size_t len)
{
    struct fetch *f = arg;
    uint64_t whole = f->peer->url ? f->part->transfer->o.manifest->total_size : f->part->size;
    if (status != 206 && size_of(f) != whole)
        return false; /* the whole of it was not asked for */
    while (len > 0) {
        if (f->at == f->n)
            return false; /* more than was asked for */
        size_t size = (size_t)part_block_size(f->part, f->first + f->at), n = size - f->len;
        if (f->data[f->at] == NULL)
            f->data[f->at] = xmalloc(size);
        if (n > len)
            n = len;
        memcpy(f->data[f->at] + f->len, data, n);
        data += n;
        len -= n;
        f->len += n;
        if (f->len == size) {
            f->at++;
            f->len = 0;
        }
    }
    return true;
}

bool fetch_held_up(const struct transfer *t)
{
    return t->writing > WRITING_MAX || (t->o.download_limit > 0 && t->allowance <= 0);
}

static void give_blocks(struct fetch *f)
{
    f->giving = true;
    while (f->given < f->at) {
        unsigned i = f->given++;
        part_put(f->part, f->first + i, f->data[i], f->peer);
    }
    f->giving = false;
}

static bool on_data(void *arg, const char *data, size_t len)
{
    struct fetch *f = arg;
    struct swarm_peer *p = f->peer;
    struct transfer *t = p->transfer;
    int64_t now = clock_us();
    if (!f->answering && (p->rtt_us < 0 || now - f->start_us < p->rtt_us))
        p->rtt_us = now - f->start_us;
    f->answering = true;
    f->heard_us = now;
    p->fetched += len;
    t->fetched += len;
    t->allowance -= (double)len;
    if (f->at > f->given) {
        p->troubles = 0;
        give_blocks(f);
    }
    f->held = fetch_held_up(t);
    return !f->held;
}

static bool said(const struct httpc_result *r, const char *code)
{
    json_t *o = json_parse_object(r->body, r->len, NULL);
    bool is = strcmp(json_text(json_object_get(o, "error"), "code"), code) == 0;
    json_decref(o);
    return is;
}

static void rest(struct swarm_peer *p, int64_t now)
{
    p->rest_until_us = now + ((int64_t)REST_US << (p->troubles < REST_DOUBLED ? p->troubles : REST_DOUBLED));
    p->troubles++;
}

/* True: what it was for is asked for again, where a web server says that it lies.  *why: where that can't be followed,
 * else NULL. */
static bool redirected(const struct fetch *f, const struct httpc_result *r, const char **why)
{
    struct swarm_peer *p = f->peer;
    bool away = (r->status >= 301 && r->status <= 303) || r->status == 307 || r->status == 308;
    if (!p->url || r->error != HTTPC_OK || !away)
        return false;
    char *location = httpc_header(f->call, "Location");
    char *to = location && f->redirects < REDIRECTS_MAX ? httpc_redirect(f->url, location) : NULL;
    free(location);
    if (!to) {
        *why =
            f->redirects < REDIRECTS_MAX ? "it redirects to what is no http or https URL" : "it redirects in circles";
        return false;
    }
    free(p->at);
    p->at = to;
    p->redirects = f->redirects + 1;
    return true;
}

/* An address that a server redirects to may be good for some time only: it is asked for a new one. */
static void forget_redirect(struct swarm_peer *p)
{
    free(p->at);
    p->at = NULL;
    p->redirects = 0;
}

/* What a request that came to nothing says of the peer.  moved: it was for where a web server redirects to; why: in
 * words, NULL: as the reply says. */
static void on_trouble(struct swarm_peer *p, size_t piece, const struct httpc_result *r, bool moved, const char *why)
{
    int64_t now = clock_us();
    if (!moved && ((r->status == 404 && said(r, "not_had")) || r->status == 416)) {
        swarm_peer_lacks(p, piece);
        if (++p->lies >= LIES_MAX)
            swarm_peer_ban(p, "it has not the pieces that it says it has");
        return;
    }
    rest(p, now);
    if (r->status == 429 && r->error == HTTPC_OK) {
        p->most = p->n_fetches > 1 ? p->n_fetches - 1 : 1;
        if (p->troubles > 2)
            p->troubles = 2; /* it is busy, not broken */
        return;
    }
    if (p->url && r->status == 200) {
        p->transfer->whole_us = now;
        swarm_peer_ban(p, "it does not give parts of files");
        return;
    }
    if (!why)
        why = r->error == HTTPC_OK ? "it does not answer as it should" : r->message;
    snprintf(p->why, sizeof p->why, "%.100s", why);
    if (!moved && (r->status == 401 || r->status == 403))
        swarm_peer_down(p, r->status == 401 ? "it wants another token" : "it does not serve this machine");
    else if (p->troubles > TROUBLES_MAX)
        swarm_peer_down(p, why);
}

static void on_done(void *arg, const struct httpc_result *r)
{
    struct fetch *f = arg;
    struct swarm_peer *p = f->peer;
    struct transfer *t = p->transfer;
    size_t piece = f->part->piece;
    bool ok = r->error == HTTPC_OK && f->at == f->n, moved = f->redirects > 0;
    const char *why = NULL;
    bool elsewhere = redirected(f, r, &why);
    if (!ok && moved && !elsewhere) {
        elsewhere = !p->at || strcmp(f->url, p->at) != 0; /* another request has told of it already */
        if (!elsewhere)
            forget_redirect(p);
    }
    give_blocks(f);
    free_fetch(f);
    if (ok) {
        p->why[0] = '\0';
        if (p->most > 0 && ++p->most > PEER_FETCHES)
            p->most = 0; /* it has room again */
    } else if (!elsewhere) {
        on_trouble(p, piece, r, moved, why);
    }
    transfer_kick(t);
}

void fetch_start(struct swarm_peer *p, struct part *part, unsigned first, unsigned n)
{
    struct transfer *t = p->transfer;
    struct fetch *f = xcalloc(1, sizeof *f);
    *f = (struct fetch){.peer = p, .part = part, .first = first, .n = n, .start_us = clock_us()};
    f->heard_us = f->start_us;
    TAILQ_INSERT_TAIL(&p->fetches, f, entry);
    p->n_fetches++;
    t->n_fetches++;
    part_ask(part, first, n);

    uint64_t from = offset_of(f) + (p->url ? t->o.manifest->piece[part->piece].offset : 0);
    f->redirects = p->redirects;
    f->url = p->url ? xstrdup(p->at ? p->at : p->url)
                    : xasprintf("http://%s/v1/swarm/%s/piece/%zu", p->address, t->o.manifest->id, part->piece);
    char range[80];
    snprintf(range, sizeof range, "Range: bytes=%llu-%llu", (unsigned long long)from,
             (unsigned long long)(from + size_of(f) - 1));
    const char *const headers[] = {range, NULL};
    f->call = httpc_start(t->o.http, &(struct httpc_opts){.url = f->url,
                                                          .headers = headers,
                                                          .bearer = p->url ? NULL : t->o.token,
                                                          .max_reply = 64 * 1024,
                                                          .keep_head = p->url != NULL,
                                                          .receive = RECEIVE,
                                                          .take = on_take,
                                                          .on_data = on_data,
                                                          .on_done = on_done,
                                                          .arg = f});
}

static bool is_silent(const struct fetch *f, int64_t now)
{
    return !f->held && now - f->heard_us > (f->answering ? SILENT_US : WAITING_US);
}

void fetch_go_on(struct transfer *t)
{
    struct swarm_peer *p;
    struct fetch *f;
    if (t->writing > WRITING_MAX / 2 || fetch_held_up(t))
        return;
    TAILQ_FOREACH(p, &t->peers, entry)
    {
        TAILQ_FOREACH(f, &p->fetches, entry)
        {
            if (!f->held)
                continue;
            f->held = false;
            f->heard_us = clock_us();
            httpc_resume(f->call);
        }
    }
}

void fetch_tick(struct transfer *t, int64_t now)
{
    struct swarm_peer *p;
    struct fetch *f, *next;
    fetch_go_on(t);
    TAILQ_FOREACH(p, &t->peers, entry)
    {
        bool silent = false;
        for (f = TAILQ_FIRST(&p->fetches); f; f = next) {
            next = TAILQ_NEXT(f, entry);
            if (is_silent(f, now)) {
                silent = true;
                fetch_cancel(f);
            }
        }
        if (!silent)
            continue;
        forget_redirect(p);
        if (p->part)
            part_give_up(p->part, p);
        rest(p, now);
        snprintf(p->why, sizeof p->why, "it goes silent");
        transfer_kick(t);
        if (p->troubles > TROUBLES_MAX)
            swarm_peer_down(p, "it goes silent");
    }
}
