/* What the engines show: filled once a tick, read by the API, /metrics, the event stream and the dashboard alike. */
#ifndef TIGHTWAD_ENGINES_SNAPSHOT_H
#define TIGHTWAD_ENGINES_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "swarm/view.h"

enum {
    SNAPSHOT_BACKENDS = 17, /* the target and at most 16 drafters */
    SNAPSHOT_REQUESTS = 50, /* newest requests, running ones first */
    SNAPSHOT_LOG = 32,
    SNAPSHOT_DEVICES = 32,
    SNAPSHOT_MACHINES = 16,
    SNAPSHOT_GPUS = 8, /* of one machine */
    SNAPSHOT_AGENTS = 16,
};

enum snapshot_health { HEALTH_UNKNOWN, HEALTH_UP, HEALTH_DOWN };
enum snapshot_role { ROLE_TARGET, ROLE_DRAFTER, ROLE_AGENT, ROLE_VERIFIER }; /* the last two: of the gate */

struct snapshot_backend {
    enum snapshot_role role;
    char name[64], url[256], kind[16], model[128], version[64];
    enum snapshot_health health;
    bool active;      /* the drafter that drafts now; true for the target */
    bool paused;      /* by command */
    char reason[256]; /* why it is down or not used, in words; "" if nothing is wrong */
    int64_t rtt_us;   /* median of the probes, -1 unknown */
    uint64_t calls, failures;
    uint64_t drafted, accepted; /* tokens, drafters only: those of its own draft that were checked, and right */
    uint64_t offered;           /* drafters: rounds in which it had a draft to offer */
    uint64_t wins;              /* of them, those whose accepted path it had drafted further than any other one */
    bool resting;               /* drafters: not asked for now, because it adds too little to the others */
    double tokens_per_second;   /* drafters: of drafting; target: emitted; NAN unknown */
    double call_ms;             /* median time of a draft or a verify, NAN unknown */
};

enum snapshot_state {
    REQUEST_QUEUED,
    REQUEST_PREFILL,
    REQUEST_RUNNING,
    REQUEST_WAITING,
    REQUEST_DONE,
    REQUEST_FAILED,
    REQUEST_CANCELLED
};

struct snapshot_request {
    uint64_t id;
    enum snapshot_state state;
    bool speculative;
    char mode[16];    /* "exact", "consensus", … */
    char outcome[16]; /* gate: "writing", "reviewing", "approved", "corrected", "rejected", …; "" otherwise */
    char agent[64];   /* gate: who wrote it; "" otherwise */
    char model[64];
    int64_t started_wall_ms;
    int64_t prompt_tokens, tokens, drafted, accepted, rounds;
    double seconds, first_token_seconds, tokens_per_second; /* NAN until known */
};

struct snapshot_log {
    int64_t wall_ms;
    int level;
    char text[200];
};

/* A device that holds a share of the pool's model. */
struct snapshot_device {
    char machine[64], name[64], address[96]; /* address: of the worker, "" on this machine */
    int32_t first_layer, n_layers;           /* -1: unknown (the server splits by itself) */
    int64_t bytes;                           /* of weights and cache that it holds, -1 unknown */
    int64_t memory;                          /* bytes that it had free before the load, -1 unknown */
    enum snapshot_health health;
    char reason[128]; /* why it is not used; "" if nothing is wrong */
};

/* The pool: the programs that this instance runs to have a target. */
struct snapshot_pool {
    bool configured;
    bool up;                    /* it serves */
    char state[16];             /* "off", "preflight", "starting", "up", "draining", "stopping", "backoff", "failed" */
    char why[1024];             /* what it waits for or what is wrong, with what would mend it; "" if nothing is */
    int64_t state_ms;           /* since when it is in this state */
    char model[128], next[128]; /* what is loaded or being loaded; what a swap is bringing, "" none */
    char draft[128];            /* the model of the pool's own drafter, "" none */
    char server[256];           /* the program that runs, in words: "tightwad-node, pid 4711" */
    int64_t pid, draft_pid;     /* of the programs, 0: none */
    double progress;            /* of the load, 0..1, NAN when nothing loads */
    double load_ms;             /* what the last load took, NAN before the first */
    double pause_ms;            /* how long the target was away last time, NAN: it never was */
    int64_t retry_ms;           /* until the next attempt, -1: none is due */
    uint64_t restarts, swaps;   /* unplanned starts; models swapped */
    char swap_error[1024];      /* why the last swap did not come about, "" when it did */
    char log[256], draft_log[256]; /* files with what the programs write */
    int64_t reclaimed;             /* bytes of page cache given back by the last reclaim, -1: none was done */
    uint64_t reclaims;
    char reclaim_note[256];
    struct snapshot_device device[SNAPSHOT_DEVICES];
    size_t n_devices;
};

