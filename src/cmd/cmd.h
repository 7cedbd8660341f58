/* The verbs of the command line: one table, one file a verb.
 *
 * A verb is a `const struct cmd` in its own cmd-NAME.c, declared and listed in cmd.c's table.  The dispatcher parses
 * its options, answers --help, takes `-c FILE` before or after the verb, and names the nearest valid word for a wrong
 * one. */
#ifndef TIGHTWAD_CMD_CMD_H
#define TIGHTWAD_CMD_CMD_H

#include <stdbool.h>
#include <stddef.h>

#include "cmd/args.h"
#include "config/config.h"

/* Exit codes of the program. */
enum { CMD_OK = 0, CMD_FAILED = 1, CMD_USAGE = 2 };

struct cmd_env {
    const char *config; /* -c FILE, NULL: found by the search order */
};

struct cmd {
    const char *name;
    const char *usage;   /* what follows the name: "[options] [PROMPT]" */
    const char *summary; /* one line for the list of verbs */
    const char *help;    /* what it does, with an example; lines of at most 100 columns, ends without a newline */
    const struct cmd_option *options; /* ends with name NULL; NULL: none */
    size_t min_words, max_words;      /* how many words it takes that are no options */
    bool raw;    /* everything after the name is words, unread (but for a sole --help where raw_help is NULL) */
    bool hidden; /* not in the list of verbs, and no suggestion */
    const struct cmd *const *subs; /* sub-verbs, sorted by name, NULL at the end; NULL: none */
    /* Returns the exit code; messages have been printed.  args holds during the call.  NULL: only the sub-verbs run. */
    int (*run)(struct cmd_env *env, const struct cmd_args *args);
};

extern const struct cmd *const cmd_table[]; /* sorted by name, NULL at the end */

/* The whole program: returns the exit code. */
int cmd_main(int argc, char **argv);

/* "tightwad: TEXT" on stderr.  Returns CMD_FAILED.  cmd_fail_cause takes the cause over and frees it. */
int cmd_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int cmd_fail_cause(char *cause);
int cmd_usage_error(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* the same, returns CMD_USAGE */

/* The configuration in use, with its findings printed on stderr.  NULL: it has errors (they were printed).
 * want_target: it is an error when no target is configured (printed with how to name one). Owned by the caller. */
struct config *cmd_load_config(const struct cmd_env *env, bool want_target);

#endif
