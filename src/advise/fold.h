/* One entry for each machine, whatever ways it was found by. */
#ifndef TIGHTWAD_ADVISE_FOLD_H
#define TIGHTWAD_ADVISE_FOLD_H

#include <stdbool.h>
#include <stddef.h>

#include "probe/machine.h"

/* Puts entries for one machine together (scan_answer_merge): what is this machine (by a loopback address, or one that
 * is_here knows; it may be NULL) goes into the entry of origin MACHINE_HERE, which becomes the first; of two entries
 * with one address the one that knows more of itself leads (here, agent, typed, seen).  The others keep their order.
 * Returns how many are left. */
size_t fold_machines(struct machine *list, size_t n, bool is_here(const char *address));

/* "127.…", "::1", "localhost". */
bool fold_is_loopback(const char *address);

#endif
