#include "cmd/attach.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "api/live-json.h"
#include "api/snapshot-json.h"
#include "base/cause.h"
#include "base/json.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "http/lines.h"
#include "ui/dashboard.h"
#include "ui/feed.h"

enum {
    SILENCE_MS = 5000,  /* of a stream that ticks four times a second: the link is dead */
    FIRST_MS = 10000,   /* for the first picture */
    RETRY_MIN_MS = 250, /* between attempts, doubled up to the most */
    RETRY_MAX_MS = 4000,
    EVENT_MAX = 4 * 1024 * 1024, /* bytes of one event */
    ORDER_MS = 900 * 1000,       /* doctor and tune take their time */
    PATIENCE_MS = 1000,          /* for the drawing thread */
};

/* A command that was sent. */
struct order {
    LIST_ENTRY(order) entry;
    struct attach *attach;
    uint64_t id; /* 0: the last one, to stop */
};

struct attach {
    struct client *client;
    struct httpc *http;
    const char *name;
    struct feed *feed;
    struct dashboard *dashboard; /* NULL: before the first picture */
    struct httpc_call *stream;   /* NULL: lost */
    struct lines *lines;
    struct event *retry, *late, *ender, *signals[3];
    int retry_ms;
    bool connected;
    char *why; /* it could not be shown at all */
    struct snapshot snapshot;
    struct live live;
    LIST_HEAD(, order) orders;
    bool stop, stopped;
};

static struct httpc_call *call(struct attach *a, const char *path, struct httpc_opts *opts)
{
    char *url = xasprintf("%s%s", a->client->url, path);
    opts->url = url;
    opts->unix_socket = a->client->unix_socket;
    opts->bearer = a->client->token;
    struct httpc_call *c = httpc_start(a->http, opts);
    free(url);
    return c;
}

/* What an error reply says, or the error itself.  Owned by the caller. */
static char *words_of(const struct httpc_result *r)
{
    json_t *o = r->len > 0 ? json_parse(r->body, r->len, NULL) : NULL;
    const char *message = json_string_value(json_object_get(json_object_get(o, "error"), "message"));
    char *words = r->status == 401   ? xstrdup("it wants a token: --token-file FILE, or TIGHTWAD_TOKEN")
                  : r->status == 404 ? xstrdup("something else than an instance of Tightwad answers there")
                  : message          ? xstrdup(message)
                  : r->error != HTTPC_OK || r->status == 0
                      ? xstrdup(r->message)
                      : xasprintf("it answers %d, not as an instance of Tightwad does", r->status);
    json_decref(o);
    return words;
}

/* ---- the stream ---- */

/* Opens the dashboard with the first picture. */
static void show(struct attach *a)
{
    a->retry_ms = RETRY_MIN_MS;
    if (!a->connected)
        feed_connection(a->feed, true, a->name);
    a->connected = true;
    feed_publish(a->feed, &a->snapshot, &a->live);
    if (a->dashboard != NULL)
        return;
    event_del(a->late);
    a->dashboard = dashboard_start(a->feed, &(struct dashboard_opts){.attached = true}, &a->why);
    if (a->dashboard == NULL)
        event_base_loopbreak(a->client->base);
}

static void on_event(void *arg, const char *data, size_t len)
{
    struct attach *a = arg;
    bool live = strcmp(lines_event(a->lines), "live") == 0;
    if (!live && strcmp(lines_event(a->lines), "snapshot") != 0)
        return;
    json_t *o = json_parse(data, len, NULL);
    if (live && o != NULL)
        live_take_json(&a->live, o);
    else if (o != NULL && snapshot_from_json(&a->snapshot, o))
        show(a);
    json_decref(o);
}

static void again(struct attach *a, const char *why)
{
    char *words = xasprintf("%s: %s; looked for again in %.2g s", a->name, why, a->retry_ms / 1000.0);
    a->connected = false;
    feed_connection(a->feed, false, words);
    free(words);
    event_add(a->retry, &(struct timeval){.tv_sec = a->retry_ms / 1000, .tv_usec = a->retry_ms % 1000 * 1000});
    a->retry_ms = a->retry_ms * 2 < RETRY_MAX_MS ? a->retry_ms * 2 : RETRY_MAX_MS;
}

static void lose(struct attach *a, const char *why)
{
    a->stream = NULL;
    lines_destroy(a->lines);
    a->lines = NULL;
    if (a->dashboard != NULL) {
        again(a, why);
        return;
    }
    a->why = xasprintf("%s: %s", a->name, why);
    event_base_loopbreak(a->client->base);
}

static bool on_data(void *arg, const char *data, size_t len)
{
    struct attach *a = arg;
    if (lines_feed(a->lines, data, len))
        return true;
    httpc_cancel(a->stream);
    lose(a, "what it sends is no event stream of Tightwad");
    return true;
}

static void on_stream_end(void *arg, const struct httpc_result *r)
{
    const struct attach *a = arg;
    bool ended = r->error == HTTPC_OK && r->status == 200;
    char *words = ended                                                             ? xstrdup("it has ended")
                  : r->error == HTTPC_TIMEOUT                                       ? xstrdup("nothing is heard of it")
                  : r->error == HTTPC_UNREACHABLE && a->client->unix_socket != NULL ? xstrdup("it does not run")
                                                                                    : words_of(r);
    lose(arg, words);
    free(words);
}

