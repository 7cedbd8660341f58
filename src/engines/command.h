/* The command table: everything that can be done to a running instance.  The CLI, the keys and --attach use it and
 * nothing else. */
#ifndef TIGHTWAD_ENGINES_COMMAND_H
#define TIGHTWAD_ENGINES_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

struct pool;
struct proxy;

/* What a command works on. */
struct engines {
    struct proxy *proxy;
    struct pool *pool; /* NULL: no pool is configured */
};

struct command {
    const char *name; /* "drafter-add" */
    const char *args; /* "url [backend] [model_name]": the JSON keys it takes, optional ones in brackets */
    const char *help; /* one line */
    /* Returns the answer (new reference), or NULL and a cause. */
    json_t *(*run)(const struct engines *e, const json_t *args, char **cause);
};

extern const struct command command_table[]; /* sorted by name */
extern const size_t command_count;

/* {"command":"NAME", …args}.  NULL and a cause (unknown ones with the nearest name; unknown or missing args named). */
json_t *command_run(const struct engines *e, const json_t *request, char **cause);

#endif
