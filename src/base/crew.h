/* A small crew of threads for hashing and disk, which must not block the loop.  Jobs are done in the order of their
 * queue; the end of each is an event on the loop. */
#ifndef TIGHTWAD_BASE_CREW_H
#define TIGHTWAD_BASE_CREW_H

#include <stddef.h>
#include <stdint.h>

#include <event2/event.h>

struct crew;

enum { CREW_MAX = 64 };

/* n_threads 0: one for each processor that this process may run on, at most CREW_MAX.  NULL where no thread is to be
 * had. */
struct crew *crew_create(struct event_base *base, size_t n_threads);
/* Jobs that no thread has begun are dropped, those under way are waited for; `done` is called for neither, `drop` (may
 * be NULL) for both.  Not inside done; NULL is fine. */
void crew_destroy(struct crew *c);

struct crew_job {
    void (*work)(void *data); /* on a thread: touches data alone, and what nobody changes meanwhile */
    void (*done)(void *data); /* on the loop, afterwards */
    void (*drop)(void *data); /* instead of done, when the crew is destroyed before that: frees data */
    void *data;
};

/* From the loop's thread.  Never blocks; the queue has no bound, so callers bound what they have under way. */
void crew_add(struct crew *c, const struct crew_job *job);
size_t crew_threads(const struct crew *c);
size_t crew_waiting(const struct crew *c);      /* jobs given and not done yet */
uint64_t crew_slowest_us(const struct crew *c); /* longest that one `done` has held the loop (base/held.h) */

#endif
