#include "api/api.h"

#include <stdlib.h>
#include <string.h>

#include "api/control.h"
#include "api/events.h"
#include "api/history.h"
#include "api/metrics.h"
#include "api/openai-endpoints.h"
#include "api/status.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "http/httpd.h"

enum {
    MAX_HEADERS = 16 * 1024,
    IDLE_TIMEOUT_S = 30,
    FLUSH_POLL_MS = 10,
    FLUSH_LIMIT_MS = 2000,
};

struct api {
    struct event_base *base;
    struct proxy *proxy;
    struct httpd *tcp, *unix_socket;
    char *url, *control_path;
    int port;
    bool draining, token_set;
    struct endpoints *endpoints;
    struct events *events;
    struct history *history;
    struct metrics metrics;
    struct status status;
    struct control control;
    /* draining */
    void (*on_drained)(void *arg);
    void *on_drained_arg;
    int64_t flush_until_us;
    struct event *flush_timer;
};

static bool is_loopback(const char *host)
{
    return strcmp(host, "localhost") == 0 || strcmp(host, "::1") == 0 || strncmp(host, "127.", 4) == 0;
}

static char *make_url(const char *host, int port)
{
    return xasprintf(strchr(host, ':') ? "http://[%s]:%d" : "http://%s:%d", host, port);
}

static void route_all(struct api *a, struct httpd *h)
{
    endpoints_route(a->endpoints, h);
    status_route(&a->status, h);
    events_route(a->events, h);
    history_route(a->history, h);
    metrics_route(&a->metrics, h);
    control_route(&a->control, h);
}

static void tell_who_is_served(const struct api *a, const struct config_proxy *cfg)
{
    if (!a->token_set && !is_loopback(cfg->host))
        log_warn("no auth_token is set: %s serves loopback and private networks only", a->url);
}

static int listen_tcp(struct api *a, const struct config_proxy *cfg, char **cause)
{
    const struct httpd_opts opts = {
        .max_body = (size_t)cfg->max_body_size,
        .max_headers = MAX_HEADERS,
        .idle_timeout_s = IDLE_TIMEOUT_S,
        .token = cfg->auth_token,
        .private_peers_only = !a->token_set,
    };
    a->tcp = httpd_create(a->base, &opts);
    a->metrics.counted = a->tcp;
    route_all(a, a->tcp);
    a->port = httpd_listen(a->tcp, cfg->host, (int)cfg->port, cause);
    if (a->port < 0)
        return -1;
    a->url = make_url(cfg->host, a->port);
    tell_who_is_served(a, cfg);
    return 0;
}

/* Without it the instance works, but `tightwad proxy stop` and its like have no way in. */
static void listen_unix(struct api *a, const struct config_proxy *cfg)
{
    const struct httpd_opts opts = {
        .max_body = (size_t)cfg->max_body_size,
        .max_headers = MAX_HEADERS,
        .idle_timeout_s = IDLE_TIMEOUT_S,
    };
    char *cause = NULL;
    a->unix_socket = httpd_create(a->base, &opts);
    route_all(a, a->unix_socket);
    a->control_path = control_listen(a->unix_socket, a->port, &cause);
    if (!a->control_path)
        log_warn("no control socket: %s", cause ? cause : "unknown reason");
    free(cause);
}

static bool has_token(const struct config_proxy *cfg)
{
    return cfg->auth_token && *cfg->auth_token;
}

struct api *api_create(struct event_base *base, const struct config *cfg, const struct engines *e, char **cause)
{
    struct api *a = xcalloc(1, sizeof(*a));
    a->base = base;
    a->proxy = e->proxy;
    a->token_set = has_token(&cfg->proxy);
    a->endpoints = endpoints_create(base, e->proxy, &(struct oai_limits){.max_tokens = cfg->proxy.max_tokens_limit});
    a->events = events_create(base, e->proxy, &a->control);
    a->history = history_create(e->proxy);
    a->metrics = (struct metrics){.proxy = e->proxy, .events = a->events};
    a->status = (struct status){.proxy = e->proxy, .draining = &a->draining};
    a->control = (struct control){.engines = *e, .token_set = &a->token_set};
    if (listen_tcp(a, &cfg->proxy, cause) < 0) {
        api_destroy(a);
        return NULL;
    }
    listen_unix(a, &cfg->proxy);
    proxy_set_listen(e->proxy, a->url);
    return a;
}

void api_destroy(struct api *a)
{
    if (!a)
        return;
    endpoints_destroy(a->endpoints);
    if (a->events)
        events_close(a->events);
    control_finish(&a->control);
    httpd_destroy(a->tcp);
    httpd_destroy(a->unix_socket);
    events_destroy(a->events);
    history_destroy(a->history);
    free(a->control_path);
    if (a->flush_timer)
        event_free(a->flush_timer);
    free(a->url);
    free(a);
}

const char *api_url(const struct api *a)
{
    return a->url;
}

int api_port(const struct api *a)
{
    return a->port;
}

const char *api_control_path(const struct api *a)
{
    return a->control_path;
}

size_t api_readers(const struct api *a)
{
    struct events_counters counters;
    events_get_counters(a->events, &counters);
    return counters.readers;
}

void api_reload(struct api *a, const struct config *cfg)
{
    const struct config_proxy *proxy = &cfg->proxy;
    a->token_set = has_token(proxy);
    httpd_set_token(a->tcp, a->token_set ? proxy->auth_token : NULL);
    httpd_set_private_peers_only(a->tcp, !a->token_set);
    endpoints_set_limits(a->endpoints, &(struct oai_limits){.max_tokens = proxy->max_tokens_limit});
    tell_who_is_served(a, proxy);
}

static size_t unwritten(const struct api *a)
{
    struct httpd_counters tcp, unix_socket;
    httpd_get_counters(a->tcp, &tcp);
    httpd_get_counters(a->unix_socket, &unix_socket);
    return tcp.pending + unix_socket.pending;
}

static void on_flush_timer(evutil_socket_t fd, short what, void *arg)
{
    struct api *a = arg;
    if (unwritten(a) > 0 && clock_us() < a->flush_until_us) {
        event_add(a->flush_timer, &(struct timeval){.tv_usec = FLUSH_POLL_MS * 1000});
        return;
    }
    a->on_drained(a->on_drained_arg);
}

static void on_proxy_drained(void *arg)
{
    struct api *a = arg;
    a->flush_until_us = clock_us() + FLUSH_LIMIT_MS * 1000;
    event_add(a->flush_timer, &(struct timeval){.tv_usec = FLUSH_POLL_MS * 1000});
}

void api_drain(struct api *a, void (*fn)(void *arg), void *arg)
{
    if (a->draining)
        return;
    a->draining = true;
    a->on_drained = fn;
    a->on_drained_arg = arg;
    a->flush_timer = evtimer_new(a->base, on_flush_timer, a);
    events_close(a->events);
    proxy_drain(a->proxy, on_proxy_drained, a);
}
