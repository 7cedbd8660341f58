#include "swarm/server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "base/cause.h"
#include "base/mem.h"
#include "swarm/server-parts.h"

enum {
    MAX_BODY = 0,
    MAX_HEADERS = 8 * 1024,
    IDLE_TIMEOUT_S = 60,
    MAX_CONNECTIONS = 512,
    MAX_PER_ADDRESS = 192, /* several processes of one machine are one address */
};

static const char prefix[] = "/v1/swarm/";

struct source *source_get(struct served *v)
{
    if (v->source == NULL) {
        int fd = fcntl(v->share->fd, F_DUPFD_CLOEXEC, 0);
        if (fd < 0)
            return NULL;
        v->source = xcalloc(1, sizeof(*v->source));
        *v->source = (struct source){.fd = fd, .served = v};
    }
    v->source->stamp = v->share->stamp;
    v->source->users++;
    return v->source;
}

void source_put(struct source *s)
{
    if (s == NULL || --s->users > 0)
        return;
    if (s->served != NULL)
        s->served->source = NULL;
    close(s->fd);
    free(s);
}

void server_took(struct swarm_server *s, const struct held *held)
{
    held_end(held, &s->slowest_us);
}

void server_refuse(struct swarm_server *s, struct httpd_request *r, const char *why)
{
    s->refused++;
    httpd_reply_error(r, 429, NULL, "busy", "%s", why);
}

/* --- Doors --- */

bool swarm_server_allows(const struct swarm_server *s, const char *address)
{
    char plain[SWARM_ADDRESS], with_port[SWARM_ADDRESS + 8];
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    struct peer peer;
    if (!message_address(address, plain)) {
        bool six = strchr(address, ':') != NULL;
        if (strlen(address) >= SWARM_ADDRESS)
            return false;
        snprintf(with_port, sizeof(with_port), six ? "[%s]:1" : "%s:1", address);
        if (!message_address(with_port, plain))
            return false;
    }
    char *host = plain + (plain[0] == '['), *end = plain[0] == '[' ? strchr(host, ']') : strchr(host, ':');
    *end = '\0';
    if (inet_pton(AF_INET, host, &v4.sin_addr) == 1)
        peer_describe(&peer, (struct sockaddr *)&v4);
    else if (inet_pton(AF_INET6, host, &v6.sin6_addr) == 1)
        peer_describe(&peer, (struct sockaddr *)&v6);
    else
        return false;
    return peer.local || (s->allows_private ? peer.private : peer_list_has(&s->allow, &peer));
}

/* A web page can have a name of its own point to this machine and have the browser here read models for it.  Names
 * that only a local network can give out are no such ones. */
static bool names_this_machine(const struct httpd_request *r)
{
    const char *host = httpd_header(r, "Host");
    if (peer_host_is_plain(host))
        return true;
    char *name = xstrndup(host, strcspn(host, ":")), *dot = strchr(name, '.'), own[256] = "";
    gethostname(own, sizeof(own) - 1);
    bool ok = dot == NULL || strcmp(dot, ".local") == 0 || strcmp(dot, ".lan") == 0 || strcmp(name, own) == 0;
    free(name);
    return ok;
}

/* False: it was refused. */
static bool admit(struct swarm_server *s, struct httpd_request *r)
{
    const char *from = httpd_peer(r);
    if (strcmp(from, "unix") == 0)
        return true;
    if (!swarm_server_allows(s, from))
        httpd_reply_error(r, 403, NULL, "network_not_allowed", "%s is in none of the networks that are served here",
                          from);
    else if (s->token != NULL && !httpd_bears(r, s->token))
        httpd_reply_unauthorized(r, "token");
    else if (s->token == NULL && httpd_peer_is_here(r) && !names_this_machine(r))
        httpd_reply_error(r, 403, NULL, "unknown_host", "ask this machine by its address");
    else
        return true;
    return false;
}

/* --- What is there --- */

static json_t *share_json(const struct share *h)
{
    const struct manifest *m = h->manifest;
    return json_pack("{s:s, s:s?, s:s, s:I, s:I, s:I}", "id", m->id, "model", m->model, "filename", m->filename, "size",
                     (json_int_t)m->total_size, "pieces", (json_int_t)m->n_pieces, "have", (json_int_t)h->have.count);
}

