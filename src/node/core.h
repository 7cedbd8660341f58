/* The inference side of a node: one thread that owns the context, sessions, slots, and jobs that it puts together into
 * passes.  All functions are for the loop's thread, but for node_core_load, which blocks and has a thread of its own;
 * so all callbacks come on the loop.
 *
 * A session is a path of tokens with sampling parameters.  It is remembered after its slot (its place in the KV cache)
 * was taken by another: then the node computes it again by itself.  Jobs of one session run one after the other: a new
 * one ends a running DRAFT or GENERATE of the same session (which then is done with what it has). */
#ifndef TIGHTWAD_NODE_CORE_H
#define TIGHTWAD_NODE_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <event2/event.h>

#include "base/sampler.h"
#include "node/model.h"

struct node_core;

enum {
    NODE_SESSIONS_MAX = 1024, /* the least recently used one is forgotten */
    NODE_TOP_MAX = 64,        /* most alternatives with a token */
    NODE_BRANCHES_MAX = 4,    /* of a draft to verify */
};

enum node_flash { NODE_FLASH_OFF, NODE_FLASH_ON, NODE_FLASH_AUTO };

struct node_core_options {
    struct node_model_options model;
    int32_t ctx;           /* tokens per slot; 0: what the model was trained with; -1: that, at most 4096 */
    int32_t slots;         /* sequences at once, >= 1 */
    int32_t threads;       /* 0: one for each physical core */
    int32_t threads_batch; /* for passes of several tokens; 0: as threads */
    int32_t batch;         /* most tokens in one pass */
    int32_t ubatch;        /* most tokens that llama.cpp computes at once; 0: as batch, or as few as the bits ask for */
    enum node_flash flash;
    double draft_rate; /* at most so many tokens drafted a second, 0: no limit */
    bool selftest;     /* off: batch_invariant is reported false and noise NaN */
    double noise;      /* what the self-test of an earlier start found, taken for its outcome; NaN: it is run */
};

/* Everything at its default: ctx -1, slots 4, batch 512, all layers, mmap, self-test. */
void node_core_options_init(struct node_core_options *o);

enum node_rollback {
    NODE_ROLLBACK_TRUNCATE,  /* the end of a sequence can be cut off */
    NODE_ROLLBACK_SNAPSHOT,  /* states are saved and put back, what follows is computed again */
    NODE_ROLLBACK_REPREFILL, /* computed again from the start */
};

/* One comparison of the self-test against one token at a time. */
struct node_selftest_row {
    char name[32];     /* "batch 2", "batch 64", "beside another", "beyond 512", "rollback" */
    bool skipped;      /* would have taken too long, or does not fit the context */
    int32_t positions; /* compared */
    int32_t differing; /* positions with at least one logit that is not the same, bit for bit */
    int32_t flipped;   /* positions with another best token */
    float difference;  /* largest of any logit */
};

enum { NODE_SELFTEST_ROWS = 8 };

struct node_selftest {
    struct node_selftest_row row[NODE_SELFTEST_ROWS];
    size_t rows;
    int64_t elapsed_us;
};

/* Does not change after the load. */
struct node_core_info {
    int32_t n_ctx; /* tokens per slot */
    int32_t slots, threads, threads_batch, batch, ubatch;
    enum node_rollback rollback;
    int32_t branches; /* most that a verify takes, 0: none can be had; drafts have them then, too */
    bool batch_invariant;
    double noise; /* largest difference of a logit, NaN: not measured */
    struct node_selftest selftest;
    int64_t load_us;
};

struct node_core_counters {
    uint64_t decodes;                   /* calls of llama_decode */
    uint64_t tokens;                    /* tokens in them */
    uint64_t batches;                   /* decodes that carried more than one session */
    uint64_t jobs;                      /* jobs that were started */
    uint64_t jobs_shared;               /* of these, jobs that shared at least one decode */
    uint64_t drafted;                   /* tokens drafted */
    uint64_t branched;                  /* of these, tokens of branches that were computed */
    uint64_t copies;                    /* caches copied for branches */
    uint64_t branches;                  /* branches of drafts that were checked */
    uint64_t branches_taken;            /* of these, those that the accepted tokens went into */
    uint64_t trips;                     /* steps that llama.cpp took for the decodes, */
    uint64_t trips_saved;               /* and those that padding saved */
    uint64_t padded;                    /* tokens that were computed for that, and for known shapes */
    uint64_t shapes;                    /* new shapes of passes over the network */
    uint64_t verified;                  /* draft tokens checked */
    uint64_t accepted;                  /* of these, accepted */
    uint64_t generated;                 /* tokens of GENERATE jobs */
    uint64_t scored;                    /* tokens of SCORE jobs */
    uint64_t sessions;                  /* opened */
    uint64_t evictions;                 /* slots taken from a session that was still open */
    uint64_t restored;                  /* snapshots put back (models that cannot truncate) */
    uint64_t decode_us;                 /* time spent in llama_decode */
    double first_us, token_us, step_us; /* a pass takes first + tokens * token + (steps - 1) * step; 0: unknown */
    int32_t sessions_now, slots_busy, jobs_waiting; /* at this moment */
};

enum node_job_kind { NODE_JOB_DRAFT, NODE_JOB_VERIFY, NODE_JOB_GENERATE, NODE_JOB_SCORE };

enum node_job_status {
    NODE_JOB_OK,
    NODE_JOB_SESSION_LOST, /* unknown session, or keep beyond its path: `have` says how much there is */
    NODE_JOB_CONTEXT_FULL, /* path and draft do not fit n_ctx */
    NODE_JOB_INVALID,      /* a token that is none, or nothing to decode; message says it */
    NODE_JOB_FAILED,       /* llama.cpp could not; message says it */
};

