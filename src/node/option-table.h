/* Command lines as tables: one row an option, which drives parsing, checking and --help. */
#ifndef TIGHTWAD_NODE_OPTION_TABLE_H
#define TIGHTWAD_NODE_OPTION_TABLE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* What the field at a row's offset is. */
enum option_kind {
    OPTION_FLAG,     /* bool: set */
    OPTION_FLAG_OFF, /* bool: cleared */
    OPTION_INT,      /* int64_t, from min to max */
    OPTION_TEXT,     /* char *, owned, not empty */
    OPTION_LEVEL,    /* enum log_level */
    OPTION_FORMAT,   /* bool: the log is JSON */
    OPTION_OWN       /* whatever: `own` sets it */
};

/* Sets what the option means in `to`, the struct that the table is about.  name: the option as it was written; value:
 * of argv, may be wiped.  0, or -1 and a cause. */
typedef int option_own(void *to, const char *name, char *value, char **cause);

struct option_row {
    const char *names[5]; /* with their dashes; the first is the one that messages use */
    const char *arg;      /* how --help calls the argument; NULL: takes none */
    enum option_kind kind;
    size_t offset;
    int64_t min, max;        /* OPTION_INT */
    const char *preset_text; /* the default as --help has it; NULL: none, or the help says it */
    const char *help;
    option_own *own;
};

struct option_table {
    const struct option_row *rows;
    size_t n;
    const char *stray; /* what to say of a word that is no option */
    int indent;        /* the column where --help's texts begin */
};

/* Takes the arguments, in order, into `to`.  0, or -1 and a cause that names the argument and what would be right. */
int option_table_parse(const struct option_table *t, void *to, int argc, char **argv, char **cause);
/* The rows of --help, at most 100 columns. */
void option_table_print(const struct option_table *t, FILE *out);
/* Frees what the OPTION_TEXT rows hold. */
void option_table_finish(const struct option_table *t, void *to);

/* For setters.  0, or -1 and a cause.  listen takes HOST:PORT, HOST, :PORT, [V6]:PORT and [V6]; the half that is not
 * there stays as it was, *host is owned by the caller and replaced. */
int option_parse_number(const char *name, const char *value, int64_t min, int64_t max, int64_t *out, char **cause);
int option_parse_listen(const char *name, const char *value, char **host, int64_t *port, char **cause);
void option_set_text(char **to, const char *value); /* a copy in the place of what was there */

#endif
