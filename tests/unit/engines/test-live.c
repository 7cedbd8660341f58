/* The newest answer by who wrote it: bounded, in whole characters, and right although text comes later than tokens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "engines/live.h"

/* "T:text|D1:text|Q:text": the pieces in words.  Owned by the caller. */
static char *pieces(const struct live *l)
{
    char *out = xstrdup("");
    const char *at = l->text;
    for (size_t i = 0; i < l->n_pieces; i++) {
        const struct live_piece *p = &l->piece[i];
        char who[8];
        snprintf(who, sizeof(who), p->drafter > 0 ? "%c%d" : "%c", "TDQ"[p->writer], p -> drafter);
        char *longer = xasprintf("%s%s%s:%.*s", out, i > 0 ? "|" : "", who, (int)p->length, at);
        free(out);
        out = longer;
        at += p->length;
    }
    assert_ptr_equal(at, l->text + l->n_text);
    return out;
}

static void expect(const struct live *l, const char *words)
{
    char *got = pieces(l);
    assert_string_equal(got, words);
    free(got);
}

static void neighbours_of_one_writer_are_one_piece(void **state)
{
    struct live *l = xcalloc(1, sizeof(*l));
    live_restart(l, 3);
    live_add_text(l, "a", 1, LIVE_TARGET, 0);
    live_add_text(l, "b", 1, LIVE_TARGET, 0);
    live_add_text(l, "c", 1, LIVE_DRAFTER, 1);
    live_add_text(l, "d", 1, LIVE_DRAFTER, 2);
    live_add_text(l, "e", 1, LIVE_QUOTE, 3);
    expect(l, "T:ab|D1:c|D2:d|Q3:e");
    live_drop_drafter(l, 2);
    expect(l, "T:ab|D1:c|D:d|Q2:e");
    free(l);
}

static void text_that_lags_behind_its_tokens_has_the_right_writers(void **state)
{
    struct live_recorder *r = xcalloc(1, sizeof(*r));
    assert_true(live_recorder_wants(r, 1, 0));
    live_recorder_token(r, 2, LIVE_TARGET, 0);  /* "ab" */
    live_recorder_token(r, 3, LIVE_DRAFTER, 1); /* "cd" and the first byte of a character of two */
    live_recorder_text(r, "abcd", 4, LIVE_TARGET, 0);
    expect(&r->live, "T:ab|D1:cd");
    live_recorder_token(r, 3, LIVE_QUOTE, 2); /* its second byte, "ef" */
    live_recorder_text(r,
                       "\xc3\xa9"
                       "e",
                       3, LIVE_TARGET, 0);
    expect(&r->live, "T:ab|D1:cd\xc3\xa9|Q2:e");
    live_recorder_token(r, 1, LIVE_TARGET, 0); /* "g"; "f" was held back */
    live_recorder_text(r, "fg", 2, LIVE_TARGET, 0);
    expect(&r->live, "T:ab|D1:cd\xc3\xa9|Q2:ef|T:g");
    live_recorder_text(r, "h", 1, LIVE_TARGET, 0); /* no token accounts for it */
    expect(&r->live, "T:ab|D1:cd\xc3\xa9|Q2:ef|T:gh");
    assert_int_equal(r->live.text_seen, 10);
    free(r);
}

static void a_character_that_ends_a_text_is_charged_to_all_who_wrote_it(void **state)
{
    struct live_recorder *r = xcalloc(1, sizeof(*r));
    assert_true(live_recorder_wants(r, 1, 0));
    live_recorder_token(r, 1, LIVE_TARGET, 0);
    live_recorder_token(r, 2, LIVE_DRAFTER, 1);
    live_recorder_text(r, "\xe2\x82\xac", 3, LIVE_TARGET, 0);
    live_recorder_token(r, 1, LIVE_QUOTE, 2);
    live_recorder_text(r, "x", 1, LIVE_TARGET, 0);
    expect(&r->live, "T:\xe2\x82\xac|Q2:x");
    free(r);
}

static void the_newest_answer_is_shown(void **state)
{
    struct live_recorder *r = xcalloc(1, sizeof(*r));
    assert_true(live_recorder_wants(r, 5, 0));
    live_recorder_token(r, 9, LIVE_TARGET, 0); /* of which text never came */
    live_recorder_text(r, "old", 3, LIVE_TARGET, 0);
    assert_false(live_recorder_wants(r, 4, 0));
    assert_true(live_recorder_wants(r, 6, 0));
    expect(&r->live, "");
    live_recorder_text(r, "new", 3, LIVE_DRAFTER, 1);
    expect(&r->live, "D1:new");
    assert_false(live_recorder_wants(r, 5, 1000));
    live_recorder_end(r, 6, 1000);
    assert_false(live_recorder_wants(r, 5, 1000 + LIVE_REST_US - 1));
    assert_true(live_recorder_wants(r, 5, 1000 + LIVE_REST_US)); /* it goes on, and nothing newer does */
    assert_int_equal(r->live.request, 5);
    free(r);
}

static void it_is_bounded_and_never_cuts_a_character(void **state)
{
    struct live *l = xcalloc(1, sizeof(*l));
    char big[LIVE_TEXT + 101];
    for (size_t i = 0; i + 2 < sizeof(big); i += 2)
        memcpy(big + i, "\xc3\xa9", 2);
    live_restart(l, 1);
    for (int i = 0; i < 20000; i++) {
        bool drafted = i % 2;
        live_add_text(l, i % 3 ? "\xe2\x82\xac" : "a", i % 3 ? 3 : 1, drafted ? LIVE_DRAFTER : LIVE_TARGET, drafted);
        assert_true(l->n_text <= LIVE_TEXT && l->n_pieces <= LIVE_PIECES);
    }
    assert_true(l->n_text >= LIVE_PIECES / 2);
    assert_true(utf8_valid(l->text, l->n_text));
    free(pieces(l));
    live_add_text(l, big, LIVE_TEXT + 100, LIVE_DRAFTER, 1);
    assert_true(l->n_text == LIVE_TEXT && l->n_pieces == 1);
    assert_true(utf8_valid(l->text, l->n_text));
    live_add_text(l, big, LIVE_TEXT / 2 + 2, LIVE_TARGET, 0);
    assert_true(l->n_text <= LIVE_TEXT && utf8_valid(l->text, l->n_text));
    free(pieces(l));
    for (uint64_t i = 0; i < 1000; i++)
        live_add_round(l, &(struct live_round){.round = i});
    assert_true(l->n_rounds <= LIVE_ROUNDS && l->n_rounds >= LIVE_ROUNDS / 2);
    assert_int_equal(l->rounds_seen, 1000);
    assert_int_equal(l->round[l->n_rounds - 1].round, 999);
    assert_int_equal(l->round[0].round, 1000 - l->n_rounds);
    free(l);
}

const struct CMUnitTest live_tests[] = {
    cmocka_unit_test(neighbours_of_one_writer_are_one_piece),
    cmocka_unit_test(text_that_lags_behind_its_tokens_has_the_right_writers),
    cmocka_unit_test(a_character_that_ends_a_text_is_charged_to_all_who_wrote_it),
    cmocka_unit_test(the_newest_answer_is_shown),
    cmocka_unit_test(it_is_bounded_and_never_cuts_a_character),
};
const size_t live_test_count = sizeof(live_tests) / sizeof(*live_tests);