struct snapshot_gpu {
    char name[64];
    int64_t memory, memory_used; /* bytes, -1 unknown */
    double utilisation;          /* 0..1, NAN unknown */
    double temperature;          /* degrees Celsius, NAN unknown */
    double power;                /* watts, NAN unknown */
};

/* How a machine is doing: this one, and those whose agent tells. */
struct snapshot_machine {
    char name[64];
    char address[64];            /* as it is reached from here, "" this one */
    enum snapshot_health health; /* whether it tells; this one is always up */
    char reason[256];            /* why it does not; "" if nothing is wrong */
    int64_t rtt_us;              /* to its agent, -1 unknown */
    int64_t memory, memory_used; /* bytes, -1 unknown; used: what could not be had by a program that wants it */
    double cpu;                  /* share of its cores that work, 0..1, NAN unknown */
    int64_t cores;               /* threads of execution, -1 unknown */
    /* GPUs are asked only while somebody looks: unknown otherwise. */
    struct snapshot_gpu gpu[SNAPSHOT_GPUS];
    size_t n_gpus;
};

/* Answers by what the drafters agree on. */
struct snapshot_consensus {
    bool configured;
    char mode[16];                 /* "strict", "majority", "any_disagree", "off" */
    bool suspended;                /* too many errors: answers are exact again */
    char why[256];                 /* why it is not in use, in words; "" when it is */
    int64_t window;                /* tokens */
    double audit_share, max_error; /* as configured, 0..1 */
    uint64_t windows, skipped;     /* voted on; those that needed no target */
    uint64_t accepted, fallback;   /* tokens emitted without the target; tokens that it wrote or checked */
    uint64_t audited, wrong;       /* windows checked afterwards; those with a token that the target would not draw */
    uint64_t audited_tokens, wrong_tokens;
    double error, error_low, error_high; /* wrong of audited tokens and its 95 % interval, 0..1; NAN before the first */
    uint64_t target_passes;              /* forward passes of the target for these answers, audits left out */
};

struct snapshot_agent {
    char name[64], url[256], kind[16], model[128];
    enum snapshot_health health;
    char reason[256];
    int64_t rtt_us;             /* -1 unknown */
    uint32_t busy, slots;       /* answers it writes now; that it writes at once at most */
    uint64_t answers, failures; /* whole answers; calls that failed or took too long */
    uint64_t approved, corrected, rejected;
    uint64_t shadowed, false_approved; /* approved answers that the target answered as well; those that differ */
    double answer_ms;                  /* median, NAN unknown */
    double tokens_per_second;          /* NAN unknown */
};

/* The quality gate. */
struct snapshot_gate {
    bool configured;
    bool on;                      /* `gate start`, `gate stop` */
    char routing[16], review[16]; /* review: as it is done, "prompt", "likelihood", "both" */
    char verifier[64];            /* its name */
    char why[256];                /* what is wrong with it, in words; "" if nothing is */
    uint32_t writing, reviewing;  /* requests that an agent, the verifier is at work on */
    uint64_t requests, approved, corrected, rejected;
    uint64_t errors;                /* requests that failed */
    uint64_t direct;                /* no agent answered: written by the target */
    uint64_t unreviewed;            /* passed without a review (fail_open) */
    uint64_t cached;                /* served from an earlier approval */
    uint64_t retries;               /* agents that were replaced by another */
    uint64_t unreadable;            /* verdicts that could not be read, which count as rejections */
    uint64_t agent_tokens;          /* given to clients and written by agents: approved, kept, unreviewed, cached */
    uint64_t tokens, target_tokens; /* given to clients; written by the target (verdicts and corrections too) */
    uint64_t shadowed, false_approved;
    double shadow_low, shadow_high; /* 95 % interval of their ratio, NAN before the first */
    double seconds_saved;           /* of the target's time, by what its tokens take it; may be below 0; NAN unknown */
    double joules_saved;            /* the same where the power of the machines is known, NAN unknown */
    struct snapshot_agent agent[SNAPSHOT_AGENTS];
    size_t n_agents;
};

