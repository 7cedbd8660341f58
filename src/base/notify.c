#include "base/notify.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

struct notify {
    int fd;
    struct sockaddr_un to;
    socklen_t to_len;
    struct event *watchdog; /* NULL: none is asked for */
    char status[256];
};

static void tell(const struct notify *n, const char *text)
{
    if (sendto(n->fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT, (const struct sockaddr *)&n->to, n->to_len) < 0)
        log_debug("the service manager was not told: %s", strerror(errno));
}

static void on_watchdog(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    tell(arg, "WATCHDOG=1");
}

/* -1: no address that is known here. */
static int take_address(struct notify *n, const char *name)
{
    size_t len = name != NULL ? strlen(name) : 0;
    if (len < 2 || (name[0] != '/' && name[0] != '@') || len >= sizeof(n->to.sun_path))
        return -1;
    n->to.sun_family = AF_UNIX;
    memcpy(n->to.sun_path, name, len);
    if (name[0] == '@')
        n->to.sun_path[0] = '\0';
    n->to_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    return 0;
}

static void start_watchdog(struct notify *n, struct event_base *base)
{
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    int64_t us = usec != NULL ? strtoll(usec, NULL, 10) / 2 : 0;
    if (us <= 0 || (pid != NULL && strtoll(pid, NULL, 10) != getpid()))
        return;
    n->watchdog = event_new(base, -1, EV_PERSIST, on_watchdog, n);
    event_add(n->watchdog, &(struct timeval){.tv_sec = us / 1000000, .tv_usec = us % 1000000});
}

struct notify *notify_create(struct event_base *base)
{
    struct notify *n = xcalloc(1, sizeof(*n));
    n->fd = -1;
    if (take_address(n, getenv("NOTIFY_SOCKET")) == 0)
        n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (n->fd >= 0)
        start_watchdog(n, base);
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    if (n->fd >= 0)
        return n;
    free(n);
    return NULL;
}

void notify_destroy(struct notify *n)
{
    if (n == NULL)
        return;
    if (n->watchdog != NULL)
        event_free(n->watchdog);
    close(n->fd);
    free(n);
}

void notify_ready(struct notify *n)
{
    if (n != NULL)
        tell(n, "READY=1");
}

void notify_reloading(struct notify *n)
{
    char text[64];
    if (n == NULL)
        return;
    snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)clock_us());
    tell(n, text);
}

void notify_stopping(struct notify *n)
{
    if (n != NULL)
        tell(n, "STOPPING=1");
}

void notify_status(struct notify *n, const char *fmt, ...)
{
    char words[sizeof(n->status)], text[sizeof(words) + 16];
    va_list ap;
    if (n == NULL)
        return;
    va_start(ap, fmt);
    vsnprintf(words, sizeof(words), fmt, ap);
    va_end(ap);
    if (strcmp(words, n->status) == 0)
        return;
    memcpy(n->status, words, sizeof(words));
    snprintf(text, sizeof(text), "STATUS=%s", words);
    tell(n, text);
}
