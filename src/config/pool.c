/* Questions about the pool of a configuration. */
#include <ifaddrs.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/mem.h"
#include "config/config.h"
#include "config/origin.h"
#include "config/url.h"

bool config_has_pool(const struct config *c)
{
    return c->pool.n_models > 0;
}

char *config_pool_url(const struct config *c)
{
    const struct config_coordinator *p = &c->pool.coordinator;
    const char *host = p->host;
    if (strcmp(host, "0.0.0.0") == 0)
        host = "127.0.0.1";
    else if (strcmp(host, "::") == 0)
        host = "::1";
    bool v6 = strchr(host, ':') != NULL;
    return xasprintf("http://%s%s%s:%lld", v6 ? "[" : "", host, v6 ? "]" : "", (long long)p->port);
}

/* Whether host, an address or a name, is this machine.  Names are compared, not looked up. */
static bool is_here(const char *host)
{
    char own[256] = "";
    if (strcasecmp(host, "localhost") == 0 || strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0)
        return true;
    if (gethostname(own, sizeof(own) - 1) == 0 && strcasecmp(own, host) == 0)
        return true;
    struct ifaddrs *list = NULL;
    bool found = false;
    if (getifaddrs(&list) != 0)
        return false;
    for (const struct ifaddrs *i = list; i && !found; i = i->ifa_next) {
        char text[NI_MAXHOST];
        int family = i->ifa_addr ? i->ifa_addr->sa_family : AF_UNSPEC;
        socklen_t len = family == AF_INET    ? sizeof(struct sockaddr_in)
                        : family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                             : 0;
        found = len > 0 && getnameinfo(i->ifa_addr, len, text, sizeof(text), NULL, 0, NI_NUMERICHOST) == 0 &&
                strcasecmp(text, host) == 0;
    }
    freeifaddrs(list);
    return found;
}

bool config_target_is_pool(const struct config *c)
{
    if (!config_has_pool(c))
        return false;
    if (!c->proxy.target.url)
        return true;
    char *at = url_host_port(c->proxy.target.url), *colon = strrchr(at, ':'), *host = at;
    bool same = colon && strtoll(colon + 1, NULL, 10) == c->pool.coordinator.port;
    if (colon)
        *colon = '\0';
    if (*host == '[') {
        host[strlen(host) - 1] = '\0';
        host++;
    }
    same = same && (strcasecmp(host, c->pool.coordinator.host) == 0 || is_here(host));
    free(at);
    return same;
}

const struct config_model *config_model_default(const struct config *c)
{
    for (size_t i = 0; i < c->pool.n_models; i++) {
        if (c->pool.models[i].is_default)
            return &c->pool.models[i];
    }
    return NULL;
}

const struct config_model *config_model_find(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->pool.n_models; i++) {
        if (c->pool.models[i].name && strcmp(c->pool.models[i].name, name) == 0)
            return &c->pool.models[i];
    }
    return NULL;
}

char *config_where(const struct config *c, const char *key)
{
    const struct option *o = option_find(key);
    const struct config_origin *at = o ? origin_get(c, o, 0) : NULL;
    if (!at)
        return NULL;
    return at->line ? xasprintf("%s:%zu", at->file, at->line) : xstrdup(at->file);
}
