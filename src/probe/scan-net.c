#include "probe/scan-net.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cause.h"
#include "base/mem.h"

enum { BITS_OF_LARGEST = 24 }; /* of a network that is scanned without being named */

struct scan_net scan_net_around(uint32_t address, int bits)
{
    uint32_t mask = bits == 0 ? 0 : UINT32_MAX << (32 - bits);
    uint32_t first = address & mask, size = ~mask; /* one less than there are: 2^32 has no room */
    if (bits >= 31)
        return (struct scan_net){first, size + 1};
    return (struct scan_net){first + 1, size - 1};
}

int scan_net_parse(struct scan_net *net, const char *text, char **cause)
{
    char address[INET_ADDRSTRLEN], *end;
    const char *slash = strchr(text, '/');
    size_t len = slash != NULL ? (size_t)(slash - text) : strlen(text);
    struct in_addr in;
    long bits = 32;
    bool right = len < sizeof(address);
    if (right) {
        memcpy(address, text, len);
        address[len] = '\0';
        right = inet_pton(AF_INET, address, &in) == 1;
    }
    if (right && slash != NULL) {
        bits = strtol(slash + 1, &end, 10);
        right = slash[1] >= '0' && slash[1] <= '9' && *end == '\0' && bits <= 32;
    }
    if (!right)
        return cause_set(
            cause, "\"%.64s\" is no IPv4 network: expected an address with its bits, such as 192.168.1.0/24", text);
    *net = scan_net_around(ntohl(in.s_addr), (int)bits);
    return 0;
}

bool scan_net_has(const struct scan_net *net, uint32_t address)
{
    return address >= net->first && address - net->first < net->count;
}

bool scan_net_is_private(uint32_t a)
{
    return a >> 24 == 10 || a >> 20 == 0xac1 || a >> 16 == 0xc0a8 || a >> 16 == 0xa9fe || a >> 22 == (100 << 2 | 1);
}

static int bits_of(uint32_t mask)
{
    int bits = 0;
    while (bits < 32 && (mask & (UINT32_C(1) << (31 - bits))) != 0)
        bits++;
    return bits;
}

static void add_net(struct scan_local *l, struct scan_net net)
{
    for (size_t i = 0; i < l->n_nets; i++) {
        if (l->nets[i].first == net.first && l->nets[i].count == net.count)
            return;
    }
    l->nets = xreallocarray(l->nets, l->n_nets + 1, sizeof(*l->nets));
    l->nets[l->n_nets++] = net;
}

void scan_local_find(struct scan_local *l)
{
    struct ifaddrs *list = NULL;
    *l = (struct scan_local){0};
    if (getifaddrs(&list) != 0)
        return;
    for (const struct ifaddrs *i = list; i != NULL; i = i->ifa_next) {
        if (i->ifa_addr == NULL || i->ifa_netmask == NULL || i->ifa_addr->sa_family != AF_INET)
            continue;
        uint32_t a = ntohl(((const struct sockaddr_in *)(const void *)i->ifa_addr)->sin_addr.s_addr);
        int bits = bits_of(ntohl(((const struct sockaddr_in *)(const void *)i->ifa_netmask)->sin_addr.s_addr));
        if (a >> 24 == 127)
            continue;
        l->own = xreallocarray(l->own, l->n_own + 1, sizeof(*l->own));
        l->own[l->n_own++] = a;
        /* A bridge of containers without a container is up and not running. */
        if ((i->ifa_flags & IFF_UP) && (i->ifa_flags & IFF_RUNNING) && !(i->ifa_flags & IFF_LOOPBACK) &&
            scan_net_is_private(a))
            add_net(l, scan_net_around(a, bits < BITS_OF_LARGEST ? BITS_OF_LARGEST : bits));
    }
    freeifaddrs(list);
}

void scan_local_finish(struct scan_local *l)
{
    free(l->nets);
    free(l->own);
    *l = (struct scan_local){0};
}

bool scan_local_is_here(const struct scan_local *l, uint32_t address)
{
    for (size_t i = 0; i < l->n_own; i++) {
        if (l->own[i] == address)
            return true;
    }
    return address >> 24 == 127;
}

/* A line: "192.168.1.7  0x1  0x0  00:00:00:00:00:00  *  eth0": address, type, flags, …; ATF_COM (2) is missing from the
 * flags of an entry without an answer. */
bool scan_arp_is_nobody(const char *table, uint32_t address)
{
    for (const char *line = table; line != NULL && *line != '\0';) {
        unsigned b[4], type, flags;
        if (sscanf(line, "%u.%u.%u.%u %x %x", &b[0], &b[1], &b[2], &b[3], &type, &flags) == 6 &&
            (b[0] << 24 | b[1] << 16 | b[2] << 8 | b[3]) == address)
            return (flags & 2) == 0;
        line = strchr(line, '\n');
        if (line != NULL)
            line++;
    }
    return false;
}
