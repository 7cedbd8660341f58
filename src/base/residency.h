/* What of a file is in memory. */
#ifndef TIGHTWAD_BASE_RESIDENCY_H
#define TIGHTWAD_BASE_RESIDENCY_H

#include <stdint.h>

/* Bytes of the file that are in the page cache; -1: unknown.  Blocks: some milliseconds a gigabyte. */
int64_t residency_bytes(const char *path);

#endif
