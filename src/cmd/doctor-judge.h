/* What doctor finds, as a pure function of what it measured: each finding with its cause and its fix. */
#ifndef TIGHTWAD_CMD_DOCTOR_JUDGE_H
#define TIGHTWAD_CMD_DOCTOR_JUDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"

enum { DOCTOR_DRAFT = 8 }; /* tokens of each draft in the measurement */

enum doctor_reach {
    DOCTOR_ANSWERS,
    DOCTOR_NO_NAME,       /* the host's name cannot be resolved */
    DOCTOR_NOTHING,       /* refused: nothing listens at that port */
    DOCTOR_LOOPBACK_ONLY, /* refused at this machine's address, while 127.0.0.1 answers at that port */
    DOCTOR_SILENT,        /* no answer in time: firewall, machine off, process stopped */
    DOCTOR_NONSENSE,      /* something answers, but not as such a server does */
    DOCTOR_DENIED,        /* 401, 403 */
    DOCTOR_NO_MODEL,      /* the server does not have the model that is named */
};

enum doctor_vocab { DOCTOR_VOCAB_UNKNOWN, DOCTOR_VOCAB_FINE, DOCTOR_VOCAB_LIKELY, DOCTOR_VOCAB_DIFFERENT };

enum doctor_role {
    DOCTOR_DRAFTER,
    DOCTOR_TARGET,
    DOCTOR_VERIFIER,
    DOCTOR_AGENT
}; /* the last two: of the quality gate */

/* Strings are borrowed, NULL where unknown; numbers are NAN where unknown. */
struct doctor_server {
    enum doctor_role role;
    const char *name, *url; /* url NULL: a drafter without a server */
    const char *kind;       /* node, llamacpp, ollama, openai; as found, else as configured */
    const char *model_name; /* as configured */
    const char *model;      /* as the server says */
    const char *version;
    const char *message; /* of the failure, in the server's or the system's words */
    enum doctor_reach reach;
    double rtt_ms; /* median round trip of a small request */
    /* the target */
    bool verifies, generates;
    const char *cannot_verify; /* why */
    const char *advice;        /* flags that are in the way of verifying fast */
    bool batch_invariant_known, batch_invariant;
    double noise;        /* largest difference of a logit between batched and single */
    double alone_ms;     /* a token of the target alone */
    double pass_ms;      /* a verify without a draft, with the trip */
    double pass_more_ms; /* what each drafted token adds to it */
    /* drafters */
    bool drafts;
    enum doctor_vocab vocab;
    const char *vocab_reason;
    size_t drafted, accepted; /* in the measurement; drafted 0: none was made */
    bool compared;            /* the acceptance was found by comparing, the target can't verify */
    double draft_ms;          /* a drafted token */
    double draft_fixed_ms;    /* what a draft costs beside its tokens: the trip */
};

struct doctor_facts {
    const struct config_findings *config_findings; /* of the configuration's check, NULL: none */
    const char *config;                            /* path, NULL: none */
    struct doctor_server target;                   /* url NULL: none is configured */
    struct doctor_server *drafters;
    size_t n_drafters;
    struct doctor_server
        *reviewed; /* of the quality gate: its verifier, where that has a server of its own, and agents */
    size_t n_reviewed;
    int64_t max_draft_tokens;    /* -1: auto */
    int rocm_gpus;               /* in this machine */
    const char *hsa_enable_sdma; /* the variable's value, NULL: unset */
    const char *node_missing;    /* why tightwad-node is not there; NULL: it is */
};

enum doctor_level { DOCTOR_NOTE, DOCTOR_WARN, DOCTOR_ERROR };

struct doctor_finding {
    enum doctor_level level;
    const char *id;           /* "nothing-listens" */
    const char *server;       /* its name, NULL: none in particular; borrowed from the facts */
    char *what, *cause, *fix; /* owned */
};

struct doctor_findings {
    struct doctor_finding *list;
    size_t n;
};

void doctor_judge(const struct doctor_facts *f, struct doctor_findings *out);
void doctor_findings_finish(struct doctor_findings *f);
const char *doctor_role_name(enum doctor_role r);   /* "drafter", "target", "verifier", "agent" */
const char *doctor_level_name(enum doctor_level l); /* "note", "warning", "error" */

double doctor_acceptance(const struct doctor_server *drafter); /* 0..1, NAN unknown */
/* Tokens per second of rounds with drafts of k tokens, drafting and verifying in turn:
 * E = (1 - a^(k+1)) / (1 - a) tokens in draft_fixed + k * draft + pass + k * pass_more milliseconds
 * (Leviathan, Kalman, Matias: Fast inference from transformers via speculative decoding).  NAN unknown. */
double doctor_rate(const struct doctor_server *target, const struct doctor_server *drafter, int64_t k);
/* The k from 1 to 64 with the highest rate; 0 unknown. */
int64_t doctor_best_draft(const struct doctor_server *target, const struct doctor_server *drafter);

#endif
