/* The engines over a fake node whose right answers a test can compute. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/mem.h"

extern const struct CMUnitTest proxy_tests[];
extern const size_t proxy_count;
extern const struct CMUnitTest proxy_pool_tests[];
extern const size_t proxy_pool_count;
extern const struct CMUnitTest command_tests[];
extern const size_t command_test_count;
extern const struct CMUnitTest gate_tests[];
extern const size_t gate_count;
extern const struct CMUnitTest governor_tests[];
extern const size_t governor_test_count;
extern const struct CMUnitTest line_tests[];
extern const size_t line_test_count;
extern const struct CMUnitTest hosts_tests[];
extern const size_t hosts_test_count;
extern const struct CMUnitTest live_tests[];
extern const size_t live_test_count;
extern const struct CMUnitTest pool_argv_tests[];
extern const size_t pool_argv_test_count;
extern const struct CMUnitTest pool_preseed_tests[];
extern const size_t pool_preseed_test_count;
extern const struct CMUnitTest speculate_tests[];
extern const size_t speculate_test_count;
extern const struct CMUnitTest merge_tests[];
extern const size_t merge_test_count;
extern const struct CMUnitTest team_tests[];
extern const size_t team_test_count;
extern const struct CMUnitTest names_tests[];
extern const size_t names_test_count;
extern const struct CMUnitTest verdict_tests[];
extern const size_t verdict_test_count;
extern const struct CMUnitTest consensus_tests[];
extern const size_t consensus_test_count;
extern const struct CMUnitTest vote_tests[];
extern const size_t vote_test_count;
extern const struct CMUnitTest review_tests[];
extern const size_t review_test_count;
extern const struct CMUnitTest swarm_settings_tests[];
extern const size_t swarm_settings_count;

struct list {
    struct CMUnitTest *tests;
    size_t n;
};

static void add(struct list *l, const struct CMUnitTest *tests, size_t n)
{
    l->tests = xreallocarray(l->tests, l->n + n, sizeof(*tests));
    memcpy(l->tests + l->n, tests, n * sizeof(*tests));
    l->n += n;
}

int main(void)
{
    unsetenv("OMP_WAIT_POLICY"); /* what is set goes before what is put in a child's environment */
    log_set_level(LOG_ERROR);
    struct list all = {0};
    add(&all, proxy_tests, proxy_count);
    add(&all, merge_tests, merge_test_count);
    add(&all, team_tests, team_test_count);
    add(&all, proxy_pool_tests, proxy_pool_count);
    add(&all, command_tests, command_test_count);
    add(&all, gate_tests, gate_count);
    add(&all, governor_tests, governor_test_count);
    add(&all, line_tests, line_test_count);
    add(&all, hosts_tests, hosts_test_count);
    add(&all, live_tests, live_test_count);
    add(&all, pool_argv_tests, pool_argv_test_count);
    add(&all, speculate_tests, speculate_test_count);
    add(&all, names_tests, names_test_count);
    add(&all, verdict_tests, verdict_test_count);
    add(&all, consensus_tests, consensus_test_count);
    add(&all, vote_tests, vote_test_count);
    add(&all, review_tests, review_test_count);
    add(&all, swarm_settings_tests, swarm_settings_count);
    int failed = _cmocka_run_group_tests("engines", all.tests, all.n, NULL, NULL);
    free(all.tests);
    return failed;
}
