/* What to do with these machines: who writes, who drafts, who lends memory, with which models, and what to expect of
 * it. A pure function of the machines and of what is wished; nothing is asked, read or started.
 *
 * Memory is in bytes (-1 unknown), rates are tokens per second (NAN unknown), times microseconds unless a name says
 * otherwise.  All texts are for people, without line ends.  Machines are named by their index in the list that was
 * given, models by their index in struct advice. */
#ifndef TIGHTWAD_ADVISE_ADVICE_H
#define TIGHTWAD_ADVISE_ADVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "advise/hardware.h"
#include "advise/pairs.h"
#include "probe/machine.h"

enum {
    ADVICE_MODELS_MAX = 256, /* candidates that are looked at */
    ADVICE_DRAFTERS_MAX = 4,
    ADVICE_AGENTS_MAX = 8,
    ADVICE_WORKERS_MAX = 16, /* RPC servers that llama.cpp takes at once */
    ADVICE_NODE_PORT = 8081, /* where a node that is still to be started would listen */
    ADVICE_WORKER_PORT = 50052,
};

/* A choice that is left to the advice, or declined. */
enum { ADVICE_AUTO = -1, ADVICE_NONE = -2 };

/* Where the decision tree ends. */
enum advice_kind {
    ADVICE_NOTHING,   /* no machine is known that could run a model */
    ADVICE_DIRECT,    /* one machine with one GPU or none: Ollama or llama-server directly, Tightwad helps little */
    ADVICE_POOL,      /* one machine with several GPUs: pooled into one endpoint */
    ADVICE_PROXY,     /* two machines or more: the small model on one drafts for the big one on another */
    ADVICE_CPU_DRAFT, /* the same, where the drafting machines have no GPU */
    ADVICE_CLOUD,     /* a small model here drafts, an API verifies or answers */
    ADVICE_COMBINED,  /* the model fits on no machine: pooled over several, and a drafter */
    ADVICE_CROWD,     /* nothing but CPUs: they draft, or vote (consensus), or write what one reviews (quality gate) */
};

/* What the answers promise. */
enum advice_mode {
    ADVICE_EXACT,     /* what the target alone would write; all others only make it faster */
    ADVICE_CONSENSUS, /* approximate: where the drafters agree, the target is not asked */
    ADVICE_GATE,      /* approximate: the others write whole answers, the target reviews each */
    ADVICE_MODES
};

enum advice_role {
    ADVICE_ROLE_AUTO, /* in a wish only */
    ADVICE_ROLE_NONE,
    ADVICE_ROLE_TARGET,
    ADVICE_ROLE_DRAFTER,
    ADVICE_ROLE_BOTH,   /* target and drafter on one machine */
    ADVICE_ROLE_WORKER, /* lends its memory to a pool */
    ADVICE_ROLES
};

struct advice_machine {
    enum hardware_class class;
    double model_min, model_max; /* sizes that suit it, in thousand millions of parameters; NAN unknown */
    int64_t memory;              /* that a model can use: of all GPUs, or of the CPU; -1 unknown */
    int64_t largest;             /* of its largest GPU; 0: it has none, -1 unknown */
    int64_t lends;               /* what its workers would give a pool; -1 unknown */
    size_t gpus;                 /* that are of use */
    bool known;                  /* something is known of its hardware */
    double gbps;                 /* bandwidth of that memory (of the largest GPU); NAN unknown */
    enum advice_role role;
    char *hardware; /* "RTX 4090, 24 GB", "CPU, 16 cores, 64 GB", "not known" */
    char *why;      /* for its role, a sentence */
};

enum advice_source {
    ADVICE_RUNS,  /* a server serves it now */
    ADVICE_HERE,  /* a file on this machine: `tightwad start` serves it */
    ADVICE_THERE, /* a file on another machine, where a server is still to be started */
    ADVICE_NAMED, /* to be fetched first */
    ADVICE_API,   /* somebody else's server */
};

/* A model that could write or draft, at one place. */
struct advice_model {
    enum advice_source source;
    int machine;         /* ADVICE_NONE: of no machine in the list */
    char *name;          /* "qwen3:32b": what people and servers call it */
    char *url;           /* http://HOST:PORT of the server, also of one still to be started; NULL: ADVICE_HERE */
    const char *backend; /* "node", "llamacpp", "ollama", "openai", "auto" */
    char *model_name;    /* the model's name for that server, NULL: it has one only */
    char *path;          /* of the file on its machine, or ollama:NAME; NULL: not known */
    char *key;           /* name of the variable that holds the API key, NULL: none */
    char architecture[48], quantisation[24], vocab[65];
    const struct family *family; /* NULL: none of the known ones */
    int64_t parameters, active;  /* active: those that one token passes through */
    int64_t bytes;               /* of its weights, guessed from the size where nothing tells; -1 unknown */
    int64_t need;                /* bytes of memory with room for cache and computing */
    int64_t missing;             /* bytes that its machine lacks: 0 it fits, -1 unknown */
    int64_t rtt_us;              /* to its server; -1 unknown */
    bool moe;
    bool verifies;      /* checks drafts as a target */
    const char *cannot; /* why it does not, and what would; NULL: it does */
    double alone;       /* tokens/s by itself */
};

