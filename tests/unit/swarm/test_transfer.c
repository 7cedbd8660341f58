/* A transfer against peers that are honest, slow, silent, wrong or liars: it ends with the right bytes, whoever lies is
 * found, and what can't be done yet is told. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <math.h>

#include <event2/event.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "transfer-rig.h"

static void from_many_at_once(void **state)
{
    struct rig *r = rig_start(12, 700 * 1024);
    (void)state;
    for (size_t i = 0; i < 3; i++)
        fake_start(r, i, HONEST);
    transfer_start(r, 0);
    for (size_t i = 0; i < 3; i++)
        transfer_add_peer(r->transfer, r->fake[i].address, true);
    arrives(r);
    assert_int_equal(r->model.fetched, r->m->total_size);
    assert_int_equal(r->model.wasted, 0);
    assert_int_equal(r->peers_at_end, 3);
    assert_int_equal(r->model.peers, 0);
    for (size_t i = 0; i < 3; i++)
        assert_in_range(r->fake[i].sent, 1, r->m->total_size - 1);
    rig_finish(r);
}

static void nothing_to_do_is_done_later(void **state)
{
    struct rig *r = rig_start(2, 1000);
    struct bits none;
    (void)state;
    bits_init(&none, 2);
    r->transfer = transfer_create(&(struct transfer_opts){.base = r->base,
                                                          .http = r->http,
                                                          .crew = r->crew,
                                                          .store = r->store,
                                                          .manifest = r->m,
                                                          .want = &none,
                                                          .peer = "0123456789abcdef0123456789abcdef"},
                                  on_transfer, r);
    bits_finish(&none);
    assert_false(r->done);
    assert_true(run_until(r, is_done));
    assert_true(r->ok);
    rig_finish(r);
}

static bool one_is_banned(struct rig *r)
{
    const struct swarm_view_peer *p = seen(r, 0);
    return p && p->state == SWARM_PEER_BANNED;
}

static void a_corrupt_peer_is_banned_after_two(void **state)
{
    struct rig *r = rig_start(6, 600 * 1024);
    (void)state;
    fake_start(r, 0, CORRUPT);
    transfer_start(r, 0);
    transfer_add_peer(r->transfer, r->fake[0].address, true);
    assert_true(run_until(r, one_is_banned));
    assert_true(seen(r, 0)->corrupt >= 2); /* what was under way by then may be wrong too */
    assert_false(r->done);
    assert_int_equal(r->model.have, 0);
    assert_in_range(r->model.wasted, 1200 * 1024, 12 * 600 * 1024);
    assert_int_equal(r->model.state, SWARM_WAITING);
    assert_non_null(strstr(r->model.why, r->fake[0].address));
    unsigned asked = r->fake[0].asked;
    fake_start(r, 1, HONEST);
    transfer_add_peer(r->transfer, r->fake[0].address, true); /* saying it again does not help it */
    transfer_add_peer(r->transfer, r->fake[1].address, true);
    arrives(r);
    assert_int_equal(r->fake[0].asked, asked);
    assert_int_equal(r->fake[0].streams, 1);
    rig_finish(r);
}

static bool first_is_had(struct rig *r)
{
    return bits_has(&store_share(r->store)->have, 0);
}

/* One that is mixed up with an honest peer in a wrong piece, gets it to send alone, and then never goes on. */
static void who_sends_alone_holds_nothing_up(void **state)
{
    struct rig *r = rig_start(2, 8 * MIB);
    (void)state;
    for (size_t i = 0; i < 2; i++)
        bits_set(&fake_start(r, i, i == 0 ? SPOILER : HONEST)->have, 1, false);
    transfer_start(r, 0);
    transfer_add_peer(r->transfer, r->fake[0].address, true);
    assert_true(run_until(r, one_is_asked));
    transfer_add_peer(r->transfer, r->fake[1].address, true);
    assert_true(run_until(r, first_is_had));
    assert_int_equal(r->fake[0].fronts, 2); /* it did get it to send alone */
    assert_int_equal(seen(r, 1)->state, SWARM_PEER_UP);
    assert_int_equal(seen(r, 1)->corrupt, 0);
    rig_finish(r);
}

static bool three_are_had(struct rig *r)
{
    return store_share(r->store)->have.count == 3;
}

