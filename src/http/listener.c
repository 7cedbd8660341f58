/* Where the HTTP server listens: what conn.h and httpd.h declare for that. */
#include "http/conn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/listener.h>

#include "base/cause.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "http/listen.h"

enum {
    BACKLOG = 512,
    ACCEPT_PAUSE_MS = 200, /* when the process has no file descriptors left */
    ACCEPT_WARN_S = 10,    /* between two lines of the log that tell of it */
};

struct httpd_listener {
    struct httpd *server;
    struct evconnlistener *evl;
    struct event *resume; /* accepts again after a pause */
    int64_t warned_us;    /* 0: never */
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

static void on_accept(struct evconnlistener *evl, evutil_socket_t fd, struct sockaddr *sa, int len, void *arg)
{
    struct httpd_listener *l = arg;
    struct peer peer;

    peer_describe(&peer, sa);
    peer_meet(&peer, fd);
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

    int64_t now = clock_us();
    if (l->warned_us == 0 || now - l->warned_us >= ACCEPT_WARN_S * INT64_C(1000000)) {
        log_warn("can't accept connections for now: %s", strerror(errno));
        l->warned_us = now;
    }
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

int httpd_listen(struct httpd *h, const char *host, int port, char **cause)
{
    int fd = listen_bind(host, port, cause);

    if (fd < 0)
        return -1;
    port = listen_port(fd);
    if (add_listener(h, fd, NULL, cause) != 0)
        return listen_explain(host, port, cause);
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
