/* How a configuration that was just written does: what `tightwad doctor` says of it, step by step and without
 * blocking the loop. */
#ifndef TIGHTWAD_CMD_INIT_CHECKS_H
#define TIGHTWAD_CMD_INIT_CHECKS_H

#include "ui/wizard.h"

/* As struct wizard_hooks has them: the doctor runs as a child, whose lines become reports; where a pool is configured,
 * `inspect --plan` after it, which asks the workers. */
struct wizard_check *init_check_start(struct event_base *base, const char *path, wizard_report_cb *report, void *arg,
                                      char **cause);
void init_check_cancel(struct wizard_check *c);

#endif
