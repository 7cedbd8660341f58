/* The unit tests of src/advise as one TAP plan. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

extern const struct CMUnitTest split_tests[];
extern const size_t split_count;

int main(void)
{
    return _cmocka_run_group_tests("advise", split_tests, split_count, NULL, NULL);
}
