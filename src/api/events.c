#include "api/events.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "api/live-json.h"
#include "api/snapshot-json.h"
#include "base/mem.h"

struct reader {
    TAILQ_ENTRY(reader) entry;
    struct events *events;
    struct httpd_request *request;
    struct event *ender; /* frees the reader outside the callback that said it is gone */
    bool rounds, live, gone;
    struct live_place place;
    uint64_t skipped; /* since the last event it was given */
};

struct events {
    struct event_base *base;
    struct proxy *proxy;
    const struct control *guard;
    struct proxy_listener listener;
    TAILQ_HEAD(, reader) readers;
    size_t n_readers;
    uint64_t skipped;
    bool closed;
    char pool_state[sizeof(((struct snapshot_pool *)0)->state)];
};

static char *event_text(const char *name, json_t *body)
{
    /* As replies have it (http/reply.c): a snapshot of the stream is the status of its tick, digit for digit. */
    char *data = json_dumps(body, JSON_COMPACT | JSON_REAL_PRECISION(15));
    json_decref(body);
    char *s = xasprintf("event: %s\ndata: %s\n\n", name, data ? data : "null");
    free(data);
    return s;
}

/* A reader that does not keep up misses events; the next one it is given tells how many.  False: it was not given. */
static bool give(struct reader *r, const char *text, size_t len)
{
    if (r->gone)
        return false;
    if (httpd_stream_pending(r->request) + len > EVENTS_BACKLOG && httpd_stream_pending(r->request) > 0) {
        r->skipped++;
        r->events->skipped++;
        return false;
    }
    if (r->skipped > 0) {
        char *note = xasprintf(": %llu events skipped\n", (unsigned long long)r->skipped);
        httpd_stream_send(r->request, note, strlen(note));
        free(note);
        r->skipped = 0;
    }
    httpd_stream_send(r->request, text, len);
    return true;
}

/* What it was not given comes with the next one. */
static void give_live(struct reader *r)
{
    struct live_place place = r->place;
    json_t *news = r->live ? live_news_json(proxy_live(r->events->proxy), &place) : NULL;
    if (!news)
        return;
    char *text = event_text("live", news);
    if (give(r, text, strlen(text)))
        r->place = place;
    free(text);
}

static void on_tick(void *arg, const struct snapshot *s)
{
    struct events *e = arg;
    struct reader *r;
    bool turned = strcmp(e->pool_state, s->pool.state) != 0;
    memcpy(e->pool_state, s->pool.state, sizeof(e->pool_state));
    if (TAILQ_EMPTY(&e->readers))
        return;
    json_t *whole = snapshot_to_json(s);
    if (turned) {
        char *news = event_text("pool", json_incref(json_object_get(whole, "pool")));
        TAILQ_FOREACH(r, &e->readers, entry)
        give(r, news, strlen(news));
        free(news);
    }
    char *text = event_text("snapshot", whole);
    TAILQ_FOREACH(r, &e->readers, entry)
    {
        give_live(r);
        give(r, text, strlen(text));
    }
    free(text);
}

static json_t *round_json(const struct snapshot_round *r)
{
    json_t *o = json_pack("{s:I, s:I, s:s?, s:i, s:i, s:i}", "request", (json_int_t)r->request, "round",
                          (json_int_t)r->round, "drafter", r->drafter && *r->drafter ? r->drafter : NULL, "drafted",
                          (int)r->drafted, "accepted", (int)r->accepted, "emitted", (int)r->emitted);
    const struct {
        const char *key;
        double ms;
    } part[] = {{"draft_ms", r->draft_ms},
                {"verify_ms", r->verify_ms},
                {"wait_ms", r->wait_ms},
                {"predicted_ms", r->predicted_ms > 0 ? r->predicted_ms : NAN},
                {"round_ms", r->round_ms > 0 ? r->round_ms : NAN}};
    for (size_t i = 0; i < ARRAY_LEN(part); i++)
        json_object_set_new(o, part[i].key, isfinite(part[i].ms) ? json_real(part[i].ms) : json_null());
    return o;
}

static void on_round(void *arg, const struct snapshot_round *round)
{
    struct events *e = arg;
    char *text = NULL;
    struct reader *r;
    TAILQ_FOREACH(r, &e->readers, entry)
    {
        if (!r->rounds)
            continue;
        if (!text)
            text = event_text("round", round_json(round));
        give(r, text, strlen(text));
    }
    free(text);
}

/* Ends the stream and frees the reader; not from inside a callback of its request. */
static void reader_end(struct reader *r)
{
    TAILQ_REMOVE(&r->events->readers, r, entry);
    r->events->n_readers--;
    httpd_stream_end(r->request);
    event_free(r->ender);
    free(r);
}

static void on_ender(evutil_socket_t fd, short what, void *arg)
{
    reader_end(arg);
}

static void on_close(void *arg)
{
    struct reader *r = arg;
    r->gone = true;
    event_active(r->ender, EV_TIMEOUT, 0);
}

static void handle_events(struct httpd_request *request, void *arg)
{
    struct events *e = arg;
    if (e->closed || e->n_readers >= EVENTS_READERS) {
        httpd_reply_error(request, 503, NULL, NULL, "%s",
                          e->closed ? "Tightwad is stopping" : "too many readers of the event stream");
        return;
    }
    const char *rounds = httpd_query(request, "rounds"), *live = httpd_query(request, "live");
    bool wants_live = live && strcmp(live, "1") == 0;
    if (wants_live && control_refuses(e->guard, request))
        return;
    struct reader *r = xcalloc(1, sizeof(*r));
    r->events = e;
    r->request = request;
    r->rounds = !rounds || strcmp(rounds, "0") != 0;
    r->live = wants_live;
    r->ender = event_new(e->base, -1, 0, on_ender, r);
    TAILQ_INSERT_TAIL(&e->readers, r, entry);
    e->n_readers++;
    httpd_on_close(request, on_close, r);
    httpd_add_header(request, "Cache-Control", "no-store");
    httpd_stream_start(request, 200, "text/event-stream");
    give_live(r);
    char *text = event_text("snapshot", snapshot_to_json(proxy_snapshot(e->proxy)));
    give(r, text, strlen(text));
    free(text);
}

struct events *events_create(struct event_base *base, struct proxy *p, const struct control *guard)
{
    struct events *e = xcalloc(1, sizeof(*e));
    e->base = base;
    e->proxy = p;
    e->guard = guard;
    TAILQ_INIT(&e->readers);
    e->listener = (struct proxy_listener){.on_tick = on_tick, .on_round = on_round, .arg = e};
    proxy_listen(p, &e->listener);
    return e;
}

void events_close(struct events *e)
{
    e->closed = true;
    while (!TAILQ_EMPTY(&e->readers))
        reader_end(TAILQ_FIRST(&e->readers));
}

void events_destroy(struct events *e)
{
    if (!e)
        return;
    events_close(e);
    proxy_unlisten(e->proxy, &e->listener);
    free(e);
}

void events_route(struct events *e, struct httpd *h)
{
    httpd_route(h, HTTPD_GET, "/v1/tightwad/events", false, handle_events, e);
}

void events_get_counters(const struct events *e, struct events_counters *out)
{
    *out = (struct events_counters){.readers = e->n_readers, .skipped = e->skipped};
}
