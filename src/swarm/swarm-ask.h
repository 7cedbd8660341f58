/* Asks peers who has a model of that name or id, and gets its manifest from one of them. */
#ifndef TIGHTWAD_SWARM_SWARM_ASK_H
#define TIGHTWAD_SWARM_SWARM_ASK_H

#include <stdbool.h>
#include <stddef.h>

#include <event2/event.h>

#include "base/crew.h"
#include "http/httpc.h"
#include "swarm/manifest.h"

enum {
    ASK_MAX = 128,         /* peers that are asked */
    ASK_AT_ONCE = 8,       /* of them at the same time */
    ASK_REPLY = 512 << 10, /* bytes of what a peer says that it has */
    ASK_TIMEOUT_MS = 5000,
    ASK_MANIFEST_MS = 30000, /* for a manifest, of which the largest have 16 MiB */
    ASK_LISTEN_MS = 1500,    /* how long answers of the local network are waited for */
};

/* All copied. */
struct ask_opts {
    struct event_base *base;
    struct httpc *http;
    struct crew *crew;
    const char *token; /* sent to peers; NULL: none */
    const char *self;  /* id of this process: it does not count as a peer; NULL: it has none */
    const char *id;    /* who has this; NULL: by name */
    const char *name;
    bool listen; /* peers may still come (ask_add) for ASK_LISTEN_MS */
};

struct ask;

/* m (the callee's), or NULL and why, which has several lines where different models are offered under that name.  who
 * offers it: ask_source.  Destroy the ask later than in it. */
typedef void ask_done_cb(void *arg, struct manifest *m, const char *why);

/* By name: what those say whom the user has given goes before what others say, so that a stranger on the local network
 * can neither take the place of a model nor hinder the pull.  Different ids under the name end in a refusal. */
struct ask *ask_create(const struct ask_opts *o, ask_done_cb *done, void *arg);
void ask_add(struct ask *a, const char *address, bool given); /* "HOST:PORT"; known ones are not asked twice */
void ask_destroy(struct ask *a);                              /* done is not called; NULL is fine */

/* Those that offer what was found, i from 0 on; NULL: no more. */
const char *ask_source(const struct ask *a, size_t i, bool *given);
/* Whether anybody has answered as a peer does. */
bool ask_answered(const struct ask *a);
/* "3 of 4 peers have answered", or what is done else.  Into out. */
void ask_state(const struct ask *a, char *out, size_t size);

#endif
