/* The unit tests of src/swarm as one TAP plan. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

extern const struct CMUnitTest bits_tests[];
extern const size_t bits_count;
extern const struct CMUnitTest message_tests[];
extern const size_t message_count;
extern const struct CMUnitTest find_tests[];
extern const size_t find_count;
extern const struct CMUnitTest pick_tests[];
extern const size_t pick_count_of_tests;
extern const struct CMUnitTest simulation_tests[];
extern const size_t simulation_count;
extern const struct CMUnitTest library_tests[];
extern const size_t library_count;
extern const struct CMUnitTest manifest_tests[], manifest_cut_tests[];
extern const size_t manifest_count, manifest_cut_count;
extern const struct CMUnitTest needed_tests[], rpc_cache_tests[];
extern const size_t needed_count, rpc_cache_count;
extern const struct CMUnitTest library_tests[];
extern const size_t library_count;
extern const struct CMUnitTest manifest_tests[], manifest_cut_tests[], manifest_make_tests[];
extern const size_t manifest_count, manifest_cut_count, manifest_make_count;
extern const struct CMUnitTest server_tests[];
extern const size_t server_count;
extern const struct CMUnitTest share_tests[], store_tests[], store_replace_tests[];
extern const size_t share_count, store_count, store_replace_count;
extern const struct CMUnitTest transfer_tests[];
extern const size_t transfer_count;
extern const struct CMUnitTest web_file_tests[], what_tests[];
extern const size_t web_file_count, what_count;

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
    add(bits_tests, bits_count);
    add(message_tests, message_count);
    add(find_tests, find_count);
    add(pick_tests, pick_count_of_tests);
    add(simulation_tests, simulation_count);
    add(library_tests, library_count);
    add(manifest_tests, manifest_count);
    add(manifest_cut_tests, manifest_cut_count);
    add(needed_tests, needed_count);
    add(rpc_cache_tests, rpc_cache_count);
    add(manifest_make_tests, manifest_make_count);
    add(server_tests, server_count);
    add(share_tests, share_count);
    add(store_tests, store_count);
    add(store_replace_tests, store_replace_count);
    add(transfer_tests, transfer_count);
    add(web_file_tests, web_file_count);
    add(what_tests, what_count);
    return _cmocka_run_group_tests("swarm", all, count, NULL, NULL);
}
