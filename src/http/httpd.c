#include "http/httpd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/listener.h>
#include <openssl/crypto.h>

#include "base/cause.h"
#include "base/log.h"
#include "base/mem.h"
#include "http/conn.h"

enum {
    BACKLOG = 512,
    ACCEPT_PAUSE_MS = 200, /* when the process has no file descriptors left */
};

struct route {
    unsigned methods;
    char *path;
    size_t len;
    bool prefix, is_public;
    httpd_handler *fn;
    void *arg;
};

struct listener {
    struct httpd *server;
    struct evconnlistener *evl;
    struct event *resume; /* accepts again after a pause */
    char *unix_path;      /* removed at the end; NULL for TCP */
};

struct httpd {
    struct event_base *base;
    struct httpd_opts opts;
    char *token;
    struct route *routes;
    size_t n_routes;
    struct listener **listeners;
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

static void free_listener(struct listener *l)
{
    if (l->evl)
        evconnlistener_free(l->evl);
    if (l->resume)
        event_free(l->resume);
    if (l->unix_path)
        unlink(l->unix_path);
    free(l->unix_path);
    free(l);
}

void httpd_destroy(struct httpd *h)
{
    struct httpd_conn *c;

    if (!h)
        return;
    for (size_t i = 0; i < h->n_listeners; i++)
        free_listener(h->listeners[i]);
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

void httpd_set_max_body(struct httpd *h, size_t max)
{
    h->opts.max_body = max;
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

static bool authorized(const struct httpd *h, const struct httpd_request *r)
{
    const char *value = head_field(&r->head, "Authorization");

    if (!h->token)
        return true;
    if (!value || strncasecmp(value, "Bearer ", 7) != 0)
        return false;
    value += 7;
    value += strspn(value, " ");
    return equal_secret(h->token, value);
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
    if (!route->is_public && !authorized(h, r)) {
        httpd_add_header(r, "WWW-Authenticate", "Bearer");
        httpd_reply_error(r, 401, NULL, "invalid_api_key",
                          head_field(&r->head, "Authorization")
                              ? "the API key is wrong"
                              : "an API key is needed: send the header Authorization: Bearer KEY");
        return false;
    }
    r->handler = route->fn;
    r->handler_arg = route->arg;
    return true;
}

/* host byte order */
static bool private_v4(uint32_t a)
{
    return a >> 24 == 127 || a >> 24 == 10 || a >> 20 == 0xac1 || a >> 16 == 0xc0a8 || a >> 16 == 0xa9fe ||
           a >> 22 == (100 << 2 | 1);
}

static void describe_peer(struct peer *p, const struct sockaddr *sa)
{
    *p = (struct peer){.name = "unknown"};
    if (sa->sa_family == AF_UNIX) {
        *p = (struct peer){.name = "unix", .local = true, .private = true};
    } else if (sa->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)sa;
        uint32_t a = ntohl(in->sin_addr.s_addr);

        inet_ntop(AF_INET, &in->sin_addr, p->name, sizeof(p->name));
        p->local = a >> 24 == 127;
        p->private = private_v4(a);
    } else if (sa->sa_family == AF_INET6) {
        const struct in6_addr *in6 = &((const struct sockaddr_in6 *)sa)->sin6_addr;

        if (IN6_IS_ADDR_V4MAPPED(in6)) {
            struct sockaddr_in in = {.sin_family = AF_INET};

            memcpy(&in.sin_addr, in6->s6_addr + 12, 4);
            describe_peer(p, (struct sockaddr *)&in);
            return;
        }
        inet_ntop(AF_INET6, in6, p->name, sizeof(p->name));
        p->local = IN6_IS_ADDR_LOOPBACK(in6);
        p->private = p->local || IN6_IS_ADDR_LINKLOCAL(in6) || (in6->s6_addr[0] & 0xfe) == 0xfc;
    }
}

static void on_accept(struct evconnlistener *evl, evutil_socket_t fd, struct sockaddr *sa, int len, void *arg)
{
    struct listener *l = arg;
    struct peer peer;

    describe_peer(&peer, sa);
    conn_accept(l->server, fd, &peer);
}

static void on_resume(evutil_socket_t fd, short what, void *arg)
{
    struct listener *l = arg;

    evconnlistener_enable(l->evl);
}

static void on_accept_error(struct evconnlistener *evl, void *arg)
{
    struct listener *l = arg;

    log_warn("can't accept connections for now: %s", strerror(errno));
    evconnlistener_disable(evl);
    event_add(l->resume, &(struct timeval){.tv_usec = ACCEPT_PAUSE_MS * 1000});
}

/* Takes fd, which is bound. */
static int add_listener(struct httpd *h, int fd, const char *unix_path, char **cause)
{
    struct listener *l = xcalloc(1, sizeof(*l));

    l->server = h;
    evutil_make_socket_nonblocking(fd);
    l->evl = evconnlistener_new(h->base, on_accept, l, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, BACKLOG, fd);
    if (!l->evl) {
        int saved = errno;

        close(fd);
        free_listener(l);
        errno = saved;
        return -1;
    }
    l->unix_path = xstrdup(unix_path);
    l->resume = evtimer_new(h->base, on_resume, l);
    evconnlistener_set_error_cb(l->evl, on_accept_error);
    h->listeners = xreallocarray(h->listeners, h->n_listeners + 1, sizeof(struct listener *));
    h->listeners[h->n_listeners++] = l;
    return 0;
}

static int explain(const char *host, int port, char **cause)
{
    switch (errno) {
    case EADDRINUSE:
        return cause_set(cause, "port %d on %s is in use: stop the program that has it, or choose another port", port,
                         host);
    case EACCES:
        return cause_set(cause, "port %d on %s: not allowed (ports below 1024 are the system's)", port, host);
    case EADDRNOTAVAIL:
        return cause_set(cause, "%s is not an address of this machine (127.0.0.1: this machine only; 0.0.0.0: all)",
                         host);
    default:
        return cause_set(cause, "can't listen on %s port %d: %s", host, port, strerror(errno));
    }
}

static int bound_port(int fd)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof(sa);

    if (getsockname(fd, (struct sockaddr *)&sa, &len) != 0)
        return -1;
    return ntohs(sa.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&sa)->sin6_port
                                          : ((struct sockaddr_in *)&sa)->sin_port);
}

