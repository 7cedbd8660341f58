/* What `tightwad agent` serves: this machine's hardware and models, nodes and workers started and stopped by name, and
 * models pulled from the swarm.
 * The calls are written down in doc/agent-protocol.md. */
#ifndef TIGHTWAD_AGENT_AGENT_H
#define TIGHTWAD_AGENT_AGENT_H

#include <stdbool.h>
#include <stddef.h>

#include <event2/event.h>

struct agent;

enum { AGENT_PORT = 9191, AGENT_PROTOCOL = 1 };

/* All copied. */
struct agent_opts {
    const char *host; /* a name or an address */
    int port;         /* 0: any free one */
    const char *token;
    const char *node;           /* the path of tightwad-node, NULL: nothing can be started, */
    const char *node_cause;     /* for this reason */
    const char *const *folders; /* to look for models in, beside the usual ones; the first is where pulled ones go */
    size_t n_folders;
    bool discovery; /* peers of the swarm are looked for in the local network */
};

/* NULL and a cause when the address can't be had. */
struct agent *agent_create(struct event_base *base, const struct agent_opts *opts, char **cause);
/* Ends what it has started (a few seconds at most).  NULL is fine. */
void agent_destroy(struct agent *a);
int agent_port(const struct agent *a);

#endif
