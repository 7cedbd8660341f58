/* Workers that were left out are looked for while the model runs without them: nobody is their client, so they may be
 * asked.  One that is back is taken in at the next load; where the model would otherwise go on on this machine's CPU,
 * it is loaded anew by itself, at a moment when nobody is answered. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "engines/pool-internal.h"

enum {
    LOOK_MS = 5000,
    ASK_MS = 2000,
    QUIET_US = 10 * 1000 * 1000, /* nobody was answered for so long: a load disturbs nobody */
};

struct pool_look {
    struct pool *pool;
    struct snapshot_device *device; /* of the launch that runs */
    struct rpc_query *query;        /* NULL: answered */
    char *host;
    int port;
    bool back;
};

static void later(struct pool *p)
{
    event_add(p->look_timer, &(struct timeval){LOOK_MS / 1000, LOOK_MS % 1000 * 1000});
}

static void on_report(const struct rpc_report *r, void *arg)
{
    struct pool_look *l = arg;
    bool was = l->back;
    l->query = NULL;
    l->back = r->state == RPC_OK;
    if (l->back)
        snprintf(l->device->reason, sizeof(l->device->reason), "it is back: `tightwad load` takes it in");
    else
        snprintf(l->device->reason, sizeof(l->device->reason), "%.127s", r->text);
    l->device->health = l->back ? HEALTH_UP : HEALTH_DOWN;
    if (l->back && !was)
        log_info("worker %s (%s) is back", l->device->machine, l->device->address);
}

static bool any_back(const struct pool *p)
{
    bool back = false;
    for (size_t i = 0; i < p->n_looks; i++)
        back = back || p->looks[i].back;
    return back;
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
    struct pool *p = arg;
    const struct snapshot *s = proxy_snapshot(p->proxy);
    (void)fd;
    (void)what;
    if (s->running + s->queued > 0)
        p->quiet_us = clock_us();
    if (any_back(p) && p->launch->maps_file && p->next == NULL && clock_us() - p->quiet_us > QUIET_US) {
        log_info("%s is loaded anew, for a worker is back and the CPU does its work", p->model);
        if (pool_load(p, NULL, NULL) == 0)
            return;
    }
    for (size_t i = 0; i < p->n_looks; i++) {
        struct pool_look *l = &p->looks[i];
        const struct rpc_ask ask = {.host = l->host, .port = l->port, .timeout_ms = ASK_MS};
        if (l->query == NULL)
            l->query = rpc_query_start(p->base, &ask, on_report, l);
    }
    later(p);
}

void pool_look_begin(struct pool *p)
{
    pool_look_end(p);
    p->looks = xcalloc(p->launch->n_missing + 1, sizeof(*p->looks));
    for (size_t i = 0; i < p->launch->n_devices; i++) {
        struct snapshot_device *d = &p->launch->device[i];
        const char *colon = strrchr(d->address, ':');
        if (d->reason[0] == '\0' || colon == NULL || p->n_looks == p->launch->n_missing)
            continue;
        p->looks[p->n_looks++] = (struct pool_look){.pool = p,
                                                    .device = d,
                                                    .host = xstrndup(d->address, (size_t)(colon - d->address)),
                                                    .port = atoi(colon + 1)};
    }
    p->quiet_us = clock_us();
    if (p->look_timer == NULL)
        p->look_timer = evtimer_new(p->base, on_look, p);
    if (p->n_looks > 0)
        later(p);
}

void pool_look_end(struct pool *p)
{
    if (p->look_timer != NULL)
        event_del(p->look_timer);
    for (size_t i = 0; i < p->n_looks; i++) {
        rpc_query_cancel(p->looks[i].query);
        free(p->looks[i].host);
    }
    free(p->looks);
    p->looks = NULL;
    p->n_looks = 0;
}
