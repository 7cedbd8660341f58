/* The option table: one row for each thing that can be configured.  The loader, the checks, the environment, `config
 * show` and the reference page are all made from it. */
#ifndef TIGHTWAD_CONFIG_OPTIONS_H
#define TIGHTWAD_CONFIG_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"

enum option_type {
    OPTION_STRING,   /* char *, one line */
    OPTION_TEXT,     /* char *, one line or several */
    OPTION_SECRET,   /* char *, never shown */
    OPTION_HOST,     /* char *, an address or a host name */
    OPTION_URL,      /* char *, http(s)://host[:port][/prefix] */
    OPTION_PATH,     /* char *, a file: absolute once it is read from a file */
    OPTION_PROGRAM,  /* char *, the same, or a name alone, which $PATH has */
    OPTION_ENUM,     /* char *, one of names */
    OPTION_SWITCH,   /* char *, on, off or auto; what YAML calls true and false is on and off */
    OPTION_INT,      /* int64_t */
    OPTION_SIZE,     /* int64_t, bytes */
    OPTION_DURATION, /* int64_t, milliseconds */
    OPTION_BOOL,     /* bool */
    OPTION_SHARE,    /* double, 0 to 1 */
    OPTION_GIB,      /* int64_t, bytes; GiB without a unit */
    OPTION_WORDS,    /* struct config_words, a list of texts */
    OPTION_PATHS,    /* struct config_words, a list of paths: absolute once they are read from a file */
    OPTION_VARS,     /* struct config_words, NAME=VALUE each: a section of names and texts */
};

/* Which struct the offset is in. */
enum option_place {
    OPTION_IN_CONFIG,      /* struct config */
    OPTION_IN_TARGET,      /* struct config_server: the target */
    OPTION_IN_DRAFT,       /* struct config_server: the only drafter */
    OPTION_IN_DRAFTERS,    /* struct config_server: an entry of the list */
    OPTION_IN_GPUS,        /* struct config_gpu: the coordinator's */
    OPTION_IN_WORKERS,     /* struct config_worker */
    OPTION_IN_WORKER_GPUS, /* struct config_gpu: a worker's; the index is worker × CONFIG_GPUS_MAX + GPU */
    OPTION_IN_MODELS,      /* struct config_model */
    OPTION_IN_VERIFIER,    /* struct config_server: the quality gate's verifier */
    OPTION_IN_AGENTS,      /* struct config_server: an agent of the quality gate */
};

struct option {
    const char *key; /* "proxy.port"; "proxy.drafters[].url" for entries of a list */
    enum option_type type;
    enum option_place place;
    size_t offset;
    const char *def;          /* as it would be written in the file; NULL: not set */
    int64_t min, max;         /* INT, SIZE, DURATION: in the unit that is stored */
    const char *unit;         /* what a number counts; NULL where the type says it */
    const char *const *names; /* ENUM: NULL-terminated */
    bool or_auto;             /* INT: `auto` is CONFIG_AUTO */
    bool reloadable;          /* takes effect without a restart */
    const char *env;          /* "$TIGHTWAD_PORT"; NULL: none */
    const char *help;         /* a sentence or two */
};

extern const struct option option_table[]; /* in the order of the reference page */
extern const size_t option_count;

struct option_section {
    const char *key; /* "proxy.drafters[]" */
    const char *help;
};
extern const struct option_section option_sections[]; /* in the order of the reference page */
extern const size_t option_section_count;

/* A list of sections. */
struct option_list {
    const char *key;    /* "workers[].gpus" */
    const char *what;   /* its entries, for messages: "GPUs" */
    const char *needs;  /* the key that an entry can't do without */
    const char *map_by; /* entries may also be a section, keyed by this key of theirs; NULL: no */
};
extern const struct option_list option_lists[];
extern const size_t option_list_count;

/* Keys of the Python Tightwad that mean nothing any more; NULL-terminated. */
extern const char *const option_old_keys[];

const struct option *option_find(const char *key);                   /* NULL: no such */
bool option_in_section(const struct option *o, const char *section); /* right in it, not in one below */
const char *option_leaf(const struct option *o);                     /* the last part of its key */

/* Where the value of o lives in c; index: the entry, for those in lists.  NULL when there is no such entry. */
void *option_value(const struct option *o, struct config *c, size_t index);

/* How many entries c has at o's place: 1 outside lists. For OPTION_IN_WORKER_GPUS one past the last index; not every
 * index before it is one. */
size_t option_entries(const struct option *o, const struct config *c);

#endif
