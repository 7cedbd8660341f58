/* The token's file: made once with a mode that keeps others out, read back, refused when others may read it. */
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

#include "agent/token.h"
#include "base/mem.h"

static char folder[] = "/tmp/tightwad-token-XXXXXX";

static int setup(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/tightwad-token-XXXXXX");
    return mkdtemp(folder) != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    char *command = xasprintf("rm -r %s", folder);
    (void)state;
    int rc = system(command);
    free(command);
    return rc;
}

static void write_file(const char *path, const char *text, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    fchmod(fd, mode);
    close(fd);
}

static void test_made(void **state)
{
    char *path = xasprintf("%s/a/b/token", folder), *cause = NULL;
    bool made = false;
    struct stat st;
    (void)state;
    char *first = agent_token_load(path, &made, &cause);
    assert_non_null(first);
    assert_true(made);
    assert_int_equal(strlen(first), 64);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    char *again = agent_token_load(path, &made, &cause);
    assert_string_equal(again, first);
    assert_false(made);
    unlink(path);
    char *other = agent_token_load(path, &made, &cause);
    assert_string_not_equal(other, first);
    free(first);
    free(again);
    free(other);
    free(path);
}

static void test_refused(void **state)
{
    static const struct {
        const char *text;
        mode_t mode;
        const char *says;
    } rows[] = {
        {"0123456789abcdef\n", 0644, "mode 0644"},
        {"0123456789abcdef\n", 0640, "mode 0640"},
        {"short\n", 0600, "no token"},
        {"", 0600, "no token"},
        {"0123456789abcdef\nmore\n", 0600, "no token"},
        {"0123456789 abcdef\n", 0600, "no token"},
    };
    char *path = xasprintf("%s/token", folder);
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *cause = NULL;
        bool made;
        write_file(path, rows[i].text, rows[i].mode);
        assert_null(agent_token_load(path, &made, &cause));
        assert_non_null(strstr(cause, rows[i].says));
        free(cause);
    }
    free(path);
}

static void test_given(void **state)
{
    char *path = xasprintf("%s/token", folder), *cause = NULL;
    bool made;
    (void)state;
    write_file(path, "my-own-token-of-some-length\r\n", 0600);
    char *token = agent_token_load(path, &made, &cause);
    assert_string_equal(token, "my-own-token-of-some-length");
    free(token);
    token = agent_token_load(folder, &made, &cause);
    assert_null(token);
    assert_non_null(cause);
    free(cause);
    free(path);
}

static void test_path(void **state)
{
    char *cause = NULL;
    (void)state;
    setenv("XDG_STATE_HOME", "/s", 1);
    char *path = agent_token_path(&cause);
    assert_string_equal(path, "/s/tightwad/agent-token");
    free(path);
    unsetenv("XDG_STATE_HOME");
    setenv("HOME", "/h", 1);
    path = agent_token_path(&cause);
    assert_string_equal(path, "/h/.local/state/tightwad/agent-token");
    free(path);
    unsetenv("HOME");
    assert_null(agent_token_path(&cause));
    assert_non_null(strstr(cause, "--token-file FILE"));
    free(cause);
}

const struct CMUnitTest token_tests[] = {
    cmocka_unit_test_setup_teardown(test_made, setup, teardown),
    cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
    cmocka_unit_test_setup_teardown(test_given, setup, teardown),
    cmocka_unit_test(test_path),
};
const size_t token_count = ARRAY_LEN(token_tests);
