/* The unit tests of src/base as one TAP plan: each file exports its tests, all run as one group. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

extern const struct CMUnitTest held_tests[];
extern const size_t held_count;
extern const struct CMUnitTest answer_tests[], child_tests[], crew_tests[], json_tests[], log_writer_tests[],
    ngram_tests[], notify_tests[], sampler_tests[], service_tests[], sampler_known_tests[], stats_tests[], utf8_tests[];
extern const size_t answer_count, child_count, crew_count, json_count, log_writer_count, ngram_count, notify_count,
    sampler_count, service_count, sampler_known_count, stats_count, utf8_count;

enum { TESTS_MAX = 256 };
static struct CMUnitTest base[TESTS_MAX];
static size_t count;

static void add(const struct CMUnitTest *tests, size_t n)
{
    for (size_t i = 0; i < n && count < TESTS_MAX; i++)
        base[count++] = tests[i];
}

int main(void)
{
    add(answer_tests, answer_count);
    add(child_tests, child_count);
    add(crew_tests, crew_count);
    add(held_tests, held_count);
    add(json_tests, json_count);
    add(log_writer_tests, log_writer_count);
    add(ngram_tests, ngram_count);
    add(notify_tests, notify_count);
    add(sampler_tests, sampler_count);
    add(sampler_known_tests, sampler_known_count);
    add(service_tests, service_count);
    add(stats_tests, stats_count);
    add(utf8_tests, utf8_count);
    return _cmocka_run_group_tests("base", base, count, NULL, NULL);
}
