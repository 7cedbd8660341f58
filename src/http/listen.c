#include "http/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cause.h"

int listen_explain(const char *host, int port, char **cause)
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

int listen_port(int fd)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof(sa);

    if (getsockname(fd, (struct sockaddr *)&sa, &len) != 0)
        return -1;
    return ntohs(sa.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&sa)->sin6_port
                                          : ((struct sockaddr_in *)&sa)->sin_port);
}

int listen_bind(const char *host, int port, char **cause)
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
        listen_explain(host, port, cause);
        if (fd >= 0)
            close(fd);
        freeaddrinfo(list);
        return -1;
    }
    freeaddrinfo(list);
    return fd;
}
