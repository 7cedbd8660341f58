/* The guided way from nothing to a running cluster: the wizard, and then the cluster with its dashboard. */
#ifndef TIGHTWAD_CMD_FIRST_RUN_H
#define TIGHTWAD_CMD_FIRST_RUN_H

#include "advise/advice.h"
#include "cmd/cmd.h"
#include "probe/here.h"
#include "probe/scan.h"

/* here, wish and scan: what was given on the command line.  Returns the exit code; messages have been printed. */
int first_run(struct cmd_env *env, const struct here_opts *here, const struct advice_wish *wish,
              const struct scan_opts *scan);

/* `tightwad` without a verb: the running cluster's dashboard, else the cluster with its dashboard, else, without a
 * configuration, the first run.  To be called where cockpit_possible (cmd/cockpit.h). */
int first_run_or_cluster(struct cmd_env *env);

#endif
