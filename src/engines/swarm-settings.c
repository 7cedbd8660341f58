#include "engines/swarm-settings.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "probe/scan-place.h"

static void add_peer(struct swarm_settings *s, char *peer)
{
    struct swarm_opts *o = &s->opts;
    for (size_t i = 0; i < o->n_peers; i++) {
        if (strcmp(s->peers[i], peer) == 0) {
            free(peer);
            return;
        }
    }
    s->peers = xreallocarray(s->peers, o->n_peers + 1, sizeof(*s->peers));
    s->peers[o->n_peers++] = peer;
}

/* The agent's port is no swarm's. */
static void add_agent(struct swarm_settings *s, const char *where)
{
    char *host = NULL;
    int port;
    if (scan_host_parse(where, &host, &port, NULL) == 0)
        add_peer(s, strchr(host, ':') != NULL ? xasprintf("[%s]", host) : xstrdup(host));
    free(host);
}

/* The usual port gives way to another one where it is taken, one that was named does not. */
static int port_of(const struct config *cfg)
{
    char *where = config_where(cfg, "swarm.port");
    bool named = where != NULL;
    free(where);
    return !named ? 0 : cfg->swarm.port > 0 ? (int)cfg->swarm.port : -1;
}

void swarm_settings_init(struct swarm_settings *s, const struct config *cfg)
{
    const struct config_swarm *c = &cfg->swarm;
    *s = (struct swarm_settings){.allow = config_swarm_allow(cfg)};
    for (size_t i = 0; i < c->peers.n; i++)
        add_peer(s, xstrdup(c->peers.list[i]));
    for (size_t i = 0; i < cfg->agents.hosts.n; i++)
        add_agent(s, cfg->agents.hosts.list[i]);
    for (size_t i = 0; i < cfg->pool.n_workers; i++)
        add_agent(s, cfg->pool.workers[i].host);
    s->opts = (struct swarm_opts){.host = c->host,
                                  .port = port_of(cfg),
                                  .token = c->token,
                                  .allow = s->allow,
                                  .dir = c->folder,
                                  .folders = (const char *const *)c->folders.list,
                                  .n_folders = c->folders.n,
                                  .peers = (const char *const *)s->peers,
                                  .n_peers = s->opts.n_peers,
                                  .discovery = c->discovery,
                                  .upload_limit = c->upload_limit,
                                  .download_limit = c->download_limit,
                                  .upload_slots = (int)c->upload_slots};
}

void swarm_settings_finish(struct swarm_settings *s)
{
    for (size_t i = 0; i < s->opts.n_peers; i++)
        free(s->peers[i]);
    free(s->peers);
    free(s->allow);
    *s = (struct swarm_settings){0};
}
