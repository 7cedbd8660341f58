/* One machine is one entry, by whatever addresses it was found. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "advise/fold.h"
#include "base/mem.h"

static void seen(struct machine *m, enum machine_origin origin, const char *address, int port)
{
    machine_init(m, origin);
    snprintf(m->address, sizeof(m->address), "%s", address);
    snprintf(m->name, sizeof(m->name), "%s", *address ? address : "here");
    m->rtt_us = 70;
    if (port == 0)
        return;
    struct machine_service *s = machine_add_service(m);
    s->kind = SERVICE_NODE;
    s->port = port;
    machine_text(s->host, sizeof(s->host), address);
}

static bool is_mine(const char *address)
{
    return strcmp(address, "192.168.1.7") == 0;
}

static void what_is_here_goes_into_the_first(void **state)
{
    struct machine list[5];
    seen(&list[0], MACHINE_SEEN, "192.168.1.9", 8081);
    seen(&list[1], MACHINE_SEEN, "127.0.0.1", 8081);
    seen(&list[2], MACHINE_HERE, "", 0);
    seen(&list[3], MACHINE_SEEN, "192.168.1.7", 8082);
    seen(&list[4], MACHINE_SEEN, "192.168.1.8", 8081);
    list[2].rtt_us = -1;
    size_t n = fold_machines(list, 5, is_mine);
    assert_int_equal(n, 3);
    assert_int_equal(list[0].origin, MACHINE_HERE);
    assert_int_equal(list[0].n_services, 2);
    assert_string_equal(list[0].service[0].host, "127.0.0.1");
    assert_int_equal(list[0].rtt_us, -1);
    assert_string_equal(list[1].address, "192.168.1.9");
    assert_string_equal(list[2].address, "192.168.1.8");
    for (size_t i = 0; i < n; i++)
        machine_finish(&list[i]);
}

static void one_address_is_one_machine(void **state)
{
    struct machine list[3];
    seen(&list[0], MACHINE_SEEN, "192.168.1.9", 8081);
    seen(&list[1], MACHINE_AGENT, "192.168.1.9", 9191);
    seen(&list[2], MACHINE_SEEN, "127.0.0.1", 8081); /* no entry of this machine: it stays one of its own */
    list[1].memory = 42;
    size_t n = fold_machines(list, 3, NULL);
    assert_int_equal(n, 2);
    assert_int_equal(list[0].origin, MACHINE_AGENT);
    assert_int_equal(list[0].memory, 42);
    assert_int_equal(list[0].n_services, 2);
    assert_string_equal(list[1].address, "127.0.0.1");
    for (size_t i = 0; i < n; i++)
        machine_finish(&list[i]);
    assert_int_equal(fold_machines(NULL, 0, NULL), 0);
    assert_true(fold_is_loopback("127.3.2.1") && fold_is_loopback("::1") && fold_is_loopback("localhost"));
    assert_false(fold_is_loopback("12.7.0.1") || fold_is_loopback(""));
}

const struct CMUnitTest fold_tests[] = {
    cmocka_unit_test(what_is_here_goes_into_the_first),
    cmocka_unit_test(one_address_is_one_machine),
};
const size_t fold_count = ARRAY_LEN(fold_tests);
