/* A member: one server of the cluster under watch.  Probes it, knows whether it can be used and why not, and keeps its
 * record. */
#ifndef TIGHTWAD_ENGINES_MEMBER_H
#define TIGHTWAD_ENGINES_MEMBER_H

#include <stdbool.h>
#include <stdint.h>

#include <event2/event.h>

#include "backends/backend.h"
#include "base/stats.h"
#include "engines/governor.h"
#include "engines/rest.h"
#include "engines/snapshot.h"

struct member;

/* Called on the loop when health, vocabulary match or pause changed. */
typedef void member_changed_cb(void *arg, struct member *m);
/* Called on the loop when a call to it failed, after the member was marked. */
typedef void member_failed_cb(void *arg, struct member *m, const struct backend_status *st);

struct member {
    enum snapshot_role role;
    char *name;
    struct backend *backend;
    struct event_base *base;
    member_changed_cb *changed;
    member_failed_cb *failed; /* NULL: nobody asks */
    void *arg;
    enum snapshot_health health;
    bool probed;      /* the first probe is over, whatever it said */
    bool paused;      /* by command */
    bool pooled;      /* run by the pool, not by the configuration */
    char reason[256]; /* why it is down or not used; "" if nothing is wrong */
    /* drafters: how the vocabulary compares with the target's */
    bool vocab_known;
    enum backend_vocab_match vocab;
    struct backend_call *probe_call, *vocab_call;
    struct event *timer;      /* the next probe */
    int64_t backoff_us;       /* before the next probe of a member that is down */
    uint32_t taken;           /* slots that answers hold */
    unsigned strikes;         /* failed calls since the last good one */
    int64_t penalty_until_us; /* not used before this time, though its probes may be fine */
    /* record */
    uint64_t calls, failures, drafted, accepted, emitted;
    uint64_t drawn;         /* drafters: tokens written, verified or not */
    uint64_t offered, wins; /* drafters: as in the snapshot */
    struct governor_drafter record;
    struct rest rest;
    struct stats_ring call_us;  /* of drafts or verifies, microseconds */
    struct stats_ring rtt_us;   /* of probes */
    struct stats_ring first_us; /* drafters that stream: until the first token */
    struct stats_ring token_us; /* drafters: microseconds per drafted token */
    struct stats_ring gap_us;   /* between the pieces of a stream */
    struct stats_ring fed_us;   /* per token of a long prompt */
    int deadline_floor_ms;      /* no call is given up before this */
    int deadline_unknown_ms;    /* while there is no record yet */
};

/* Takes the backend over.  Probing starts at once. */
struct member *member_create(struct event_base *base, enum snapshot_role role, struct backend *backend,
                             member_changed_cb *changed, void *arg);
void member_destroy(struct member *m);

/* A call went well: it took elapsed microseconds and brought n tokens. */
void member_ok(struct member *m, int64_t elapsed_us, size_t n);
/* A call failed: marks the member down where the error means that, sets a penalty, probes again later. */
void member_failed(struct member *m, const struct backend_status *st);
/* A piece of a stream came elapsed microseconds after the one before; a prompt of n tokens took elapsed. */
void member_saw_gap(struct member *m, int64_t elapsed_us);
void member_saw_prompt(struct member *m, int64_t elapsed_us, size_t n);
/* Compares the vocabulary with the target's (both must be up). */
void member_compare_vocab(struct member *m, struct member *target);
/* Ends a comparison that is under way: the target that it asks is about to go. */
void member_forget_vocab(struct member *m);
/* The server is known to have come up, or is doubted: asks it now. */
void member_probe_now(struct member *m);
/* How long a call must at least be given: what it costs to be wrong about a server that is merely slow. */
void member_set_patience(struct member *m, int floor_ms);
void member_set_paused(struct member *m, bool paused);

bool member_up(const struct member *m);
/* Answers that it can be at work on at once. */
uint32_t member_slots(const struct member *m);
/* It is up and has no penalty. */
bool member_ready(const struct member *m);
bool member_is_text(const struct member *m); /* the drafter that is the text itself */
/* A drafter that can draft for target now. */
bool member_can_draft(const struct member *m, const struct member *target);

/* The longest time that a call which brings n new tokens to the server may take, in milliseconds: learned from the
 * record, with room for a prompt of n tokens. */
int member_deadline_ms(const struct member *m, size_t n_new);
/* The same for the time without a piece of a stream. */
int member_stream_deadline_ms(const struct member *m, size_t n_new);

/* Fills one line of the snapshot; out keeps no pointer into m. */
void member_snapshot(const struct member *m, struct snapshot_backend *out);

#endif
