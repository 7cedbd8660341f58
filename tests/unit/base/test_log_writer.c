/* The log of a program that runs for months must not fill the disk (its folder is often in memory). */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log-writer.h"
#include "base/mem.h"

enum { LINES = 1000, MAX = 4096, LINE = 22 };

static int64_t size_of(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? st.st_size : -1;
}

/* Standard error leads to `to` while LINES lines are written; path is what is turned over. */
static void write_lines(const char *to, const char *path)
{
    char line[LINE + 1];
    int before = dup(STDERR_FILENO), fd = open(to, O_WRONLY | O_CREAT | O_APPEND, 0600);
    assert_true(fd >= 0);
    dup2(fd, STDERR_FILENO);
    close(fd);
    log_writer_turns_over(path, MAX);
    log_writer_start();
    for (int i = 0; i < LINES; i++) {
        snprintf(line, sizeof(line), "this is line %8d\n", i);
        assert_true(log_writer_put(STDERR_FILENO, line, LINE));
    }
    assert_true(log_writer_stop(10000));
    log_writer_turns_over(NULL, 0);
    dup2(before, STDERR_FILENO);
    close(before);
}

static void a_long_log_is_turned_over(void **state)
{
    char folder[] = "/tmp/tightwad-log-XXXXXX", last[LINE + 1] = "";
    assert_non_null(mkdtemp(folder));
    char *log = xasprintf("%s/log", folder), *old = xasprintf("%s/log.1", folder), *other = xasprintf("%s/x", folder);
    (void)state;
    write_lines(log, log);
    assert_in_range(size_of(log), LINE, MAX + LINE);
    assert_in_range(size_of(old), MAX, MAX + LINE);
    int fd = open(log, O_RDONLY);
    assert_int_equal(pread(fd, last, LINE, size_of(log) - LINE), LINE);
    assert_string_equal(last, "this is line      999\n");
    close(fd);
    /* Standard error leads elsewhere: nothing of it is touched. */
    int64_t kept = size_of(log);
    write_lines(other, log);
    assert_int_equal(size_of(other), LINES * LINE);
    assert_int_equal(size_of(log), kept);
    unlink(log);
    unlink(old);
    unlink(other);
    rmdir(folder);
    free(log);
    free(old);
    free(other);
}

const struct CMUnitTest log_writer_tests[] = {cmocka_unit_test(a_long_log_is_turned_over)};
const size_t log_writer_count = ARRAY_LEN(log_writer_tests);
