/* The models that an agent fetches when it is told to: its swarm, and what became of each order. */
#ifndef TIGHTWAD_AGENT_PULLS_H
#define TIGHTWAD_AGENT_PULLS_H

#include <stdbool.h>
#include <stddef.h>

#include <event2/event.h>
#include <jansson.h>

#include "http/httpc.h"
#include "swarm/swarm.h"

struct agent_pulls;

enum { AGENT_PULLS_MAX = 16 };

/* All copied. */
struct agent_pulls_opts {
    const char *host;           /* where pieces are given out: a numeric address */
    const char *dir;            /* where models go; NULL: swarm_default_dir */
    const char *const *folders; /* to look for pieces in, beside dir and the usual places */
    size_t n_folders;
    bool discovery;
    void (*arrived)(void *arg); /* a model has landed; NULL */
    void *arg;
};

/* Opens nothing yet. */
struct agent_pulls *agent_pulls_create(struct event_base *base, struct httpc *http, const struct agent_pulls_opts *o);
void agent_pulls_destroy(struct agent_pulls *p);          /* what has come stays on the disk; NULL is fine */
const char *agent_pulls_dir(const struct agent_pulls *p); /* NULL: there is no home to put models in */

/* The swarm, made when it is first asked for.  Its token (NULL: none) is that of the newest order: with another one it
 * is made anew, which is refused while something is under way.  NULL and a cause. */
struct swarm *agent_pulls_swarm(struct agent_pulls *p, const char *token, char **cause);
/* Somebody else uses the swarm (+1), or no longer (-1): it stays meanwhile. */
void agent_pulls_hold(struct agent_pulls *p, int change);

/* {"what", "peers", "token"}: an id, a name or an http(s) URL; where to ask (":PORT" is at the sender, a numeric
 * address); what peers want.  An order for what is under way brings it more peers.  The pull (see agent_pulls_json; new
 * reference), or NULL, a cause and the HTTP status that fits it. */
json_t *agent_pulls_start(struct agent_pulls *p, const json_t *order, const char *sender, int *status, char **cause);
/* Ends the one of that id or name, what has come stays; one that has ended is forgotten.  0, or -1 and a cause: there
 * is none. */
int agent_pulls_stop(struct agent_pulls *p, const char *what, char **cause);

/* {"swarm", "folder", "pulls"} as doc/agent-protocol.md has it.  New reference. */
json_t *agent_pulls_json(struct agent_pulls *p);

#endif
