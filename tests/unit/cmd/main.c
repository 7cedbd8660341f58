/* The command line: options, the table of verbs and its manual page, what doctor concludes, and small tools. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "unit.h"

extern const struct CMUnitTest args_tests[], bar_tests[], bench_tests[], doctor_tests[], modes_tests[], show_tests[],
    table_tests[], tools_tests[];
extern const size_t args_count, bar_count, bench_count, doctor_count, modes_count, show_count, table_count, tools_count;

static size_t add(struct CMUnitTest *to, size_t at, const struct CMUnitTest *from, size_t n)
{
    memcpy(to + at, from, n * sizeof(*from));
    return at + n;
}

int main(void)
{
    size_t n = args_count + bar_count + bench_count + doctor_count + modes_count + show_count + table_count +
               tools_count,
           at = 0;
    struct CMUnitTest *all = xcalloc(n, sizeof(*all));
    at = add(all, at, args_tests, args_count);
    at = add(all, at, bar_tests, bar_count);
    at = add(all, at, bench_tests, bench_count);
    at = add(all, at, doctor_tests, doctor_count);
    at = add(all, at, modes_tests, modes_count);
    at = add(all, at, show_tests, show_count);
    at = add(all, at, table_tests, table_count);
    add(all, at, tools_tests, tools_count);
    int rc = _cmocka_run_group_tests("cmd", all, n, NULL, NULL);
    free(all);
    return rc;
}
