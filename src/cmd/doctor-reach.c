#include "cmd/doctor-reach.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cause.h"
#include "config/url.h"

/* 0 when something accepts, else the error. */
static int try_connect(const struct sockaddr *to, socklen_t len, int timeout_ms)
{
    int fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), error = 0;
    if (fd < 0)
        return errno;
    if (connect(fd, to, len) != 0) {
        error = errno;
        if (error == EINPROGRESS) {
            struct pollfd p = {.fd = fd, .events = POLLOUT};
            socklen_t size = sizeof(error);
            if (poll(&p, 1, timeout_ms) <= 0)
                error = ETIMEDOUT;
            else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
                error = errno;
        }
    }
    close(fd);
    return error;
}

/* Only an address of this machine can be bound to. */
static bool is_own(const struct sockaddr *address, socklen_t len)
{
    struct sockaddr_storage any = {0};
    memcpy(&any, address, len);
    if (any.ss_family == AF_INET)
        ((struct sockaddr_in *)&any)->sin_port = 0;
    else if (any.ss_family == AF_INET6)
        ((struct sockaddr_in6 *)&any)->sin6_port = 0;
    int fd = socket(any.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool own = fd >= 0 && bind(fd, (struct sockaddr *)&any, len) == 0;
    if (fd >= 0)
        close(fd);
    return own;
}

static bool loopback_answers(const char *port)
{
    struct sockaddr_in loopback = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    loopback.sin_port = htons((uint16_t)atoi(port));
    return try_connect((struct sockaddr *)&loopback, sizeof(loopback), 1000) == 0;
}

enum doctor_reach doctor_reach_tcp(const char *url, int timeout_ms, char **message)
{
    struct addrinfo *list = NULL, hints = {.ai_socktype = SOCK_STREAM};
    char *host = url_host_port(url), *port = strrchr(host, ':'), *name = host;
    enum doctor_reach reach = DOCTOR_SILENT;
    *port++ = '\0';
    if (name[0] == '[') { /* [::1] */
        name++;
        name[strcspn(name, "]")] = '\0';
    }
    int rc = getaddrinfo(name, port, &hints, &list);
    if (rc != 0) {
        cause_set(message, "%s: %s", name, gai_strerror(rc));
        free(host);
        return DOCTOR_NO_NAME;
    }
    for (const struct addrinfo *a = list; a != NULL; a = a->ai_next) {
        int error = try_connect(a->ai_addr, a->ai_addrlen, timeout_ms);
        if (error == 0) {
            reach = DOCTOR_ANSWERS;
            break;
        }
        cause_set(message, "%s port %s: %s", name, port, strerror(error));
        reach = error == ECONNREFUSED ? DOCTOR_NOTHING : DOCTOR_SILENT;
        if (reach == DOCTOR_NOTHING && is_own(a->ai_addr, a->ai_addrlen) && loopback_answers(port))
            reach = DOCTOR_LOOPBACK_ONLY;
    }
    freeaddrinfo(list);
    free(host);
    return reach;
}
