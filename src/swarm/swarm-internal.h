/* What the parts of swarm.h share. */
#ifndef TIGHTWAD_SWARM_SWARM_INTERNAL_H
#define TIGHTWAD_SWARM_SWARM_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/crew.h"
#include "swarm/find.h"
#include "swarm/library.h"
#include "swarm/manifest-make.h"
#include "swarm/message.h"
#include "swarm/needed.h"
#include "swarm/server.h"
#include "swarm/share.h"
#include "swarm/store.h"
#include "swarm/swarm-ask.h"
#include "swarm/swarm-what.h"
#include "swarm/swarm.h"
#include "swarm/transfer.h"
#include "swarm/web.h"

enum {
    SWARM_ITEMS_MAX = 1024, /* models that are given out */
    SWARM_PULLS_MAX = 64,
    SWARM_GIVINGS_MAX = 256, /* paths that wait for being given out */
    SWARM_KNOWN_MAX = 64,    /* peers of the local network that are remembered */
    SWARM_KNOWN_MS = 90000,  /* for how long: they say so twice a minute */
    SWARM_TICK_MS = 1000,
    SWARM_CHECK_MS = 10000, /* between two looks at a file that is given out */
    SWARM_CHECKS = 128,     /* files that are looked at at once: all in time */
};

/* A model that is given out. */
struct swarm_item {
    struct swarm *swarm;
    struct share *share;
    struct store *store;     /* whose share it is; NULL: the share is the item's own */
    struct swarm_pull *pull; /* that fills it; NULL: it does not change any more */
    char *given;             /* path as the user wrote it; NULL: pulled */
    uint64_t fetched, copied, wasted, wanted;
    bool alone; /* when its pull ended, nobody else had all of it */
    uint64_t sent_before;
    double up; /* bytes a second, by the tick */
    uint64_t serial;
    int64_t checked_ms; /* when the crew was asked last whether its file has changed; 0: never */
    bool changed;       /* it has: the next tick removes it */
    struct swarm_item *next;
};

struct swarm_known {
    char address[SWARM_ADDRESS];
    int64_t seen_ms; /* 0: free */
    char id[64][17];
    size_t n_ids;
};

/* A pull that has failed, or a model that is given out no more. */
struct swarm_failed {
    char *what; /* as it was ordered; the file's path */
    int64_t until_ms;
    struct swarm_view_model model; /* as it was seen last */
};

struct swarm {
    struct event_base *base;
    struct httpc *http;
    struct crew *crew;
    struct swarm_server *server;
    struct find *find; /* NULL: nobody is looked for on the local network */
    char *host, *token, *dir, *name;
    char **folders, **peers; /* peers: "HOST:PORT" */
    size_t n_folders, n_peers;
    int64_t download_limit;
    char id[SWARM_PEER_ID + 1]; /* of this process */
    bool discovery, local_only; /* local_only: this machine alone can reach it */
    struct swarm_item *items;
    size_t n_items;
    uint64_t serial; /* of the last item */
    bool checking;   /* the crew looks at files of items */
    struct swarm_pull *pulls;
    size_t n_pulls;
    struct swarm_failed failed[SWARM_FAILED_MAX]; /* the last first */
    size_t n_failed;
    struct giving *givings; /* the first is at work */
    struct swarm_known known[SWARM_KNOWN_MAX];
    struct event *tick;
    int64_t ticked_us;
    uint64_t sent_before, fetched_before; /* of pulls that are gone */
    double up;
};

struct swarm_item *swarm_item_add(struct swarm *s, struct share *share, struct store *store);
/* Nothing of it is given out any more; its store or share is destroyed.  Its pull has let go of it. */
void swarm_item_remove(struct swarm_item *item);
struct swarm_item *swarm_item_of(const struct swarm *s, const char *id);
void swarm_announce(struct swarm *s);

/* Of pulls: somebody on the local network has come or said what it has. */
void swarm_pull_found(struct swarm_pull *p, const char *address, const char *const *ids, size_t n_ids);
/* Somebody has come to the server for the item. */
void swarm_pull_met(struct swarm_pull *p, const char *address);
int64_t swarm_pull_limit(const struct swarm *s); /* of each pull, as they share it evenly; 0: none */
void swarm_balance(struct swarm *s);             /* there are more or fewer of them */
void swarm_pull_set_limit(struct swarm_pull *p, int64_t bytes_a_second);
/* The pull's figures, and its peers into v (may be NULL). */
void swarm_pull_view(const struct swarm_pull *p, struct swarm_view_model *m, struct swarm_view *v);
struct swarm_pull *swarm_pull_next(const struct swarm_pull *p);

/* Failed pulls, which are told of for a while (swarm-failed.c).  ms: for how long, 0: until others take the place. */
void swarm_failed_add(struct swarm *s, const char *what, const struct swarm_view_model *m, int64_t ms);
/* The same is pulled again: what was ordered by these words, or the model of that id (either may be NULL). */
void swarm_failed_forget(struct swarm *s, const char *what, const char *id);
void swarm_failed_tick(struct swarm *s);
/* Not of models that are here or come meanwhile. */
void swarm_failed_fill(const struct swarm *s, struct swarm_view *v);
void swarm_failed_finish(struct swarm *s);

/* Whether files that are given out are still what they were (swarm-check.c). */
void swarm_check_tick(struct swarm *s);
void swarm_check_changed(void *arg, struct share *share); /* for the server: this one is not */
void swarm_fill_given(const struct swarm_item *item, struct swarm_view_model *m);

/* Of models that are being hashed before they are given out. */
void swarm_give_stop(struct swarm *s);
bool swarm_give_fill(const struct swarm *s, struct swarm_view_model *m); /* false: none is */

#endif
