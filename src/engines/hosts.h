/* How the machines of the cluster are doing: this one, and those whose `tightwad agent` tells. */
#ifndef TIGHTWAD_ENGINES_HOSTS_H
#define TIGHTWAD_ENGINES_HOSTS_H

#include <stdbool.h>

#include <event2/event.h>

#include "config/config.h"
#include "engines/snapshot.h"
#include "http/httpc.h"

struct hosts;

enum {
    HOSTS_ASK_MS = 5000,            /* how often GPUs and agents are asked while somebody looks */
    HOSTS_STALE_MS = 15000,         /* what is older is unknown */
    HOSTS_NO_GPU_MS = 5 * 60 * 1000 /* where no tool has told of a card, the next look is after this */
};

/* root: what stands before /proc, "" but for tests (copied). */
struct hosts *hosts_create(struct event_base *base, struct httpc *http, const struct config *cfg, const char *root);
void hosts_destroy(struct hosts *h); /* NULL is fine */
void hosts_reload(struct hosts *h, const struct config *cfg);

/* Each tick: whether a dashboard or a reader of the event stream is there.  Reads this machine's memory and load (a
 * few small files under /proc, once a second at most); tools and agents are asked without waiting for them. */
void hosts_tick(struct hosts *h, bool looking);

/* Fills s->machine. */
void hosts_fill(const struct hosts *h, struct snapshot *s);

#endif
