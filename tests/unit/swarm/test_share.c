/* What watchers of a share hear, and who may leave when. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "swarm/share.h"

struct ear {
    struct share *share;
    struct share_watch watch, *leave; /* leave: taken off the list at the first call */
    char heard[64];
};

static void hear(void *arg, enum share_change what, size_t piece)
{
    struct ear *e = arg;
    size_t len = strlen(e->heard);

    snprintf(e->heard + len, sizeof(e->heard) - len, "%c%zu", "HFDPG"[what], piece);
    if (e->leave)
        share_unwatch(e->share, e->leave);
    e->leave = NULL;
}

static struct manifest *some_manifest(void)
{
    struct manifest *m = xcalloc(1, sizeof(*m));

    m->n_pieces = 4;
    m->piece = xcalloc(4, sizeof(*m->piece));
    return m;
}

static void tells_of_changes_once(void **state)
{
    struct manifest *m = some_manifest();
    struct share *s = share_create(m, "x", -1);
    struct ear e = {.share = s};

    (void)state;
    share_watch(s, &e.watch, hear, &e);
    share_set_fetching(s, 2, true);
    share_set_fetching(s, 2, true);
    share_set_fetching(s, 1, true);
    share_set_fetching(s, 1, false);
    share_set_have(s, 2);
    share_set_have(s, 2);
    share_set_fetching(s, 2, true); /* it is here */
    share_set_have(s, 4);           /* there is none */
    assert_false(bits_has(&s->fetching, 2));
    assert_int_equal(s->have.count, 1);
    share_destroy(s);
    assert_string_equal(e.heard, "F2F1D1H2G0");
    manifest_destroy(m);
}

static void watchers_may_leave_while_told(void **state)
{
    struct manifest *m = some_manifest();
    struct share *s = share_create(m, "x", -1);
    struct ear e[3] = {{.share = s}, {.share = s}, {.share = s}};

    (void)state;
    for (size_t i = 0; i < 3; i++)
        share_watch(s, &e[i].watch, hear, &e[i]);
    e[2].leave = &e[1].watch; /* the next one */
    share_set_have(s, 0);
    e[2].leave = &e[2].watch; /* itself */
    share_set_have(s, 1);
    share_unwatch(s, &e[2].watch); /* twice is once */
    share_set_have(s, 2);
    share_destroy(s);
    assert_string_equal(e[0].heard, "H0H1H2G0");
    assert_string_equal(e[1].heard, "");
    assert_string_equal(e[2].heard, "H0H1");
    manifest_destroy(m);
}

static void peers_are_bounded(void **state)
{
    struct manifest *m = some_manifest();
    struct share *s = share_create(m, "x", -1);
    struct ear e = {.share = s};
    char address[100];

    (void)state;
    for (int i = 0; i < SHARE_PEERS_MAX + 2; i++) {
        snprintf(address, sizeof(address), "10.0.0.%d:9192", i);
        share_add_peer(s, address);
        share_add_peer(s, address);
    }
    assert_int_equal(s->n_peers, SHARE_PEERS_MAX);
    assert_string_equal(s->peer[0], "10.0.0.2:9192"); /* the oldest have gone */
    share_watch(s, &e.watch, hear, &e);
    memset(address, '1', sizeof(address) - 1);
    address[sizeof(address) - 1] = '\0';
    share_add_peer(s, address);
    share_add_peer(s, "");
    assert_string_equal(e.heard, "");
    share_remove_peer(s, "10.0.0.3:9192");
    share_remove_peer(s, "10.0.0.3:9192");
    assert_int_equal(s->n_peers, SHARE_PEERS_MAX - 1);
    assert_string_equal(s->peer[1], "10.0.0.4:9192");
    share_destroy(s);
    manifest_destroy(m);
}

const struct CMUnitTest share_tests[] = {
    cmocka_unit_test(tells_of_changes_once),
    cmocka_unit_test(watchers_may_leave_while_told),
    cmocka_unit_test(peers_are_bounded),
};
const size_t share_count = ARRAY_LEN(share_tests);
