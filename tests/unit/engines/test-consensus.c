/* What consensus keeps in mind: the texts of tokens, which windows are audited, and when there were too many errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "engines/consensus.h"
#include "engines/pieces.h"
#include "engines/proxy-internal.h"
#include "rig.h"

static void texts_of_one_vocabulary(void **state)
{
    struct backend_info info = {.known = true, .n_vocab = 10, .fingerprint = "aa"};
    const struct backend_token told[] = {{.id = 3, .piece = "ab\xc3", .len = 3},
                                         {.id = 4, .piece = "", .len = 0},
                                         {.id = 9, .piece = "x", .len = 1, .end = true},
                                         {.id = 10, .piece = "y", .len = 1},
                                         {.id = -1, .piece = "z", .len = 1}};
    const struct backend_token again[] = {{.id = 3, .piece = "other", .len = 5}};
    struct pieces *p = pieces_create();
    const char *text;
    size_t len;
    assert_int_equal(pieces_learn(p, told, 5), 0); /* of which vocabulary is not known */
    pieces_set(p, &info);
    assert_int_equal(pieces_learn(p, told, 5), 3);
    assert_int_equal(pieces_get(p, 3, &text, &len), PIECE_TEXT);
    assert_int_equal(len, 3);
    assert_memory_equal(text, "ab\xc3", 3);
    assert_int_equal(pieces_get(p, 4, &text, &len), PIECE_TEXT);
    assert_int_equal(len, 0);
    assert_int_equal(pieces_get(p, 9, &text, &len), PIECE_END);
    assert_int_equal(len, 0);
    assert_int_equal(pieces_get(p, 5, &text, &len), PIECE_UNKNOWN);
    assert_int_equal(pieces_get(p, 10, &text, &len), PIECE_UNKNOWN);
    assert_int_equal(pieces_get(p, -1, &text, &len), PIECE_UNKNOWN);
    assert_int_equal(pieces_learn(p, again, 1), 0);
    info.known = false; /* it is away: what it was still holds */
    pieces_set(p, &info);
    assert_int_equal(pieces_get(p, 3, &text, &len), PIECE_TEXT);
    assert_memory_equal(text, "ab\xc3", 3);
    info.known = true;
    strcpy(info.fingerprint, "bb");
    pieces_set(p, &info);
    assert_int_equal(pieces_get(p, 3, &text, &len), PIECE_UNKNOWN);
    pieces_destroy(p);
}

static void audits_a_share_of_the_windows(void **state)
{
    struct rig r;
    rig_start(&r, 1, 8);
    static const double shares[] = {0, 0.05, 0.3, 1};
    for (size_t i = 0; i < ARRAY_LEN(shares); i++) {
        size_t wanted = 0, alike = 0;
        r.proxy->settings.consensus_audit = shares[i];
        for (uint64_t request = 1; request <= 100; request++) {
            for (uint64_t window = 0; window < 100; window++) {
                bool is = consensus_wants_audit(r.proxy, request, window);
                wanted += is;
                alike += is == consensus_wants_audit(r.proxy, request, window);
            }
        }
        assert_int_equal(alike, 10000);
        assert_true((double)wanted >= 10000 * shares[i] - 150 && (double)wanted <= 10000 * shares[i] + 150);
    }
    rig_stop(&r);
}

static void too_many_errors_suspend(void **state)
{
    struct rig r;
    struct snapshot_consensus s;
    char *cause = NULL;
    rig_start(&r, 1, 8);
    struct proxy *p = r.proxy;
    p->settings.consensus_max_error = 0.05;
    assert_int_equal(proxy_set_consensus(p, "strict", &cause), 0);
    for (int i = 0; i < 24; i++)
        consensus_count_audit(p, 8, 1);
    assert_false(p->consensus.suspended); /* 192 tokens are too few to be sure */
    consensus_count_audit(p, 8, 0);
    assert_true(p->consensus.suspended);
    consensus_fill(p, &s);
    assert_true(s.suspended && strstr(s.why, "consensus_max_error") != NULL);
    assert_int_equal(s.audited, 25);
    assert_int_equal(s.wrong, 24);
    assert_int_equal(s.audited_tokens, 200);
    assert_true(s.error > 0.119 && s.error < 0.121 && s.error_low > 0.07 && s.error_high < 0.18);
    assert_false(consensus_goes_on(p));
    assert_int_equal(proxy_set_consensus(p, "majority", &cause), 0);
    assert_true(consensus_goes_on(p));
    consensus_fill(p, &s);
    assert_true(!s.suspended && s.audited == 0 && s.error != s.error && strcmp(s.mode, "majority") == 0);
    /* However long it went well, a time of errors is not drowned in it. */
    for (int i = 0; i < 20000; i++)
        consensus_count_audit(p, 8, 0);
    int windows = 0;
    while (!p->consensus.suspended && windows < 200) {
        consensus_count_audit(p, 8, 4);
        windows++;
    }
    assert_true(windows > 10 && windows < 100);
    assert_int_equal(proxy_set_consensus(p, "off", &cause), 0);
    consensus_fill(p, &s);
    assert_true(!s.configured && strcmp(s.mode, "off") == 0);
    rig_stop(&r);
}

const struct CMUnitTest consensus_tests[] = {
    cmocka_unit_test(texts_of_one_vocabulary),
    cmocka_unit_test(audits_a_share_of_the_windows),
    cmocka_unit_test(too_many_errors_suspend),
};
const size_t consensus_test_count = ARRAY_LEN(consensus_tests);
