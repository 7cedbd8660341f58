/* The pool's own state, shared by pool.c (life), pool-orders.c (commands) and pool-view.c (the picture). */
#ifndef TIGHTWAD_ENGINES_POOL_INTERNAL_H
#define TIGHTWAD_ENGINES_POOL_INTERNAL_H

#include "base/task.h"
#include "engines/pool-check.h"
#include "engines/pool-server.h"
#include "engines/pool.h"
#include "engines/proxy-pool.h"

enum pool_state {
    POOL_OFF,       /* nothing runs and nothing is wanted */
    POOL_PREFLIGHT, /* what a start takes is found out */
    POOL_STARTING,  /* the program loads */
    POOL_UP,        /* it serves */
    POOL_DRAINING,  /* it serves the answers under way, and then ends */
    POOL_STOPPING,  /* it was told to end */
    POOL_BACKOFF,   /* it ended by itself and is started again in a while */
    POOL_FAILED,    /* it can't be started as things are; tried again in a while */
};

struct listing;
struct pool_look;
struct pool_rate;
struct reclaim;

struct pool_drafter {
    struct pool_server server;
    struct event *retry;
    bool wanted, again; /* again: as soon as the one before has ended */
    int64_t backoff_ms;
    uint64_t accepted; /* tokens of drafts when it came up: more of them, and it was of use */
    char *name, *url;  /* as the proxy knows it; NULL: it does not */
};

struct pool {
    struct event_base *base;
    struct httpc *http;
    struct proxy *proxy;
    struct config *cfg;
    char *node, *node_cause, *log, *draft_log;
    enum pool_state state;
    int64_t state_us;
    char why[1024];
    char told[1024];    /* what was last logged of a start that failed */
    bool wanted;        /* something is meant to run */
    bool reloading;     /* next is the present model, loaded anew */
    char *model;        /* that runs or is being started */
    char *next;         /* that takes its place; NULL: none */
    char *previous;     /* that comes back when the start of model fails; NULL: none */
    char *target_url;   /* and where; NULL: none yet */
    char *target_model; /* that the proxy's target was made for; NULL: none yet */
    bool drained;       /* nothing runs on the old model any more */
    bool came_up;       /* the model has served since it was chosen */
    uint64_t answered;  /* requests that had been answered when it came up */
    struct pool_server server;
    struct pool_drafter drafter;
    struct pool_launch *launch;  /* of what runs, or ran last */
    struct pool_program program; /* as they were found last */
    struct pool_facts facts;
    struct pool_check *check; /* under way */
    struct task *task, *reclaim_task;
    struct pool_preseed *preseed;         /* under way */
    void (*preseed_then)(struct pool *p); /* what comes after it */
    char *preseeded;                      /* model whose workers have been asked already; NULL: none */
    char preseed_note[512];               /* what they did not get, in words */
    struct event *timer;                  /* the next attempt */
    int64_t retry_us;                     /* when that is; 0: none */
    int64_t backoff_ms;
    unsigned attempts;       /* starts in a row that came to nothing */
    int64_t lost_us;         /* since when an up target is away; 0: it is not */
    bool lost_before;        /* it was up and went: what is missing now may be left out */
    char kill_why[256];      /* why it was killed by us */
    struct pool_look *looks; /* for workers that are left out */
    size_t n_looks;
    struct event *look_timer;
    int64_t quiet_us; /* since when nobody is answered, while such are looked for */
    char *noise_of;   /* command line whose self-test found noise; NULL: none yet */
    double noise;
    double pause_ms;
    uint64_t restarts, swaps;
    char swap_error[1024];
    int64_t reclaimed;
    uint64_t reclaims;
    char reclaim_note[256];
    struct reclaim *reclaim; /* under way */
    struct listing *listing; /* of the models, under way; NULL: none */
    struct pool_rate *rates; /* how fast models were */
    size_t n_rates;
};

/* pool.c */
void pool_change_state(struct pool *p, enum pool_state to, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
const char *pool_state_name(enum pool_state s);
void pool_begin(struct pool *p);      /* PREFLIGHT of model */
void pool_check_next(struct pool *p); /* the check of next, while model serves */
void pool_drain(struct pool *p);      /* DRAINING, then STOPPING */
void pool_off(struct pool *p);
void pool_end_program(struct pool *p, int grace_ms); /* STOPPING */
/* pool-drafter.c */
void pool_drafter_init(struct pool *p);
void pool_drafter_finish(struct pool *p);
void pool_drafter_start(struct pool *p); /* the one of launch, if it has one */
void pool_drafter_stop(struct pool *p);  /* and takes it from the proxy */
/* pool-look.c */
void pool_look_begin(struct pool *p); /* of launch, when it is up */
void pool_look_end(struct pool *p);   /* before launch goes, and before its workers have a client again */
/* pool-seed.c */
/* Its workers get their share of the model first, and then comes then, unless the state changes meanwhile.  False:
 * there is nothing to wait for. */
bool pool_seed_begin(struct pool *p, const struct pool_launch *l, const char *model, void (*then)(struct pool *p));
void pool_seed_end(struct pool *p);    /* breaks it off */
void pool_seed_forget(struct pool *p); /* the next start asks again */
/* pool-reclaim.c */
void pool_loaded(struct pool *p); /* the weights are where they belong: gives the file's pages back where told to */
void pool_reclaim_finish(struct pool *p);
/* pool-models.c */
void pool_note_rates(struct pool *p); /* remembers how fast the models were that the picture has answers of */
void pool_models_finish(struct pool *p);
/* pool-view.c */
void pool_fill_snapshot(void *arg, struct snapshot_pool *out);

#endif