/* A piece that came from two is wrong: it is fetched whole from one, and who is honest is never blamed. */
static void the_liar_among_senders_is_found(void **state)
{
    (void)state;
    for (size_t liar = 0; liar < 2; liar++) {
        struct rig *r = rig_start(2, 8 * MIB);
        for (size_t i = 0; i < 2; i++)
            fake_start(r, i, i == liar ? CORRUPT : HONEST);
        bits_set(&r->fake[0].have, 1, false); /* both must begin with the same */
        bits_set(&r->fake[1].have, 1, false);
        transfer_start(r, 0);
        transfer_add_peer(r->transfer, r->fake[0].address, true);
        transfer_add_peer(r->transfer, r->fake[1].address, true);
        assert_true(run_until(r, first_is_had));
        assert_int_equal(seen(r, 1 - liar)->corrupt, 0);
        assert_int_equal(seen(r, 1 - liar)->state, SWARM_PEER_UP);
        look(r);
        assert_true(r->model.wasted > 0);
        rig_finish(r);
    }
}

static void a_peer_without_what_it_says_is_banned(void **state)
{
    struct rig *r = rig_start(12, 10000);
    (void)state;
    fake_start(r, 0, LIAR);
    transfer_start(r, 0);
    transfer_add_peer(r->transfer, r->fake[0].address, true);
    assert_true(run_until(r, one_is_banned));
    assert_in_range(r->fake[0].asked, 4, 12);
    fake_start(r, 1, HONEST);
    transfer_add_peer(r->transfer, r->fake[1].address, true);
    arrives(r);
    rig_finish(r);
}

static bool one_is_up(struct rig *r)
{
    const struct swarm_view_peer *p = seen(r, 0);
    return p && p->state == SWARM_PEER_UP;
}

/* What a silent peer has before it is asked of others at the end. */
static void a_silent_peer_holds_nothing_up(void **state)
{
    struct rig *r = rig_start(4, 600 * 1024);
    (void)state;
    fake_start(r, 0, SILENT);
    fake_start(r, 1, HONEST);
    transfer_start(r, 0);
    transfer_add_peer(r->transfer, r->fake[0].address, true);
    assert_true(run_until(r, one_is_asked));
    transfer_add_peer(r->transfer, r->fake[1].address, true);
    arrives(r);
    assert_int_equal(r->fake[0].sent, 0);
    assert_int_equal(r->model.wasted, 0);
    rig_finish(r);
}

static void broken_replies_are_asked_for_again(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct rig *r = rig_start(3, 600 * 1024);
        fake_start(r, 0, i == 0 ? SHORT : BUSY);
        fake_start(r, 1, HONEST);
        transfer_start(r, 0);
        transfer_add_peer(r->transfer, r->fake[0].address, true);
        assert_true(run_until(r, one_is_asked));
        transfer_add_peer(r->transfer, r->fake[1].address, true);
        arrives(r);
        assert_true(seen(r, 0) == NULL || seen(r, 0)->state != SWARM_PEER_BANNED);
        rig_finish(r);
    }
}

static void a_busy_peer_is_asked_again(void **state)
{
    struct rig *r = rig_start(3, 600 * 1024);
    (void)state;
    fake_start(r, 0, BUSY);
    transfer_start(r, 0);
    transfer_add_peer(r->transfer, r->fake[0].address, true);
    arrives(r);
    assert_int_equal(r->fake[0].streams, 1);
    rig_finish(r);
}

/* Streams that are none. */
static void nonsense_is_banned(void **state)
{
    static const char *const lines[] = {
        "{\"hello\":{}}\n",
        "{\"have\":[0]}\n", /* before its hello */
        "{\"hello\":{\"protocol\":1,\"peer\":\"aa\",\"pieces\":4,\"have\":\"8A==\",\"fetching\":[]}}\n",
        "{\"hello\":{\"protocol\":1,\"peer\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\"pieces\":4,\"have\":\"//8=\","
        "\"fetching\":[]}}\n",
        "{\"hello\":{\"protocol\":1,\"peer\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\"pieces\":4,\"have\":\"8A==\","
        "\"fetching\":[4]}}\n",
        "not JSON\n",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        struct rig *r = rig_start(4, 1000);
        fake_start(r, 0, HONEST)->first = xstrdup(lines[i]);
        transfer_start(r, 0);
        transfer_add_peer(r->transfer, r->fake[0].address, true);
        assert_true(run_until(r, one_is_banned));
        assert_int_equal(r->fake[0].asked, 0);
        rig_finish(r);
    }
}

static void flood(const char *line)
{
    struct rig *r = rig_start(4, 1000);
    struct buf b;
    fake_start(r, 0, HONEST);
    bits_finish(&r->fake[0].have);
    bits_init(&r->fake[0].have, 4);
    transfer_start(r, 0);
    transfer_add_peer(r->transfer, r->fake[0].address, true);
    assert_true(run_until(r, one_is_up));
    buf_init(&b, SIZE_MAX);
    while (b.len < 8 * MIB)
        buf_add(&b, line, strlen(line));
    say(&r->fake[0], b.data);
    buf_finish(&b);
    assert_true(run_until(r, one_is_banned));
    assert_non_null(strstr(seen(r, 0)->why, "flood"));
    rig_finish(r);
}

