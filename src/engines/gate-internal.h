/* The gate's own state, shared by gate.c (agents, life), gate-run.c (answers), gate-write.c
 * (agents at work on them), gate-ticket.c (what is counted), gate-shadow.c (checks afterwards) and
 * gate-view.c (the picture). */
#ifndef TIGHTWAD_ENGINES_GATE_INTERNAL_H
#define TIGHTWAD_ENGINES_GATE_INTERNAL_H

#include "base/buf.h"
#include "engines/gate-cache.h"
#include "engines/gate-route.h"
#include "engines/gate.h"
#include "engines/proxy-internal.h"
#include "engines/review.h"

enum {
    GATE_AGENTS = CONFIG_AGENTS_MAX,
    GATE_CACHE_MOST = 1024,
    GATE_CACHE_BYTES = 16 << 20,
    GATE_TEXT_MAX = 1 << 20, /* bytes of an agent's answer */
};

struct gate_shadow;

struct agent {
    uint64_t id; /* never used again */
    struct member *m;
    uint32_t busy;   /* answers that it writes now */
    int64_t busy_us; /* time that it has written, over all answers */
    uint64_t answers, failures, approved, corrected, rejected, shadowed, false_approved;
    struct gate_record record;   /* since it came up: it may be another model then */
    struct stats_ring answer_us; /* of whole answers */
    struct stats_ring byte_us;   /* the same by the byte */
};

enum gate_outcome {
    OUTCOME_NONE, /* not known yet */
    OUTCOME_APPROVED,
    OUTCOME_CORRECTED,
    OUTCOME_REJECTED,
    OUTCOME_DIRECT,     /* no agent answered: the target did */
    OUTCOME_UNREVIEWED, /* the verifier was away, and it may pass all the same */
    OUTCOME_CACHED,
    OUTCOMES
};

struct gate_ticket {
    enum gate_outcome outcome;
    char agent[64]; /* name of who wrote it; "" nobody */
    uint64_t agent_id;
    char *key;             /* of the request in the cache; NULL: it is not for the cache */
    int64_t target_tokens; /* that the verifier wrote for the review */
    int64_t kept;          /* tokens of the agent's that stand before the target's */
    int64_t target_us;     /* when the target began to write; 0: it does not */
    int64_t waited_us;     /* when the client was last told that it has to wait */
};

struct gate_run;

struct gate {
    struct proxy *p;
    struct config_gate cfg; /* numbers only: its pointers are NULL */
    enum gate_routing routing;
    enum review_kind review;
    char *prompt;            /* verification_prompt */
    struct member *verifier; /* a server of its own; NULL: the target */
    struct review_words words;
    int64_t verifier_down_us; /* of one of its own: since when, 0: it is up */
    struct agent *agent[GATE_AGENTS];
    size_t n_agents;
    struct agent *leaving[GATE_AGENTS];
    size_t n_leaving;
    uint64_t next_agent, last_agent; /* ids; who was chosen last */
    struct gate_run *waiting;        /* running answers that want an agent, oldest first */
    struct gate_cache *cache;
    struct gate_shadow *shadow, *shadows; /* that runs, NULL: none; those that wait for an idle moment, oldest first */
    size_t n_shadows;
    struct stats_ring target_token_us; /* by what answers that it wrote took */
    int64_t review_us, shadow_us;      /* time of the target's that reviews and checks took */
    uint64_t requests, outcomes[OUTCOMES], errors, retries, unreadable, agent_tokens, tokens, target_tokens, shadowed,
        false_approved;
};

/* Where an answer of the gate stands. */
enum gate_state {
    GATE_WAITING,   /* for an agent that is free */
    GATE_WRITING,   /* by one agent, or by several of which the first counts */
    GATE_LINED_UP,  /* for a slot: of the verifier's, or of the target's when it is to answer itself */
    GATE_REVIEWING, /* the verifier is at work */
    GATE_TELLING,   /* the client gets the text, or reads it too slowly */
    GATE_OVER,      /* it was told, or handed over to the target */
};

/* An agent at work on an answer. */
struct writing {
    struct gate_run *r;
    struct agent *agent;
    struct backend_call *call;
    struct buf text;
    int64_t began_us, heard_us;
};

/* One answer on its way through the gate. */
struct gate_run {
    struct proxy_answer *a;
    enum gate_state state;
    json_t *request; /* as agents get it */
    struct writing *writing[GATE_AGENTS];
    size_t n_writing;
    uint64_t tried[GATE_AGENTS]; /* agents that have failed it */
    size_t n_tried;
    int64_t retries;
    size_t to_read; /* bytes of the request */
    bool by_target; /* no agent, or a rejection: the target answers itself */
    /* the answer */
    char *text;
    size_t len, told;
    enum answer_finish finish;
    int64_t prompt_tokens, tokens; /* -1 unknown */
    struct review *review;
    int64_t doubt_us;      /* since when reviews fail, 0: the last one did not */
    struct event *tell;    /* begins to tell outside of the callback that found the text to be right */
    struct gate_run *next; /* in gate.waiting */
};

/* ---- gate.c ---- */
struct member *gate_verifier(const struct gate *g);
struct agent *gate_agent_by_id(const struct gate *g, uint64_t id); /* NULL: gone */
uint32_t gate_agent_slots(const struct agent *g);
/* The agents as a request sees them that those with the given ids have failed already.  Returns how many there are. */
size_t gate_seats(const struct gate *g, const uint64_t *tried, size_t n_tried, struct gate_seat *out);
/* Who writes for such a request: index in g->agent, g->n_agents: nobody is free. */
size_t gate_choose(struct gate *g, const struct gate_seat *seats);
/* How long the verifier has been away, in microseconds; 0: it is there. */
int64_t gate_verifier_gone_us(const struct gate *g);

/* ---- gate-run.c ---- */
void gate_run_state(struct gate_run *r, enum gate_state to);            /* aborts where there is no way to it */
void gate_run_written(struct gate_run *r);                              /* its text is whole: what follows */
void gate_run_by_target(struct gate_run *r, enum gate_outcome outcome); /* the target answers itself */
void gate_check_runs(struct gate *g, int64_t now);
uint32_t gate_count_runs(const struct gate *g, bool reviewing); /* that agents write, or the verifier is at work on */
/* The text of an answer that the gate has or had in hand; NULL: the target wrote it all. */
const char *gate_run_text(const struct proxy_answer *a, size_t *len, enum answer_finish *finish);

/* ---- gate-write.c ---- */
void gate_write(struct gate_run *r);                    /* an agent is sought, now or when one is free */
void gate_write_stop(struct gate_run *r);               /* no agent is at work on it or wanted any more */
void gate_write_check(struct gate_run *r, int64_t now); /* whether its agents dawdle */
void gate_serve_waiting(struct gate *g);
void gate_agent_leaves(struct gate *g, struct agent *agent); /* its answers go to others */

/* ---- gate-shadow.c ---- */
/* The target is to answer it as well, when it has the time. */
void gate_shadow_add(struct gate *g, const struct proxy_answer *a, const char *text, size_t len);
void gate_shadow_drop(struct gate *g); /* all: they are of no use any more */

#endif
