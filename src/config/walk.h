/* From the tree of a file to the values of a configuration. */
#ifndef TIGHTWAD_CONFIG_WALK_H
#define TIGHTWAD_CONFIG_WALK_H

#include <stdbool.h>
#include <stddef.h>

#include "config/findings.h"
#include "config/options.h"
#include "config/tree.h"

enum { DRAFTERS_MAX = 16 };

/* A configuration being made. */
struct loader {
    struct config *config;
    struct config_findings *findings;
    const char *name;                              /* the file's, for messages; lives as long as the config */
    size_t target_line, draft_line, drafters_line; /* of the sections; 0: not there */
    size_t drafter_line[DRAFTERS_MAX];             /* of each entry */
    bool broken[DRAFTERS_MAX];                     /* entries whose url was given but wrong */
    bool target_broken;
};

/* A drafter more, with the defaults.  False when there are DRAFTERS_MAX. */
bool walk_add_drafter(struct loader *l);

/* Gives every value outside the drafters its default. */
void walk_defaults(struct config *c);

/* Takes every value of the tree (NULL: nothing) and tells what is wrong with it. */
void walk_tree(struct loader *l, const struct tree *t);

/* Takes one value; index is the drafter's.  file:line is for messages and the origin; file must live on. */
void walk_set(struct loader *l, const struct option *o, size_t index, const char *text, const char *file, size_t line);

#endif
