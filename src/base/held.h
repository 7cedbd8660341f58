/* How long a callback has held the loop: the processor time that it took, or, if it had to wait for something in it (a
 * disk, a lock), all the time until it came back.  Time in which the system let others run instead is not the
 * callback's doing and is not counted, so that the figure means the same on a busy machine. */
#ifndef TIGHTWAD_BASE_HELD_H
#define TIGHTWAD_BASE_HELD_H

#include <stdint.h>

struct held {
    int64_t wall_us, cpu_us;
    long waits; /* times that the thread has given up the processor by itself */
};

struct held held_begin(void); /* of the thread that calls */
/* Raises *longest_us to what has been held since then, if that is more. */
void held_end(const struct held *h, uint64_t *longest_us);

#endif
