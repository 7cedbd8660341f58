/* What a pool does to the proxy: it runs the target, so it knows when that is on its way and when it is another. */
#ifndef TIGHTWAD_ENGINES_PROXY_POOL_H
#define TIGHTWAD_ENGINES_PROXY_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backends/backend.h"
#include "config/config.h"
#include "engines/snapshot.h"

struct proxy;

struct proxy_pool_ops {
    /* A call to the target failed (st holds during the call).  From the loop; the target must not be replaced in it. */
    void (*target_failed)(void *arg, const struct backend_status *st);
    /* The target was found to be up, or to be down. */
    void (*target_changed)(void *arg, bool up);
    /* Whether the first n bytes of name are a model that could be loaded. */
    bool (*knows_model)(void *arg, const char *name, size_t n);
    /* The pool's part of the picture, each tick; out is empty. */
    void (*fill)(void *arg, struct snapshot_pool *out);
};

/* ops NULL: no pool any more. */
void proxy_pool_attach(struct proxy *p, const struct proxy_pool_ops *ops, void *arg);

enum proxy_pool_hope {
    PROXY_POOL_AWAITED, /* a target that is gone is waited for as long as `target_wait` says, from now on */
    PROXY_POOL_COMING,  /* it is being (re)started: nobody gives up waiting for it */
    PROXY_POOL_OFF,     /* it was stopped: nobody waits */
};
/* why: what those who wait are told, NULL: nothing is wrong. */
void proxy_pool_expect(struct proxy *p, enum proxy_pool_hope hope, const char *why);
/* The target is about to be stopped: whatever is asked of it that no answer waits for ends.  A llama-server does not
 * end while a request is open. */
void proxy_pool_hang_up(struct proxy *p);
/* The target has come up: it is asked now, not when its next probe is due. */
void proxy_pool_probe(struct proxy *p);
/* What was last found out about it. */
bool proxy_pool_target_up(const struct proxy *p);
void proxy_pool_probe_drafter(struct proxy *p, const char *url);
/* What the target's own test found: the largest difference of a logit between batched and single passes.  False: it
 * does not say, or goes back by saved states, which its test has a word in. */
bool proxy_pool_noise(const struct proxy *p, double *noise);
/* How long a call to the target must at least be given, in milliseconds. */
void proxy_pool_set_patience(struct proxy *p, int floor_ms);

/* Starts no more requests, but for those that name the model that runs.  New ones are queued, also those that name next
 * (NULL: it stays the same model); those that name the present one are refused where next is another.  Calls fn when
 * nothing runs any more; never from inside this call. */
void proxy_pool_hold(struct proxy *p, const char *next, void (*fn)(void *arg), void *arg);
/* Goes on with the queue; requests in it that name a model which is not there fail, with why. */
void proxy_pool_release(struct proxy *p, const char *why);
bool proxy_pool_held(const struct proxy *p);

/* Another server, or the same with another model, is the target from now on: its record begins anew.  Nothing may run
 * (hold first).  s is copied.  -1 and a cause. */
int proxy_pool_set_target(struct proxy *p, const struct config_server *s, char **cause);
/* The longest answer to a request that names no length, in tokens; CONFIG_AUTO: as the proxy has it. */
void proxy_pool_set_predict(struct proxy *p, int64_t tokens);
/* Drafters that the pool runs are left alone by proxy_reload. */
int proxy_pool_add_drafter(struct proxy *p, const struct config_server *s, char **cause);

#endif
