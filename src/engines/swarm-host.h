/* The swarm of a running instance: it gives out its models, and pulls others when it is told to. */
#ifndef TIGHTWAD_ENGINES_SWARM_HOST_H
#define TIGHTWAD_ENGINES_SWARM_HOST_H

#include <event2/event.h>
#include <jansson.h>

#include "config/config.h"
#include "engines/command.h"
#include "http/httpc.h"
#include "swarm/swarm.h"

struct swarm_host;

enum { SWARM_HOST_PULLS = 16 }; /* under way at once */

/* With swarm.enabled.  The models of the pool and those in
 * swarm.folder and swarm.folders are given out, as soon as their manifests are made.  NULL and a cause. */
struct swarm_host *swarm_host_create(struct event_base *base, struct httpc *http, const struct config *cfg,
                                     char **cause);
void swarm_host_destroy(struct swarm_host *h); /* NULL is fine */
/* Limits, and the models that are new. */
void swarm_host_reload(struct swarm_host *h, const struct config *cfg);
void swarm_host_fill(const struct swarm_host *h, struct swarm_view *v); /* h NULL: off */

/* What the commands do.  A pull goes on by itself, seen in the snapshot; peer may be NULL.  0, or -1 and a cause. */
int swarm_host_pull(struct swarm_host *h, const char *what, const char *peer, char **cause);
int swarm_host_cancel(struct swarm_host *h, const char *what, char **cause); /* by id, name or what was asked for */
/* Ends the call when the model at path (absolute) is given out: {"id", "name", "file", "bytes", "port"}. */
int swarm_host_share(struct swarm_host *h, const char *path, struct command_call *call, char **cause);

#endif
