/* tightwad manifest show: what a manifest says. */
#ifndef TIGHTWAD_CMD_MANIFEST_SHOW_H
#define TIGHTWAD_CMD_MANIFEST_SHOW_H

#include "cmd/cmd.h"
#include "swarm/manifest.h"

/* The manifest of what was named: of a model the stored one or the one beside it (*model: true), or a manifest's own
 * file.  *source: where it came from, owned by the caller.  NULL and a cause.  Owned by the caller. */
struct manifest *manifest_named(const char *path, bool *model, char **source, char **cause);

/* Runs the verb: the exit code. */
int manifest_show(struct cmd_env *env, const struct cmd_args *args);

#endif