int httpd_listen(struct httpd *h, const char *host, int port, char **cause)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *list, *ai;
    char service[16];
    int fd, on = 1, error;

    if (port < 0 || port > 65535)
        return cause_set(cause, "port %d is not in the range 0 to 65535", port);
    snprintf(service, sizeof(service), "%d", port);
    error = getaddrinfo(host, service, &hints, &list);
    if (error)
        return cause_set(cause, "can't listen on %s: %s", host, gai_strerror(error));
    for (ai = list; ai && ai->ai_family != AF_INET; ai = ai->ai_next) /* "localhost" should mean 127.0.0.1 */
        continue;
    if (!ai)
        ai = list;
    fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (fd < 0 || bind(fd, ai->ai_addr, ai->ai_addrlen) != 0) {
        explain(host, port, cause);
        if (fd >= 0)
            close(fd);
        freeaddrinfo(list);
        return -1;
    }
    freeaddrinfo(list);
    port = bound_port(fd);
    if (add_listener(h, fd, NULL, cause) != 0)
        return explain(host, port, cause);
    return port;
}

/* Whether somebody listens on the socket. */
static bool is_alive(const struct sockaddr_un *sun)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool alive = fd >= 0 && connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) == 0;

    if (fd >= 0)
        close(fd);
    return alive;
}

int httpd_listen_unix(struct httpd *h, const char *path, char **cause)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    struct stat st;
    int fd;

    if (strlen(path) >= sizeof(sun.sun_path))
        return cause_set(cause, "%s: the path of a socket may have %zu bytes at most", path, sizeof(sun.sun_path) - 1);
    strcpy(sun.sun_path, path);
    if (lstat(path, &st) == 0) {
        if (!S_ISSOCK(st.st_mode))
            return cause_set(cause, "%s exists and is not a socket", path);
        if (is_alive(&sun))
            return cause_set(cause, "%s is in use by another instance", path);
        unlink(path);
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    /* Nobody can connect before the listen, and by then the mode is right. */
    if (fd < 0 || bind(fd, (struct sockaddr *)&sun, sizeof(sun)) != 0 || chmod(path, 0600) != 0) {
        cause_set(cause, "can't listen on %s: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    if (add_listener(h, fd, path, cause) != 0)
        return cause_set(cause, "can't listen on %s: %s", path, strerror(errno));
    return 0;
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

void httpd_get_counters(const struct httpd *h, struct httpd_counters *out)
{
    const struct httpd_conn *c;

    *out = h->counters;
    TAILQ_FOREACH(c, &h->conns, entry)
    out->pending += evbuffer_get_length(bufferevent_get_output(c->bev));
}
