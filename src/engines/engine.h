/* Inside the engines: what proxy.c, member.c, speculate.c, relay.c and compare.c share.  Nothing outside includes it.
 */
#ifndef TIGHTWAD_ENGINES_ENGINE_H
#define TIGHTWAD_ENGINES_ENGINE_H

#include "backends/backend.h"
#include "base/answer.h"
#include "base/stats.h"
#include "engines/governor.h"
#include "engines/line.h"
#include "engines/member.h"
#include "engines/proxy.h"

struct gate_ticket;
struct ngram_record;
struct path;
struct proxy_answer;

enum { PROXY_DRAFTERS = SNAPSHOT_BACKENDS - 1 };

/* How an answer is made.  Phases that treat input differently are tables, not flags. */
struct runner {
    const char *name;
    /* Begins; the answer has left the queue and its target is up. */
    void (*start)(struct proxy_answer *a);
    /* The client reads again. */
    void (*resume)(struct proxy_answer *a);
    /* A member changed: came up, went down, was paused, is about to go (going true: let go of it now). */
    void (*member_changed)(struct proxy_answer *a, struct member *m, bool going);
    /* The slot that it wanted is its own now (proxy_answer_want_slot).  NULL: it never wants one. */
    void (*slot)(struct proxy_answer *a);
    /* The server whose slot it wants has been away for too long.  False: it fails.  NULL: that always. */
    bool (*forsaken)(struct proxy_answer *a);
    /* Frees the runner's state and stops its work upstream. */
    void (*stop)(struct proxy_answer *a);
};

/* The target goes on, exactly, behind what an answer has already: its prompt, and n_kept tokens (their text: kept) that
 * the client is told of now.  Nothing of it may have been told before but on_start.  For a runner that has let go of
 * its own work: a->run is NULL, and a->runner is speculate_runner from here on.  Stop strings and max_tokens hold for
 * what is kept, too: where it has more tokens than the answer may, the target writes all of it.  The answer may have
 * ended when this returns. */
void speculate_from(struct proxy_answer *a, const int32_t *prompt, size_t n_prompt, const int32_t *tokens,
                    size_t n_kept, const char *kept, size_t len);

/* The target goes on, exactly, behind a path of which the client has heard all: for a runner that can't go on by
 * itself, on the same terms.  The target's session and the path's tokens are taken over. */
void speculate_go_on(struct proxy_answer *a, struct backend_session *session, const struct path *path);

extern const struct runner speculate_runner; /* token ids: rounds, or the target alone as a stream */
extern const struct runner relay_runner;     /* text that a target writes by itself */

/* One answer on its way. */
struct proxy_answer {
    struct proxy *proxy;
    uint64_t id;
    enum proxy_mode mode;
    enum snapshot_state state;
    struct oai_request req;
    const struct proxy_ops *ops; /* NULL: the client is gone */
    void *arg;
    bool paused;           /* the client reads too slowly */
    bool told_start;       /* on_start was called */
    struct answer *text;   /* tokens → text, made when the prompt is known */
    struct member *target; /* the member that answers: the target, or the drafter for NAME@draft */
    const struct runner *runner;
    void *run; /* the runner's state */
    bool ended;
    struct gate_ticket *gate;                     /* of a request in mode gate, NULL: of another */
    struct member *slot_of;                       /* whose slot it holds; NULL: none */
    struct member *wants;                         /* whose slot it waits for while it runs; NULL: none */
    struct proxy_answer *wants_prev, *wants_next; /* proxy.line */
    /* for the snapshot */
    int64_t started_us, running_us, first_us, ended_us, started_wall_ms;
    int64_t prompt_tokens, tokens, drafted, accepted, rounds;
    int64_t voted;   /* tokens that an answer by consensus had when it was handed over to speculate_runner */
    int64_t lost_us; /* since when the target is waited for, 0: it is not */
    /* who wrote the newest draft, for the live picture */
    uint8_t draft_writer; /* enum live_writer */
    uint8_t draft_index;  /* in snapshot.backend, 0: none */
    struct proxy_answer *prev, *next;
};

/* What the runners ask of the proxy. */
struct member *proxy_pick_drafter(const struct proxy *p); /* the first one with a model that can draft now, or NULL */
size_t proxy_list_drafters(const struct proxy *p, struct member **out); /* all with a model; out: PROXY_DRAFTERS */
struct member *proxy_pick_quoter(const struct proxy *p); /* the drafter that is the text itself; NULL: none */
struct ngram_record *proxy_quotes(struct proxy *p);
/* A drafter to measure with where the target can't verify: one that is up and drafts tokens from chat messages. */
struct member *proxy_compare_drafter(struct proxy *p);
bool proxy_is_target(const struct proxy *p, const struct member *m); /* drafters and governor are for this one only */
struct governor *proxy_governor(struct proxy *p);
int64_t proxy_draft_cap(const struct proxy *p);      /* tokens a draft may have, 0: speculation is off */
int64_t proxy_default_tokens(const struct proxy *p); /* longest answer to a request that names no length */
const struct config_proxy *proxy_settings(const struct proxy *p);
struct event_base *proxy_base(const struct proxy *p);
void proxy_count_round(struct proxy_answer *a, const struct snapshot_round *r, bool near_tie);
void proxy_count_tokens(struct proxy_answer *a, size_t n);
void proxy_count_draft_failure(struct proxy *p);
void proxy_count_fallback_round(struct proxy *p);
void proxy_count_resumed(struct proxy *p);
void proxy_count_branches(struct proxy *p, size_t checked, bool right);
void proxy_count_drawn(struct proxy *p, size_t n); /* tokens that a drafter has written */
/* A verdict came while a drafter wrote ahead: whether it had guessed right, and how many tokens were ready. */
void proxy_count_ahead(struct proxy *p, enum line_match match, size_t ready);
/* Compared acceptance, where the target can't verify. */
void proxy_count_compared(struct proxy_answer *a, struct member *drafter, size_t drafted, size_t accepted);

/* The draft that goes to the target now is the drafter's of this name, or a quote of the text itself. */
void proxy_answer_drafted_by(struct proxy_answer *a, const char *name, bool quoted);

/* Slots: an answer that begins has one of the target's, until it ends or gives it back.  One that runs without may ask
 * for one: slots go to the oldest request that wants one, whether it runs or is still queued.  runner->slot tells, from
 * the loop, when the member is up and has one. */
void proxy_answer_want_slot(struct proxy_answer *a, struct member *of);
void proxy_answer_leave_slot(struct proxy_answer *a); /* gives it back, or stops wanting it */
/* What it holds a slot of answers it by itself, exactly: the runner has stopped and a->run is NULL. */
void proxy_answer_run(struct proxy_answer *a);

/* The ends of an answer.  Each stops the runner; the answer is freed at the end of the loop turn. */
void proxy_answer_done(struct proxy_answer *a, int64_t prompt_tokens, int64_t completion_tokens, enum answer_finish f);
void proxy_answer_fail(struct proxy_answer *a, int status, const char *type, const char *code, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
/* Fails it by what a backend said; the right status for each kind of error. */
void proxy_answer_fail_backend(struct proxy_answer *a, const struct backend_status *st);

/* Tells the client: the prompt is known; text and tokens.  tell_text returns false when the client reads too slowly
 * (the text was taken all the same). */
void proxy_answer_tell_start(struct proxy_answer *a, int64_t prompt_tokens);
bool proxy_answer_tell_text(struct proxy_answer *a, const char *text, size_t len, const struct oai_token *tokens,
                            const bool *drafted, size_t n);

#endif
