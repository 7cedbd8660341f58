/* Talks to the agent of another machine (doc/agent-protocol.md): what it has, starting and stopping programs there,
 * sending models there.
 * One call each; nothing blocks. */
#ifndef TIGHTWAD_PROBE_AGENT_CLIENT_H
#define TIGHTWAD_PROBE_AGENT_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "http/httpc.h"
#include "probe/machine.h"

struct agent_call;

struct agent_where {
    const char *host;  /* a name or an address */
    int port;          /* 0: 9191 */
    const char *token; /* NULL: none */
    int timeout_ms;    /* 0: 20 s: its probe may take a while */
};

struct agent_answer {
    bool ok;
    bool needs_token;    /* it wants one, or another one */
    bool old;            /* it does not know the call: it is of an older version */
    const char *message; /* what is wrong and what to do, a sentence; "" when ok */
    const json_t *body;  /* what it answered, NULL: nothing that can be read */
    /* agent_client_fetch: the callee may move it out (and then machine_init what is left); address and rtt_us are
     * filled in.  NULL: not asked for, or not told. */
    struct machine *machine;
    int64_t rtt_us; /* of this exchange, the time that the agent took included */
};

/* The answer holds during the call; the call is gone after it.  Never called before the function has returned. */
typedef void agent_answer_cb(const struct agent_answer *answer, void *arg);

/* GET /v1/agent: the machine, and in the body "running", "options", "starts". */
struct agent_call *agent_client_fetch(struct httpc *http, const struct agent_where *at, agent_answer_cb *cb, void *arg);
/* POST /v1/agent/start.  order: {"program", "name", "model", "options"}; taken over. */
struct agent_call *agent_client_start(struct httpc *http, const struct agent_where *at, json_t *order,
                                      agent_answer_cb *cb, void *arg);
/* POST /v1/agent/stop: what was started under that name. */
struct agent_call *agent_client_stop(struct httpc *http, const struct agent_where *at, const char *name,
                                     agent_answer_cb *cb, void *arg);
/* GET /v1/agent/running: "running", a list; and GET /v1/agent/log: "lines", at most n of the newest. */
struct agent_call *agent_client_running(struct httpc *http, const struct agent_where *at, agent_answer_cb *cb,
                                        void *arg);
struct agent_call *agent_client_log(struct httpc *http, const struct agent_where *at, const char *name, int n,
                                    agent_answer_cb *cb, void *arg);

/* POST /v1/agent/pull: what it is to pull, where to ask (n_peers of "HOST[:PORT]"), and the token of the swarm (NULL:
 * none).  The answer is the pull.  GET /v1/agent/pulls: "swarm", "folder", "pulls". */
struct agent_call *agent_client_pull(struct httpc *http, const struct agent_where *at, const char *what,
                                     const char *const *peers, size_t n_peers, const char *token, agent_answer_cb *cb,
                                     void *arg);
struct agent_call *agent_client_pulls(struct httpc *http, const struct agent_where *at, agent_answer_cb *cb, void *arg);

/* POST /v1/agent/preseed: the order (taken over) as doc/agent-protocol.md has it; the answer's body is the work, with
 * its "number".  GET /v1/agent/preseed?number=N: how it goes.  POST /v1/agent/preseed/stop. */
struct agent_call *agent_client_preseed(struct httpc *http, const struct agent_where *at, json_t *order,
                                        agent_answer_cb *cb, void *arg);
struct agent_call *agent_client_preseed_look(struct httpc *http, const struct agent_where *at, int number,
                                             agent_answer_cb *cb, void *arg);

void agent_client_cancel(struct agent_call *c); /* not inside the callback; NULL is fine */

#endif