enum node_job_reason { NODE_REASON_N, NODE_REASON_EOG, NODE_REASON_CTX, NODE_REASON_P_MIN, NODE_REASON_SUPERSEDED };

struct node_token {
    int32_t id;
    float prob;    /* DRAFT: the chance that it is right (sampler_choices) */
    float logprob; /* SCORE, and where n_logprobs >= 0: of the raw softmax; NaN for the token at position 0 */
    float gap;     /* SCORE: how far its logit lies below the best one, 0 for the best; NaN at position 0 */
};

/* A token of a branch of a DRAFT: branches are told in whole, from their first token on. */
struct node_branch_token {
    int64_t branch; /* its id, > 0 */
    size_t at;      /* the position of the branch's first token in the path */
    int32_t id;
    float prob;
};

/* A branch of a draft to VERIFY. */
struct node_branch {
    size_t at;       /* its first token stands in the place of draft[at] */
    int32_t *tokens; /* owned by the job */
    size_t n;
};

struct node_job {
    /* Filled by the caller before node_core_submit.  Arrays are owned by the job (malloc). */
    enum node_job_kind kind;
    int64_t session;
    int64_t epoch;   /* DRAFT: an older one than the session has seen is done at once, with nothing */
    size_t keep;     /* the path becomes path[0:keep] + tokens */
    int32_t *tokens; /* may be empty where keep >= 1 */
    size_t n_tokens;
    int32_t *draft; /* VERIFY */
    size_t n_draft;
    struct node_branch branch[NODE_BRANCHES_MAX]; /* VERIFY */
    size_t n_branches;
    bool tree;              /* VERIFY: the caller wants to hear of branches */
    size_t n;               /* DRAFT, GENERATE: at most so many; SCORE: the last n of tokens, 0 all */
    bool stream;            /* DRAFT: on_tokens is called as well (GENERATE: always) */
    float p_min;            /* DRAFT: stops before a token of a lower probability */
    size_t from;            /* DRAFT: so many tokens of the path are known to be right; branches stand from there on */
    size_t first;           /* DRAFT: tokens of the line before any work goes into branches */
    size_t branches, depth; /* DRAFT: most branches at a time, 0 none, and most tokens of each */
    int n_logprobs; /* VERIFY, GENERATE, SCORE: -1 none, else how many alternatives with each (at most NODE_TOP_MAX) */
    void (*on_tokens)(struct node_job *job); /* `out` has grown; may be NULL */
    void (*on_done)(struct node_job *job);   /* once; the last callback */
    void *arg;

    /* Results, written on the loop's thread just before a callback. */
    struct node_token *out; /* VERIFY: those accepted and the next one; else those drafted, generated, scored */
    size_t n_out;
    struct node_branch_token *grown; /* DRAFT with branches: in the order in which they came */
    size_t n_grown;
    struct sampler_logprob *top; /* n_top for each of out (those of out[i] begin at top[i * n_top]) */
    size_t n_top;
    enum node_job_status status;
    enum node_job_reason reason; /* DRAFT, GENERATE: why it ended */
    bool eog;                    /* the last of out is an end-of-generation token */
    size_t accepted;             /* VERIFY: along the path that won */
    int taken;                   /* VERIFY: the branch that it went into, -1: none */
    size_t branches_used;        /* VERIFY: how many branches found a place in the pass */
    float margin;                /* VERIFY: smallest distance to the second best choice over these, in logits */
    size_t have;                 /* SESSION_LOST: tokens that the session has */
    char *message;               /* INVALID, FAILED */

    struct node_work *work; /* the core's side; NULL when it does not run */
};

/* Loads the model, makes the context and tests it.  Blocks.  NULL and a cause. */
struct node_core *node_core_load(const struct node_core_options *o, node_progress_fn *progress, void *arg,
                                 char **cause);

/* Starts the inference thread; callbacks come on base. */
void node_core_start(struct node_core *c, struct event_base *base);

/* Ends the thread (a pass on the CPU is broken off) and frees everything.  Jobs that run are done with no callback.
 * NULL is fine. */
void node_core_destroy(struct node_core *c);

const struct node_model *node_core_model(const struct node_core *c);
const struct node_core_info *node_core_info(const struct node_core *c);
void node_core_counters(struct node_core *c, struct node_core_counters *out); /* any thread */
const char *node_rollback_name(enum node_rollback r);                         /* truncate, snapshot, reprefill */
const char *node_reason_name(enum node_job_reason r);                         /* n, eog, ctx, p_min, superseded */

/* params is copied. prompt_len: how many tokens from the start are prompt (penalties).  Returns the session's id, > 0.
 */
int64_t node_session_open(struct node_core *c, const struct sampler_params *params, size_t prompt_len);
/* For whoever knows that a session is over: its slot is the first to be taken by others (its content still serves as a
 * prefix).  Running jobs of it are ended without a callback. */
void node_session_close(struct node_core *c, int64_t session);

struct node_job *node_job_create(enum node_job_kind kind, int64_t session); /* n_logprobs -1, the rest 0 */
/* Ends it first if it runs (before the next pass; no callback any more).  Also from its own callbacks.  NULL is fine.
 */
void node_job_destroy(struct node_core *c, struct node_job *job);

void node_core_submit(struct node_core *c, struct node_job *job);
void node_core_cancel(struct node_core *c, struct node_job *job); /* no callback any more; the job stays the caller's */
/* GENERATE: no more tokens until resumed.  A few that are under way still come. */
void node_core_pause(struct node_core *c, struct node_job *job);
void node_core_resume(struct node_core *c, struct node_job *job);

#endif
