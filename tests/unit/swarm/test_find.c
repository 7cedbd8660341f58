/* Peers find each other by multicast on the loopback interface; what is announced is read with every part checked. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "swarm/find.h"

#define PEER_A "0123456789abcdef0123456789abcdef"
#define PEER_B "ffffffffffffffff0123456789abcdef"
#define ID "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define HEAD "{\"tightwad\":1,\"peer\":\"" PEER_A "\""

/* --- the text --- */

static void the_longest_message_comes_back(void **state)
{
    struct find_message m = {.peer = PEER_A, .port = 65535, .asks = 1, .n_ids = FIND_IDS}, again;
    size_t len;
    (void)state;
    for (size_t i = 0; i < FIND_IDS; i++)
        snprintf(m.id[i], sizeof m.id[i], "%016zx", i * 77777777);
    char *text = find_text(&m, &len);
    assert_in_range(len, 1, FIND_BYTES);
    assert_int_equal(find_parse(&again, text, len), 0);
    assert_string_equal(again.peer, PEER_A);
    assert_int_equal(again.port, 65535);
    assert_true(again.asks);
    assert_int_equal(again.n_ids, FIND_IDS);
    assert_memory_equal(again.id, m.id, sizeof m.id);
    free(text);
}

static void what_is_not_ours_is_not_read(void **state)
{
    static const char *const bad[] = {"",
                                      "hello",
                                      "[]",
                                      "{}",
                                      HEAD "}",
                                      HEAD ",\"port\":0}",
                                      HEAD ",\"port\":-1}",
                                      HEAD ",\"port\":65536}",
                                      HEAD ",\"port\":\"1\"}",
                                      HEAD ",\"port\":1,\"ask\":1}",
                                      HEAD ",\"port\":1,\"ids\":{}}",
                                      HEAD ",\"port\":1,\"ids\":[1]}",
                                      HEAD ",\"port\":1,\"ids\":[\"0123456789abcde\"]}",
                                      HEAD ",\"port\":1,\"ids\":[\"0123456789abcdefa\"]}",
                                      HEAD ",\"port\":1,\"ids\":[\"0123456789ABCDEF\"]}",
                                      HEAD ",\"port\":1,\"ids\":[\"../../../../../x\"]}",
                                      "{\"tightwad\":2,\"peer\":\"" PEER_A "\",\"port\":1}",
                                      "{\"tightwad\":1,\"port\":1}",
                                      "{\"tightwad\":1,\"peer\":\"0123\",\"port\":1}",
                                      "{\"tightwad\":1,\"peer\":\"0123456789abcdef0123456789abcdeg\",\"port\":1}"};
    struct find_message m;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(find_parse(&m, bad[i], strlen(bad[i])), -1);
    static const char good[] = HEAD ",\"port\":1,\"later\":[{}]}";
    assert_int_equal(find_parse(&m, good, strlen(good)), 0);
    char text[FIND_BYTES * 2];
    int len = snprintf(text, sizeof text, HEAD ",\"port\":1,\"x\":\"%*s\"}", FIND_BYTES, "");
    assert_int_equal(find_parse(&m, text, (size_t)len), -1);
    len = snprintf(text, sizeof text, HEAD ",\"port\":1,\"ids\":[");
    for (size_t i = 0; i <= FIND_IDS; i++)
        len += snprintf(text + len, sizeof text - (size_t)len, "%s\"0123456789abcdef\"", i > 0 ? "," : "");
    len += snprintf(text + len, sizeof text - (size_t)len, "]}");
    assert_int_equal(find_parse(&m, text, (size_t)len), -1);
}

/* --- on the wire --- */

struct ear {
    struct event_base *base;
    size_t heard, n_ids;
    size_t until; /* heard so often: the loop ends */
    char address[64], peer[FIND_PEER + 1], id[FIND_ID + 1];
};

static void on_peer(void *arg, const char *address, const char *peer, const char *const *ids, size_t n_ids)
{
    struct ear *e = arg;
    e->heard++;
    e->n_ids += n_ids;
    snprintf(e->address, sizeof e->address, "%s", address);
    snprintf(e->peer, sizeof e->peer, "%s", peer);
    snprintf(e->id, sizeof e->id, "%s", n_ids > 0 ? ids[0] : "");
    if (e->heard == e->until)
        event_base_loopbreak(e->base);
}

/* A UDP port that nobody else uses, so that other programs of this machine stay out of it. */
static int free_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
    close(fd);
    return ntohs(at.sin_port);
}

static struct find *listen_as(struct ear *e, const char *peer, const char *host, int port)
{
    char *cause = NULL;
    struct find_opts o = {.peer = peer, .interface = "127.0.0.1", .host = host, .port = port};
    struct find *f = find_create(e->base, &o, on_peer, e, &cause);
    if (f == NULL)
        print_error("%s\n", cause);
    assert_non_null(f);
    return f;
}

static void run_for(struct event_base *base, long ms)
{
    struct timeval tv = {ms / 1000, ms % 1000 * 1000};
    event_base_loopexit(base, &tv);
    event_base_dispatch(base);
}

