/* Asks one address that takes connections what serves there: Ollama, a llama-server, a node, an agent.
 *
 * Each is known by what only its kind answers, the likeliest for the port first; a question has a deadline, an answer a
 * largest size, redirects are not followed, and who keeps silent is not asked again. */
#ifndef TIGHTWAD_PROBE_SCAN_ASK_H
#define TIGHTWAD_PROBE_SCAN_ASK_H

#include "http/httpc.h"
#include "probe/machine.h"

struct scan_ask;

struct scan_ask_opts {
    const char *host; /* a name or an address; copied */
    int port;
    enum service_kind likely; /* which question comes first */
    const char *agent_token;  /* told to an agent that wants one, and to nobody else; NULL: none */
};

/* m: one machine with one service and the models that it offers, or what an agent tells of its machine; NULL: nothing
 * that is known.  The callee may move it out (scan_answer_merge) and must not keep the pointer.  Never called before
 * scan_ask_start has returned; the ask is gone after it. */
typedef void scan_ask_cb(struct machine *m, void *arg);

struct scan_ask *scan_ask_start(struct httpc *http, const struct scan_ask_opts *opts, scan_ask_cb *cb, void *arg);
void scan_ask_cancel(struct scan_ask *a); /* not inside the callback; NULL is fine */

#endif
