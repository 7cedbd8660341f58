/* The options and words of one verb, parsed by its table: the same rules for every verb. */
#ifndef TIGHTWAD_CMD_ARGS_H
#define TIGHTWAD_CMD_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct cmd_option {
    char letter;      /* 0: none */
    const char *name; /* without the dashes */
    const char *arg;  /* NULL: a flag; else what it takes, as the help shows it: "FILE" */
    const char *help; /* one line */
};

struct cmd_given {
    size_t option;     /* index in the table */
    const char *value; /* as in cmd_args.values */
};

struct cmd_args {
    const struct cmd_option *options; /* the table, ends with name NULL; NULL: no options */
    const char **values;              /* one for each option: NULL not given, "" a flag that was; borrowed from argv */
    struct cmd_given *given;          /* every option that was given, in order: some are of use several times */
    size_t n_given;
    const char **words; /* what is no option, in order; borrowed from argv */
    size_t n_words;
};

/* --name VALUE, --name=VALUE, -x VALUE, -xVALUE; flags may be put together (-ab); "--" ends the options; a lone "-" is
 * a word.  0, or -1 and a cause: unknown ones are named with the nearest valid one.  Finish it in both cases. */
int cmd_args_parse(struct cmd_args *a, const struct cmd_option *options, int argc, char *const *argv, char **cause);
void cmd_args_finish(struct cmd_args *a);

/* NULL: not given.  name must stand in the table. */
const char *cmd_args_get(const struct cmd_args *a, const char *name);
/* All its values, in order: at most max into list; how many there are. */
size_t cmd_args_all(const struct cmd_args *a, const char *name, const char **list, size_t max);
bool cmd_args_has(const struct cmd_args *a, const char *name);
/* Not given: *out is left alone.  0, or -1 and a cause that names the option, what was given and the range. */
int cmd_args_int(const struct cmd_args *a, const char *name, int64_t min, int64_t max, int64_t *out, char **cause);
int cmd_args_double(const struct cmd_args *a, const char *name, double min, double max, double *out, char **cause);

/* The table as the help shows it. */
void cmd_options_print(const struct cmd_option *options, FILE *to);

/* ", did you mean NAME?" with what config_nearest says, or "".  Owned by the caller. */
char *cmd_did_you_mean(const char *prefix, const char *word, const char *const *names, size_t n);

#endif
