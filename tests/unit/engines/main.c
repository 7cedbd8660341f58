/* The engines over a fake node whose right answers a test can compute. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/mem.h"

extern const struct CMUnitTest proxy_tests[], proxy_pool_tests[], command_tests[], governor_tests[], line_tests[],
    hosts_tests[], live_tests[], pool_argv_tests[], speculate_tests[], names_tests[],
    verdict_tests[];
extern const size_t proxy_count, proxy_pool_count, command_test_count, governor_test_count, line_test_count,
    hosts_test_count, live_test_count, pool_argv_test_count, speculate_test_count, names_test_count,
    verdict_test_count;

int main(void)
{
    unsetenv("OMP_WAIT_POLICY"); /* what is set goes before what is put in a child's environment */
    log_set_level(LOG_ERROR);
    struct CMUnitTest all[128];
    size_t n = 0;
    for (size_t i = 0; i < proxy_count; i++)
        all[n++] = proxy_tests[i];
    for (size_t i = 0; i < proxy_pool_count; i++)
        all[n++] = proxy_pool_tests[i];
    for (size_t i = 0; i < command_test_count; i++)
        all[n++] = command_tests[i];
    for (size_t i = 0; i < governor_test_count; i++)
        all[n++] = governor_tests[i];
    for (size_t i = 0; i < line_test_count; i++)
        all[n++] = line_tests[i];
    for (size_t i = 0; i < hosts_test_count; i++)
        all[n++] = hosts_tests[i];
    for (size_t i = 0; i < live_test_count; i++)
        all[n++] = live_tests[i];
    for (size_t i = 0; i < pool_argv_test_count; i++)
        all[n++] = pool_argv_tests[i];
    for (size_t i = 0; i < speculate_test_count; i++)
        all[n++] = speculate_tests[i];
    for (size_t i = 0; i < names_test_count,
    verdict_test_count; i++)
        all[n++] = names_tests[i];
    for (size_t i = 0; i < verdict_test_count; i++)
        all[n++] = verdict_tests[i];
    return _cmocka_run_group_tests("engines", all, n, NULL, NULL);
}
