/* The unit tests of src/config as one TAP plan. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

extern const struct CMUnitTest compose_tests[], edit_tests[], examples_tests[], load_tests[], modes_tests[],
    pool_tests[], set_tests[], show_tests[], swarm_tests[], tree_tests[], value_tests[];
extern const size_t compose_count, edit_count, examples_count, load_count, modes_count, pool_count, set_count,
    show_count, swarm_count, tree_count, value_count;

enum { TESTS_MAX = 256 };
static struct CMUnitTest all[TESTS_MAX];
static size_t count;

static void add(const struct CMUnitTest *tests, size_t n)
{
    for (size_t i = 0; i < n && count < TESTS_MAX; i++)
        all[count++] = tests[i];
}

int main(void)
{
    static const char *const ours[] = {"TARGET_URL", "TARGET_MODEL", "TARGET_BACKEND",   "TARGET_API_KEY",
                                       "DRAFT_URL",  "DRAFT_MODEL",  "DRAFT_BACKEND",    "DRAFT_API_KEY",
                                       "HOST",       "PORT",         "MAX_DRAFT_TOKENS", "PROXY_TOKEN",
                                       "LOG_LEVEL",  "CONFIG"};
    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
        char name[64] = "TIGHTWAD_";
        for (size_t k = 0; ours[i][k]; k++)
            name[9 + k] = ours[i][k];
        unsetenv(name);
    }
    add(tree_tests, tree_count);
    add(value_tests, value_count);
    add(load_tests, load_count);
    add(modes_tests, modes_count);
    add(show_tests, show_count);
    add(edit_tests, edit_count);
    add(examples_tests, examples_count);
    add(pool_tests, pool_count);
    add(set_tests, set_count);
    add(swarm_tests, swarm_count);
    add(compose_tests, compose_count);
    return _cmocka_run_group_tests("config", all, count, NULL, NULL);
}
