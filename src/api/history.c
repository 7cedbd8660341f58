#include "api/history.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"

struct sample {
    int64_t wall_ms;
    double acceptance; /* NAN: nothing drafted */
    double tokens_per_second;
    uint64_t rounds;
    uint32_t running;
};

struct history {
    struct proxy *proxy;
    struct proxy_listener listener;
    bool begun;
    /* where the counters stood at the end of the last sample */
    int64_t uptime_ms;
    uint64_t drafted, accepted, emitted, rounds;
    struct sample ring[HISTORY_SAMPLES];
    size_t written; /* samples ever taken */
};

static void remember(struct history *h, const struct snapshot *s)
{
    h->begun = true;
    h->uptime_ms = s->uptime_ms;
    h->drafted = s->drafted;
    h->accepted = s->accepted;
    h->emitted = s->emitted;
    h->rounds = s->rounds;
}

/* Rates come from the counters over the time that really passed, so a late tick does not show as a peak. */
static void on_tick(void *arg, const struct snapshot *s)
{
    struct history *h = arg;
    if (!h->begun) {
        remember(h, s);
        return;
    }
    int64_t elapsed_ms = s->uptime_ms - h->uptime_ms;
    if (elapsed_ms < 1000)
        return;
    uint64_t drafted = s->drafted - h->drafted;
    h->ring[h->written++ % HISTORY_SAMPLES] = (struct sample){
        .wall_ms = s->wall_ms,
        .acceptance = drafted > 0 ? (double)(s->accepted - h->accepted) / (double)drafted : NAN,
        .tokens_per_second = (double)(s->emitted - h->emitted) * 1000.0 / (double)elapsed_ms,
        .rounds = s->rounds - h->rounds,
        .running = s->running,
    };
    remember(h, s);
}

json_t *history_json(const struct history *h)
{
    json_t *wall = json_array(), *acceptance = json_array(), *speed = json_array(), *rounds = json_array(),
           *running = json_array();
    size_t n = h->written < HISTORY_SAMPLES ? h->written : HISTORY_SAMPLES;
    for (size_t i = h->written - n; i < h->written; i++) {
        const struct sample *s = &h->ring[i % HISTORY_SAMPLES];
        json_array_append_new(wall, json_integer(s->wall_ms));
        json_array_append_new(acceptance, isnan(s->acceptance) ? json_null() : json_real(s->acceptance));
        json_array_append_new(speed, json_real(s->tokens_per_second));
        json_array_append_new(rounds, json_integer((json_int_t)s->rounds));
        json_array_append_new(running, json_integer(s->running));
    }
    return json_pack("{s:i, s:o, s:o, s:o, s:o, s:o}", "interval_ms", 1000, "wall_ms", wall, "acceptance", acceptance,
                     "tokens_per_second", speed, "rounds", rounds, "running", running);
}

static void handle_history(struct httpd_request *r, void *arg)
{
    httpd_reply_json(r, 200, history_json(arg));
}

struct history *history_create(struct proxy *p)
{
    struct history *h = xcalloc(1, sizeof(*h));
    h->proxy = p;
    h->listener = (struct proxy_listener){.on_tick = on_tick, .arg = h};
    proxy_listen(p, &h->listener);
    return h;
}

void history_destroy(struct history *h)
{
    if (!h)
        return;
    proxy_unlisten(h->proxy, &h->listener);
    free(h);
}

void history_route(struct history *h, struct httpd *server)
{
    httpd_route(server, HTTPD_GET, "/v1/tightwad/history", false, handle_history, h);
}