static void on_list(struct httpd_request *r, void *arg)
{
    struct swarm_server *s = arg;
    struct served *v;
    if (!admit(s, r))
        return;
    json_t *shares = json_array();
    TAILQ_FOREACH(v, &s->shares, entry)
    json_array_append_new(shares, share_json(v->share));
    httpd_reply_json(r, 200,
                     json_pack("{s:i, s:s, s:s?, s:s?, s:o}", "protocol", SWARM_PROTOCOL, "version", TIGHTWAD_VERSION,
                               "peer", s->peer, "name", s->name, "shares", shares));
}

static void reply_piece(struct served *v, struct httpd_request *r, const char *number)
{
    const struct manifest *m = v->share->manifest;
    size_t digits = strspn(number, "0123456789");
    unsigned long n = digits > 0 && digits < 9 && number[digits] == '\0' ? strtoul(number, NULL, 10) : m->n_pieces;
    char etag[2 * MANIFEST_HASH + 3] = "\"";
    if (n >= m->n_pieces) {
        httpd_reply_error(r, 404, NULL, "unknown_piece", "\"%s\" is no piece of this model: it has 0 to %zu", number,
                          m->n_pieces - 1);
        return;
    }
    if (!bits_has(&v->share->have, n)) {
        httpd_reply_error(r, 404, NULL, "not_had", "piece %lu is not here yet", n);
        return;
    }
    for (size_t i = 0; i < MANIFEST_HASH; i++)
        snprintf(etag + 1 + 2 * i, 3, "%02x", m->piece[n].sha256[i]);
    strcat(etag, "\"");
    upload_reply(v, r, m->piece[n].offset, m->piece[n].size, etag);
}

static void reply_file(struct served *v, struct httpd_request *r)
{
    const struct manifest *m = v->share->manifest;
    if (!bits_full(&v->share->have)) {
        httpd_reply_error(r, 404, NULL, "not_complete", "%zu of the model's %zu pieces are here so far",
                          v->share->have.count, m->n_pieces);
        return;
    }
    char *etag = xasprintf("\"%s\"", m->id);
    upload_reply(v, r, 0, m->total_size, etag);
    free(etag);
}

static struct served *find(const struct swarm_server *s, const char *id, size_t len)
{
    struct served *v;
    TAILQ_FOREACH(v, &s->shares, entry)
    {
        if (strlen(v->share->manifest->id) == len && memcmp(v->share->manifest->id, id, len) == 0)
            return v;
    }
    return NULL;
}

static void on_share(struct httpd_request *r, void *arg)
{
    struct swarm_server *s = arg;
    const char *id = httpd_path(r) + strlen(prefix), *what = strchr(id, '/');
    if (!admit(s, r))
        return;
    if (strcmp(id, "view") == 0 && strcmp(httpd_peer(r), "unix") == 0 && s->view != NULL) {
        httpd_reply_json(r, 200, s->view(s->view_arg));
        return;
    }
    struct served *v = what != NULL ? find(s, id, (size_t)(what - id)) : NULL;
    what = what != NULL ? what + 1 : "";
    if (v == NULL)
        httpd_reply_error(r, 404, NULL, "unknown_model", "no model of that id is given out here");
    else if (strncmp(what, "piece/", 6) == 0)
        reply_piece(v, r, what + 6);
    else if (strcmp(what, "file") == 0)
        reply_file(v, r);
    else if (strcmp(what, "manifest") == 0)
        manifest_reply(v, r);
    else if (strcmp(what, "events") == 0)
        stream_reply(v, r);
    else
        httpd_reply_error(r, 404, NULL, "unknown_url", "a model has manifest, events, piece/N and file");
}

/* --- Shares --- */

static void forget(struct served *v)
{
    struct swarm_server *s = v->server;
    TAILQ_REMOVE(&s->shares, v, entry);
    streams_forget(s, v);
    manifests_forget(s, v);
    uploads_forget(s, v);
    if (v->source != NULL)
        v->source->served = NULL;
    free(v);
}

static void on_change(void *arg, enum share_change what, size_t piece)
{
    struct served *v = arg;
    if (what == SHARE_GONE)
        forget(v);
    else
        streams_change(v, what, piece);
}

