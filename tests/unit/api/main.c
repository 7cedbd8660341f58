/* The API over a fake proxy: every endpoint, and what slow, impatient and impolite clients do to it. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "fixture.h"

extern const struct CMUnitTest control_tests[], endpoints_tests[], events_tests[], json_tests[], metrics_modes_tests[],
    metrics_swarm_tests[], status_tests[];
extern const size_t control_count, endpoints_count, events_count, json_count, metrics_modes_count, metrics_swarm_count,
    status_count;

static size_t add(struct CMUnitTest *to, size_t at, const struct CMUnitTest *from, size_t n)
{
    memcpy(to + at, from, n * sizeof(*from));
    return at + n;
}

int main(void)
{
    size_t n = control_count + endpoints_count + events_count + json_count + metrics_modes_count + metrics_swarm_count +
               status_count,
           at = 0;
    struct CMUnitTest *all = xcalloc(n, sizeof(*all));
    at = add(all, at, control_tests, control_count);
    at = add(all, at, endpoints_tests, endpoints_count);
    at = add(all, at, events_tests, events_count);
    at = add(all, at, json_tests, json_count);
    at = add(all, at, metrics_modes_tests, metrics_modes_count);
    at = add(all, at, metrics_swarm_tests, metrics_swarm_count);
    add(all, at, status_tests, status_count);
    int rc = _cmocka_run_group_tests("api", all, n, NULL, NULL);
    free(all);
    return rc;
}
