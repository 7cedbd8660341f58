/* Where the HTTP server listens, and who its peers are: what conn.h and httpd.h declare for that. */
#include "http/conn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/listener.h>

#include "base/cause.h"
#include "base/log.h"
#include "base/mem.h"

enum {
    BACKLOG = 512,
    ACCEPT_PAUSE_MS = 200, /* when the process has no file descriptors left */
};

struct httpd_listener {
    struct httpd *server;
    struct evconnlistener *evl;
    struct event *resume; /* accepts again after a pause */
    char *unix_path;      /* removed at the end; NULL for TCP */
};

void listener_destroy(struct httpd_listener *l)
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

/* host byte order */
static bool private_v4(uint32_t a)
{
    return a >> 24 == 127 || a >> 24 == 10 || a >> 20 == 0xac1 || a >> 16 == 0xc0a8 || a >> 16 == 0xa9fe ||
           a >> 22 == (100 << 2 | 1);
}

void peer_describe(struct peer *p, const struct sockaddr *sa)
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
            peer_describe(p, (struct sockaddr *)&in);
            return;
        }
        inet_ntop(AF_INET6, in6, p->name, sizeof(p->name));
        p->local = IN6_IS_ADDR_LOOPBACK(in6);
        p->private = p->local || IN6_IS_ADDR_LINKLOCAL(in6) || (in6->s6_addr[0] & 0xfe) == 0xfc;
    }
}

static void on_accept(struct evconnlistener *evl, evutil_socket_t fd, struct sockaddr *sa, int len, void *arg)
{
    struct httpd_listener *l = arg;
    struct peer peer;

    peer_describe(&peer, sa);
    conn_accept(l->server, fd, &peer);
}

static void on_resume(evutil_socket_t fd, short what, void *arg)
{
    struct httpd_listener *l = arg;

    evconnlistener_enable(l->evl);
}

static void on_accept_error(struct evconnlistener *evl, void *arg)
{
    struct httpd_listener *l = arg;

    log_warn("can't accept connections for now: %s", strerror(errno));
    evconnlistener_disable(evl);
    event_add(l->resume, &(struct timeval){.tv_usec = ACCEPT_PAUSE_MS * 1000});
}

/* Takes fd, which is bound. */
static int add_listener(struct httpd *h, int fd, const char *unix_path, char **cause)
{
    struct httpd_listener *l = xcalloc(1, sizeof(*l));

    l->server = h;
    evutil_make_socket_nonblocking(fd);
    l->evl =
        evconnlistener_new(httpd_base(h), on_accept, l, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, BACKLOG, fd);
    if (!l->evl) {
        int saved = errno;

        close(fd);
        listener_destroy(l);
        errno = saved;
        return -1;
    }
    l->unix_path = xstrdup(unix_path);
    l->resume = evtimer_new(httpd_base(h), on_resume, l);
    evconnlistener_set_error_cb(l->evl, on_accept_error);
    httpd_add_listener(h, l);
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
