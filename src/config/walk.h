/* From the tree of a file to the values of a configuration. */
#ifndef TIGHTWAD_CONFIG_WALK_H
#define TIGHTWAD_CONFIG_WALK_H

#include <stdbool.h>
#include <stddef.h>

#include "config/findings.h"
#include "config/options.h"
#include "config/tree.h"

/* A configuration being made. */
struct loader {
    struct config *config;
    struct config_findings *findings;
    const char *name;                              /* the file's, for messages; lives as long as the config */
    size_t target_line, draft_line, drafters_line; /* of the sections; 0: not there */
    size_t coordinator_line, gate_line, verifier_line, swarm_line;
    size_t drafter_line[CONFIG_DRAFTERS_MAX], agent_line[CONFIG_AGENTS_MAX]; /* of each entry */
    struct {
        const struct option *option;
        size_t index;
    } wrong[FINDINGS_MAX]; /* values that were given and could not be taken */
    size_t n_wrong;
};

/* Whether the value of key ("proxy.target.url") was given and has been complained about. */
bool walk_was_wrong(const struct loader *l, const char *key, size_t index);

/* An entry more in the list ("workers"), with the defaults; parent: the index of what the list is in.  False when the
 * list is full. */
bool walk_add_entry(struct loader *l, const char *list, size_t parent, size_t line, size_t *index);

/* Gives every value outside lists its default. */
void walk_defaults(struct config *c);

/* Takes every value of the tree (NULL: nothing) and tells what is wrong with it. */
void walk_tree(struct loader *l, const struct tree *t);

/* Takes one value; index is its entry's.  file:line is for messages and the origin; file must live on. */
void walk_set(struct loader *l, const struct option *o, size_t index, const char *text, const char *file, size_t line);

/* Takes what stands in the tree for o: one text, or a list or section of them where o has that. */
void walk_take(struct loader *l, const struct option *o, size_t index, const struct tree *t);

#endif
