/* What an agent may be told to start: the programs `node` and `worker`, with options from a list, each of which is
 * checked.  Everything else is refused; nothing passes through a shell. */
#ifndef TIGHTWAD_AGENT_ORDER_H
#define TIGHTWAD_AGENT_ORDER_H

#include <stddef.h>

#include <jansson.h>

#include "probe/machine.h"

enum agent_program { AGENT_NODE, AGENT_WORKER };

enum { AGENT_NAME_MAX = 64 };

struct agent_order {
    enum agent_program program;
    char name[AGENT_NAME_MAX + 1]; /* what it is called here: letters, digits, dots, dashes */
    char host[64];                 /* a numeric address */
    int port;
    char *model;  /* the file; NULL for a worker */
    char **argv;  /* NULL-terminated; argv[0] is the program's path */
    char *secret; /* "LLAMA_API_KEY=…", an environment entry: a process list shows arguments; NULL: none */
};

/* request: {"program", "name", "model", "options": {…}}.  path: of tightwad-node.  host: where it listens unless the
 * options say otherwise.  here: the model must be one of its models, by path or by name.  0 and *o (finish it), or -1
 * and a cause that names what is wrong and what would be right. */
int agent_order_read(struct agent_order *o, const json_t *request, const char *path, const char *host,
                     const struct machine *here, char **cause);
void agent_order_finish(struct agent_order *o);

const char *agent_program_name(enum agent_program p); /* "node", "worker" */

/* The options that there are, for the documentation and for clients: key → what it takes.  New reference. */
json_t *agent_order_options(void);

#endif
