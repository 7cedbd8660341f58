#include "probe/scan-place.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cause.h"
#include "base/mem.h"

const struct scan_port scan_ports[] = {
    {11434, SERVICE_OLLAMA, false},  {8081, SERVICE_NODE, false},    {8080, SERVICE_LLAMACPP, false},
    {9931, SERVICE_LLAMACPP, false}, {50052, SERVICE_WORKER, false}, {9191, SERVICE_AGENT, false},
    {8082, SERVICE_NODE, true},      {8083, SERVICE_NODE, true},     {8084, SERVICE_NODE, true},
    {50053, SERVICE_WORKER, true},   {50054, SERVICE_WORKER, true},  {50055, SERVICE_WORKER, true},
};
const size_t scan_n_ports = ARRAY_LEN(scan_ports);

void scan_places_init(struct scan_places *p, size_t max)
{
    *p = (struct scan_places){.max = max};
    scan_local_find(&p->local);
}

void scan_places_finish(struct scan_places *p)
{
    for (size_t i = 0; i < p->n; i++) {
        if (p->list[i].found)
            machine_finish(&p->list[i].m);
    }
    free(p->list);
    scan_local_finish(&p->local);
    *p = (struct scan_places){0};
}

static bool same_address(const struct sockaddr *a, const struct sockaddr *b)
{
    if (a->sa_family != b->sa_family)
        return false;
    if (a->sa_family == AF_INET)
        return ((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr ==
               ((const struct sockaddr_in *)(const void *)b)->sin_addr.s_addr;
    return memcmp(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr,
                  &((const struct sockaddr_in6 *)(const void *)b)->sin6_addr, sizeof(struct in6_addr)) == 0;
}

static bool is_here(const struct scan_places *p, const struct sockaddr *a)
{
    if (a->sa_family == AF_INET)
        return scan_local_is_here(&p->local, ntohl(((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr));
    return a->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr);
}

/* Whether this place has its pass-th port tried. */
static bool wants(const struct scan_place *k, size_t pass)
{
    if (k->port != 0)
        return pass == 0;
    return !scan_ports[pass].near || k->named || k->here;
}

/* Whether this port of the place is among those that are tried. */
static bool has_port(const struct scan_place *k, int port)
{
    for (size_t pass = 0; pass < scan_n_ports && k->port == 0; pass++) {
        if (scan_ports[pass].port == port)
            return wants(k, pass);
    }
    return k->port == port;
}

void scan_places_add(struct scan_places *p, const struct sockaddr *address, socklen_t len, const char *host, int port,
                     bool named)
{
    for (size_t i = 0; i < p->n; i++) {
        const struct scan_place *k = &p->list[i];
        if (same_address(address, (const struct sockaddr *)&k->address) && has_port(k, port))
            return;
    }
    if (!named && p->n >= p->max) {
        p->left_out++;
        return;
    }
    p->next = p->pass = 0; /* those that had their turn know it */
    p->list = xreallocarray(p->list, p->n + 1, sizeof(*p->list));
    struct scan_place *k = &p->list[p->n++];
    *k = (struct scan_place){.len = len, .port = port, .named = named, .here = is_here(p, address)};
    memcpy(&k->address, address, len);
    if (host != NULL && strlen(host) < sizeof(k->host))
        snprintf(k->host, sizeof(k->host), "%s", host);
    else
        getnameinfo(address, len, k->host, sizeof(k->host), NULL, 0, NI_NUMERICHOST);
}

void scan_places_add_net(struct scan_places *p, const struct scan_net *net)
{
    for (uint32_t i = 0; i < net->count; i++) {
        if (p->n >= p->max) {
            p->left_out += net->count - i;
            return;
        }
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(net->first + i)};
        scan_places_add(p, (const struct sockaddr *)&at, sizeof(at), NULL, 0, false);
    }
}

void scan_places_add_local(struct scan_places *p)
{
    for (size_t i = 0; i < p->local.n_nets; i++)
        scan_places_add_net(p, &p->local.nets[i]);
}

size_t scan_places_machine(const struct scan_places *p, size_t place)
{
    const struct scan_place *k = &p->list[place];
    size_t i = 0;
    while (i < place && !(p->list[i].here && k->here) &&
           !same_address((const struct sockaddr *)&p->list[i].address, (const struct sockaddr *)&k->address))
        i++;
    return i;
}

size_t scan_places_total(const struct scan_places *p)
{
    size_t total = 0;
    for (size_t i = 0; i < p->n; i++) {
        for (size_t pass = 0; pass < scan_n_ports; pass++)
            total += wants(&p->list[i], pass);
    }
    return total;
}

bool scan_places_next(struct scan_places *p, size_t *place, struct scan_port *port, size_t *skipped)
{
    *skipped = 0;
    for (; p->pass < scan_n_ports; p->pass++, p->next = 0) {
        while (p->next < p->n) {
            struct scan_place *k = &p->list[p->next++];
            if (k->pass > p->pass)
                continue;
            k->pass = p->pass + 1;
            if (!wants(k, p->pass))
                continue;
            if (k->nobody) {
                ++*skipped;
                continue;
            }
            *place = (size_t)(k - p->list);
            *port = k->port != 0 ? (struct scan_port){k->port, SERVICE_NODE, true} : scan_ports[p->pass];
            for (size_t i = 0; i < scan_n_ports && k->port != 0; i++) {
                if (scan_ports[i].port == k->port)
                    *port = scan_ports[i];
            }
            return true;
        }
    }
    return false;
}

static int wrong_host(const char *text, char **cause)
{
    return cause_set(cause, "\"%.80s\" is no host: expected NAME, NAME:PORT, or [ADDRESS]:PORT for IPv6", text);
}

int scan_host_parse(const char *text, char **name, int *port, char **cause)
{
    const char *host = text, *end = text + strlen(text), *colon = strrchr(text, ':');
    *port = 0;
    if (text[0] == '[') {
        const char *close = strchr(text, ']');
        if (close == NULL || (close[1] != '\0' && close[1] != ':'))
            return wrong_host(text, cause);
        host = text + 1;
        end = close;
        colon = close[1] == ':' ? close + 1 : NULL;
    } else if (colon != NULL && strchr(text, ':') != colon) {
        colon = NULL; /* an IPv6 address by itself */
    } else if (colon != NULL) {
        end = colon;
    }
    if (colon != NULL) {
        char *rest;
        long n = strtol(colon + 1, &rest, 10);
        if (colon[1] < '0' || colon[1] > '9' || *rest != '\0' || n < 1 || n > 65535)
            return wrong_host(text, cause);
        *port = (int)n;
    }
    /* What could turn into something else in a URL or a message is in no name. */
    size_t len = (size_t)(end - host);
    if (len == 0 || len > 253)
        return wrong_host(text, cause);
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)host[i] <= ' ' || host[i] == 0x7f || strchr("/?#@\\\"'<>", host[i]) != NULL)
            return wrong_host(text, cause);
    }
    *name = xstrndup(host, len);
    return 0;
}
