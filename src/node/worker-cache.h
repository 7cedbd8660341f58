/* The folder where ggml's RPC server keeps large tensors, each in a file named by its content's FNV-1a 64 hash in 16
 * hex digits.  The server takes a file as it is and does not look whether it is whole: one that was cut short, by a
 * crash or a full disk, would silently give other weights.  So each file is checked once before anything is served from
 * it, and made read-only as the mark of that. */
#ifndef TIGHTWAD_NODE_WORKER_CACHE_H
#define TIGHTWAD_NODE_WORKER_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct worker_cache_report {
    uint64_t bytes, files;     /* that are there */
    uint64_t bad;              /* files removed because their content was not what their name says */
    uint64_t trimmed, skipped; /* files removed to keep the limit; files too fresh to be checked */
};

/* Makes the folder (mode 0700) with those above it.  0, or -1 and a cause. */
int worker_cache_prepare(const char *dir, char **cause);
/* Half of what the cache holds and the file system has free, bytes; 0 if that can't be told. */
uint64_t worker_cache_half(const char *dir);
/* Counts. */
void worker_cache_look(const char *dir, struct worker_cache_report *out);
/* Checks the files that are not marked, and removes those that are wrong and, until no more than max bytes are left (0:
 * no bound), those that were not used for longest.  Files written to in the last skip_s seconds are left unchecked.
 * Blocks, reads every unchecked byte. */
void worker_cache_tidy(const char *dir, uint64_t max, int skip_s, struct worker_cache_report *out);

#endif
