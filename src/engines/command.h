/* The command table: everything that can be done to a running instance.  The CLI, the keys and --attach use it and
 * nothing else. */
#ifndef TIGHTWAD_ENGINES_COMMAND_H
#define TIGHTWAD_ENGINES_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

struct pool;
struct proxy;
struct swarm_host;

/* What a command works on. */
struct engines {
    struct proxy *proxy;
    struct pool *pool;        /* NULL: no pool is configured */
    struct swarm_host *swarm; /* NULL: it takes no part in one */
};

/* How a command ended: its answer (a new reference that the callee owns), or NULL and why it was not done.  Called on
 * the loop, once, perhaps before command_run returns. */
typedef void command_done_cb(void *arg, json_t *reply, const char *why);

/* One command under way. */
struct command_call;

struct command {
    const char *name; /* "drafter-add" */
    const char *args; /* "url [backend] [model_name]": the JSON keys it takes, optional ones in brackets */
    const char *help; /* one line */
    /* Either is set.  run returns the answer (new reference), or NULL and a cause. */
    json_t *(*run)(const struct engines *e, const json_t *args, char **cause);
    /* What takes its time: 0, then whoever works on it calls command_end once, later; or -1 and a cause. */
    int (*begin)(const struct engines *e, const json_t *args, struct command_call *call, char **cause);
};

extern const struct command command_table[]; /* sorted by name */
extern const size_t command_count;

/* {"command":"NAME", …args}.  What is wrong with it is told in words (unknown commands with the nearest name; unknown
 * or missing args named).  Returns NULL when done has been called already, else the call, which done ends. */
struct command_call *command_run(const struct engines *e, const json_t *request, command_done_cb *done, void *arg);
/* done is not called any more; what was begun goes on.  NULL is fine. */
void command_cancel(struct command_call *c);

/* For those who carry a command out: ends the call, which is gone then.  reply: stolen; NULL: it failed, and why. */
void command_end(struct command_call *c, json_t *reply, const char *why);

#endif
