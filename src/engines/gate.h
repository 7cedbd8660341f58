/* The quality gate: a fleet of small servers (agents) writes whole answers, and the verifier (the target, or a server
 * of its own) reviews each: it passes unchanged, is corrected, or the target answers itself.  Approximate: what passes
 * is the agent's text.
 *
 * An answer that waits for an agent or is being written by one holds no slot of the target; what reads or writes on the
 * verifier or the target holds one there, in the order in which the requests came. */
#ifndef TIGHTWAD_ENGINES_GATE_H
#define TIGHTWAD_ENGINES_GATE_H

#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"
#include "engines/engine.h"
#include "engines/snapshot.h"

struct gate;
/* What the gate knows of one request, from the time it came until it is gone. */
struct gate_ticket;

extern const struct runner gate_runner;

/* ---- for the proxy ---- */

/* cfg is read, not kept.  Without agents there is a gate too, which is not configured.  NULL and a cause when a server
 * of it can't be. */
struct gate *gate_create(struct proxy *p, const struct config *cfg, char **cause);
void gate_destroy(struct gate *g); /* no answer runs any more; NULL is fine */
/* Agents come and go while answers run; the numbers count from now on.  Forgets what it remembers. */
int gate_reload(struct gate *g, const struct config *cfg, char **cause);
void gate_member_changed(struct gate *g, const struct member *m); /* one of the gate's, or the target */
void gate_target_replaced(struct gate *g);                        /* nothing runs on the old one */
bool gate_is_probed(const struct gate *g);                        /* all of its servers were asked once */
void gate_tick(struct gate *g);
bool gate_configured(const struct gate *g);
bool gate_is_on(const struct gate *g); /* configured, and not stopped */
/* At the end of a tick, when the machines are known. */
void gate_fill(const struct proxy *p, struct snapshot_gate *out);

/* ---- for the queue ---- */

/* Whether the gate can serve such a request at all. */
bool gate_serves(const struct gate *g, const struct oai_request *q);
/* A request of mode PROXY_GATE came: it gets its ticket.  True: its answer is remembered, it need not be queued. */
bool gate_take_in(struct gate *g, struct proxy_answer *a);

enum gate_entry {
    GATE_BEGINS,    /* by gate_runner, now */
    GATE_LATER,     /* the agents are busy, or not known yet */
    GATE_BY_TARGET, /* there is no agent that could: the target answers it, like any other */
};
enum gate_entry gate_entry(struct gate *g, const struct proxy_answer *a);
/* An agent is free: the queue is worth a look. */
bool gate_has_room(const struct gate *g);
/* The target begins to answer a request for which there was no agent. */
void gate_begins_direct(struct proxy_answer *a);
void gate_pump(struct gate *g);            /* once a loop turn: gives agents to running answers that wait for one */
uint32_t gate_slots(const struct gate *g); /* answers that the agents can write at once */
uint32_t gate_busy(const struct gate *g);  /* that they write now */
/* Whether requests are served though the verifier is away. */
bool gate_goes_without(const struct gate *g);
/* When all requests have what they can have: checks that nobody waits for. */
void gate_shadow_pump(struct gate *g);
/* The answer has ended (a->state says how): counts it, remembers it. */
void gate_answer_ended(struct proxy_answer *a);
void gate_ticket_destroy(struct gate_ticket *t); /* NULL is fine */

/* ---- what became of a request ---- */

/* "waiting", "writing", "reviewing", then as proxy_answer_outcome; "" without the gate. */
const char *gate_answer_state(const struct proxy_answer *a);
/* Whether the text that the client is told of now is an agent's. */
bool gate_agent_wrote(const struct proxy_answer *a);

#endif
