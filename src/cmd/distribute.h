/* Sends a model to the agents of several machines: asks each, tells it what to pull and where, and follows them all. */
#ifndef TIGHTWAD_CMD_DISTRIBUTE_H
#define TIGHTWAD_CMD_DISTRIBUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <event2/event.h>

#include "http/httpc.h"
#include "probe/agent-client.h"
#include "probe/route.h"

enum { DISTRIBUTE_TARGETS = 32 };

enum distribute_state {
    DISTRIBUTE_ASKED, /* whether it has an agent that can */
    DISTRIBUTE_READY, /* it can */
    DISTRIBUTE_PULLS,
    DISTRIBUTE_COMPLETE,
    DISTRIBUTE_FAILED, /* why */
};

struct distribute_target {
    struct distribute *all;
    char *name, *host; /* name: as messages call it */
    int port;          /* of the agent; 0: the usual one */
    char *token;       /* NULL: none */
    struct route route;
    enum distribute_state state;
    char *why;                  /* what is wrong, or what it waits for; NULL */
    char word[16];              /* what its agent says of the pull: "fetching" */
    double size, have;          /* bytes, NAN unknown */
    double fetched, copied;     /* bytes; NAN unknown */
    double down, eta, seconds;  /* bytes a second, seconds; NAN unknown */
    int64_t peers;              /* -1 unknown */
    int swarm_port;             /* where its agent gives out pieces; 0: nowhere yet */
    int64_t heard_us, moved_us; /* when it last answered, and last had more than before */
    struct agent_call *call;    /* NULL: nothing is asked */
};

struct distribute {
    struct event_base *base;
    struct httpc *http;
    struct distribute_target *target;
    size_t n;
    char *id;          /* of the manifest; NULL: not known yet */
    const char *token; /* of the swarm, NULL: none; the caller's */
    struct event *tick;
    void (*changed)(void *arg); /* several times a second while it runs; NULL */
    void *arg;
};

/* No machines yet; token and changed are set by the caller afterwards. */
void distribute_init(struct distribute *d, struct event_base *base, struct httpc *http);
void distribute_finish(struct distribute *d);

/* One machine more: where is "HOST" or "HOST:PORT" of its agent; name NULL: where.  A machine that is there already is
 * not added again.  token may be NULL.  0, or -1 and a cause. */
int distribute_add(struct distribute *d, const char *where, const char *name, const char *token, char **cause);

/* Asks all of them, and runs the loop until each has answered or failed.  How many are ready. */
size_t distribute_ask(struct distribute *d);
/* Tells those that are ready to pull the model of that id, from port of this machine and from each other, and runs the
 * loop until each is complete or has failed, or somebody breaks the loop. */
void distribute_run(struct distribute *d, const char *id, int port);

/* How many machines are in that state. */
size_t distribute_count(const struct distribute *d, enum distribute_state state);

#endif
