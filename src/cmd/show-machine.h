/* A machine as `probe` shows it to people. */
#ifndef TIGHTWAD_CMD_SHOW_MACHINE_H
#define TIGHTWAD_CMD_SHOW_MACHINE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "probe/machine.h"

/* One line a fact; what is unknown is left out, or shown as a dash where it is the fact itself. */
void show_machine(const struct machine *m, FILE *to, bool colour);

/* "23.5 GiB", "2 MiB", "–" for what is unknown (< 0).  Owned by the caller. */
char *show_bytes(int64_t n);

#endif
