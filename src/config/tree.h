/* A YAML text as a tree that remembers where everything stood.  Only the plain part of YAML is taken: no aliases, no
 * tags, one document, at most TREE_* of everything, so that no text can blow up. */
#ifndef TIGHTWAD_CONFIG_TREE_H
#define TIGHTWAD_CONFIG_TREE_H

#include <stdbool.h>
#include <stddef.h>

enum {
    TREE_BYTES_MAX = 1 << 20,
    TREE_DEPTH_MAX = 32,
    TREE_NODES_MAX = 20000,
    TREE_KEYS_MAX = 1000, /* of one mapping */
};

enum tree_kind { TREE_SCALAR, TREE_MAP, TREE_LIST };

struct tree {
    enum tree_kind kind;
    size_t line;         /* of its first character, from 1 */
    size_t column;       /* of its first character, from 0, in characters */
    size_t start, end;   /* where it stands in the text, in characters (not bytes): [start, end) */
    bool plain;          /* scalar: without quotes, so that null is null */
    bool flow;           /* map, list: in braces or brackets */
    char *text;          /* scalar: the value, without NUL bytes inside */
    struct tree **keys;  /* map: n scalars */
    struct tree **items; /* map: n values; list: n items */
    size_t n;
};

/* Parses len bytes.  0 and the tree in *out (NULL for a text without content), owned by the caller; or -1, a cause
 * and the line (from 1) that it is about. */
int tree_parse(const char *text, size_t len, struct tree **out, size_t *line, char **cause);
void tree_destroy(struct tree *t);

bool tree_is_null(const struct tree *t); /* nothing written, ~ or null */

#endif