static void peers_find_each_other(void **state)
{
    static const char *const ids[] = {ID};
    struct ear a = {.base = event_base_new(), .until = 1}, b = {.base = a.base, .until = 1};
    int port = free_port();
    (void)state;
    struct find *fa = listen_as(&a, PEER_A, "0.0.0.0", port), *fb = listen_as(&b, PEER_B, NULL, port);
    find_announce(fa, 4711, ids, 1);
    run_for(a.base, 5000);
    assert_int_equal(b.heard, 1);
    assert_string_equal(b.address, "127.0.0.1:4711");
    assert_string_equal(b.peer, PEER_A);
    assert_string_equal(b.id, "0011223344556677");
    assert_int_equal(a.heard, 0); /* not itself */
    b.heard = 0;
    find_ask(fb); /* serves nothing: it is answered, but nobody can ask it */
    run_for(a.base, 5000);
    assert_true(b.heard > 0);
    assert_int_equal(a.heard, 0);
    find_destroy(fa);
    find_destroy(fb);
    event_base_free(a.base);
}

static void many_models_are_announced_in_parts(void **state)
{
    const char *ids[FIND_IDS_MAX + 10];
    struct ear a = {.base = event_base_new()}, b = {.base = a.base, .until = FIND_IDS_MAX / FIND_IDS};
    int port = free_port();
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ids); i++)
        ids[i] = ID;
    struct find *fa = listen_as(&a, PEER_A, "127.0.0.1", port), *fb = listen_as(&b, PEER_B, NULL, port);
    find_announce(fa, 4711, ids, ARRAY_LEN(ids));
    run_for(a.base, 5000);
    assert_int_equal(b.n_ids, FIND_IDS_MAX);
    find_destroy(fa);
    find_destroy(fb);
    event_base_free(a.base);
}

/* Who serves at an address of another interface isn't reached on this one. */
static void it_is_announced_where_it_serves(void **state)
{
    struct ear a = {.base = event_base_new(), .until = 1}, b = {.base = a.base};
    int port = free_port();
    (void)state;
    struct find *fa = listen_as(&a, PEER_A, "192.0.2.1", port), *fb = listen_as(&b, PEER_B, NULL, port);
    find_announce(fa, 4711, NULL, 0);
    find_ask(fa);
    find_announce(fb, 4712, NULL, 0);
    run_for(a.base, 1500); /* b is heard before: the loop ends then */
    assert_string_equal(a.address, "127.0.0.1:4712");
    assert_int_equal(b.heard, 0);
    find_destroy(fa);
    find_destroy(fb);
    event_base_free(a.base);
}

/* A socket on which this machine speaks to the group from one of its loopback addresses. */
static int speaker(const char *from)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    struct ip_mreqn card = {.imr_address.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    inet_pton(AF_INET, from, &at.sin_addr);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &card, sizeof card), 0);
    return fd;
}

static void say(int fd, int port, const char *text)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, FIND_GROUP, &to.sin_addr);
    assert_int_equal(sendto(fd, text, strlen(text), 0, (struct sockaddr *)&to, sizeof to), strlen(text));
}

/* Of one that talks without an end little is heard, and others are heard as ever. */
static void a_flood_drowns_nobody(void **state)
{
    static const char text[] = "{\"tightwad\":1,\"peer\":\"" PEER_B "\",\"port\":1}";
    struct ear a = {.base = event_base_new()};
    int port = free_port(), loud = speaker("127.0.0.2"), quiet = speaker("127.0.0.3");
    (void)state;
    struct find *f = listen_as(&a, PEER_A, NULL, port);
    int64_t began = clock_us();
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < 20; i++)
            say(loud, port, text);
        event_base_loop(a.base, EVLOOP_NONBLOCK);
    }
    assert_in_range(a.heard, 1, 40 * (2 + (clock_us() - began) / 10000000));
    a.until = a.heard + 1;
    say(quiet, port, text);
    run_for(a.base, 5000);
    assert_string_equal(a.address, "127.0.0.3:1");
    find_destroy(f);
    close(loud);
    close(quiet);
    event_base_free(a.base);
}

static void an_interface_that_is_not_there_is_an_error(void **state)
{
    struct event_base *base = event_base_new();
    struct find_opts o = {.peer = PEER_A, .interface = "192.0.2.1", .port = free_port()};
    char *cause = NULL;
    (void)state;
    assert_null(find_create(base, &o, on_peer, NULL, &cause));
    assert_non_null(strstr(cause, "192.0.2.1"));
    free(cause);
    find_destroy(NULL);
    event_base_free(base);
}

const struct CMUnitTest find_tests[] = {
    cmocka_unit_test(the_longest_message_comes_back),
    cmocka_unit_test(what_is_not_ours_is_not_read),
    cmocka_unit_test(peers_find_each_other),
    cmocka_unit_test(many_models_are_announced_in_parts),
    cmocka_unit_test(it_is_announced_where_it_serves),
    cmocka_unit_test(a_flood_drowns_nobody),
    cmocka_unit_test(an_interface_that_is_not_there_is_an_error),
};
const size_t find_count = ARRAY_LEN(find_tests);
