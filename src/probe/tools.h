/* Programs that serve models, where they lie and which version they are. */
#ifndef TIGHTWAD_PROBE_TOOLS_H
#define TIGHTWAD_PROBE_TOOLS_H

#include <stdatomic.h>
#include <stddef.h>

#include "probe/machine.h"

/* The path of a program: in the absolute folders of $PATH, then in folders (ends with NULL, may be NULL; "~/" is the
 * home directory, where there is one).  NULL: not there.  Owned by the caller. */
char *tools_find(const char *name, const char *const *folders);

/* Adds llama-server, ollama, rpc-server and tightwad-node, those that are there, with what they say of their version.
 * node: where tightwad-node lies, NULL: looked for as the others.  Blocks, a few seconds for each at most. */
void tools_probe(struct machine *m, const char *node, const atomic_bool *stop);

/* The version in what a program says of it, "" none.  Pure. */
void tools_version(const char *text, char *version, size_t size);

#endif
