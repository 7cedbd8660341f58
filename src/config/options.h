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
    OPTION_SECRET,   /* char *, never shown */
    OPTION_HOST,     /* char *, an address or a host name */
    OPTION_URL,      /* char *, http(s)://host[:port][/prefix] */
    OPTION_ENUM,     /* char *, one of names */
    OPTION_INT,      /* int64_t */
    OPTION_SIZE,     /* int64_t, bytes */
    OPTION_DURATION, /* int64_t, milliseconds */
    OPTION_BOOL,     /* bool */
};

/* Which struct the offset is in. */
enum option_place {
    OPTION_IN_CONFIG,   /* struct config */
    OPTION_IN_TARGET,   /* struct config_server: the target */
    OPTION_IN_DRAFT,    /* struct config_server: the only drafter */
    OPTION_IN_DRAFTERS, /* struct config_server: an entry of the list */
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

/* Keys that mean nothing (any more, or yet). */
extern const char *const option_old_keys[];   /* of the Python Tightwad; NULL-terminated */
extern const char *const option_later_keys[]; /* full keys of later releases; NULL-terminated */

const struct option *option_find(const char *key);                   /* NULL: no such */
bool option_in_section(const struct option *o, const char *section); /* right in it, not in one below */
const char *option_leaf(const struct option *o);                     /* the last part of its key */

/* Where the value of o lives in c; index: the entry, for OPTION_IN_DRAFTERS.  NULL when there is no such drafter. */
void *option_value(const struct option *o, struct config *c, size_t index);

#endif
