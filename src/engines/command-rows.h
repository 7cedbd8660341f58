/* What the rows of the command table do.  As struct command has it: run returns the answer or NULL and a cause, begin 0
 * or -1 and a cause.  args: those of the request, checked by the table. */
#ifndef TIGHTWAD_ENGINES_COMMAND_ROWS_H
#define TIGHTWAD_ENGINES_COMMAND_ROWS_H

#include "engines/command.h"

/* The types of both kinds of row. */
typedef json_t *command_run_fn(const struct engines *e, const json_t *args, char **cause);
typedef int command_begin_fn(const struct engines *e, const json_t *args, struct command_call *call, char **cause);

command_run_fn command_consensus, command_drafter_add, command_drafter_pause, command_drafter_remove,
    command_drafter_resume, command_gate, command_load, command_log_level, command_max_draft_tokens, command_mode,
    command_model_default, command_pool_start, command_pool_stop, command_reclaim, command_reload, command_stop,
    command_swap, command_swarm_cancel, command_swarm_pull, command_test_prompt;
command_begin_fn command_doctor, command_models, command_swarm_share, command_tune;

#endif
