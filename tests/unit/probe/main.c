/* The unit tests of src/probe as one TAP plan. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

extern const struct CMUnitTest gguf_tests[], gpu_tests[], here_tests[], layers_tests[], machine_tests[],
    ollama_store_tests[], parts_tests[], route_tests[], rpc_tests[], scan_tests[], scan_live_tests[],
    worker_note_tests[];
extern const size_t gguf_count, gpu_count, here_count, layers_count, machine_count, ollama_store_count, parts_count,
    route_count, rpc_count, scan_count, scan_live_count, worker_note_count;

enum { TESTS_MAX = 256 };
static struct CMUnitTest all[TESTS_MAX];
static size_t count;

static void add(const struct CMUnitTest *tests, size_t n)
{
    for (size_t i = 0; i < n && count < TESTS_MAX; i++)
        all[count++] = tests[i];
}

int main(void)
{
    add(gguf_tests, gguf_count);
    add(gpu_tests, gpu_count);
    add(here_tests, here_count);
    add(layers_tests, layers_count);
    add(machine_tests, machine_count);
    add(ollama_store_tests, ollama_store_count);
    add(parts_tests, parts_count);
    add(route_tests, route_count);
    add(rpc_tests, rpc_count);
    add(scan_tests, scan_count);
    add(scan_live_tests, scan_live_count);
    add(worker_note_tests, worker_note_count);
    return _cmocka_run_group_tests("probe", all, count, NULL, NULL);
}
