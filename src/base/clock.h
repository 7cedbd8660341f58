/* Time.  Durations are microseconds on the monotonic clock unless a name says otherwise. */
#ifndef TIGHTWAD_BASE_CLOCK_H
#define TIGHTWAD_BASE_CLOCK_H

#include <stdint.h>

int64_t clock_us(void);      /* monotonic, microseconds */
int64_t clock_wall_ms(void); /* since 1970, UTC, milliseconds */

#endif
