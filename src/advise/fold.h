/* One entry for each machine, whatever ways it was found by. */
#ifndef TIGHTWAD_ADVISE_FOLD_H
#define TIGHTWAD_ADVISE_FOLD_H

#include <stdbool.h>
#include <stddef.h>

#include "probe/machine.h"

/* Moves services and models of the machines that are this one (by a loopback address, or one that is_here knows; it
 * may be NULL) into the entry of origin MACHINE_HERE, and finishes theirs.  A service that was found by two addresses
 * stays once, with loopback.  A later entry with the address of an earlier one is put together with it in the same way,
 * the one that knows more of itself (here, agent, typed, seen) leading.  Returns how many are left, in their order. */
size_t fold_machines(struct machine *list, size_t n, bool is_here(const char *address));

/* "127.…", "::1", "localhost". */
bool fold_is_loopback(const char *address);

#endif
