/* The unit tests of src/agent as one TAP plan. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

extern const struct CMUnitTest order_tests[], token_tests[];
extern const size_t order_count, token_count;

enum { TESTS_MAX = 64 };
static struct CMUnitTest all[TESTS_MAX];
static size_t count;

static void add(const struct CMUnitTest *tests, size_t n)
{
    for (size_t i = 0; i < n && count < TESTS_MAX; i++)
        all[count++] = tests[i];
}

int main(void)
{
    add(order_tests, order_count);
    add(token_tests, token_count);
    return _cmocka_run_group_tests("agent", all, count, NULL, NULL);
}
