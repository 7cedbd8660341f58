/* What must hold of the swarm. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "config/check.h"
#include "config/origin.h"
#include "config/value.h"
#include "http/peer.h"

char *config_swarm_allow(const struct config *c)
{
    const struct config_words *w = &c->swarm.allow;
    struct buf b;
    if (w->n == 0)
        return NULL;
    buf_init(&b, 1 << 20);
    for (size_t i = 0; i < w->n; i++)
        buf_printf(&b, "%s%s", i ? "," : "", w->list[i]);
    return buf_steal(&b);
}

/* The line of a value that was given, else that of the section. */
static size_t line_of(const struct loader *l, const char *key)
{
    const struct config_origin *at = origin_get(l->config, option_find(key), 0);
    return at ? at->line : l->swarm_line;
}

static void check_allow(struct loader *l)
{
    const struct config_words *w = &l->config->swarm.allow;
    struct peer_list nets = {0};
    for (size_t i = 0; i < w->n; i++) {
        char *cause = NULL;
        if (peer_list_add(&nets, w->list[i], &cause) != 0)
            findings_add(l->findings, true, l->name, line_of(l, "swarm.allow"), "swarm.allow: %s", cause);
        free(cause);
    }
    peer_list_finish(&nets);
}

/* HOST, HOST:PORT or http://HOST:PORT. */
static bool is_peer(const char *text)
{
    if (strncmp(text, "http://", 7) == 0)
        text += 7;
    const char *colon = strrchr(text, ':');
    size_t host = colon ? (size_t)(colon - text) : strlen(text);
    if (*text == '[') {
        const char *end = strchr(text, ']');
        if (!end || (end[1] && end[1] != ':'))
            return false;
        colon = end[1] ? end + 1 : NULL;
        host = (size_t)(end - text) + 1;
    }
    if (host == 0 || strcspn(text, " /@?#") < host)
        return false;
    char *rest = NULL;
    unsigned long port = colon ? strtoul(colon + 1, &rest, 10) : 1;
    return port >= 1 && port <= 65535 && (!colon || (rest > colon + 1 && (!*rest || strcmp(rest, "/") == 0)));
}

void check_swarm(struct loader *l)
{
    const struct config *c = l->config;
    const struct config_swarm *s = &c->swarm;
    check_allow(l);
    for (size_t i = 0; i < s->peers.n; i++) {
        if (is_peer(s->peers.list[i]))
            continue;
        char *q = value_quote(s->peers.list[i]);
        findings_add(l->findings, true, l->name, line_of(l, "swarm.peers"),
                     "swarm.peers: %s is not HOST or HOST:PORT, such as 192.168.1.20:9192 (IPv6 in [brackets])", q);
        free(q);
    }
    if (!s->enabled || s->port == 0)
        return;
    const char *other = s->port == c->proxy.port                                    ? "proxy.port"
                        : config_has_pool(c) && s->port == c->pool.coordinator.port ? "coordinator.port"
                                                                                    : NULL;
    if (other)
        findings_add(l->findings, true, l->name, line_of(l, "swarm.port"),
                     "swarm.port is %lld, which is also %s: each listens on a port of its own", (long long)s->port,
                     other);
}
