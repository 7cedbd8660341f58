/* What a start without the dashboard prints: a line with ✓ or ✗ for each server and the address. */
#ifndef TIGHTWAD_CMD_SERVE_LINES_H
#define TIGHTWAD_CMD_SERVE_LINES_H

#include <stdbool.h>
#include <stdio.h>

#include "engines/snapshot.h"

/* A line with ✓ or ✗, what it is about and words; coloured where to is a terminal that has colours. */
void serve_print_line(FILE *to, bool good, const char *what, const char *text);

/* What the guide promises: a line for the pool, each drafter, the target and the address; on stdout. */
void serve_print_state(const struct snapshot *snap, const char *url);

/* A model of many gigabytes takes its time, and whoever sits there wants to know that it gets on: a line that is
 * written over, on a terminal only.  before: the percentage printed last; returns the one printed now. */
int serve_print_progress(const struct snapshot_pool *p, int before);

#endif
