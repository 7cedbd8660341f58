/* A pull and its steps: who has it (swarm-ask), what is here of it already (the store, local models), the transfer, the
 * landing.  Each step ends on a turn of the loop of its own, so that nothing is destroyed inside its own callback. */
#ifndef TIGHTWAD_SWARM_SWARM_PULL_H
#define TIGHTWAD_SWARM_SWARM_PULL_H

#include "swarm/swarm-internal.h"
#include "swarm/swarm-parse.h"

enum { PULL_PEERS_MAX = 128, PULL_LAND_AGAIN_S = 5 };

enum pull_phase {
    PULL_LOOKING,   /* for its manifest */
    PULL_OPENING,   /* what is on the disk of it is checked */
    PULL_COMPARING, /* local models are looked through */
    PULL_COPYING,   /* from local models */
    PULL_FETCHING,
    PULL_READING, /* the head, for which pieces hold the layers */
    PULL_LANDING,
    PULL_WEB, /* a URL without a manifest, or of a server that gives no parts of files: web does everything */
    PULL_ENDED,
};

struct swarm_pull {
    struct swarm *swarm;
    struct swarm_pull_calls calls;
    struct swarm_what what;
    char *ordered;              /* what, as it was given */
    char *peer[PULL_PEERS_MAX]; /* "HOST:PORT" that the user has given */
    size_t n_peers;
    char *dir, *web_url; /* web_url: where a plain web server has it; NULL: nowhere */
    bool layers, head;   /* head: what is wanted now is the head of the file alone, or more of it */
    bool no_local, only_estimate;
    struct needed needed;
    struct bits want; /* with layers */
    enum pull_phase phase;
    struct manifest *m;
    struct ask *ask;
    struct swarm_parse *parse;
    struct web *web;
    struct store *store; /* while it is opened; the item's from then on */
    struct library_search *library;
    struct library_found found;
    bool compared; /* found is filled */
    size_t found_at;
    uint64_t before_copy; /* bytes that were here before found_at was begun with */
    struct needed_search *search;
    struct swarm_item *item;
    struct transfer *transfer;
    uint64_t fetched, copied, wasted; /* before the transfer that is on */
    bool alone;
    struct event *later;
    void (*step)(struct swarm_pull *p);
    int64_t began_us;
    bool ok;
    char *why, *path; /* result; why: what it waits for, while it does */
    struct swarm_pull *next;
};

/* step is called on the next turn of the loop. */
void pull_then(struct swarm_pull *p, void (*step)(struct swarm_pull *p));
/* It ends on the next turn.  why: "" when ok. */
void pull_end(struct swarm_pull *p, bool ok, const char *path, const char *why);

void pull_look(struct swarm_pull *p); /* swarm-look.c: finds the manifest, then pull_open */
/* All of web_url, hashed as it comes; where the manifest is known it must be what that says. */
void pull_download(struct swarm_pull *p);
void pull_open(struct swarm_pull *p);  /* swarm-open.c: opens the store, compares, copies, then pull_fetch */
void pull_fetch(struct swarm_pull *p); /* swarm-pull.c */
/* What of the store is here is given out from now on. */
struct store *pull_store(const struct swarm_pull *p);

#endif
