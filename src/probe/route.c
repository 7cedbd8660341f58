#include "probe/route.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cause.h"

static bool same_address(const struct sockaddr *a, const struct sockaddr *b)
{
    if (a->sa_family != b->sa_family)
        return false;
    if (a->sa_family == AF_INET)
        return ((const struct sockaddr_in *)a)->sin_addr.s_addr == ((const struct sockaddr_in *)b)->sin_addr.s_addr;
    return memcmp(&((const struct sockaddr_in6 *)a)->sin6_addr, &((const struct sockaddr_in6 *)b)->sin6_addr, 16) == 0;
}

/* A UDP socket that is connected has its own address chosen, and sends nothing. */
static int ask_kernel(const struct addrinfo *to, struct route *r)
{
    struct sockaddr_storage own = {0};
    socklen_t len = sizeof(own);
    int fd = socket(to->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0), error = errno;
    if (fd < 0)
        return error;
    bool known = connect(fd, to->ai_addr, to->ai_addrlen) == 0 && getsockname(fd, (struct sockaddr *)&own, &len) == 0 &&
                 getnameinfo((struct sockaddr *)&own, len, r->from, sizeof(r->from), NULL, 0, NI_NUMERICHOST) == 0;
    error = errno;
    close(fd);
    if (!known)
        return error != 0 ? error : EADDRNOTAVAIL;
    r->here =
        same_address((struct sockaddr *)&own, to->ai_addr); /* one's own addresses are talked to from themselves */
    return 0;
}

int route_find(const char *host, struct route *r, char **cause)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    int unknown = getaddrinfo(host, "9", &hints, &list), error = EHOSTUNREACH;
    *r = (struct route){0};
    if (unknown != 0)
        return cause_set(cause, "%s: no address is known of that name (%s)", host, gai_strerror(unknown));
    for (const struct addrinfo *a = list; a != NULL && error != 0; a = a->ai_next)
        error = ask_kernel(a, r);
    freeaddrinfo(list);
    return error == 0 ? 0 : cause_set(cause, "%s: there is no way to it (%s)", host, strerror(error));
}
