/* Children: what they said and how they ended, whatever they do; and work that nobody waits for. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/child.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/task.h"

static struct child_result sh(const char *script, int timeout_ms, const atomic_bool *stop)
{
    struct child_result r;
    const char *argv[] = {"/bin/sh", "-c", script, NULL};
    child_run(argv, &(struct child_limits){timeout_ms, 1000, stop}, &r);
    return r;
}

static void what_it_said_and_how_it_ended(void **state)
{
    struct child_result r = sh("echo out; echo err >&2; exit 3", 5000, NULL);
    assert_int_equal(r.fate, CHILD_ENDED);
    assert_int_equal(r.status, 3);
    assert_string_equal(r.out, "out\n");
    assert_string_equal(r.err, "err\n");
    child_result_finish(&r);
    r = sh("echo \"$LC_ALL\"; kill -9 $$", 5000, NULL);
    assert_int_equal(r.fate, CHILD_KILLED);
    assert_string_equal(r.out, "C\n");
    child_result_finish(&r);
    /* More on stderr than is kept is no reason to stop. */
    r = sh("i=0; while [ $i -lt 3000 ]; do echo 0123456789 >&2; i=$((i+1)); done; echo done", 5000, NULL);
    assert_int_equal(r.fate, CHILD_ENDED);
    assert_string_equal(r.out, "done\n");
    assert_true(strlen(r.err) <= 4096);
    child_result_finish(&r);
    r = sh("while :; do echo 0123456789; done", 5000, NULL);
    assert_int_equal(r.fate, CHILD_TOO_LONG);
    assert_int_equal(strlen(r.out), 1000);
    child_result_finish(&r);
    const char *none[] = {"/nonexistent/program", NULL};
    child_run(none, &(struct child_limits){5000, 1000, NULL}, &r);
    assert_int_equal(r.fate, CHILD_ENDED);
    assert_int_equal(r.status, 127);
    assert_non_null(strstr(r.err, "cannot be started"));
    child_result_finish(&r);
}

/* Its grandchild has our end of the pipe open: what counts is that the program itself has ended. */
static void one_that_leaves_somebody_behind(void **state)
{
    int64_t t0 = clock_us();
    struct child_result r = sh("sleep 30 & echo $!", 20000, NULL);
    assert_int_equal(r.fate, CHILD_ENDED);
    assert_true(clock_us() - t0 < 10000000);
    pid_t left = (pid_t)atoi(r.out);
    assert_true(left > 0);
    kill(left, SIGKILL);
    child_result_finish(&r);
    /* And the other way round: it closes its output and goes on. */
    t0 = clock_us();
    r = sh("exec >&- 2>&-; exec sleep 30", 200, NULL);
    assert_int_equal(r.fate, CHILD_TOO_LATE);
    assert_true(clock_us() - t0 < 10000000);
    child_result_finish(&r);
}

static void one_that_hangs(void **state)
{
    int64_t t0 = clock_us();
    struct child_result r = sh("trap '' TERM; sleep 30 & echo $!; wait", 300, NULL);
    assert_int_equal(r.fate, CHILD_TOO_LATE);
    assert_true(clock_us() - t0 < 10000000);
    pid_t grandchild = (pid_t)atoi(r.out);
    assert_true(grandchild > 0);
    /* Killed too; who reaps it may take a moment. */
    for (int i = 0; i < 500 && kill(grandchild, 0) == 0; i++) {
        char *stat = xasprintf("grep -q 'State:.Z' /proc/%d/status", (int)grandchild);
        bool dead = system(stat) == 0;
        free(stat);
        if (dead)
            break;
        usleep(10000);
        assert_true(i < 499);
    }
    child_result_finish(&r);
    atomic_bool stop = true;
    t0 = clock_us();
    r = sh("sleep 30", 20000, &stop);
    assert_int_equal(r.fate, CHILD_TOO_LATE);
    assert_true(clock_us() - t0 < 10000000);
    child_result_finish(&r);
}

static void take_signal(int number)
{
    (void)number;
}

/* Before the program has replaced this one in the child, a handler of ours would have the signal. */
static void one_that_is_ended_as_it_starts(void **state)
{
    static const char *const argv[] = {"sleep", "20", NULL};
    void (*before)(int) = signal(SIGTERM, take_signal);
    int64_t begun = clock_us();
    (void)state;
    for (int i = 0; i < 10; i++) {
        struct child c;
        assert_int_equal(child_start(&c, "sleep", argv, NULL, -1, -1, NULL), 0);
        child_stop(&c, 15000);
    }
    assert_true(clock_us() - begun < 10000000);
    signal(SIGTERM, before);
}

struct job {
    int fds[2]; /* the work waits for a byte */
    int ran;    /* written by the thread, read after done or drop have told */
    int dropped[2];
    bool done;
    struct event_base *base;
};

static void work(void *data)
{
    struct job *j = data;
    char c;
    j->ran = read(j->fds[0], &c, 1) == 1;
}

static void on_done(void *data)
{
    struct job *j = data;
    j->done = true;
    event_base_loopbreak(j->base);
}

static void on_drop(void *data)
{
    struct job *j = data;
    assert_int_equal(write(j->dropped[1], "d", 1), 1);
}

static void work_that_is_forgotten(void **state)
{
    char c;
    for (int late = 0; late < 2; late++) {
        struct job j = {.base = event_base_new()};
        assert_int_equal(pipe(j.fds), 0);
        assert_int_equal(pipe(j.dropped), 0);
        struct task *t = task_start(j.base, work, on_done, &j);
        assert_non_null(t);
        if (late) { /* it may have ended by now */
            assert_int_equal(write(j.fds[1], "x", 1), 1);
            usleep(20000);
        }
        task_forget(t, on_drop);
        if (!late)
            assert_int_equal(write(j.fds[1], "x", 1), 1);
        assert_int_equal(read(j.dropped[0], &c, 1), 1);
        assert_true(j.ran);
        event_base_loop(j.base, EVLOOP_NONBLOCK);
        assert_false(j.done);
        for (int i = 0; i < 2; i++) {
            close(j.fds[i]);
            close(j.dropped[i]);
        }
        event_base_free(j.base);
    }
}

static void work_that_is_awaited(void **state)
{
    struct job j = {.base = event_base_new()};
    assert_int_equal(pipe(j.fds), 0);
    assert_non_null(task_start(j.base, work, on_done, &j));
    assert_int_equal(write(j.fds[1], "x", 1), 1);
    event_base_dispatch(j.base);
    assert_true(j.done && j.ran);
    close(j.fds[0]);
    close(j.fds[1]);
    event_base_free(j.base);
}

const struct CMUnitTest child_tests[] = {
    cmocka_unit_test(what_it_said_and_how_it_ended),
    cmocka_unit_test(one_that_leaves_somebody_behind),
    cmocka_unit_test(one_that_hangs),
    cmocka_unit_test(one_that_is_ended_as_it_starts),
    cmocka_unit_test(work_that_is_forgotten),
    cmocka_unit_test(work_that_is_awaited),
};
const size_t child_count = sizeof(child_tests) / sizeof(child_tests[0]);
