#include "http/httpd.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <openssl/crypto.h>

#include "base/mem.h"
#include "http/conn.h"

struct route {
    unsigned methods;
    char *path;
    size_t len;
    bool prefix, is_public;
    httpd_handler *fn;
    void *arg;
};

struct httpd {
    struct event_base *base;
    struct httpd_opts opts;
    char *token;
    struct route *routes;
    size_t n_routes;
    struct httpd_listener **listeners;
    size_t n_listeners;
    TAILQ_HEAD(, httpd_conn) conns;
    struct httpd_counters counters;
};

struct event_base *httpd_base(const struct httpd *h)
{
    return h->base;
}

const struct httpd_opts *httpd_options(const struct httpd *h)
{
    return &h->opts;
}

void httpd_count_bytes(struct httpd *h, size_t in, size_t out)
{
    h->counters.bytes_in += in;
    h->counters.bytes_out += out;
}

void httpd_took(struct httpd *h, const struct held *held)
{
    held_end(held, &h->counters.slowest_us);
}

bool httpd_has_room(const struct httpd *h, const struct peer *peer)
{
    const struct httpd_conn *c;
    size_t same = 0;

    if (h->opts.max_connections > 0 && h->counters.connections >= h->opts.max_connections)
        return false;
    if (h->opts.max_per_address == 0 || strcmp(peer->name, "unix") == 0)
        return true;
    TAILQ_FOREACH(c, &h->conns, entry)
    same += memcmp(c->peer.address, peer->address, sizeof(peer->address)) == 0;
    return same < h->opts.max_per_address;
}

void httpd_add_listener(struct httpd *h, struct httpd_listener *l)
{
    h->listeners = xreallocarray(h->listeners, h->n_listeners + 1, sizeof(struct httpd_listener *));
    h->listeners[h->n_listeners++] = l;
}

void httpd_conn_opened(struct httpd *h, struct httpd_conn *c)
{
    TAILQ_INSERT_TAIL(&h->conns, c, entry);
    h->counters.connections++;
}

void httpd_conn_closed(struct httpd *h, struct httpd_conn *c)
{
    TAILQ_REMOVE(&h->conns, c, entry);
    h->counters.connections--;
}

struct httpd *httpd_create(struct event_base *base, const struct httpd_opts *opts)
{
    struct httpd *h = xcalloc(1, sizeof(*h));

    signal(SIGPIPE, SIG_IGN); /* a peer that went away is an error of a write, not the end of the process */
    h->base = base;
    h->opts = *opts;
    if (h->opts.max_headers == 0)
        h->opts.max_headers = 16 * 1024;
    if (h->opts.idle_timeout_s <= 0)
        h->opts.idle_timeout_s = 60;
    h->opts.token = NULL; /* the copy is what counts */
    httpd_set_token(h, opts->token);
    TAILQ_INIT(&h->conns);
    return h;
}

void httpd_destroy(struct httpd *h)
{
    struct httpd_conn *c;

    if (!h)
        return;
    for (size_t i = 0; i < h->n_listeners; i++)
        listener_destroy(h->listeners[i]);
    free(h->listeners);
    while ((c = TAILQ_FIRST(&h->conns)))
        conn_close(c);
    for (size_t i = 0; i < h->n_routes; i++)
        free(h->routes[i].path);
    free(h->routes);
    free(h->token);
    free(h);
}

void httpd_set_token(struct httpd *h, const char *token)
{
    free(h->token);
    h->token = xstrdup(token);
}

void httpd_set_private_peers_only(struct httpd *h, bool on)
{
    h->opts.private_peers_only = on;
}

void httpd_route(struct httpd *h, enum httpd_method method, const char *path, bool is_public, httpd_handler *fn,
                 void *arg)
{
    size_t len = strlen(path);

    h->routes = xreallocarray(h->routes, h->n_routes + 1, sizeof(*h->routes));
    h->routes[h->n_routes++] = (struct route){
        .methods = method,
        .path = xstrdup(path),
        .len = len,
        .prefix = len > 1 && path[len - 1] == '/',
        .is_public = is_public,
        .fn = fn,
        .arg = arg,
    };
}

static unsigned method_bit(const char *method)
{
    if (strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0)
        return HTTPD_GET;
    if (strcmp(method, "POST") == 0)
        return HTTPD_POST;
    return strcmp(method, "DELETE") == 0 ? HTTPD_DELETE : 0;
}

