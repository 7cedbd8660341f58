/* One server program that the pool runs: started, watched while it loads and while it serves, ended. */
#ifndef TIGHTWAD_ENGINES_POOL_SERVER_H
#define TIGHTWAD_ENGINES_POOL_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <event2/event.h>

#include "http/httpc.h"

struct service;

enum pool_server_state {
    POOL_SERVER_OFF,
    POOL_SERVER_LOADING, /* it runs, its /health does not say ok yet */
    POOL_SERVER_UP,
    POOL_SERVER_ENDING, /* it was told to end */
};

/* Called on the loop, never from inside a pool_server function.  In each the server may be started again or stopped,
 * not finished. */
struct pool_server_events {
    void (*up)(void *arg);
    /* It has ended; why: how, and its last words. */
    void (*ended)(void *arg, const char *why);
    /* It is up and has not answered for a while, or its load does not get on; it is the owner's to end it. */
    void (*silent)(void *arg);
};

struct pool_server {
    struct event_base *base;
    struct httpc *http;
    const struct pool_server_events *events;
    void *arg;
    const char *name; /* for messages; static */
    char *url, *log;
    enum pool_server_state state;
    struct service *service, *ended; /* ended: freed at the end of the loop turn */
    struct httpc_call *call;
    struct event *poll, *reap;
    int64_t started_us, up_us, ended_us; /* of the last time; 0: never */
    double progress;                     /* of the load, 0..1, NAN unknown */
    int64_t step_us, longest_us;         /* when the load last got on, and the longest that a step of it took */
    int64_t stall_us;                    /* a step that takes longer than this and ten times the longest is a hang */
    double load_ms;                      /* of the last load, NAN before the first */
    unsigned missed, missed_most;        /* checks in a row without an answer, and when that is silence */
    int64_t asked_us, silent_us;         /* of the last check, and of the first of those */
    char why[512];
};

void pool_server_init(struct pool_server *s, struct event_base *base, struct httpc *http, const char *name,
                      unsigned missed_most, const struct pool_server_events *events, void *arg);
/* Ends the program if it runs: SIGTERM, and SIGKILL after grace_ms.  Blocks for as long. */
void pool_server_finish(struct pool_server *s, int grace_ms);

/* url: where it will listen; log: a file, NULL none.  Both copied.  stall_us: how long a hundredth of the load may take
 * while nothing is known of it.  0, or -1 and a cause. */
int pool_server_start(struct pool_server *s, const char *const *argv, const char *const *env, const char *url,
                      const char *log, int64_t stall_us, char **cause);
/* grace_ms 0: SIGKILL at once.  ended follows.  Nothing happens where it does not run. */
void pool_server_stop(struct pool_server *s, int grace_ms);
bool pool_server_runs(const struct pool_server *s);
pid_t pool_server_pid(const struct pool_server *s); /* 0: none */

#endif
