/* The unit tests of src/node as one TAP plan. */
#include "rig.h"

#include <stdlib.h>
#include <string.h>

extern const struct CMUnitTest branches_tests[], exact_tests[], jobs_tests[], model_tests[], scheduler_tests[];
extern const size_t branches_count, exact_count, jobs_count, model_count, scheduler_count;

enum { TESTS_MAX = 128 };
static struct CMUnitTest node[TESTS_MAX];
static size_t count;

static void add(const struct CMUnitTest *tests, size_t n)
{
    if (n > TESTS_MAX - count)
        abort();
    memcpy(&node[count], tests, n * sizeof(*tests));
    count += n;
}

int main(void)
{
    add(model_tests, model_count);
    add(jobs_tests, jobs_count);
    add(scheduler_tests, scheduler_count);
    add(exact_tests, exact_count);
    add(branches_tests, branches_count);
    return _cmocka_run_group_tests("node", node, count, NULL, NULL);
}