static void a_flood_is_banned(void **state)
{
    char *line = xasprintf("{\"fetching\":[1],\"x\":\"%04000d\"}\n", 0), empty[4001];
    (void)state;
    memset(empty, '\n', 4000);
    empty[4000] = '\0';
    flood(line);
    flood(empty);
    free(line);
}

static bool other_is_up(struct rig *r)
{
    const struct swarm_view_peer *p = seen(r, 1);
    return p && p->state == SWARM_PEER_UP;
}

/* One peer is enough to find the rest; what is not private is never asked. */
static void peers_tell_of_others(void **state)
{
    struct rig *r = rig_start(4, 1000);
    (void)state;
    fake_start(r, 0, HONEST);
    fake_start(r, 1, HONEST);
    for (size_t i = 0; i < 2; i++) {
        bits_finish(&r->fake[i].have);
        bits_init(&r->fake[i].have, 4);
    }
    transfer_start(r, 0);
    transfer_add_peer(r->transfer, r->fake[0].address, true);
    assert_true(run_until(r, one_is_up));
    char *line = xasprintf("{\"peers\":[\"8.8.8.8:9192\",\"%s\"]}\n", r->fake[1].address);
    say(&r->fake[0], line);
    free(line);
    assert_true(run_until(r, other_is_up));
    look(r);
    assert_int_equal(r->view.peers_in_all, 2);
    assert_int_equal(store_share(r->store)->n_peers, 2);
    say(&r->fake[0], "{\"bye\":true}\n");
    assert_true(run_until(r, other_is_up));
    rig_finish(r);
}

/* A host that is told of under many ports takes a few places, and what nobody has tried yet stays. */
static void nobody_fills_the_table(void **state)
{
    struct rig *r = rig_start(2, 1000);
    char address[SWARM_ADDRESS];
    (void)state;
    transfer_start(r, 0);
    for (int i = 0; i < 100; i++) {
        snprintf(address, sizeof address, "192.0.2.1:%d", 2000 + i);
        transfer_add_peer(r->transfer, address, false);
    }
    look(r);
    assert_int_equal(r->view.peers_in_all, 8);
    for (int i = 0; i < 100; i++) {
        snprintf(address, sizeof address, "198.51.100.%d:9192", i);
        transfer_add_peer(r->transfer, address, false);
    }
    look(r);
    assert_int_equal(r->view.peers_in_all, 64);
    assert_string_equal(r->view.peer[0].address, "192.0.2.1:2000");
    rig_finish(r);
}

static bool first_has_answered(struct rig *r)
{
    return r->fake[0].streams > 0 && seen(r, 0) == NULL;
}

/* An address of this very process, and a second one of a peer. */
static void itself_and_twins_are_left_alone(void **state)
{
    struct rig *r = rig_start(4, 1000);
    (void)state;
    snprintf(fake_start(r, 0, HONEST)->id, SWARM_PEER_ID + 1, "0123456789abcdef0123456789abcdef");
    transfer_start(r, 0);
    transfer_add_peer(r->transfer, r->fake[0].address, true);
    assert_true(run_until(r, first_has_answered));
    fake_start(r, 1, SILENT);
    transfer_add_peer(r->transfer, r->fake[1].address, true);
    assert_true(run_until(r, other_is_up));
    fake_start(r, 2, HONEST);
    memcpy(r->fake[2].id, r->fake[1].id, sizeof r->fake[2].id);
    transfer_add_peer(r->transfer, r->fake[2].address, false);
    for (int64_t end = clock_us() + 300000; clock_us() < end;)
        event_base_loop(r->base, EVLOOP_ONCE);
    assert_int_equal(r->fake[0].streams, 1);
    assert_int_equal(r->fake[0].asked, 0);
    assert_int_equal(r->fake[2].streams, 1);
    assert_int_equal(r->fake[2].asked, 0);
    rig_finish(r);
}