void swarm_server_add(struct swarm_server *s, struct share *share)
{
    struct served *v = xcalloc(1, sizeof(*v));
    v->server = s;
    v->share = share;
    share_watch(share, &v->watch, on_change, v);
    TAILQ_INSERT_TAIL(&s->shares, v, entry);
}

void swarm_server_remove(struct swarm_server *s, struct share *share)
{
    struct served *v;
    TAILQ_FOREACH(v, &s->shares, entry)
    {
        if (v->share == share)
            break;
    }
    if (v == NULL)
        return;
    share_unwatch(share, &v->watch);
    forget(v);
}

/* --- The server --- */

static int listen_on(struct swarm_server *s, const struct swarm_server_opts *o, char **cause)
{
    const char *host = o->host != NULL ? o->host : "127.0.0.1";
    s->port = httpd_listen(s->http, host, o->port, cause);
    if (s->port < 0 && o->any_port && o->port != 0) {
        if (cause != NULL) {
            free(*cause);
            *cause = NULL;
        }
        s->port = httpd_listen(s->http, host, 0, cause);
    }
    return s->port > 0 ? 0 : -1;
}

struct swarm_server *swarm_server_create(struct event_base *base, struct crew *crew, const struct swarm_server_opts *o,
                                         swarm_server_peer_cb *on_peer, void *arg, char **cause)
{
    const struct httpd_opts http = {.max_body = MAX_BODY,
                                    .max_headers = MAX_HEADERS,
                                    .idle_timeout_s = IDLE_TIMEOUT_S,
                                    .max_connections = MAX_CONNECTIONS,
                                    .max_per_address = MAX_PER_ADDRESS};
    struct swarm_server *s = xcalloc(1, sizeof(*s));
    s->base = base;
    s->crew = crew;
    s->on_peer = on_peer;
    s->on_peer_arg = arg;
    s->token = xstrdup(o->token);
    s->peer = xstrdup(o->peer);
    s->name = xstrdup(o->name);
    s->allows_private = o->allow == NULL;
    TAILQ_INIT(&s->shares);
    s->http = httpd_create(base, &http);
    uploads_init(s);
    streams_init(s);
    uploads_set_limits(s, o->upload_limit, o->upload_slots);
    if ((o->allow != NULL && peer_list_add(&s->allow, o->allow, cause) != 0) || listen_on(s, o, cause) != 0) {
        swarm_server_destroy(s);
        return NULL;
    }
    httpd_route(s->http, HTTPD_GET, "/v1/swarm", true, on_list, s);
    httpd_route(s->http, HTTPD_GET, prefix, true, on_share, s);
    return s;
}

void swarm_server_destroy(struct swarm_server *s)
{
    struct served *v;
    if (s == NULL)
        return;
    s->leaving = true;
    streams_finish(s);
    while ((v = TAILQ_FIRST(&s->shares)) != NULL) {
        share_unwatch(v->share, &v->watch);
        forget(v);
    }
    uploads_finish(s);
    httpd_destroy(s->http);
    peer_list_finish(&s->allow);
    free(s->token);
    free(s->peer);
    free(s->name);
    free(s);
}

int swarm_server_port(const struct swarm_server *s)
{
    return s->port;
}

void swarm_server_set_limits(struct swarm_server *s, int64_t upload_limit, int upload_slots)
{
    uploads_set_limits(s, upload_limit, upload_slots);
}

void swarm_server_on_changed(struct swarm_server *s, swarm_server_changed_cb *fn, void *arg)
{
    s->on_changed = fn;
    s->on_changed_arg = arg;
}

int swarm_server_listen_unix(struct swarm_server *s, const char *path, char **cause)
{
    return httpd_listen_unix(s->http, path, cause);
}

void swarm_server_set_view(struct swarm_server *s, json_t *(*fn)(void *arg), void *arg)
{
    s->view = fn;
    s->view_arg = arg;
}

void swarm_server_counters(const struct swarm_server *s, struct swarm_server_counters *out)
{
    struct httpd_counters http;
    httpd_get_counters(s->http, &http);
    *out = (struct swarm_server_counters){
        .sent = s->sent,
        .uploads = (uint32_t)s->n_active,
        .waiting = (uint32_t)s->n_waiting,
        .streams = (uint32_t)s->n_streams,
        .refused = s->refused,
        .slowest_us = http.slowest_us > s->slowest_us ? http.slowest_us : s->slowest_us,
    };
}
