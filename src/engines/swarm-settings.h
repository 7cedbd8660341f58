/* What the configuration says of the swarm, as the swarm takes it. */
#ifndef TIGHTWAD_ENGINES_SWARM_SETTINGS_H
#define TIGHTWAD_ENGINES_SWARM_SETTINGS_H

#include "config/config.h"
#include "swarm/swarm.h"

/* opts borrows from cfg and from the rest of this struct. */
struct swarm_settings {
    struct swarm_opts opts;
    char *allow;
    char **peers; /* swarm.peers, and the machines of agents.hosts and workers: whoever has an agent may have pieces */
};

/* opts.socket stays NULL.  cfg must outlive it; finish it. */
void swarm_settings_init(struct swarm_settings *s, const struct config *cfg);
void swarm_settings_finish(struct swarm_settings *s);

#endif