/* Pieces that come by another way while it runs count, and only what nobody has is waited for. */
static void pieces_from_elsewhere_count(void **state)
{
    struct rig *r = rig_start(4, 1000);
    (void)state;
    fake_start(r, 0, HONEST);
    bits_set(&r->fake[0].have, 2, false);
    transfer_start(r, 0);
    transfer_add_peer(r->transfer, r->fake[0].address, true);
    assert_true(run_until(r, three_are_had));
    for (int64_t end = clock_us() + 200000; clock_us() < end;)
        event_base_loop(r->base, EVLOOP_ONCE);
    look(r);
    assert_int_equal(r->model.state, SWARM_WAITING);
    assert_int_equal(r->model.have, 3000);
    assert_non_null(strstr(r->model.why, "1 "));
    assert_false(r->done);
    share_set_have(store_share(r->store), 2);
    assert_true(run_until(r, is_done));
    assert_true(r->ok);
    rig_finish(r);
}

static void news_of_a_peer_are_used(void **state)
{
    struct rig *r = rig_start(4, 1000);
    (void)state;
    fake_start(r, 0, HONEST);
    bits_finish(&r->fake[0].have);
    bits_init(&r->fake[0].have, 4);
    transfer_start(r, 0);
    transfer_add_peer(r->transfer, r->fake[0].address, true);
    assert_true(run_until(r, one_is_up));
    bits_fill(&r->fake[0].have);
    say(&r->fake[0], "{\"fetching\":[0,1,2,3]}\n{\"have\":[3,1]}\n{\"have\":[0,2],\"new\":1}\n{\"later\":true}\n");
    arrives(r);
    rig_finish(r);
}

static void a_limit_is_kept(void **state)
{
    struct rig *r = rig_start(4, 512 * 1024);
    int64_t start = clock_us();
    (void)state;
    fake_start(r, 0, HONEST);
    transfer_start(r, 2 * MIB);
    transfer_add_peer(r->transfer, r->fake[0].address, true);
    arrives(r);
    assert_true(clock_us() - start > 400000); /* 2 MiB at 2 MiB/s, of which some come at once */
    rig_finish(r);
}

static bool no_ranges_is_told(struct rig *r)
{
    look(r);
    return r->view.n_peers == 1 && strstr(r->view.peer[0].why, "parts of files") != NULL;
}

static bool circles_are_told(struct rig *r)
{
    look(r);
    return strstr(r->view.peer[0].why, "in circles") != NULL;
}

static void a_web_server_helps_out(void **state)
{
    struct rig *r = rig_start(6, 300 * 1024);
    (void)state;
    fake_start(r, 0, HONEST);
    fake_start(r, 1, WHOLE); /* has no ranges: of no use */
    transfer_start(r, 0);
    char *url = xasprintf("http://%s/m.gguf", r->fake[1].address);
    transfer_add_web(r->transfer, url);
    transfer_add_web(r->transfer, url);
    assert_true(run_until(r, no_ranges_is_told));
    free(url);
    url = xasprintf("http://%s/m.gguf", r->fake[0].address);
    transfer_add_web(r->transfer, url);
    free(url);
    arrives(r);
    assert_int_equal(r->fake[0].streams, 0);
    assert_int_equal(r->fake[0].sent, r->m->total_size);
    rig_finish(r);
}

/* The only peer with the pieces is asked, and gives nothing. */
static void a_web_server_is_asked_where_peers_are_too_slow(void **state)
{
    struct rig *r = rig_start(12, 300 * 1024);
    (void)state;
    fake_start(r, 0, SILENT);
    fake_start(r, 1, HONEST);
    char *url = xasprintf("http://%s/m.gguf", r->fake[1].address);
    transfer_start(r, 0);
    transfer_add_peer(r->transfer, r->fake[0].address, true);
    assert_true(run_until(r, one_is_asked));
    transfer_add_web(r->transfer, url);
    arrives_soon(r);
    free(url);
    rig_finish(r);
}

static bool others_are_up(struct rig *r)
{
    const struct swarm_view_peer *p = seen(r, 2);
    return one_is_asked(r) && p && p->state == SWARM_PEER_UP;
}

/* Nor by a peer that has nothing, and whose speed is therefore unknown. */
static void a_seeder_is_asked_where_others_give_nothing(void **state)
{
    struct rig *r = rig_start(12, 300 * 1024);
    (void)state;
    bits_set(&fake_start(r, 0, SILENT)->have, 3, false);
    fake_start(r, 1, HONEST);
    bits_finish(&fake_start(r, 2, HONEST)->have);
    bits_init(&r->fake[2].have, 12);
    transfer_start(r, 0);
    transfer_add_peer(r->transfer, r->fake[2].address, true);
    transfer_add_peer(r->transfer, r->fake[0].address, true);
    assert_true(run_until(r, others_are_up));
    transfer_add_peer(r->transfer, r->fake[1].address, true);
    arrives_soon(r);
    rig_finish(r);
}

