/* The speculative proxy: owns the target, the drafters, the queue and the answers. */
#ifndef TIGHTWAD_ENGINES_PROXY_H
#define TIGHTWAD_ENGINES_PROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <event2/event.h>

#include "config/config.h"
#include "engines/live.h"
#include "engines/snapshot.h"
#include "http/httpc.h"
#include "http/openai.h"

struct proxy;
struct proxy_answer;

/* cfg is read, not kept.  Probing of the servers starts at once.  NULL and a cause when the configuration can't work.
 */
struct proxy *proxy_create(struct event_base *base, struct httpc *http, const struct config *cfg, char **cause);
void proxy_destroy(struct proxy *p); /* open answers end without callbacks */
/* Applies what is reloadable (drafters, cap, limits); the answers in flight go on. */
int proxy_reload(struct proxy *p, const struct config *cfg, char **cause);
void proxy_set_listen(struct proxy *p, const char *text); /* for the snapshot */

/* Calls fn (at once if so already) when every server has answered its first probe or failed it. */
void proxy_when_probed(struct proxy *p, void (*fn)(void *arg), void *arg);

/* How a request is served: by the request's model name. */
enum proxy_mode {
    PROXY_EXACT,     /* NAME@exact: drafted, and byte for byte the target's own */
    PROXY_CONSENSUS, /* NAME@consensus: what drafters agree on, approximate */
    PROXY_GATE,      /* NAME@gate: written by an agent, reviewed by the target, approximate */
    PROXY_TARGET,    /* NAME@target: the target alone */
    PROXY_DRAFT,     /* NAME@draft: a drafter alone */
};
/* "exact", "consensus", "gate", "target", "draft": what follows the @. */
const char *proxy_mode_name(enum proxy_mode mode);
/* Whether its answers may differ from what the target alone would have written. */
bool proxy_mode_is_approximate(enum proxy_mode mode);

struct proxy_ops {
    /* The answer has left the queue and its prompt is known.  seed: the one in use. */
    void (*on_start)(void *arg, int64_t prompt_tokens);
    /* New text (valid UTF-8) and its tokens; text may be empty when tokens carry logprobs.  drafted: bit i of the array
     * tells that token i was drafted.  False: the client reads too slowly, nothing more until proxy_answer_resume. */
    bool (*on_text)(void *arg, const char *text, size_t len, const struct oai_token *tokens, const bool *drafted,
                    size_t n);
    /* The last call of an answer that ended well. */
    void (*on_done)(void *arg, enum answer_finish finish, const struct oai_usage *usage);
    /* The last call of one that did not.  status: HTTP. */
    void (*on_error)(void *arg, int status, const char *type, const char *code, const char *message);
    /* Every few seconds as long as an answer is reviewed and nothing of it can be told yet.  NULL: of no interest. */
    void (*on_wait)(void *arg);
};

/* Takes the request over (q is copied out of and left empty).  NULL and *err filled when it is refused at once (queue
 * full 429, unknown model 404, prompt too long 400 …).  Callbacks come from the loop, never from inside this call. */
struct proxy_answer *proxy_submit(struct proxy *p, struct oai_request *q, const struct proxy_ops *ops, void *arg,
                                  struct oai_error *err);
void proxy_answer_cancel(struct proxy_answer *a); /* client gone: work stops upstream; no callbacks any more */
void proxy_answer_resume(struct proxy_answer *a);
/* How it is really served: final once on_text, on_wait, on_done or on_error is called; asked for at the latest in
 * on_done or on_error. */
enum proxy_mode proxy_answer_mode(const struct proxy_answer *a);
/* By the gate: "approved", "corrected", "rejected", "direct", "unreviewed", "cached"; NULL: not by it, or not known
 * yet. */
const char *proxy_answer_outcome(const struct proxy_answer *a);
const char *proxy_answer_agent(const struct proxy_answer *a); /* who wrote it for the gate; NULL: nobody */

/* Names for GET /v1/models: NAME, and NAME@MODE for each mode that is configured.  Array of strings, new reference. */
json_t *proxy_models(const struct proxy *p);
const char *proxy_model(const struct proxy *p); /* the target's name */

/* The newest snapshot; holds until the next tick. */
const struct snapshot *proxy_snapshot(const struct proxy *p);
/* The newest answer and the newest rounds, as they are now: for those alone who may give commands. */
const struct live *proxy_live(const struct proxy *p);
/* Who fills snapshot.machine and snapshot.swarm at each tick; fn NULL: nobody any more. */
void proxy_set_filler(struct proxy *p, void (*fn)(void *arg, struct snapshot *s), void *arg);
/* Called after each tick and each round; remove with the same pair. */
struct proxy_listener {
    void (*on_tick)(void *arg, const struct snapshot *s);
    void (*on_round)(void *arg, const struct snapshot_round *r);
    void *arg;
    struct proxy_listener *next; /* the proxy's */
};
void proxy_listen(struct proxy *p, struct proxy_listener *l);
void proxy_unlisten(struct proxy *p, struct proxy_listener *l);

/* Stops taking requests (503) and calls fn when the last answer has ended. */
void proxy_drain(struct proxy *p, void (*fn)(void *arg), void *arg);

/* For the command table. */
int proxy_add_drafter(struct proxy *p, const struct config_server *s, char **cause);
int proxy_remove_drafter(struct proxy *p, const char *name, char **cause);
int proxy_pause_drafter(struct proxy *p, const char *name, bool paused, char **cause); /* name NULL: all */
int proxy_set_max_draft_tokens(struct proxy *p, int64_t n, char **cause);              /* 0: off, CONFIG_AUTO */
/* "auto", "exact", "consensus", "gate": what NAME alone means. */
int proxy_set_default_mode(struct proxy *p, const char *mode, char **cause);
/* "off", "strict", "majority", "any_disagree"; lifts a suspension for too many errors as well. */
int proxy_set_consensus(struct proxy *p, const char *mode, char **cause);
bool proxy_gate_configured(const struct proxy *p);          /* an agent is */
bool proxy_gate_on(const struct proxy *p);                  /* and it is not stopped */
int proxy_set_gate(struct proxy *p, bool on, char **cause); /* off: what asks for it is served exactly */
/* What the commands `reload`, `stop`, `doctor` and `tune` do; set by the program. */
struct command_call;
struct proxy_hooks {
    int (*reload)(void *arg, char **cause);
    void (*stop)(void *arg);
    /* Does what `tightwad VERB --json` does, and ends the call with its answer: 0, or -1 and a cause. */
    int (*examine)(void *arg, const char *verb, struct command_call *call, char **cause);
    void *arg;
};
void proxy_set_hooks(struct proxy *p, const struct proxy_hooks *hooks);

#endif
