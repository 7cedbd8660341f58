/* The engines over a fake node whose right answers a test can compute. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/mem.h"

extern const struct CMUnitTest proxy_tests[], command_tests[], governor_tests[];
extern const size_t proxy_count, command_test_count, governor_test_count;

int main(void)
{
    log_set_level(LOG_ERROR);
    struct CMUnitTest all[64];
    size_t n = 0;
    for (size_t i = 0; i < proxy_count; i++)
        all[n++] = proxy_tests[i];
    for (size_t i = 0; i < command_test_count; i++)
        all[n++] = command_tests[i];
    for (size_t i = 0; i < governor_test_count; i++)
        all[n++] = governor_tests[i];
    return _cmocka_run_group_tests("engines", all, n, NULL, NULL);
}
