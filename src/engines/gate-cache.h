/* What the gate remembers: answers that were approved or corrected, by the request that they answer.  Bounded in number
 * and bytes; the one that was used longest ago goes first.  Pure data. */
#ifndef TIGHTWAD_ENGINES_GATE_CACHE_H
#define TIGHTWAD_ENGINES_GATE_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include "base/answer.h"

struct gate_cache;

struct gate_cached {
    const char *text;
    size_t len;
    enum answer_finish finish;
    int64_t prompt_tokens, tokens; /* as they were told; tokens: of the answer */
    const char *agent;             /* who wrote it */
};

/* most: entries; bytes: of keys and texts together. */
struct gate_cache *gate_cache_create(size_t most, size_t bytes);
void gate_cache_destroy(struct gate_cache *c); /* NULL is fine */
void gate_cache_clear(struct gate_cache *c);
size_t gate_cache_count(const struct gate_cache *c);
size_t gate_cache_bytes(const struct gate_cache *c);

/* The answer to the request that key (a text) stands for, which counts as used now; NULL: none.  Holds until the next
 * call that changes the cache. */
const struct gate_cached *gate_cache_find(struct gate_cache *c, const char *key);
/* All of what is copied; takes the place of what the key had.  What is larger than the cache is not taken. */
void gate_cache_add(struct gate_cache *c, const char *key, const struct gate_cached *what);

#endif
