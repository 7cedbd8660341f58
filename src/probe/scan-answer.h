/* What servers on the network say of themselves, as machines.  The answers come from strangers: what is missing, too
 * long or of a wrong type is unknown. */
#ifndef TIGHTWAD_PROBE_SCAN_ANSWER_H
#define TIGHTWAD_PROBE_SCAN_ANSWER_H

#include <stdbool.h>

#include <jansson.h>

#include "probe/machine.h"

/* How a server that refuses to answer gives away what it is. */
enum scan_refusal {
    SCAN_NO_REFUSAL,
    SCAN_REFUSED_NODE,    /* by a node: "code" is a word */
    SCAN_REFUSED_LLAMACPP /* by a llama-server: "code" is the status */
};

/* The shape of an answer with status 401, or 503 while a model is being loaded. */
enum scan_refusal scan_answer_refusal(int status, const json_t *o);

/* Whether the answer is what only such a server gives: GET /v1/node, /props, /api/tags, an agent's /health. */
bool scan_answer_is_node(const json_t *o);
bool scan_answer_is_llamacpp(const json_t *o);
bool scan_answer_is_ollama(const json_t *o);
bool scan_answer_is_agent(const json_t *o);

/* Each fills in the one service of m (m->service[0]) and adds the models that it offers: of GET /v1/node, of /props, of
 * /v1/models of a llama-server, of /api/tags, /api/version and /api/ps. */
void scan_answer_node(struct machine *m, const json_t *o);
void scan_answer_props(struct machine *m, const json_t *o);
void scan_answer_models(struct machine *m, const json_t *o);
void scan_answer_tags(struct machine *m, const json_t *o);
void scan_answer_version(struct machine *m, const json_t *o);
void scan_answer_ps(struct machine *m, const json_t *o);

/* GET /v1/agent: the machine that it tells of, without services (what listens there for this machine is seen from
 * here).  0 and *m (finish it), or -1 and a cause. */
int scan_answer_agent(struct machine *m, const json_t *o, char **cause);

/* Puts what was found into the machine: services, models that it does not have yet, notes; what an agent told takes the
 * place of what was only seen.  from is empty then (and need not be finished). */
void scan_answer_merge(struct machine *to, struct machine *from);

#endif