struct snapshot {
    uint64_t tick;
    int64_t wall_ms, uptime_ms;
    char version[32], model[128], listen[128];
    char config[256]; /* the configuration file in use, which changes can be saved to; "" none */
    /* speculation */
    bool speculating;
    char why_not[256];          /* why speculation is off; "" when it is on */
    char mode[16];              /* what the model's plain name means: "exact", "consensus", "gate" */
    char exactness[32];         /* "byte for byte", "up to near-ties", "unknown" */
    char exactness_note[400];   /* and which flags of the target are in the way of verifying fast */
    int64_t max_draft_tokens;   /* cap in force */
    char acceptance_source[16]; /* "verified", or "compared" where the target can't verify */
    uint64_t rounds, drafted, accepted,
        emitted; /* tokens since the start; emitted: completion tokens of all requests */
    uint64_t draft_failures, fallback_rounds, resumed; /* rounds without a usable draft; answers resumed after a loss */
    uint64_t near_ties;                                /* emitted tokens whose margin was under the target's noise */
    double acceptance;                                 /* recent (last rounds), 0..1, NAN before the first */
    double tokens_per_second;                          /* over the last seconds, all requests */
    double tokens_per_round;                           /* recent, NAN */
    char governor[240];                                /* what the governor does and why, in words; "off" */
    bool drafting_pays;                                /* false: it lets the target go on alone */
    double predicted_ms, measured_ms;                  /* time of the newest round, NAN */
    double prediction_error;                           /* fading mean of |measured - predicted| / measured, NAN */
    double draft_ms, verify_ms, wait_ms;               /* recent medians of a round's parts, NAN */
    uint64_t ahead_verdicts;                           /* verdicts that came while a drafter wrote ahead */
    uint64_t ahead_line, ahead_branch;         /* of them, those it had tokens ready for: on its line, on a branch */
    uint64_t drafts_written;                   /* tokens that drafters have written, checked or not */
    double drafts_wasted_ms;                   /* time that went into those which nobody ever checked, NAN unknown */
    uint64_t branches_checked, branches_right; /* second guesses in a pass; those that the answer went into */
    uint64_t wire_out, wire_in;                /* bytes between proxy and servers, with headers */
    /* requests */
    uint64_t requests_ok, requests_failed, requests_cancelled, requests_refused;
    uint32_t running, queued, slots, max_queue;
    struct snapshot_backend backend[SNAPSHOT_BACKENDS]; /* [0] is the target */
    size_t n_backends;
    struct snapshot_request request[SNAPSHOT_REQUESTS];
    size_t n_requests;
    struct snapshot_pool pool;
    struct snapshot_consensus consensus;
    struct snapshot_gate gate;
    struct swarm_view swarm;                            /* of this instance */
    struct snapshot_machine machine[SNAPSHOT_MACHINES]; /* [0] is this one */
    size_t n_machines;
    struct snapshot_log log[SNAPSHOT_LOG];
    size_t n_log;
};

/* One round, for the event stream. */
struct snapshot_round {
    uint64_t request, round;
    const char *drafter; /* name, "" none */
    uint32_t drafted, accepted, emitted;
    double draft_ms, verify_ms, wait_ms;
    double predicted_ms, round_ms; /* what the governor expected of it and what it took; 0: not known */
};

/* Tokens a second of the model of that name: the median over its finished answers among the requests, but for very
 * short ones; NAN: there is none. */
double snapshot_model_rate(const struct snapshot *s, const char *model);

/* Static strings: "up", "down", "unknown"; "queued", "prefill", "running", … */
const char *snapshot_health_name(enum snapshot_health h);
const char *snapshot_state_name(enum snapshot_state s);

#endif
