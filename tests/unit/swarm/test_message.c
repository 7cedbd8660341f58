/* What peers say to each other: what was written is read back, and what is wrong is refused before it is used. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "swarm/message.h"

static const char peer_id[] = "0123456789abcdef0123456789abcdef";

static int parse(struct message *m, const char *line, size_t n_pieces)
{
    char *cause = NULL;
    int rc = message_parse(m, line, strlen(line), n_pieces, &cause);
    assert_true((rc == 0) == (cause == NULL));
    free(cause);
    return rc;
}

static void hello_comes_back(void **state)
{
    struct bits have, fetching;
    struct message m;
    (void)state;
    bits_init(&have, 65536);
    bits_init(&fetching, 65536);
    for (size_t i = 0; i < have.n; i++) {
        bits_set(&have, i, i % 3 == 0);
        bits_set(&fetching, i, i % 3 == 1);
    }
    char *line = message_hello(peer_id, &have, &fetching);
    assert_true(strlen(line) <= SWARM_LINE_MAX);
    assert_int_equal(parse(&m, line, 65536), 0);
    assert_int_equal(m.kind, MESSAGE_HELLO);
    assert_string_equal(m.peer, peer_id);
    assert_int_equal(m.have.count, have.count);
    assert_memory_equal(m.have.byte, have.byte, 8192);
    assert_int_equal(m.n_pieces, 4096);
    assert_int_equal(m.piece[1], 4);
    message_finish(&m);
    free(line);
    bits_finish(&have);
    bits_finish(&fetching);
}

static void lists_come_back(void **state)
{
    static uint32_t piece[20000];
    static const enum message_kind kinds[] = {MESSAGE_HAVE, MESSAGE_FETCHING, MESSAGE_DROPPED};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(piece); i++)
        piece[i] = (uint32_t)(i + 40000);
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        char *text = message_pieces(kinds[k], piece, ARRAY_LEN(piece)), *rest = text, *line;
        size_t seen = 0;
        while ((line = strsep(&rest, "\n")) != NULL && *line != '\0') {
            struct message m;
            assert_true(strlen(line) < SWARM_LINE_MAX);
            assert_int_equal(parse(&m, line, 65536), 0);
            assert_int_equal(m.kind, kinds[k]);
            for (size_t i = 0; i < m.n_pieces; i++)
                assert_int_equal(m.piece[i], piece[seen++]);
            message_finish(&m);
        }
        assert_int_equal(seen, ARRAY_LEN(piece));
        free(text);
    }
}

static void peers_come_back(void **state)
{
    static const char address[2][SWARM_ADDRESS] = {"10.0.0.2:9192", "[fd00::1]:80"};
    struct message m;
    (void)state;
    char *line = message_peers(address, 2);
    assert_int_equal(parse(&m, line, 1), 0);
    assert_int_equal(m.kind, MESSAGE_PEERS);
    assert_int_equal(m.n_addresses, 2);
    assert_string_equal(m.address[1], "[fd00::1]:80");
    message_finish(&m);
    free(line);
}

static void later_versions_may_say_more(void **state)
{
    struct message m;
    (void)state;
    assert_int_equal(parse(&m, "{\"mood\":[1,{}]}", 3), 0);
    assert_int_equal(m.kind, MESSAGE_ALIVE);
    message_finish(&m);
    assert_int_equal(parse(&m, "{\"have\":[2],\"mood\":\"good\"}", 3), 0);
    assert_int_equal(m.kind, MESSAGE_HAVE);
    assert_int_equal(m.piece[0], 2);
    message_finish(&m);
    assert_int_equal(parse(&m, message_bye, 3), 0);
    assert_int_equal(m.kind, MESSAGE_BYE);
    message_finish(&m);
}

static void wrong_lines_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{\"have\":[3]}",
        "{\"have\":[-1]}",
        "{\"have\":[1.0]}",
        "{\"have\":[\"1\"]}",
        "{\"have\":[18446744073709551617]}",
        "{\"have\":[0,1,2,0]}",
        "{\"have\":{}}",
        "{\"have\":[1],\"have\":[2]}",
        "{\"have\":[1],\"dropped\":[2]}",
        "{\"peers\":[\"example.com:80\"]}",
        "{\"peers\":[\"10.0.0.1\"]}",
        "{\"peers\":\"10.0.0.1:1\"}",
        "{\"hello\":true}",
        "{\"hello\":{\"protocol\":2,\"peer\":\"0123456789abcdef0123456789abcdef\",\"pieces\":3,\"have\":\"AA==\"}}",
        "{\"hello\":{\"protocol\":1,\"peer\":\"../../456789abcdef0123456789abcdef\",\"pieces\":3,\"have\":\"AA==\"}}",
        "{\"hello\":{\"protocol\":1,\"peer\":\"0123456789abcdef0123456789abcdef\",\"pieces\":4,\"have\":\"AA==\"}}",
        "{\"hello\":{\"protocol\":1,\"peer\":\"0123456789abcdef0123456789abcdef\",\"pieces\":3,\"have\":\"/w==\"}}",
        "{\"hello\":{\"protocol\":1,\"peer\":\"0123456789abcdef0123456789abcdef\",\"pieces\":3,\"have\":\"AA==\","
        "\"fetching\":[7]}}",
        "{\"hello\":{\"protocol\":1,\"peer\":\"0123456789abcdef0123456789abcdef\",\"pieces\":3}}",
    };
    struct message m;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(parse(&m, bad[i], 3), -1);
    char *cause = NULL, *blanks = xcalloc(SWARM_LINE_MAX + 1, 1);
    memset(blanks, ' ', SWARM_LINE_MAX);
    memcpy(blanks, "{}", 2);
    assert_int_equal(message_parse(&m, blanks, SWARM_LINE_MAX, 3, NULL), 0);
    assert_int_equal(message_parse(&m, blanks, SWARM_LINE_MAX + 1, 3, &cause), -1);
    free(cause);
    free(blanks);
}

static void addresses_are_numeric(void **state)
{
    static const char *const good[][2] = {
        {"10.0.0.2:9192", "10.0.0.2:9192"},
        {"[FE80::0001]:00080", "[fe80::1]:80"},
        {"[::ffff:10.0.0.2]:1", "10.0.0.2:1"},
        {"127.0.0.1:65535", "127.0.0.1:65535"},
    };
    static const char *const bad[] = {
        "",
        "10.0.0.2",
        "10.0.0.2:",
        "10.0.0.2:0",
        "10.0.0.2:65536",
        "10.0.0.2:1x",
        "10.0.2:1",
        "localhost:1",
        "fe80::1:80",
        "[fe80::1]80",
        "[fe80::1%lo]:1",
        "[fe80::1:80",
        "0.0.0.0:1",
        "[::]:1",
        "224.0.0.1:1",
        "[ff02::1]:1",
        "255.255.255.255:1",
        "10.0.0.2:1 ",
        "10.0.0.2:+1",
        "[10.0.0.1]:1",
        "[::ffff:0.0.0.0]:4",
        ":1",
        "10.0.0.2:111111",
        "[1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc]:1",
    };
    char out[SWARM_ADDRESS];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_true(message_address(good[i][0], out));
        assert_string_equal(out, good[i][1]);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(message_address(bad[i], out));
}

const struct CMUnitTest message_tests[] = {
    cmocka_unit_test(hello_comes_back),        cmocka_unit_test(lists_come_back),
    cmocka_unit_test(peers_come_back),         cmocka_unit_test(later_versions_may_say_more),
    cmocka_unit_test(wrong_lines_are_refused), cmocka_unit_test(addresses_are_numeric),
};
const size_t message_count = sizeof(message_tests) / sizeof(message_tests[0]);
