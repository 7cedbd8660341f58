/* Which peers a list of networks lets in, IPv4 and IPv6, and what is said about a list that is wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "http/peer.h"

static struct peer peer_of(const char *address)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    struct peer p;

    if (inet_pton(AF_INET, address, &in.sin_addr) == 1) {
        peer_describe(&p, (struct sockaddr *)&in);
    } else {
        assert_int_equal(inet_pton(AF_INET6, address, &in6.sin6_addr), 1);
        peer_describe(&p, (struct sockaddr *)&in6);
    }
    return p;
}

static void test_networks(void **state)
{
    static const struct {
        const char *list, *peer;
        bool in;
    } cases[] = {
        {"10.0.0.0/8", "10.255.3.4", true},
        {"10.0.0.0/8", "11.0.0.1", false},
        {"192.168.1.7", "192.168.1.7", true},
        {"192.168.1.7", "192.168.1.6", false},
        {"192.168.1.128/25", "192.168.1.127", false},
        {"192.168.1.128/25", "192.168.1.128", true},
        {"192.168.1.77/24", "192.168.1.1", true}, /* the bits behind the network count for nothing */
        {"10.1.2.0/23", "10.1.3.9", true},
        {"10.1.2.0/23", "10.1.4.0", false},
        {"0.0.0.0/0", "8.8.8.8", true},
        {"0.0.0.0/0", "2001:db8::1", false},
        {"::/0", "8.8.8.8", true}, /* all there is */
        {"::1", "::1", true},
        {"::1", "127.0.0.1", false},
        {"fd00::/8", "fd12:3456::1", true},
        {"fd00::/8", "fe80::1", false},
        {"2001:db8::/33", "2001:db8:7fff::1", true},
        {"2001:db8::/33", "2001:db8:8000::1", false},
        {"10.0.0.0/8", "::ffff:10.2.3.4", true},
        {"10.0.0.1, 10.0.0.2 ,fd00::1/128", "10.0.0.2", true},
        {"10.0.0.1, 10.0.0.2 ,fd00::1/128", "fd00::1", true},
        {"10.0.0.1, 10.0.0.2 ,fd00::1/128", "fd00::2", false},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct peer_list l = {0};
        struct peer p = peer_of(cases[i].peer);

        assert_int_equal(peer_list_add(&l, cases[i].list, NULL), 0);
        if (peer_list_has(&l, &p) != cases[i].in)
            fail_msg("%s in %s", cases[i].peer, cases[i].list);
        peer_list_finish(&l);
    }
}

static void test_bad_lists(void **state)
{
    static const char *const bad[] = {
        "",           "10.0.0.0/33",        "10.0.0/8",           "fd00::/129", "laptop",
        "10.0.0.1,",  "1.2.3.4/",           "1.2.3.4/-1",         "1.2.3.4/8x", "1.2.3.4/ 8",
        "1.2.3.4/+8", "::ffff:1.2.3.4/200", "10.0.0.0/8 10.9.0.1"};

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct peer_list l = {0};
        struct peer p = peer_of("10.9.9.9");
        char *cause = NULL;

        assert_int_equal(peer_list_add(&l, "10.9.9.9", &cause), 0);
        if (peer_list_add(&l, bad[i], &cause) != -1)
            fail_msg("taken: \"%s\"", bad[i]);
        assert_non_null(strstr(cause, "192.168.1.0/24"));
        assert_int_equal(l.n, 1);
        assert_true(peer_list_has(&l, &p));
        free(cause);
        peer_list_finish(&l);
    }
}

static void test_nobody(void **state)
{
    struct peer_list l = {0};
    struct peer p = peer_of("127.0.0.1");
    struct sockaddr sa = {.sa_family = AF_UNIX};

    assert_false(peer_list_has(&l, &p));
    peer_describe(&p, &sa);
    assert_int_equal(peer_list_add(&l, "::/0", NULL), 0);
    assert_false(peer_list_has(&l, &p));
    peer_list_finish(&l);
}

static void test_here(void **state)
{
    struct peer same = peer_of("192.168.77.1"), other = peer_of("192.168.77.2"), loopback = peer_of("127.0.0.9");
    struct sockaddr_in own = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), yes = 1;

    inet_pton(AF_INET, "192.168.77.1", &own.sin_addr);
    assert_int_equal(setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &yes, sizeof(yes)), 0); /* whether it is ours or not */
    assert_int_equal(bind(fd, (struct sockaddr *)&own, sizeof(own)), 0);
    assert_false(same.here);
    peer_meet(&same, fd);
    peer_meet(&other, fd);
    peer_meet(&loopback, fd);
    assert_true(same.here && !same.local);
    assert_false(other.here);
    assert_true(loopback.here && loopback.local);
    close(fd);
}

const struct CMUnitTest peer_tests[] = {
    cmocka_unit_test(test_networks),
    cmocka_unit_test(test_bad_lists),
    cmocka_unit_test(test_nobody),
    cmocka_unit_test(test_here),
};
const size_t peer_count = sizeof(peer_tests) / sizeof(peer_tests[0]);