static void connect_stream(struct attach *a)
{
    /* What its predecessor wrote is no part of what this one will tell. */
    memset(&a->live, 0, sizeof(a->live));
    a->lines = lines_create(LINES_SSE, EVENT_MAX, on_event, a);
    a->stream = call(
        a, "/v1/tightwad/events?rounds=0&live=1",
        &(struct httpc_opts){.idle_timeout_ms = SILENCE_MS, .on_data = on_data, .on_done = on_stream_end, .arg = a});
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    connect_stream(arg);
}

static void on_late(evutil_socket_t fd, short what, void *arg)
{
    struct attach *a = arg;
    (void)fd;
    (void)what;
    a->why = xasprintf("%s: no answer within %d s", a->name, FIRST_MS / 1000);
    event_base_loopbreak(a->client->base);
}

/* ---- orders ---- */

static void on_order_done(void *arg, const struct httpc_result *r)
{
    struct order *o = arg;
    struct attach *a = o->attach;
    json_t *reply = r->error == HTTPC_OK && r->status == 200 ? json_parse(r->body, r->len, NULL) : NULL;
    char *why = reply == NULL ? words_of(r) : NULL;
    if (o->id != 0) {
        feed_answer(a->feed, o->id, reply, why);
    } else {
        a->stopped = reply != NULL;
        if (why != NULL)
            a->why = xasprintf("%s was not stopped: %s", a->name, why);
        json_decref(reply);
        event_base_loopbreak(a->client->base);
    }
    free(why);
    LIST_REMOVE(o, entry);
    free(o);
}

static void send_order(struct attach *a, uint64_t id, json_t *request)
{
    struct order *o = xcalloc(1, sizeof(*o));
    *o = (struct order){.attach = a, .id = id};
    LIST_INSERT_HEAD(&a->orders, o, entry);
    char *body = json_dumps(request, JSON_COMPACT);
    call(a, "/v1/tightwad/command",
         &(struct httpc_opts){
             .body = body, .len = strlen(body), .timeout_ms = ORDER_MS, .on_done = on_order_done, .arg = o});
    free(body);
    json_decref(request);
}

static void on_order(void *arg, uint64_t id, json_t *request)
{
    send_order(arg, id, request);
}

static void on_quit(void *arg, bool stop)
{
    struct attach *a = arg;
    a->stop = stop;
    event_active(a->ender, EV_TIMEOUT, 0);
}

static void on_ender(evutil_socket_t fd, short what, void *arg)
{
    struct attach *a = arg;
    (void)fd;
    (void)what;
    if (a->stop)
        send_order(a, 0, json_pack("{s:s}", "command", "stop"));
    else
        event_base_loopbreak(a->client->base);
}

static void on_signal(evutil_socket_t fd, short what, void *arg)
{
    struct attach *a = arg;
    (void)fd;
    (void)what;
    event_base_loopbreak(a->client->base);
}

/* ---- life ---- */

static void begin(struct attach *a)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
    struct event_base *base = a->client->base;
    a->feed = feed_create(base, &(struct feed_hooks){.order = on_order, .quit = on_quit, .arg = a});
    a->retry = evtimer_new(base, on_retry, a);
    a->late = evtimer_new(base, on_late, a);
    a->ender = event_new(base, -1, 0, on_ender, a);
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        a->signals[i] = evsignal_new(base, numbers[i], on_signal, a);
        event_add(a->signals[i], NULL);
    }
    event_add(a->late, &(struct timeval){.tv_sec = FIRST_MS / 1000});
    a->retry_ms = RETRY_MIN_MS;
    connect_stream(a);
}

/* True: the terminal may be printed to. */
static bool finish(struct attach *a)
{
    bool lost = false, reads = a->dashboard == NULL || dashboard_join(a->dashboard, PATIENCE_MS, &lost);
    httpc_destroy(a->http); /* with all that is under way */
    lines_destroy(a->lines);
    for (struct order *o; (o = LIST_FIRST(&a->orders)) != NULL; free(o))
        LIST_REMOVE(o, entry);
    for (size_t i = 0; i < ARRAY_LEN(a->signals); i++)
        event_free(a->signals[i]);
    event_free(a->retry);
    event_free(a->late);
    event_free(a->ender);
    if (!lost)
        feed_destroy(a->feed);
    return reads;
}

int attach_show(struct client *c, const char *name, bool *stopped)
{
    struct attach *a = xcalloc(1, sizeof(*a));
    *a = (struct attach){.client = c, .http = httpc_create(c->base), .name = name};
    begin(a);
    event_base_dispatch(c->base);
    bool shown = a->dashboard != NULL, reads = finish(a);
    int rc = CMD_OK;
    if (stopped != NULL)
        *stopped = a->stopped;
    if (a->why != NULL)
        rc = reads ? cmd_fail("%s", a->why) : CMD_FAILED;
    else if (reads && a->stopped)
        printf("%s finishes the answers under way, then stops\n", name);
    else if (reads && shown)
        printf("%s runs on; `tightwad --attach` shows it again\n", name);
    free(a->why);
    free(a);
    return rc;
}
