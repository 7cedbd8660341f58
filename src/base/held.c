#include "base/held.h"

#include <sys/resource.h>

#include "base/clock.h"

static int64_t us_of(const struct timeval *tv)
{
    return tv->tv_sec * INT64_C(1000000) + tv->tv_usec;
}

struct held held_begin(void)
{
    struct rusage use;
    getrusage(RUSAGE_THREAD, &use);
    return (struct held){
        .wall_us = clock_us(), .cpu_us = us_of(&use.ru_utime) + us_of(&use.ru_stime), .waits = use.ru_nvcsw};
}

void held_end(const struct held *h, uint64_t *longest_us)
{
    struct held now = held_begin();
    int64_t us = now.waits != h->waits ? now.wall_us - h->wall_us : now.cpu_us - h->cpu_us;
    if (us > 0 && (uint64_t)us > *longest_us)
        *longest_us = (uint64_t)us;
}