/* The route for the path: an exact one before the longest prefix.  *allowed: the methods of all that match. */
static const struct route *find_route(const struct httpd *h, const char *path, unsigned method, unsigned *allowed)
{
    const struct route *best = NULL;
    size_t best_len = 0;

    *allowed = 0;
    for (size_t i = 0; i < h->n_routes; i++) {
        const struct route *r = &h->routes[i];
        bool exact = strcmp(r->path, path) == 0;
        size_t len = exact ? SIZE_MAX : r->len;

        if (!exact && !(r->prefix && strncmp(path, r->path, r->len) == 0))
            continue;
        *allowed |= r->methods;
        if ((r->methods & method) && len > best_len) {
            best = r;
            best_len = len;
        }
    }
    return best;
}

/* The time taken does not tell how much of a guess was right. */
static bool equal_secret(const char *a, const char *b)
{
    size_t n = strlen(a);

    return n == strlen(b) && CRYPTO_memcmp(a, b, n) == 0;
}

bool httpd_bears(const struct httpd_request *r, const char *token)
{
    const char *value = head_field(&r->head, "Authorization");

    if (!value || strncasecmp(value, "Bearer ", 7) != 0)
        return false;
    value += 7;
    value += strspn(value, " ");
    return equal_secret(token, value);
}

void httpd_reply_unauthorized(struct httpd_request *r, const char *what)
{
    httpd_add_header(r, "WWW-Authenticate", "Bearer");
    if (head_field(&r->head, "Authorization"))
        httpd_reply_error(r, 401, NULL, "invalid_api_key", "the %s is wrong", what);
    else
        httpd_reply_error(r, 401, NULL, "invalid_api_key", "%s %s is needed: send the header Authorization: Bearer KEY",
                          strchr("AEIO", what[0]) ? "an" : "a", what);
}

static void reply_allowed(struct httpd_request *r, unsigned allowed)
{
    char *list = xasprintf("%s%s%s", allowed & HTTPD_GET ? ", GET, HEAD" : "", allowed & HTTPD_POST ? ", POST" : "",
                           allowed & HTTPD_DELETE ? ", DELETE" : "");

    httpd_add_header(r, "Allow", list + 2);
    httpd_reply_error(r, 405, NULL, "method_not_allowed", "%s %s: this path takes %s", r->head.method, r->head.path,
                      list + 2);
    free(list);
}

bool httpd_admit(struct httpd_request *r)
{
    struct httpd *h = r->server;
    const struct route *route;
    unsigned allowed;

    h->counters.requests++;
    if (h->opts.private_peers_only && !r->peer.private) {
        httpd_reply_error(r, 403, NULL, "peer_not_private",
                          "requests from %s are refused: without a token only loopback and private networks are served",
                          r->peer.name);
        return false;
    }
    route = find_route(h, r->head.path, method_bit(r->head.method), &allowed);
    if (!route && allowed) {
        reply_allowed(r, allowed);
        return false;
    }
    if (!route) {
        httpd_reply_error(r, 404, NULL, "unknown_url", "unknown path %s %s", r->head.method, r->head.path);
        return false;
    }
    if (!route->is_public && h->token && !httpd_bears(r, h->token)) {
        httpd_reply_unauthorized(r, "API key");
        return false;
    }
    r->handler = route->fn;
    r->handler_arg = route->arg;
    return true;
}

const char *httpd_body(const struct httpd_request *r, size_t *len)
{
    *len = r->body_len;
    return r->body ? r->body : "";
}

const char *httpd_path(const struct httpd_request *r)
{
    return r->head.path;
}

const char *httpd_query(struct httpd_request *r, const char *key)
{
    const char *s = r->head.query;

    while (s && *s) {
        size_t len = strcspn(s, "&");
        char *name = xstrndup(s, len), *value = strchr(name, '=');

        if (value)
            *value++ = '\0';
        if (head_decode(name, true) && strcmp(name, key) == 0) {
            char *copy = xstrdup(value ? value : "");

            free(name);
            if (!head_decode(copy, true)) {
                free(copy);
                return NULL;
            }
            r->values = xreallocarray(r->values, r->n_values + 1, sizeof(char *));
            return r->values[r->n_values++] = copy;
        }
        free(name);
        s += len + (s[len] == '&');
    }
    return NULL;
}

const char *httpd_header(const struct httpd_request *r, const char *name)
{
    return head_field(&r->head, name);
}

const char *httpd_peer(const struct httpd_request *r)
{
    return r->peer.name;
}

bool httpd_peer_is_local(const struct httpd_request *r)
{
    return r->peer.local;
}

bool httpd_peer_is_here(const struct httpd_request *r)
{
    return r->peer.here;
}

void httpd_get_counters(const struct httpd *h, struct httpd_counters *out)
{
    const struct httpd_conn *c;

    *out = h->counters;
    TAILQ_FOREACH(c, &h->conns, entry)
    out->pending += evbuffer_get_length(bufferevent_get_output(c->bev));
}
