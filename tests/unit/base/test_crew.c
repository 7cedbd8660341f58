/* The crew: every job is done once, ends on the loop, and is dropped when the crew goes before that. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/crew.h"
#include "base/mem.h"

enum { JOBS = 500 };

struct job {
    struct crew *crew;
    struct event_base *base;
    int worked, done, dropped, more;
    size_t *left, *order, *n_order; /* n_order: how many had begun before */
};

static void work(void *data)
{
    struct job *j = data;
    j->worked++;
    if (j->order != NULL)
        *j->order = (*j->n_order)++;
}

static void done(void *data)
{
    struct job *j = data;
    j->done++;
    if (j->more > 0) {
        j->more--;
        (*j->left)++;
        crew_add(j->crew, &(struct crew_job){.work = work, .done = done, .data = j});
    }
    if (--*j->left == 0)
        event_base_loopbreak(j->base);
}

static void drop(void *data)
{
    ((struct job *)data)->dropped++;
}

static void each_job_is_done_once(void **state)
{
    struct event_base *base = event_base_new();
    struct crew *crew = crew_create(base, 4);
    struct job jobs[JOBS] = {0};
    size_t left = JOBS;
    (void)state;
    assert_int_equal(crew_threads(crew), 4);
    for (size_t i = 0; i < JOBS; i++) {
        jobs[i] = (struct job){.crew = crew, .base = base, .left = &left, .more = i % 3 == 0};
        crew_add(crew, &(struct crew_job){.work = work, .done = done, .drop = drop, .data = &jobs[i]});
    }
    assert_int_equal(crew_waiting(crew), JOBS);
    event_base_dispatch(base);
    assert_int_equal(crew_waiting(crew), 0);
    for (size_t i = 0; i < JOBS; i++) {
        assert_int_equal(jobs[i].worked, 1 + (i % 3 == 0));
        assert_int_equal(jobs[i].done, jobs[i].worked);
        assert_int_equal(jobs[i].dropped, 0);
    }
    crew_destroy(crew);
    event_base_free(base);
}

static void one_thread_keeps_the_order(void **state)
{
    struct event_base *base = event_base_new();
    struct crew *crew = crew_create(base, 1);
    struct job jobs[JOBS] = {0};
    size_t left = JOBS, order[JOBS], n = 0;
    (void)state;
    for (size_t i = 0; i < JOBS; i++) {
        jobs[i] = (struct job){.crew = crew, .base = base, .left = &left, .order = &order[i], .n_order = &n};
        crew_add(crew, &(struct crew_job){.work = work, .done = done, .data = &jobs[i]});
    }
    event_base_dispatch(base);
    for (size_t i = 0; i < JOBS; i++)
        assert_int_equal(order[i], i);
    crew_destroy(crew);
    event_base_free(base);
}

static void the_end_waits_and_drops(void **state)
{
    struct event_base *base = event_base_new();
    struct crew *crew = crew_create(base, 1);
    struct job jobs[3] = {0};
    size_t left = 3;
    (void)state;
    for (size_t i = 0; i < 3; i++)
        jobs[i] = (struct job){.crew = crew, .base = base, .left = &left};
    for (size_t i = 0; i < 2; i++)
        crew_add(crew, &(struct crew_job){.work = work, .done = done, .drop = drop, .data = &jobs[i]});
    crew_add(crew, &(struct crew_job){.work = work, .done = done, .data = &jobs[2]}); /* no drop: nothing to free */
    crew_destroy(crew); /* none has come back to the loop; those that have begun have ended */
    for (size_t i = 0; i < 3; i++) {
        assert_true(jobs[i].worked <= 1);
        assert_int_equal(jobs[i].done, 0);
        assert_int_equal(jobs[i].dropped, i < 2);
    }
    event_base_free(base);
}

static void counts_processors(void **state)
{
    struct event_base *base = event_base_new();
    struct crew *crew = crew_create(base, 0);
    (void)state;
    assert_true(crew_threads(crew) >= 1 && crew_threads(crew) <= CREW_MAX);
    crew_destroy(crew);
    crew_destroy(NULL);
    event_base_free(base);
}

const struct CMUnitTest crew_tests[] = {
    cmocka_unit_test(each_job_is_done_once),
    cmocka_unit_test(one_thread_keeps_the_order),
    cmocka_unit_test(the_end_waits_and_drops),
    cmocka_unit_test(counts_processors),
};
const size_t crew_count = ARRAY_LEN(crew_tests);
