/* The programs that an agent has started: watched, their last lines kept, ended with the agent. */
#ifndef TIGHTWAD_AGENT_RUNS_H
#define TIGHTWAD_AGENT_RUNS_H

#include <event2/event.h>
#include <jansson.h>

#include "agent/order.h"

struct agent_runs;

enum { AGENT_RUNS_MAX = 16, AGENT_LINES_KEPT = 400 };

struct agent_runs *agent_runs_create(struct event_base *base);
/* Ends all of them: asks them to (SIGTERM), and kills those that have not ended a few seconds later.  NULL is fine. */
void agent_runs_destroy(struct agent_runs *r);

/* Starts what the order says, under its name; an ended one of that name makes room.  0, or -1 and a cause: the name is
 * taken, the port is in use, there are too many. */
int agent_runs_start(struct agent_runs *r, const struct agent_order *o, char **cause);
/* Asks it to end (SIGTERM; SIGKILL follows after ten seconds).  One that has ended is forgotten.  0, or -1 and a cause:
 * there is none of that name. */
int agent_runs_stop(struct agent_runs *r, const char *name, char **cause);

/* A list, and one of them: name, program, state (running, stopping, ended), pid, host, port, model, started (seconds
 * since 1970), ended (how, in words), said (its newest line that tells of an error).  New references; NULL: there is
 * none of that name. */
json_t *agent_runs_json(struct agent_runs *r);
json_t *agent_run_json(struct agent_runs *r, const char *name);
/* Its newest lines, at most n, oldest first.  New reference; NULL: there is none of that name. */
json_t *agent_runs_log(struct agent_runs *r, const char *name, size_t n);

#endif
