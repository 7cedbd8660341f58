/* Which of this machine's addresses another one is talked to from. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "probe/route.h"

static void this_machine_is_here(void **state)
{
    struct route r;
    char *cause = NULL;
    (void)state;
    assert_int_equal(route_find("127.0.0.1", &r, &cause), 0);
    assert_string_equal(r.from, "127.0.0.1");
    assert_true(r.here);
    assert_int_equal(route_find("127.0.0.9", &r, &cause), 0);
    assert_string_equal(r.from, "127.0.0.1");
    assert_null(cause);
}

static void a_name_without_an_address_is_named(void **state)
{
    struct route r;
    char *cause = NULL;
    (void)state;
    assert_int_equal(route_find("no-such-host.invalid", &r, &cause), -1);
    assert_non_null(strstr(cause, "no-such-host.invalid: no address"));
    free(cause);
}

const struct CMUnitTest route_tests[] = {
    cmocka_unit_test(this_machine_is_here),
    cmocka_unit_test(a_name_without_an_address_is_named),
};
const size_t route_count = sizeof(route_tests) / sizeof(route_tests[0]);
