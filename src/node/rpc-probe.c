#include "node/rpc-probe.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cause.h"
#include "base/mem.h"

enum { CAUSE_MAX = 4096 };

/* 0, or an errno value. */
static int try_connect(const struct addrinfo *a, int timeout_ms)
{
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), error = 0;
    if (fd < 0)
        return errno;
    if (connect(fd, a->ai_addr, a->ai_addrlen) != 0) {
        error = errno;
        if (error == EINPROGRESS) {
            struct pollfd p = {.fd = fd, .events = POLLOUT};
            socklen_t len = sizeof(error);
            if (poll(&p, 1, timeout_ms) <= 0)
                error = ETIMEDOUT;
            else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
                error = errno;
        }
    }
    close(fd);
    return error;
}

/* NULL, or why not: owned by the caller. */
static char *probe_one(const char *address, int timeout_ms)
{
    const char *colon = strrchr(address, ':');
    if (colon == NULL || colon == address || colon[1] == '\0')
        return xstrdup("expected HOST:PORT");
    size_t host_len = (size_t)(colon - address);
    bool bracketed = address[0] == '[' && colon[-1] == ']' && host_len > 2;
    char *host = bracketed ? xstrndup(address + 1, host_len - 2) : xstrndup(address, host_len);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    int rc = getaddrinfo(host, colon + 1, &hints, &found);
    free(host);
    if (rc != 0)
        return xstrdup(gai_strerror(rc));
    int error = 0;
    for (struct addrinfo *a = found; a != NULL; a = a->ai_next) {
        error = try_connect(a, timeout_ms);
        if (error == 0)
            break;
    }
    freeaddrinfo(found);
    return error != 0 ? xstrdup(strerror(error)) : NULL;
}

int rpc_probe(const char *list, int timeout_ms, char **cause)
{
    struct buf bad;
    char *copy = xstrdup(list), *rest = copy;
    buf_init(&bad, CAUSE_MAX);
    for (char *address; (address = strsep(&rest, ",")) != NULL;) {
        char *why = probe_one(address, timeout_ms);
        if (why != NULL)
            (void)buf_printf(&bad, "%s%s: %s", bad.len > 0 ? "; " : "", *address != '\0' ? address : "(empty)", why);
        free(why);
    }
    free(copy);
    int result = 0;
    if (bad.len > 0)
        result = cause_set(cause,
                           "RPC worker not reachable: %s. Is llama.cpp's rpc-server running there, and on an "
                           "address that this machine can reach?",
                           bad.data);
    buf_finish(&bad);
    return result;
}
