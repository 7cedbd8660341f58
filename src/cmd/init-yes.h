/* tightwad init --yes: from what is there to a configuration, with nobody to ask. */
#ifndef TIGHTWAD_CMD_INIT_YES_H
#define TIGHTWAD_CMD_INIT_YES_H

#include "advise/advice.h"
#include "cmd/cmd.h"
#include "probe/here.h"
#include "probe/scan.h"

/* All borrowed. */
struct init_ask {
    struct advice_wish wish;
    const struct here_opts *here;
    const struct scan_opts *scan;
};

/* Looks around, decides, writes the file (the old one is kept), tries it, and says in words what was done and why.
 * Returns the exit code: CMD_FAILED where nothing could be written, or where the target that was written down does not
 * answer. */
int init_yes(struct cmd_env *env, const struct init_ask *ask);

#endif
