/* What must hold between values. */
#ifndef TIGHTWAD_CONFIG_CHECK_H
#define TIGHTWAD_CONFIG_CHECK_H

#include "config/walk.h"

/* A server of the configuration, with what messages need. */
struct seen {
    struct config_server *server;
    const char *key; /* "proxy.target" */
    size_t index;
    size_t line; /* of its section, 0: from the environment alone */
    bool named;  /* by the user */
};

/* Completes names and tells what does not go together. */
void check_config(struct loader *l);

/* The parts of it that are about the pool, about consensus and the quality gate, and about the swarm. */
void check_pool(struct loader *l);
void check_modes(struct loader *l);
void check_swarm(struct loader *l);

/* One server: it has a url, and gets a name. */
void check_server(struct loader *l, struct seen *s);
/* No two of a list are the same or have one name; s#2 where both have none of their own. */
void check_twins(struct loader *l, struct seen *list, size_t n);

#endif
