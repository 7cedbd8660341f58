/* tightwad manifest verify: whether a model is what its manifest says. */
#ifndef TIGHTWAD_CMD_MANIFEST_VERIFY_H
#define TIGHTWAD_CMD_MANIFEST_VERIFY_H

#include "cmd/cmd.h"

/* Runs the verb: the exit code. */
int manifest_verify(struct cmd_env *env, const struct cmd_args *args);

#endif