enum advice_trouble {
    ADVICE_OTHER_FAMILY,  /* about 3 % would be accepted */
    ADVICE_UNSURE_FAMILY, /* near, or not known */
    ADVICE_QUANTISATION,  /* far apart */
    ADVICE_SLOW_DRAFTER,  /* a CPU drafts fewer than 15 tokens/s */
    ADVICE_LATENCY,       /* over 10 ms between machines */
    ADVICE_TOO_BIG,       /* the model does not fit, by how much */
    ADVICE_MOE,           /* a mixture of experts */
    ADVICE_CANNOT_VERIFY, /* the target answers by itself */
    ADVICE_SLOTS,         /* a llama-server verifies through its slots, and wants flags */
    ADVICE_NO_DRAFTER,
    ADVICE_DOES_NOT_PAY, /* by the estimate */
    ADVICE_SIZES,        /* drafter nearly as big as the target */
    ADVICE_APPROXIMATE,  /* so the answers will be */
    ADVICE_NOT_HERE,     /* the mode that is wished for can't be had: they will be exact */
    ADVICE_SECRET,       /* a server wants a key or token */
};

struct advice_warning {
    enum advice_trouble what;
    char *text, *fix; /* fix may be NULL */
};

/* What has to be typed somewhere before all of it works. */
struct advice_task {
    int machine;   /* ADVICE_NONE: none in particular */
    char *text;    /* why */
    char *command; /* what to type there; NULL: nothing */
};

/* A question of the tree and how it was answered. */
struct advice_turn {
    char *question, *answer;
};

struct advice_estimate {
    double alone;         /* tokens/s of the target by itself */
    double drafted;       /* with the drafter, drafting ahead (advise/estimate.h) */
    int64_t draft_tokens; /* the length of drafts that it is for; 0: none */
    double accepted;      /* share of drafted tokens that was reckoned with */
    double agents;        /* tokens/s that the gate's agents write together */
    double reviewed;      /* tokens/s of theirs that the target reads, each answer once */
    struct pair_outlook pair;
    char *basis; /* what it rests on, in a sentence */
};

struct advice {
    enum advice_kind kind;
    char *title;                    /* "speculative proxy: old-pc drafts, big-pc checks" */
    struct advice_machine *machine; /* as many as were given, in their order */
    size_t n_machines;
    struct advice_model *model; /* candidates, those that suit a target best first */
    size_t n_models;
    int target;                       /* ADVICE_NONE: nothing was found */
    int drafter[ADVICE_DRAFTERS_MAX]; /* all draft at once; the best one first */
    size_t n_drafters;
    enum advice_mode mode;        /* approximate only where that was wished for */
    bool can[ADVICE_MODES];       /* what can be had here */
    bool asks;                    /* it is worth asking which is wanted */
    int agent[ADVICE_AGENTS_MAX]; /* that could write for the gate, in any mode */
    size_t n_agents;
    bool ngram;  /* drafts from the text itself, which needs no server */
    bool pooled; /* the target is a file here, over this machine's GPUs and the workers */
    int *worker; /* machines that lend to the pool, in the order that they are used */
    size_t n_workers;
    struct advice_turn *path;
    size_t n_path;
    char **reason;
    size_t n_reasons;
    struct advice_warning *warning;
    size_t n_warnings;
    struct advice_task *task;
    size_t n_tasks;
    struct advice_estimate estimate;
};

/* What is wished.  advice_wish_init first: everything is left to the advice.  All is borrowed. */
struct advice_wish {
    const enum advice_role *role; /* one for each machine, or NULL */
    int target, drafter;          /* an index of a former advice for the same machines, ADVICE_AUTO, ADVICE_NONE */
    const char
        *target_name; /* a model by name, also one that is not there yet; a file or ollama:NAME on this machine */
    const char *draft_name;
    const char *target_url, *draft_url;  /* servers that are given, by http://HOST:PORT */
    const char *cloud_url, *cloud_model; /* an API that is to be the target */
    const char *cloud_key;               /* the name of the variable with its key */
    enum advice_mode mode;
    bool no_node; /* this machine has no tightwad-node: files here can't be served */
};

/* Everything is left to the advice. */
void advice_wish_init(struct advice_wish *w);

/* Owned by the caller; strings of the machines are copied.  n may be 0. */
struct advice *advice_make(const struct machine *list, size_t n, const struct advice_wish *wish);
void advice_destroy(struct advice *a); /* NULL is fine */

/* The candidates that could draft for that target, best first: their indices into order, which holds a->n_models.  How
 * many. */
size_t advice_drafters_for(const struct advice *a, int target, int *order);

/* What to expect of a pair; draft ADVICE_NONE: of the target alone.  basis is the caller's to free. */
struct advice_estimate advice_estimate_pair(const struct advice *a, int target, int draft);

/* Round trip to a model's server in seconds: 0 on this machine, a LAN's where it is not known. */
double advice_trip(const struct advice_model *m);

/* Static words: "speculative proxy", "target", "runs", … */
const char *advice_kind_name(enum advice_kind k);
const char *advice_mode_name(enum advice_mode m); /* "exact", "consensus", "gate": as `init --mode` has it */
const char *advice_role_name(enum advice_role r);
const char *advice_source_name(enum advice_source s);

/* "19.8 GB", "512 MB" (of 2^30 and 2^20, as cards are sold); "?" unknown.  Into buf. */
const char *advice_bytes(char *buf, size_t size, int64_t bytes);
/* "32B", "0.6B", "135M"; "?" unknown.  Into buf. */
const char *advice_size(char *buf, size_t size, int64_t parameters);

/* What came of trying it. */
struct advice_measured {
    double accepted; /* share of the drafted tokens; NAN: not measured */
    bool loses;      /* drafting does not pay here, so the endpoint leaves it off */
};

/* What to tell whoever uses it, a paragraph: where to point the chat app, what drafts and what checks, and what that
 * brings.  endpoint: HOST:PORT of the proxy; m NULL: nothing was measured, and the estimate has to do.  Owned by the
 * caller. */
char *advice_tell(const struct advice *a, const struct machine *list, const char *endpoint,
                  const struct advice_measured *m);

#endif
