/* The configuration: cluster.yaml, TIGHTWAD_* variables and defaults, checked by the one option table (options.c). */
#ifndef TIGHTWAD_CONFIG_CONFIG_H
#define TIGHTWAD_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

enum { CONFIG_AUTO = -1 }; /* an integer option whose value is `auto` */

enum {
    CONFIG_DRAFTERS_MAX = 16,
    CONFIG_AGENTS_MAX = 16,
    CONFIG_GPUS_MAX = 16, /* of one machine */
    CONFIG_WORKERS_MAX = 16,
    CONFIG_MODELS_MAX = 64,
    CONFIG_RPC_MAX = 16, /* RPC servers that llama.cpp takes at once (GGML_RPC_MAX_SERVERS) */
};

struct config_server {
    char *name;       /* `name`, else made from the url: host:port */
    char *url;        /* http(s)://host:port[/prefix], no trailing slash */
    char *model_name; /* NULL: whatever the server has */
    char *backend;    /* node | llamacpp | ollama | openai | auto (ask the server) | ngram (no server: url is NULL) */
    char *type;       /* server | ngram; a target is always a server */
    char *api_key;    /* NULL: none; ${ENV} already replaced */
};

struct config_proxy {
    char *host;
    int64_t port;
    int64_t max_draft_tokens; /* cap on K; 0: speculation off; CONFIG_AUTO */
    bool fallback_on_draft_failure;
    char *auth_token; /* NULL: none */
    int64_t max_tokens_limit;
    int64_t max_body_size;          /* bytes */
    int64_t target_wait_ms;         /* how long a target that is gone is waited for */
    int64_t max_queue;              /* requests that wait for a slot */
    bool governor;                  /* what is measured decides how long drafts are, and whether to draft at all */
    bool draft_ahead;               /* the drafter goes on while the target verifies */
    bool draft_branches;            /* and prepares for the likeliest corrections */
    int64_t verify_branches;        /* most second guesses in one verify, or CONFIG_AUTO */
    int64_t draft_timeout_ms;       /* longest wait for a draft, before the round goes on without */
    char *default_mode;             /* what NAME alone means: exact | consensus | gate | auto (the first of gate,
                                       consensus, exact that is configured) */
    char *consensus_mode;           /* off | strict | majority | any_disagree */
    int64_t consensus_window;       /* tokens that are voted on at once */
    double consensus_audit;         /* share of the windows without the target that it checks afterwards */
    double consensus_max_error;     /* share of wrong tokens among audited ones above which answers are exact again */
    struct config_server *drafters; /* `draft:` is a list of one */
    size_t n_drafters;
    struct config_server target; /* url NULL: not configured */
};

/* Texts in the order of the file. */
struct config_words {
    char **list;
    size_t n;
};

struct config_gpu {
    char *name;       /* NULL: not given (a worker's) */
    int64_t vram;     /* bytes; 0: not given, the worker is asked */
    int64_t rpc_port; /* where the worker's RPC server for it listens; of no meaning on the coordinator */
    size_t line;      /* of the entry in the file; 0: made because none was given */
};

struct config_worker {
    char *host;
    char *name; /* `name`, else the host; unlike that of any other worker */
    struct config_gpu *gpus;
    size_t n_gpus; /* 1 or more */
    size_t line;
};

struct config_model {
    char *name;       /* `name`, else the key, else the file's name without .gguf; unlike that of any other model */
    char *path;       /* of the GGUF file, absolute, or ollama:NAME[:TAG] */
    int64_t ctx_size; /* tokens of one request, prompt and answer; CONFIG_AUTO: what the model was trained with, at most
                         CONFIG_CTX_AUTO */
    int64_t predict;  /* longest answer to a request that names no length, in tokens; CONFIG_AUTO: as proxy has it */
    char *flash_attn; /* on | off | auto; NULL: what the binary does by itself */
    bool is_default;
    char *draft; /* name of another model, or of a drafter of the proxy; NULL: none */
    size_t line;
};

enum { CONFIG_CTX_AUTO = 8192 };

/* The process that holds the pool together, on this machine. */
struct config_coordinator {
    char *host;
    int64_t port;
    char *backend; /* auto | cuda | hip | vulkan | metal | cpu */
    struct config_gpu *gpus;
    size_t n_gpus;                  /* 0: none (cpu, auto) */
    struct config_words extra_args; /* passed on as they are */
    struct config_words env;        /* NAME=VALUE each */
    int64_t slots;                  /* answers at once */
    int64_t threads;                /* CONFIG_AUTO: the binary's own choice */
};

struct config_pool {
    struct config_coordinator coordinator;
    struct config_worker *workers;
    size_t n_workers;
    struct config_model *models; /* exactly one is the default when there are any */
    size_t n_models;             /* 0: no pool is configured */
    struct {
        char *coordinator; /* a llama-server (or a tightwad-node): path, or a name for $PATH; NULL: our own node */
        char *rpc_server;  /* a stock rpc-server, likewise; NULL: looked for */
    } binaries;
    char *ram_reclaim; /* on | off | auto */
};

/* The quality gate: agents write whole answers, the verifier reviews each. */
struct config_gate {
    bool configured;               /* an agent is */
    bool enabled;                  /* whether it answers from the start (`gate start`, `gate stop`) */
    struct config_server verifier; /* url NULL: the proxy's target, the pool where that is it */
    struct config_server *agents;
    size_t n_agents;
    char *routing;                /* round_robin | least_busy | race */
    char *review;                 /* prompt | likelihood | both | auto (what the verifier can do, both with a node) */
    char *verification_prompt;    /* the system message of a review by prompt */
    int64_t max_retries;          /* other agents that are asked when one fails or dawdles */
    int64_t agent_timeout_ms;     /* longest an agent may take for an answer */
    bool fail_open;               /* without a verifier answers pass unreviewed */
    bool cache_identical;         /* an approved answer serves the same request again */
    double min_token_probability; /* by likelihood: no token of an approved answer is below */
    double keep_share;            /* by likelihood: share of the answer that is worth keeping */
    double shadow_share;          /* share of the approved requests that the target answers as well */
};

