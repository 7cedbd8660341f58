/* tightwad manifest verify. */
#ifndef TIGHTWAD_CMD_MANIFEST_VERIFY_H
#define TIGHTWAD_CMD_MANIFEST_VERIFY_H

#include "cmd/cmd.h"

int manifest_verify(struct cmd_env *env, const struct cmd_args *args);

#endif
