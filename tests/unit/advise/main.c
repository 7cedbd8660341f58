/* The unit tests of src/advise as one TAP plan. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

extern const struct CMUnitTest advice_tests[], fold_tests[], hardware_tests[], modes_tests[], pairs_tests[],
    split_tests[];
extern const size_t advice_count, fold_count, hardware_tests_count, modes_count, pairs_count, split_count;

enum { TESTS_MAX = 128 };
static struct CMUnitTest all[TESTS_MAX];
static size_t count;

static void add(const struct CMUnitTest *tests, size_t n)
{
    for (size_t i = 0; i < n && count < TESTS_MAX; i++)
        all[count++] = tests[i];
}

int main(void)
{
    add(advice_tests, advice_count);
    add(fold_tests, fold_count);
    add(hardware_tests, hardware_tests_count);
    add(modes_tests, modes_count);
    add(pairs_tests, pairs_count);
    add(split_tests, split_count);
    return _cmocka_run_group_tests("advise", all, count, NULL, NULL);
}
