/* tightwad inspect --plan: how the configured pool would share a model, before anything is started. */
#ifndef TIGHTWAD_CMD_INSPECT_PLAN_H
#define TIGHTWAD_CMD_INSPECT_PLAN_H

#include "cmd/cmd.h"

/* model: its name, NULL: the default.  Returns the exit code. */
int inspect_plan(struct cmd_env *env, const char *model, bool json);

#endif