/* The swarm: what this machine's models are given out with, and pulled by. */
struct config_swarm {
    bool enabled; /* a running instance takes part */
    char *host;
    int64_t port;
    char *token;                 /* wanted from peers, and sent to them; NULL: none */
    struct config_words allow;   /* networks that are served; empty: loopback and private ones */
    char *folder;                /* where pulled models go; NULL: swarm_default_dir */
    struct config_words folders; /* where other models lie, absolute */
    struct config_words peers;   /* HOST[:PORT] */
    bool discovery;
    int64_t upload_limit, download_limit; /* bytes a second, 0: none */
    int64_t upload_slots;
    char *preseed; /* off | auto: workers get a pool's tensors from the swarm before it starts */
};

struct config {
    unsigned kept; /* times config_keep was called and config_destroy not yet */
    char *path;    /* the file it came from; NULL: none */
    struct config_proxy proxy;
    struct config_pool pool;
    struct config_gate gate;
    struct config_swarm swarm;
    struct {
        struct config_words hosts; /* HOST or HOST:PORT of machines whose agent is asked how they are doing */
        char *token;               /* NULL: none */
    } agents;
    char *log_level;               /* debug | info | warn | error */
    char *log_format;              /* text | json */
    char *ui_on_hangup;            /* drain | headless */
    struct config_origin *origins; /* for `config show` */
    size_t n_origins;
};

/* One finding: an error, or a warning (old keys that mean nothing here). */
struct config_finding {
    bool error;
    char *where; /* "cluster.yaml:12", "$TIGHTWAD_PORT" */
    char *text;  /* what is wrong, what was expected, the nearest valid name */
};

struct config_findings {
    struct config_finding *list;
    size_t n;
};

void config_findings_finish(struct config_findings *f);
void config_findings_print(const struct config_findings *f, FILE *to); /* a line each: WHERE: error: TEXT */

/* The file in use by the search order (-c path given, $TIGHTWAD_CONFIG, ./tightwad.yaml, ./configs/cluster.yaml,
 * $XDG_CONFIG_HOME or ~/.config /tightwad/cluster.yaml, /etc/tightwad/cluster.yaml).  NULL: none there.  A path that
 * was named is returned even if it is missing.  Owned by the caller. */
char *config_find(const char *given);

/* Reads path (NULL: no file) and the environment.  All findings are collected; returns NULL when one of them is an
 * error. Owned by the caller. */
struct config *config_load(const char *path, struct config_findings *findings);
struct config *config_load_text(const char *name, const char *yaml, size_t len, struct config_findings *findings);
/* One more user, who calls config_destroy as well.  Not for two threads at once.  Returns c. */
struct config *config_keep(struct config *c);
void config_destroy(struct config *c);

/* Whether a pool is configured: `models` has an entry. */
bool config_has_pool(const struct config *c);

/* Where this machine reaches the pool's coordinator: http://HOST:PORT, with loopback for a wildcard address.  Owned by
 * the caller. */
char *config_pool_url(const struct config *c);

/* Whether requests go to the pool: one is configured, and proxy.target is left out or is the coordinator's own address
 * (by a look at this machine's interfaces; names other than localhost and the host's own are not looked up). */
bool config_target_is_pool(const struct config *c);

const struct config_model *config_model_default(const struct config *c);                /* NULL: no pool */
const struct config_model *config_model_find(const struct config *c, const char *name); /* NULL: no such */

/* The networks of swarm.allow as one text, "10.0.0.0/8,fd00::/8"; NULL: none.  Owned by the caller. */
char *config_swarm_allow(const struct config *c);

/* "cluster.yaml:12" of an option that was given ("coordinator.extra_args"), NULL for a default.  Owned by the caller.
 */
char *config_where(const struct config *c, const char *key);

/* Which options differ and are not reloadable: text for the log, NULL if none.  Owned by the caller. */
char *config_restart_needed(const struct config *from, const struct config *to);

/* Effective values with where each came from, as YAML with comments; secrets are shown as "(set)". */
void config_show(const struct config *c, FILE *to);
json_t *config_show_json(const struct config *c);

/* A server that was not read from a file (a command, a wizard): given's texts checked and normalised as those of a file
 * are, with the same defaults; NULL and "" are not given.  0 and *out filled (to be finished), or -1 and a cause. */
int config_server_init(struct config_server *out, const struct config_server *given, char **cause);
void config_server_finish(struct config_server *s);

/* Adds a drafter to / removes it from the file's text, keeping the user's comments; atomically (written beside it,
 * renamed).  A file that is not there is made.  name: its name, url or host:port.  0, or -1 and a cause. */
int config_file_add_drafter(const char *path, const struct config_server *s, char **cause);
int config_file_remove_drafter(const char *path, const char *name, char **cause);
/* Likewise: sets "SECTION.KEY" (of a section that is no list) to value as it would be written there; makes a model of
 * `models` the default. */
int config_file_set(const char *path, const char *key, const char *value, char **cause);
int config_file_set_default_model(const char *path, const char *model, char **cause);

/* The reference page made from the option table (Markdown), compared with doc/configuration.md by a test. */
void config_reference(FILE *to);

/* The nearest of names to word by edit distance, or NULL when none is near. */
const char *config_nearest(const char *word, const char *const *names, size_t n);

#endif
