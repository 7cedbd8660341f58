/* Checking and trimming the cache beside the loop, in a short process of its own: reading gigabytes blocks. */
#ifndef TIGHTWAD_NODE_WORKER_TIDY_H
#define TIGHTWAD_NODE_WORKER_TIDY_H

#include <stdbool.h>
#include <stdint.h>

#include <event2/event.h>

#include "node/worker-cache.h"

struct worker_tidy;

/* done: called on the loop when a tidying has ended. */
struct worker_tidy *worker_tidy_create(struct event_base *base, const char *dir, uint64_t max,
                                       void (*done)(const struct worker_cache_report *report, void *arg), void *arg);
void worker_tidy_destroy(struct worker_tidy *t); /* ends a running one; NULL is fine */
/* Whether the folder may hold files that no tidying has checked. */
bool worker_tidy_wanted(const struct worker_tidy *t);
bool worker_tidy_running(const struct worker_tidy *t); /* from start until done is called */
/* skip_s: see worker_cache_tidy. */
void worker_tidy_start(struct worker_tidy *t, int skip_s);

#endif
