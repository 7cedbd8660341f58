/* Gives out a model from this machine for as long as others fetch it: by the running instance where those others reach
 * its swarm, else by a swarm of its own. */
#ifndef TIGHTWAD_CMD_SEEDER_H
#define TIGHTWAD_CMD_SEEDER_H

#include <stdint.h>

#include "cmd/client.h"
#include "config/config.h"
#include "probe/route.h"
#include "swarm/swarm.h"

struct seeder {
    struct client instance; /* zeroed: it is not the instance that gives it out */
    struct swarm *swarm;    /* NULL: it is */
    int port;               /* where pieces are given out */
    char *at;               /* "192.168.1.10:9192", as others reach it */
    char *note;             /* why not by the instance, in a sentence; NULL */
    uint64_t sent_before;   /* bytes that the instance had sent at first */
};

struct seeder_opts {
    struct event_base *base; /* for a swarm of its own */
    struct httpc *http;
    const struct config *cfg;
    const char *path;           /* of the model, absolute; its manifest is up to date */
    const char *listen;         /* "HOST[:PORT]": by a swarm of its own there; NULL: what the routes say */
    const struct route *routes; /* to those who are to reach it */
    size_t n_routes;
};

/* May take a few seconds.  0, or -1 and a cause; close it in both cases. */
int seeder_open(struct seeder *s, const struct seeder_opts *o, char **cause);
void seeder_close(struct seeder *s);
/* Bytes of pieces that went out since it was opened; -1 unknown.  Of the instance: asks it. */
int64_t seeder_sent(struct seeder *s);

#endif