/* A server that has its files elsewhere, at addresses that are good for some time only. */
static void a_web_server_redirects(void **state)
{
    struct rig *r = rig_start(6, 300 * 1024);
    (void)state;
    for (size_t i = 0; i < 2; i++)
        fake_start(r, i, HONEST);
    char *url = xasprintf("http://%s/m.gguf", r->fake[0].address);
    char *to = xasprintf("//%s/m.gguf?key=1", r->fake[1].address);
    r->fake[0].to = to;
    r->fake[1].expires = r->m->total_size / 2;
    transfer_start(r, 0);
    transfer_add_web(r->transfer, url);
    arrives(r);
    assert_int_equal(r->fake[0].sent, 0);
    assert_true(r->fake[0].asked >= 2 && r->fake[0].asked < r->fake[1].asked);
    assert_int_equal(r->model.wasted, 0);
    free(url);
    free(to);
    rig_finish(r);
}

static void redirects_in_circles_end(void **state)
{
    struct rig *r = rig_start(2, 1000);
    (void)state;
    char *url = xasprintf("http://%s/m.gguf", fake_start(r, 0, HONEST)->address);
    r->fake[0].to = "/m.gguf";
    transfer_start(r, 0);
    transfer_add_web(r->transfer, url);
    assert_true(run_until(r, circles_are_told));
    assert_in_range(r->fake[0].asked, 20, 100);
    free(url);
    rig_finish(r);
}

/* In the middle of everything. */
static void it_can_be_ended_at_any_time(void **state)
{
    (void)state;
    for (int turns = 0; turns < 60; turns += 3) {
        struct rig *r = rig_start(4, 700 * 1024);
        fake_start(r, 0, HONEST);
        fake_start(r, 1, CORRUPT);
        transfer_start(r, 0);
        transfer_add_peer(r->transfer, r->fake[0].address, true);
        transfer_add_peer(r->transfer, r->fake[1].address, true);
        for (int i = 0; i < turns && !r->done; i++)
            event_base_loop(r->base, EVLOOP_ONCE);
        assert_true(turns > 0 || r->model.fetched == 0);
        rig_finish(r);
    }
}

static void nobody_there_is_told(void **state)
{
    struct rig *r = rig_start(2, 1000);
    (void)state;
    transfer_start(r, 0);
    look(r);
    assert_int_equal(r->model.state, SWARM_FINDING);
    transfer_add_peer(r->transfer, "nonsense/:1", true);
    transfer_add_peer(r->transfer, "host:1", false); /* others tell numbers only */
    look(r);
    assert_int_equal(r->view.peers_in_all, 0);
    transfer_add_peer(r->transfer, "127.0.0.1:1", true);
    for (int64_t end = clock_us() + 300000; clock_us() < end;)
        event_base_loop(r->base, EVLOOP_ONCE);
    look(r);
    assert_int_equal(r->model.state, SWARM_WAITING);
    assert_non_null(strstr(r->model.why, "127.0.0.1:1"));
    assert_true(isnan(r->model.eta));
    rig_finish(r);
}

const struct CMUnitTest transfer_tests[] = {
    cmocka_unit_test(from_many_at_once),
    cmocka_unit_test(nothing_to_do_is_done_later),
    cmocka_unit_test(a_corrupt_peer_is_banned_after_two),
    cmocka_unit_test(the_liar_among_senders_is_found),
    cmocka_unit_test(who_sends_alone_holds_nothing_up),
    cmocka_unit_test(a_peer_without_what_it_says_is_banned),
    cmocka_unit_test(a_silent_peer_holds_nothing_up),
    cmocka_unit_test(broken_replies_are_asked_for_again),
    cmocka_unit_test(a_busy_peer_is_asked_again),
    cmocka_unit_test(nonsense_is_banned),
    cmocka_unit_test(a_flood_is_banned),
    cmocka_unit_test(peers_tell_of_others),
    cmocka_unit_test(nobody_fills_the_table),
    cmocka_unit_test(itself_and_twins_are_left_alone),
    cmocka_unit_test(pieces_from_elsewhere_count),
    cmocka_unit_test(news_of_a_peer_are_used),
    cmocka_unit_test(a_limit_is_kept),
    cmocka_unit_test(a_web_server_helps_out),
    cmocka_unit_test(a_web_server_is_asked_where_peers_are_too_slow),
    cmocka_unit_test(a_seeder_is_asked_where_others_give_nothing),
    cmocka_unit_test(a_web_server_redirects),
    cmocka_unit_test(redirects_in_circles_end),
    cmocka_unit_test(it_can_be_ended_at_any_time),
    cmocka_unit_test(nobody_there_is_told),
};
const size_t transfer_count = ARRAY_LEN(transfer_tests);
