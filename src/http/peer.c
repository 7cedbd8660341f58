#include "http/peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/cause.h"
#include "base/mem.h"

enum { MAPPED_BITS = 96 }; /* before an IPv4 address that is mapped into IPv6 */

static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};

struct peer_net {
    unsigned char address[16];
    int bits; /* of the 128 */
};

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
        *p = (struct peer){.name = "unix", .local = true, .here = true, .private = true};
    } else if (sa->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)sa;
        uint32_t a = ntohl(in->sin_addr.s_addr);

        inet_ntop(AF_INET, &in->sin_addr, p->name, sizeof(p->name));
        p->local = p->here = a >> 24 == 127;
        p->private = private_v4(a);
        memcpy(p->address, mapped, sizeof(mapped));
        memcpy(p->address + sizeof(mapped), &in->sin_addr, 4);
    } else if (sa->sa_family == AF_INET6) {
        const struct in6_addr *in6 = &((const struct sockaddr_in6 *)sa)->sin6_addr;

        if (IN6_IS_ADDR_V4MAPPED(in6)) {
            struct sockaddr_in in = {.sin_family = AF_INET};

            memcpy(&in.sin_addr, in6->s6_addr + 12, 4);
            peer_describe(p, (struct sockaddr *)&in);
            return;
        }
        inet_ntop(AF_INET6, in6, p->name, sizeof(p->name));
        memcpy(p->address, in6, sizeof(p->address));
        p->local = p->here = IN6_IS_ADDR_LOOPBACK(in6);
        p->private = p->local || IN6_IS_ADDR_LINKLOCAL(in6) || (in6->s6_addr[0] & 0xfe) == 0xfc;
    }
}

void peer_meet(struct peer *p, int fd)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof(sa);
    struct peer own;

    if (getsockname(fd, (struct sockaddr *)&sa, &len) != 0 || (sa.ss_family != AF_INET && sa.ss_family != AF_INET6))
        return;
    peer_describe(&own, (struct sockaddr *)&sa);
    p->here = p->here || memcmp(p->address, own.address, sizeof(own.address)) == 0;
}

/* text: one network, changed. */
static bool net_parse(char *text, struct peer_net *net)
{
    char *slash = strchr(text, '/'), *end = NULL;
    long bits = -1;

    if (slash) {
        *slash = '\0';
        bits = strtol(slash + 1, &end, 10);
        if (slash[1] < '0' || slash[1] > '9' || *end != '\0' || bits > 128)
            return false;
    }
    if (inet_pton(AF_INET, text, net->address + sizeof(mapped)) == 1) {
        memcpy(net->address, mapped, sizeof(mapped));
        net->bits = MAPPED_BITS + (int)(slash ? bits : 32);
    } else if (inet_pton(AF_INET6, text, net->address) == 1) {
        net->bits = (int)(slash ? bits : 128);
    } else {
        return false;
    }
    return net->bits <= 128;
}

int peer_list_add(struct peer_list *l, const char *text, char **cause)
{
    char *copy = xstrdup(text), *rest = copy, *part;
    size_t before = l->n;

    while ((part = strsep(&rest, ","))) {
        char *named = NULL;
        struct peer_net net;

        part += strspn(part, " ");
        for (size_t len = strlen(part); len > 0 && part[len - 1] == ' '; len--)
            part[len - 1] = '\0';
        named = xstrdup(part);
        if (!net_parse(part, &net)) {
            cause_set(
                cause,
                "\"%s\" is no network: expected an address, or one with its bits, such as 192.168.1.0/24 or fd00::/8",
                named);
            free(named);
            free(copy);
            l->n = before;
            return -1;
        }
        free(named);
        l->nets = xreallocarray(l->nets, l->n + 1, sizeof(*l->nets));
        l->nets[l->n++] = net;
    }
    free(copy);
    return 0;
}

void peer_list_finish(struct peer_list *l)
{
    free(l->nets);
    *l = (struct peer_list){0};
}

static bool net_has(const struct peer_net *net, const unsigned char *address)
{
    int bytes = net->bits / 8, rest = net->bits % 8;

    if (memcmp(net->address, address, (size_t)bytes) != 0)
        return false;
    return rest == 0 || (net->address[bytes] ^ address[bytes]) >> (8 - rest) == 0;
}

bool peer_list_has(const struct peer_list *l, const struct peer *p)
{
    for (size_t i = 0; i < l->n; i++) {
        if (strcmp(p->name, "unix") != 0 && net_has(&l->nets[i], p->address))
            return true;
    }
    return false;
}

bool peer_host_is_plain(const char *host)
{
    char name[64];
    unsigned char bytes[16];
    if (host == NULL)
        return true;
    size_t len = host[0] == '[' ? strcspn(host + 1, "]") : strcspn(host, ":");
    if (len >= sizeof(name))
        return false;
    memcpy(name, host + (host[0] == '['), len);
    name[len] = '\0';
    return strcasecmp(name, "localhost") == 0 || inet_pton(AF_INET, name, bytes) == 1 ||
           inet_pton(AF_INET6, name, bytes) == 1;
}
