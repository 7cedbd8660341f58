/* A service manager is told what sd_notify(3) says, and the log is written by whoever has the time. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "base/log-writer.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/notify.h"

/* A manager's socket, under an abstract name or a path, which is put into the environment. */
static int listen_at(bool abstract, char *path, size_t size)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    snprintf(path, size, "%s/tightwad-notify-%d", abstract ? "@" : "/tmp", (int)getpid());
    memcpy(sa.sun_path, path, strlen(path));
    if (abstract)
        sa.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    assert_int_equal(
        bind(fd, (struct sockaddr *)&sa, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path))), 0);
    setenv("NOTIFY_SOCKET", path, 1);
    return fd;
}

static void expect(int fd, const char *text)
{
    char got[512] = "";
    ssize_t n = recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT);
    assert_true(n > 0);
    assert_string_equal(got, text);
}

static void tells_at(bool abstract)
{
    char path[100], got[512] = "";
    int fd = listen_at(abstract, path, sizeof(path));
    struct event_base *base = event_base_new();
    struct notify *n = notify_create(base);
    assert_non_null(n);
    assert_null(getenv("NOTIFY_SOCKET")); /* no child answers in its place */
    notify_ready(n);
    expect(fd, "READY=1");
    notify_status(n, "loading %s", "x");
    expect(fd, "STATUS=loading x");
    notify_status(n, "loading x"); /* the same: not again */
    notify_reloading(n);
    assert_true(recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT) > 0);
    assert_true(strncmp(got, "RELOADING=1\nMONOTONIC_USEC=", 27) == 0);
    notify_stopping(n);
    expect(fd, "STOPPING=1");
    close(fd);
    notify_ready(n); /* the manager has gone: nothing happens */
    notify_destroy(n);
    event_base_free(base);
    if (!abstract)
        unlink(path);
}

static void a_manager_is_told(void **state)
{
    tells_at(false);
    tells_at(true);
}

static void nobody_is_told_when_nobody_asks(void **state)
{
    struct event_base *base = event_base_new();
    static const char *const wrong[] = {NULL, "", "vsock:2:1234", "relative", "@"};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        wrong[i] != NULL ? setenv("NOTIFY_SOCKET", wrong[i], 1) : unsetenv("NOTIFY_SOCKET");
        assert_null(notify_create(base));
    }
    notify_ready(NULL);
    notify_status(NULL, "words");
    notify_reloading(NULL);
    notify_stopping(NULL);
    notify_destroy(NULL);
    event_base_free(base);
}

static void a_watchdog_hears_of_it_in_time(void **state)
{
    char path[100], pid[32];
    int fd = listen_at(true, path, sizeof(path));
    struct event_base *base = event_base_new();
    setenv("WATCHDOG_USEC", "40000", 1);
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    setenv("WATCHDOG_PID", pid, 1);
    struct notify *n = notify_create(base);
    for (int i = 0; i < 3; i++) {
        event_base_loop(base, EVLOOP_ONCE);
        expect(fd, "WATCHDOG=1");
    }
    notify_destroy(n);
    setenv("NOTIFY_SOCKET", path, 1);
    setenv("WATCHDOG_USEC", "40000", 1);
    setenv("WATCHDOG_PID", "1", 1); /* somebody else's */
    n = notify_create(base);
    assert_int_equal(event_base_loop(base, EVLOOP_ONCE), 1); /* nothing to wait for */
    notify_destroy(n);
    close(fd);
    event_base_free(base);
}

/* Standard error is a pipe that nobody reads: whoever logs goes on (or this test would never end), and what was written
 * first comes first. */
static void a_log_that_nobody_reads_holds_up_nobody(void **state)
{
    enum { LINES = 20000 }; /* 1.5 MB, where a pipe takes 64 KiB */
    int fds[2], saved = dup(STDERR_FILENO), null = open("/dev/null", O_WRONLY);
    enum log_level level = log_get_level();
    char text[4096] = "";
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(pipe(fds), 0);
    dup2(fds[1], STDERR_FILENO);
    close(fds[1]);
    log_set_level(LOG_INFO);
    log_writer_start();
    for (int i = 0; i < LINES; i++)
        log_info("line %d: the quick brown fox jumps over the lazy dog, again", i);
    assert_true(read(fds[0], text, sizeof(text) - 1) > 0);
    assert_non_null(strstr(text, " tightwad: line 0: the quick"));
    assert_non_null(strstr(text, " tightwad: line 9: the quick"));
    dup2(null, STDERR_FILENO); /* the rest is nobody's business */
    close(fds[0]);
    log_writer_stop(5000);
    dup2(saved, STDERR_FILENO);
    close(null);
    close(saved);
    log_set_level(level);
}

const struct CMUnitTest notify_tests[] = {
    cmocka_unit_test(a_manager_is_told),
    cmocka_unit_test(nobody_is_told_when_nobody_asks),
    cmocka_unit_test(a_watchdog_hears_of_it_in_time),
    cmocka_unit_test(a_log_that_nobody_reads_holds_up_nobody),
};
const size_t notify_count = sizeof(notify_tests) / sizeof(*notify_tests);
