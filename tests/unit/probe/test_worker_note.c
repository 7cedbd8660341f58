/* A worker tells this user's programs where its cache is, for as long as it lives. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "probe/worker-note.h"

static void lives_as_long_as_the_worker(void **state)
{
    char dir[] = "/tmp/tightwad-note-XXXXXX", cache[] = "/a \"cache\"/rpc", path[128], command[64];
    struct worker_note n = {.cache = cache, .cache_max = 5u << 30}, back;
    char *cause = NULL;
    (void)state;
    assert_non_null(mkdtemp(dir));
    setenv("XDG_RUNTIME_DIR", dir, 1);
    assert_int_equal(worker_note_read(50052, &back, &cause), -1);
    assert_non_null(strstr(cause, "50052"));
    int fd = worker_note_write(50052, &n, &cause);
    assert_true(fd >= 0);
    assert_int_equal(worker_note_read(50052, &back, &cause), 0);
    assert_string_equal(back.cache, cache);
    assert_true(back.cache_max == n.cache_max);
    worker_note_finish(&back);
    assert_int_equal(worker_note_write(50052, &n, &cause), -1); /* there is one already */
    close(fd);                                                  /* it was killed */
    assert_int_equal(worker_note_read(50052, &back, &cause), -1);
    n = (struct worker_note){0};
    fd = worker_note_write(50052, &n, &cause);
    assert_int_equal(worker_note_read(50052, &back, &cause), 0);
    assert_null(back.cache);
    worker_note_remove(50052, fd);
    snprintf(path, sizeof(path), "%s/tightwad/worker-50052.json", dir);
    assert_int_not_equal(access(path, F_OK), 0);
    /* What it wrote is not sound. */
    FILE *f = fopen(path, "w");
    fputs("[]", f);
    fclose(f);
    assert_int_equal(worker_note_read(50052, &back, &cause), -1);
    unsetenv("XDG_RUNTIME_DIR");
    snprintf(command, sizeof(command), "rm -r %s", dir);
    assert_int_equal(system(command), 0);
    free(cause);
}

const struct CMUnitTest worker_note_tests[] = {
    cmocka_unit_test(lives_as_long_as_the_worker),
};
const size_t worker_note_count = ARRAY_LEN(worker_note_tests);
