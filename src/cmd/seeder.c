#include "cmd/seeder.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/control.h"
#include "base/cause.h"
#include "base/json.h"
#include "base/mem.h"
#include "cmd/instance.h"
#include "engines/swarm-settings.h"
#include "probe/scan-place.h"

enum { ASK_MS = 5000, SHARE_MS = 60000, TICK_MS = 100, TICK_TRIES = 20 };

static bool is_loopback(const char *host)
{
    return strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0 || strcasecmp(host, "localhost") == 0;
}

static bool is_wildcard(const char *host)
{
    return strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

static bool all_here(const struct seeder_opts *o)
{
    for (size_t i = 0; i < o->n_routes; i++) {
        if (!o->routes[i].here)
            return false;
    }
    return true;
}

static char *address(const char *host, int port)
{
    return xasprintf(strchr(host, ':') != NULL ? "[%s]:%d" : "%s:%d", host, port);
}

/* ---- by the instance ---- */

static bool connect_instance(struct client *c, const struct config *cfg)
{
    char *path = control_path((int)cfg->proxy.port);
    bool alive = control_alive(path);
    if (alive)
        client_init_unix(c, path);
    free(path);
    return alive;
}

static json_t *swarm_of(struct client *c)
{
    json_t *status = client_get(c, "/v1/tightwad/status", NULL, ASK_MS, NULL);
    json_t *swarm = json_incref(json_object_get(status, "swarm"));
    json_decref(status);
    return swarm;
}

/* Whether it serves where all of them come to.  A note says why not, where it has a swarm. */
static bool is_reachable(struct seeder *s, const struct seeder_opts *o, const json_t *swarm)
{
    char *host = NULL;
    int port = 0;
    bool on = json_is_object(swarm) && scan_host_parse(json_text(swarm, "listen"), &host, &port, NULL) == 0;
    bool reached = on && port > 0 && (!is_loopback(host) || all_here(o));
    if (reached) {
        s->port = port;
        s->at = address(is_wildcard(host) && o->n_routes > 0 ? o->routes[0].from : host, port);
    } else if (on) {
        char *name = instance_name(&s->instance);
        s->note = xasprintf("%s gives models out to this machine alone (swarm.host is %s), so this command does it "
                            "until all have it",
                            name, host);
        free(name);
    }
    free(host);
    return reached;
}

static bool share_by_instance(struct seeder *s, const struct seeder_opts *o)
{
    char *cause = NULL;
    json_t *request = json_pack("{s:s, s:s}", "command", "swarm-share", "path", o->path);
    json_t *reply = client_get(&s->instance, "/v1/tightwad/command", request, SHARE_MS, &cause);
    if (reply == NULL)
        s->note = xasprintf("the running instance does not give it out (%s), so this command does it until all have it",
                            cause);
    json_decref(request);
    json_decref(reply);
    free(cause);
    return s->note == NULL;
}

static bool open_instance(struct seeder *s, const struct seeder_opts *o)
{
    if (o->listen != NULL || !connect_instance(&s->instance, o->cfg))
        return false;
    json_t *swarm = swarm_of(&s->instance);
    s->sent_before = (uint64_t)json_integer_value(json_object_get(swarm, "sent"));
    bool good = is_reachable(s, o, swarm) && share_by_instance(s, o);
    json_decref(swarm);
    if (good)
        return true;
    client_finish(&s->instance);
    s->instance = (struct client){0};
    free(s->at);
    s->at = NULL;
    return false;
}

/* ---- by itself ---- */

/* The one address that all of them see, or every one. */
static const char *choose(const struct seeder_opts *o)
{
    bool six = false, same = true;
    for (size_t i = 0; i < o->n_routes; i++) {
        six = six || strchr(o->routes[i].from, ':') != NULL;
        same = same && strcmp(o->routes[i].from, o->routes[0].from) == 0;
    }
    return o->n_routes == 0 ? "127.0.0.1" : same ? o->routes[0].from : six ? "::" : "0.0.0.0";
}

/* Until it is really given out. */
struct sharing {
    struct event_base *base;
    bool done;
    char *why; /* it can't be; NULL */
};

static void on_shared(void *arg, const char *path, const struct manifest *m, const char *why)
{
    struct sharing *w = arg;
    (void)path;
    w->done = true;
    free(w->why);
    w->why = m == NULL ? xstrdup(why) : NULL;
    event_base_loopbreak(w->base);
}

static int share_own(struct seeder *s, const struct seeder_opts *o, char **cause)
{
    struct sharing w = {.base = o->base};
    if (swarm_share(s->swarm, o->path, on_shared, &w, cause) != 0)
        return -1;
    if (!w.done)
        event_base_dispatch(o->base);
    if (!w.done) { /* Ctrl-C: nobody is to be called any more */
        swarm_destroy(s->swarm);
        s->swarm = NULL;
        return cause_set(cause, "interrupted");
    }
    int rc = w.why != NULL ? cause_set(cause, "%s", w.why) : 0;
    free(w.why);
    return rc;
}

static int open_own(struct seeder *s, const struct seeder_opts *o, char **cause)
{
    struct swarm_settings settings;
    char *host = NULL;
    int port = 0, rc = -1;
    swarm_settings_init(&settings, o->cfg);
    if (o->listen == NULL || scan_host_parse(o->listen, &host, &port, cause) == 0) {
        settings.opts.host = host != NULL ? host : choose(o);
        settings.opts.port = port; /* the usual one may be the instance's: then any free one does */
        s->swarm = swarm_create(o->base, o->http, &settings.opts, cause);
        rc = s->swarm != NULL ? share_own(s, o, cause) : -1;
    }
    if (rc == 0) {
        s->port = swarm_port(s->swarm);
        const char *seen = is_wildcard(settings.opts.host) && o->n_routes > 0 ? o->routes[0].from : settings.opts.host;
        s->at = address(seen, s->port);
    }
    swarm_settings_finish(&settings);
    free(host);
    return rc;
}

int seeder_open(struct seeder *s, const struct seeder_opts *o, char **cause)
{
    *s = (struct seeder){0};
    return open_instance(s, o) ? 0 : open_own(s, o, cause);
}

void seeder_close(struct seeder *s)
{
    swarm_destroy(s->swarm);
    if (s->instance.base != NULL)
        client_finish(&s->instance);
    free(s->at);
    free(s->note);
    *s = (struct seeder){0};
}

/* What it had sent by now: a status is as old as its tick. */
static int64_t sent_by_instance(struct seeder *s)
{
    int64_t first = -1, sent = -1;
    for (int tries = 0; tries < TICK_TRIES; tries++) {
        json_t *status = client_get(&s->instance, "/v1/tightwad/status", NULL, ASK_MS, NULL);
        const json_t *swarm = json_object_get(status, "swarm");
        int64_t tick = json_integer_value(json_object_get(status, "tick"));
        first = tries == 0 ? tick : first;
        if (json_is_object(swarm))
            sent = json_integer_value(json_object_get(swarm, "sent")) - (int64_t)s->sent_before;
        json_decref(status);
        if (status == NULL || tick > first)
            break;
        event_base_loopexit(s->instance.base, &(struct timeval){0, TICK_MS * 1000});
        event_base_loop(s->instance.base, EVLOOP_NO_EXIT_ON_EMPTY);
    }
    return sent;
}

int64_t seeder_sent(struct seeder *s)
{
    int64_t sent = -1;
    if (s->swarm != NULL) {
        struct swarm_view *v = xcalloc(1, sizeof(*v));
        swarm_fill(s->swarm, v);
        sent = (int64_t)v->sent;
        free(v);
    } else if (s->instance.base != NULL) {
        sent = sent_by_instance(s);
    }
    return sent;
}
