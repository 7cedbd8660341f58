/* A child's end, its last words and its log must not be missed, and nothing may wait for it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/service.h"
#include "base/task.h"

struct watch {
    struct event_base *base;
    char how[200];
    int lines;
};

static void on_exit_told(void *arg, const char *how)
{
    struct watch *w = arg;
    snprintf(w->how, sizeof(w->how), "%s", how);
    event_base_loopbreak(w->base);
}

static void on_line(void *arg, const char *line)
{
    struct watch *w = arg;
    assert_null(strchr(line, '\n'));
    w->lines++;
}

static struct service *start(struct watch *w, const char *script, const char *log, int64_t log_max)
{
    const char *argv[] = {"sh", "-c", script, NULL}, *env[] = {"WORD=yes", NULL};
    struct service_opts o = {.name = "child",
                             .argv = argv,
                             .env = env,
                             .log = log,
                             .log_max = log_max,
                             .on_exit = on_exit_told,
                             .on_line = on_line,
                             .arg = w};
    char *cause = NULL;
    *w = (struct watch){.base = event_base_new()};
    struct service *s = service_start(w->base, &o, &cause);
    assert_non_null(s);
    return s;
}

static void finish(struct watch *w, struct service *s)
{
    service_destroy(s);
    event_base_free(w->base);
}

static void an_end_is_told(void **state)
{
    (void)state;
    struct watch w;
    struct service *s = start(&w, "echo one; echo \"error: $WORD\"; printf last; exit 3", NULL, 0);
    assert_true(service_pid(s) > 0);
    event_base_dispatch(w.base);
    assert_string_equal(w.how, "child ended with 3");
    assert_int_equal(w.lines, 3);
    assert_string_equal(service_last_words(s, true), "error: yes");
    assert_int_equal(service_pid(s), 0);
    finish(&w, s);
    s = start(&w, "echo one; echo two; kill -9 $$", NULL, 0);
    event_base_dispatch(w.base);
    assert_non_null(strstr(w.how, "signal 9"));
    assert_string_equal(service_last_words(s, false), "");
    assert_string_equal(service_last_words(s, true), "two");
    finish(&w, s);
}

static void the_log_is_turned_over(void **state)
{
    (void)state;
    struct watch w;
    struct stat st;
    char dir[] = "/tmp/tightwad-unit-XXXXXX";
    assert_non_null(mkdtemp(dir));
    char *log = xasprintf("%s/log", dir), *old = xasprintf("%s/log.1", dir);
    struct service *s = start(
        &w, "i=0; while [ $i -lt 40 ]; do echo 0123456789012345678901234567890123456789; i=$((i+1)); sleep 0.002; done",
        log, 1000);
    event_base_dispatch(w.base);
    finish(&w, s);
    assert_int_equal(w.lines, 40);
    assert_int_equal(stat(log, &st), 0);
    assert_true(st.st_size > 0 && st.st_size <= 1000);
    assert_int_equal(stat(old, &st), 0);
    unlink(log);
    unlink(old);
    rmdir(dir);
    free(log);
    free(old);
}

static void who_does_not_end_is_killed(void **state)
{
    (void)state;
    struct watch w;
    struct service *s = start(&w, "trap '' TERM; echo ready; while :; do sleep 0.02; done", NULL, 0);
    while (w.lines == 0)
        event_base_loop(w.base, EVLOOP_ONCE);
    int64_t begun = clock_us();
    service_stop(s, 100);
    assert_true(clock_us() - begun < 50 * 1000);
    event_base_dispatch(w.base);
    assert_non_null(strstr(w.how, "signal 9"));
    assert_true(clock_us() - begun >= 90 * 1000);
    finish(&w, s);
    s = start(&w, "echo ready; sleep 100", NULL, 0);
    while (w.lines == 0)
        event_base_loop(w.base, EVLOOP_ONCE);
    pid_t pid = service_pid(s);
    kill(pid, SIGSTOP);
    service_stop(s, 0);
    event_base_dispatch(w.base);
    assert_non_null(strstr(w.how, "signal 9"));
    finish(&w, s);
}

static void work(void *data)
{
    usleep(20 * 1000);
    *(int *)data = 7;
}

static struct event_base *task_base;

static void done(void *data)
{
    assert_int_equal(*(int *)data, 7);
    *(int *)data = 8;
    event_base_loopbreak(task_base);
}

static void a_task_ends_on_the_loop(void **state)
{
    (void)state;
    int n = 0;
    task_base = event_base_new();
    assert_non_null(task_start(task_base, work, done, &n));
    event_base_dispatch(task_base);
    assert_int_equal(n, 8);
    struct task *t = task_start(task_base, work, done, &n);
    task_destroy(t); /* waits, and tells nobody */
    assert_int_equal(n, 7);
    event_base_free(task_base);
}

const struct CMUnitTest service_tests[] = {
    cmocka_unit_test(an_end_is_told),
    cmocka_unit_test(the_log_is_turned_over),
    cmocka_unit_test(who_does_not_end_is_killed),
    cmocka_unit_test(a_task_ends_on_the_loop),
};
const size_t service_count = ARRAY_LEN(service_tests);
