/* The unit tests of src/http as one TAP plan: each file exports its tests, all run as one group. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

extern const struct CMUnitTest file_tests[], range_tests[];
extern const size_t file_count, range_count;
extern const struct CMUnitTest httpc_tests[], httpd_tests[], lines_tests[], openai_tests[], peer_tests[];
extern const size_t httpc_count, httpd_count, lines_count, openai_count, peer_count;

enum { TESTS_MAX = 256 };
static struct CMUnitTest http[TESTS_MAX];
static size_t count;

static void add(const struct CMUnitTest *tests, size_t n)
{
    for (size_t i = 0; i < n && count < TESTS_MAX; i++)
        http[count++] = tests[i];
}

int main(void)
{
    add(file_tests, file_count);
    add(httpc_tests, httpc_count);
    add(httpd_tests, httpd_count);
    add(lines_tests, lines_count);
    add(openai_tests, openai_count);
    add(peer_tests, peer_count);
    add(range_tests, range_count);
    return _cmocka_run_group_tests("http", http, count, NULL, NULL);
}
