#include "engines/pool-server.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/service.h"

enum {
    LOAD_POLL_MS = 20, /* a small model is there in a fraction of a second, and answers may wait for it */
    LOAD_POLL_MOST = 500,
    LOAD_STALL_TIMES = 10,
    UP_POLL_MS = 1000,
    HEALTH_TIMEOUT_MS = 1500,
    LOG_MAX = 8 * 1024 * 1024,
};

static void poll_again(struct pool_server *s, int ms)
{
    event_add(s->poll, &(struct timeval){ms / 1000, ms % 1000 * 1000});
}

/* A load that takes long is looked at less often. */
static int load_poll_ms(const struct pool_server *s)
{
    int64_t ms = (clock_us() - s->started_us) / 1000 / 20;
    return ms < LOAD_POLL_MS ? LOAD_POLL_MS : ms > LOAD_POLL_MOST ? LOAD_POLL_MOST : (int)ms;
}

static void take_progress(struct pool_server *s, const struct httpc_result *r)
{
    json_t *body = json_loads(r->body, 0, NULL);
    const json_t *percent = json_object_get(body, "percent");
    if (json_is_number(percent) && !(s->progress == json_number_value(percent) / 100)) {
        int64_t now = clock_us(), took = now - s->step_us;
        s->progress = json_number_value(percent) / 100;
        s->longest_us = took > s->longest_us ? took : s->longest_us;
        s->step_us = now;
    }
    json_decref(body);
}

/* A worker that is stopped while it is being loaded says nothing either. */
static bool load_hangs(const struct pool_server *s)
{
    int64_t most = s->longest_us * LOAD_STALL_TIMES;
    return !isnan(s->progress) && clock_us() - s->step_us > (most > s->stall_us ? most : s->stall_us);
}

static void on_health(void *arg, const struct httpc_result *r)
{
    struct pool_server *s = arg;
    s->call = NULL;
    bool ok = r->error == HTTPC_OK && r->status == 200;
    if (s->state == POOL_SERVER_LOADING && ok) {
        s->state = POOL_SERVER_UP;
        s->up_us = clock_us();
        s->load_ms = (double)(s->up_us - s->started_us) / 1000;
        s->progress = NAN;
        s->missed = 0;
        poll_again(s, UP_POLL_MS);
        s->events->up(s->arg);
    } else if (s->state == POOL_SERVER_LOADING) {
        if (r->error == HTTPC_OK)
            take_progress(s, r);
        poll_again(s, load_poll_ms(s));
        if (load_hangs(s))
            s->events->silent(s->arg);
    } else if (s->state == POOL_SERVER_UP) {
        if (s->missed == 0)
            s->silent_us = s->asked_us; /* should this one be the first without an answer */
        s->missed = ok ? 0 : s->missed + 1;
        poll_again(s, UP_POLL_MS);
        if (s->missed == s->missed_most)
            s->events->silent(s->arg);
    }
}

static void on_poll(evutil_socket_t fd, short what, void *arg)
{
    struct pool_server *s = arg;
    (void)fd;
    (void)what;
    char *url = xasprintf("%s/health", s->url);
    struct httpc_opts o = {.url = url,
                           .connect_timeout_ms = HEALTH_TIMEOUT_MS,
                           .timeout_ms = HEALTH_TIMEOUT_MS,
                           .max_reply = 64 * 1024,
                           .on_done = on_health,
                           .arg = s};
    s->asked_us = clock_us();
    s->call = httpc_start(s->http, &o);
    free(url);
}

static void stop_polling(struct pool_server *s)
{
    event_del(s->poll);
    if (s->call != NULL)
        httpc_cancel(s->call);
    s->call = NULL;
}

static void on_reap(evutil_socket_t fd, short what, void *arg)
{
    struct pool_server *s = arg;
    (void)fd;
    (void)what;
    service_destroy(s->ended);
    s->ended = NULL;
    s->events->ended(s->arg, s->why);
}

static void on_ended(void *arg, const char *how)
{
    struct pool_server *s = arg;
    /* Who is killed from outside had nothing to say about it. */
    const char *words = service_last_words(s->service, strstr(how, "signal") == NULL);
    snprintf(s->why, sizeof(s->why), "%.120s%s%.380s", how, words[0] != '\0' ? ": " : "", words);
    stop_polling(s);
    s->state = POOL_SERVER_OFF;
    s->ended_us = clock_us();
    s->progress = NAN;
    s->ended = s->service;
    s->service = NULL;
    event_active(s->reap, EV_TIMEOUT, 0);
}

void pool_server_init(struct pool_server *s, struct event_base *base, struct httpc *http, const char *name,
                      unsigned missed_most, const struct pool_server_events *events, void *arg)
{
    *s = (struct pool_server){.base = base,
                              .http = http,
                              .name = name,
                              .missed_most = missed_most,
                              .events = events,
                              .arg = arg,
                              .progress = NAN,
                              .load_ms = NAN};
    s->poll = event_new(base, -1, 0, on_poll, s);
    s->reap = event_new(base, -1, 0, on_reap, s);
}

void pool_server_finish(struct pool_server *s, int grace_ms)
{
    if (s->base == NULL)
        return;
    stop_polling(s);
    service_end(s->service, grace_ms);
    service_destroy(s->service);
    service_destroy(s->ended);
    event_free(s->poll);
    event_free(s->reap);
    free(s->url);
    free(s->log);
    *s = (struct pool_server){0};
}

int pool_server_start(struct pool_server *s, const char *const *argv, const char *const *env, const char *url,
                      const char *log, int64_t stall_us, char **cause)
{
    free(s->url);
    free(s->log);
    s->url = xstrdup(url);
    s->log = xstrdup(log);
    struct service_opts o = {
        .name = s->name, .argv = argv, .env = env, .log = s->log, .log_max = LOG_MAX, .on_exit = on_ended, .arg = s};
    s->service = service_start(s->base, &o, cause);
    if (s->service == NULL)
        return -1;
    s->state = POOL_SERVER_LOADING;
    s->started_us = clock_us();
    s->up_us = 0;
    s->step_us = s->started_us;
    s->longest_us = 0;
    s->stall_us = stall_us;
    s->progress = NAN;
    s->missed = 0;
    poll_again(s, LOAD_POLL_MS);
    return 0;
}

void pool_server_stop(struct pool_server *s, int grace_ms)
{
    if (s->service == NULL)
        return;
    stop_polling(s);
    s->state = POOL_SERVER_ENDING;
    s->progress = NAN;
    service_stop(s->service, grace_ms);
}

bool pool_server_runs(const struct pool_server *s)
{
    return s->service != NULL || s->ended != NULL;
}

pid_t pool_server_pid(const struct pool_server *s)
{
    return s->service != NULL ? service_pid(s->service) : 0;
}
