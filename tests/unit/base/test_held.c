/* What counts as holding the loop: work, and waiting for something; not the time that others had. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/held.h"

static void work_counts(void **state)
{
    uint64_t longest = 0, before;
    struct timespec now, end;
    (void)state;
    struct held h = held_begin();
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    end = now;
    while (now.tv_sec * 1000000000LL + now.tv_nsec < end.tv_sec * 1000000000LL + end.tv_nsec + 5000000)
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    held_end(&h, &longest);
    assert_true(longest >= 4900);
    before = longest;
    h = held_begin();
    held_end(&h, &longest);
    assert_true(longest >= before); /* less changes nothing */
}

static void waiting_counts(void **state)
{
    uint64_t longest = 0;
    (void)state;
    struct held h = held_begin();
    nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    held_end(&h, &longest);
    assert_true(longest >= 5000);
}

static void the_time_of_others_does_not(void **state)
{
    uint64_t longest = 0;
    (void)state;
    struct held h = held_begin();
    h.wall_us -= 1000000; /* as if the system had let others run for a second */
    held_end(&h, &longest);
    if (held_begin().waits == h.waits)
        assert_true(longest < 1000000);
}

const struct CMUnitTest held_tests[] = {
    cmocka_unit_test(work_counts),
    cmocka_unit_test(waiting_counts),
    cmocka_unit_test(the_time_of_others_does_not),
};
const size_t held_count = sizeof(held_tests) / sizeof(held_tests[0]);
