/* The proxy's own state, shared by proxy.c (members, life), queue.c (answers) and snapshot.c (counts). */
#ifndef TIGHTWAD_ENGINES_PROXY_INTERNAL_H
#define TIGHTWAD_ENGINES_PROXY_INTERNAL_H

#include "base/ngram.h"
#include "engines/consensus.h"
#include "engines/engine.h"
#include "engines/proxy-pool.h"

enum {
    PROXY_TICK_MS = 250,
    PROXY_RATE_TICKS = 8, /* tokens per second are those of the last 2 s */
    PROXY_ROUNDS = 64,    /* rounds that make the recent acceptance */
    PROXY_DRAFT_CAP_AUTO = 48,
};

struct gate;

struct answer_list {
    struct proxy_answer *first, *last;
    uint32_t n;
};

struct proxy_round {
    uint32_t drafted, accepted, emitted;
};

/* The modes as the configuration had them when it was read last. */
struct proxy_file_modes {
    char *default_mode, *consensus_mode;
    bool gate_on;
};

struct proxy {
    struct event_base *base;
    struct httpc *http;
    struct config_proxy settings; /* numbers, and the modes; its other pointers are NULL */
    struct proxy_file_modes file_modes;
    enum proxy_mode told_mode;     /* what the log has said that the plain name means */
    bool gate_configured, gate_on; /* an agent is configured; `gate start`, `gate stop` */
    char *config_path;             /* the file to save to, or NULL */
    char *model;                   /* configured name of the target, or NULL */
    struct gate *gate;             /* never NULL, configured or not */
    struct member *target;
    struct member *drafter[PROXY_DRAFTERS];
    size_t n_drafters;
    struct member *leaving[PROXY_DRAFTERS + 1]; /* removed: destroyed at the end of the loop turn */
    size_t n_leaving;
    struct answer_list queue, running, ended;
    struct proxy_answer *line; /* running ones that want a slot, oldest first */
    uint64_t next_id;
    struct event *pump; /* starts what may start; frees what has ended */
    struct event *tick;
    int64_t started_us;
    int64_t target_down_us; /* since when, 0: up */
    bool could_draft;
    void (*when_probed)(void *arg);
    void *when_probed_arg;
    void (*drained)(void *arg);
    void *drained_arg;
    bool draining;
    /* a pool that runs the target */
    const struct proxy_pool_ops *pool; /* NULL: none */
    void *pool_arg;
    enum proxy_pool_hope hope;
    char trouble[512];            /* why it is not there, in the pool's words; "" */
    bool held;                    /* for a swap: nothing new is started */
    char *next_model;             /* that the swap brings; NULL: the same one */
    void (*held_idle)(void *arg); /* called once when nothing runs any more */
    void *held_idle_arg;
    int64_t predict; /* longest answer to a request that names no length; CONFIG_AUTO */
    struct governor governor;
    struct consensus consensus;
    struct ngram_record quotes; /* what the text itself was worth as a drafter */
    struct proxy_hooks hooks;
    struct proxy_listener *listeners;
    /* counts since the start */
    uint64_t rounds, drafted, accepted, emitted, draft_failures, fallback_rounds, resumed, near_ties;
    uint64_t branches, branches_right; /* checked in a pass beside the line; those that the answer went into */
    uint64_t drawn;                    /* tokens that drafters have written, verified or not */
    uint64_t ahead_asked, ahead_line, ahead_branch; /* verdicts while a drafter wrote ahead; guessed by line, branch */
    uint64_t requests_ok, requests_failed, requests_cancelled, requests_refused;
    bool compared; /* the acceptance was compared, not verified */
    struct proxy_round round[PROXY_ROUNDS];
    size_t rounds_written;
    struct stats_ring draft_ms, verify_ms, wait_ms;
    uint64_t tick_emitted[PROXY_RATE_TICKS];
    struct snapshot_request done[SNAPSHOT_REQUESTS];
    size_t done_written;
    char listen[128];
    void (*filler)(void *arg, struct snapshot *s);
    void *filler_arg;
    struct snapshot snapshot;
    struct live_recorder live;
};

/* proxy.c */
void proxy_wake(struct proxy *p); /* runs the pump at the end of this loop turn */
/* Whether two entries of the configuration mean the same. */
bool proxy_same_server(const struct config_server *a, const struct config_server *b);
struct member *proxy_make_member(struct proxy *p, enum snapshot_role role, const struct config_server *s, char **cause);
/* queue.c */
/* Fills err; -1. */
int proxy_refuse(struct proxy *p, struct oai_error *err, int status, const char *param, const char *code,
                 const char *fmt, ...) __attribute__((format(printf, 6, 7)));
/* The drafter that answers NAME@draft: one with a server, better one that is up; NULL: there is none. */
struct member *proxy_draft_server(const struct proxy *p);
/* Whether the request must be answered by the present model though another one is coming. */
bool proxy_wants_present(const struct proxy *p, const struct proxy_answer *a);
bool proxy_is_quiet(const struct proxy *p); /* nothing runs, and nothing waits for the present model */
void proxy_pump(struct proxy *p);
void proxy_check_waiting(struct proxy *p); /* each tick: who waits too long, who can go on */
void proxy_stop_answers(struct proxy *p);
uint32_t proxy_slots(const struct proxy *p);
/* names.c */
bool proxy_serves_name(const struct proxy *p, const char *model);
/* snapshot.c */
void proxy_fill_snapshot(struct proxy *p);
void proxy_answer_snapshot(const struct proxy_answer *a, struct snapshot_request *out);
/* proxy-live.c */
/* New text of an answer and its tokens, as in proxy_answer_tell_text. */
void proxy_live_text(struct proxy_answer *a, const char *text, size_t len, const struct oai_token *tokens,
                     const bool *drafted, size_t n);
void proxy_live_round(struct proxy *p, const struct snapshot_round *r);

#endif
