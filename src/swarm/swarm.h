/* The swarm of this process: what it gives out, what it fetches, whom it knows.  Symmetric and without a centre: used
 * by `tightwad swarm`, by the agent and by the engines alike. */
#ifndef TIGHTWAD_SWARM_SWARM_H
#define TIGHTWAD_SWARM_SWARM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <event2/event.h>

#include "http/httpc.h"
#include "swarm/manifest.h"
#include "swarm/view.h"

struct swarm;
struct swarm_pull;

enum { SWARM_FAILED_MAX = 4, SWARM_FAILED_MS = 10 * 60 * 1000 };

/* All copied. */
struct swarm_opts {
    const char *host;           /* where it serves, NULL: 127.0.0.1 */
    int port;                   /* 0: SWARM_PORT, or any free one where that is taken; -1: any free one */
    const char *token, *allow;  /* see server.h; the token is sent to peers as well */
    const char *dir;            /* where pulled models go; NULL: default_dir */
    const char *const *folders; /* where local models are looked for, beside dir and the usual places */
    size_t n_folders;
    const char *const *peers; /* "HOST[:PORT]" or http://HOST:PORT that every pull asks */
    size_t n_peers;
    bool discovery;
    int64_t upload_limit, download_limit; /* bytes a second, 0: none */
    int upload_slots;                     /* 0: 8 */
    const char *socket; /* unix socket for `swarm status`; NULL: swarm-PID.sock in the runtime folder, if it can be */
};

/* NULL and a cause. */
struct swarm *swarm_create(struct event_base *base, struct httpc *http, const struct swarm_opts *o, char **cause);
void swarm_destroy(struct swarm *s); /* NULL is fine */
int swarm_port(const struct swarm *s);
void swarm_set_limits(struct swarm *s, int64_t upload_limit, int64_t download_limit, int upload_slots);
char *swarm_default_dir(void); /* ~/models where that is there, else $XDG_DATA_HOME/tightwad/models; NULL: no home */

/* Whether somebody fetches from here what nobody else was seen to have all of: a program that pulled it had better stay
 * for a while. */
bool swarm_needed(const struct swarm *s);

/* Gives out the model at path (a file, or every .gguf below a folder): its manifest is made if it is not stored.
 * done (may be NULL) is called once for each file: m borrowed, NULL and why. */
typedef void swarm_shared_cb(void *arg, const char *path, const struct manifest *m, const char *why);
int swarm_share(struct swarm *s, const char *path, swarm_shared_cb *done, void *arg, char **cause);
/* The same of a file alone: done is called once, with that path, and with a cause where it is a folder. */
int swarm_share_file(struct swarm *s, const char *path, swarm_shared_cb *done, void *arg, char **cause);

/* Whether what is an id, a plain name or a URL: all that others may ask for.  A path would be a file of this machine.
 */
bool swarm_is_remote(const char *what);

/* Whether something is still being looked for or hashed for that. */
bool swarm_is_sharing(const struct swarm *s);

struct swarm_pull_opts {
    const char *what;         /* an id, a name, an http(s) URL of a model or of a manifest, or a manifest file */
    const char *const *peers; /* asked beside those of the swarm */
    size_t n_peers;
    const char *dir;             /* NULL: the swarm's */
    int first_layer, last_layer; /* -1, -1: the whole model; else only what these layers need */
    bool output;                 /* with layers: the output tensors too */
    bool no_local;               /* take nothing from local models */
    bool only_estimate;          /* on_estimate answers false: what would be fetched without it being asked is not */
};

/* What is going to move, before it does.  bytes of the file, had already in a .part, to be copied from local models, to
 * be fetched; free where it goes (-1: unknown). */
struct swarm_estimate {
    uint64_t size, have, local, fetch;
    int64_t room;
};

/* NULL: there is room for it in dir; else what is missing, in words (owned by the caller). */
char *swarm_no_room(const struct manifest *m, const struct swarm_estimate *e, const char *dir);

struct swarm_pull_result {
    bool ok;
    const char *why;                 /* in words, "" when ok */
    const char *path;                /* the complete file; with layers the .part that has them */
    const struct manifest *manifest; /* NULL: it was never known */
    uint64_t fetched, copied, wasted;
    double seconds;
};

struct swarm_pull_calls {
    /* False: don't; *why, in words, is the swarm's then (NULL: it was not wanted).  May be NULL. */
    bool (*on_estimate)(void *arg, const struct manifest *m, const struct swarm_estimate *e, char **why);
    void (*on_done)(
        void *arg,
        const struct swarm_pull_result *r); /* once; the pull is gone after it, what it has is given out from now on */
    void *arg;
};

/* NULL and a cause for what can't even be tried; else on_done is called later. */
struct swarm_pull *swarm_pull(struct swarm *s, const struct swarm_pull_opts *o, const struct swarm_pull_calls *calls,
                              char **cause);
void swarm_pull_cancel(struct swarm_pull *p); /* on_done is not called; what has come stays on the disk */
/* Whether the model of that manifest is being pulled: a second pull of it would fail. */
bool swarm_is_pulling(const struct swarm *s, const char *id);

/* Asks that peer ("HOST[:PORT]" or http://HOST:PORT) as well, however often it fails; one that is known is asked anew.
 */
void swarm_pull_add_peer(struct swarm_pull *p, const char *peer);
/* All of m: how this pull is doing, from its first moment on (state finding, id "" until its manifest is known).  Not
 * in on_done, which has what there is to know. */
void swarm_pull_fill(const struct swarm_pull *p, struct swarm_view_model *m);

/* All of v.  Pulls that have failed stay in it, with why, for SWARM_FAILED_MS, or until the same is pulled again; so do
 * models that are given out no more because their files have changed, until they are shared again.  The last
 * SWARM_FAILED_MAX of both. */
void swarm_fill(const struct swarm *s, struct swarm_view *v);

#endif
