/* The three rules of consensus against a reference that was written from their text, over random drafts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "engines/vote.h"

enum { VOTERS = 6, ROUNDS = 60000 };

struct ballot {
    int32_t tokens[VOTERS][VOTE_WINDOW_MAX];
    struct vote_draft drafts[VOTERS];
    size_t n, window;
};

/* The reference: how many tokens go out without the target. */
static size_t expected(enum vote_rule rule, const struct ballot *b)
{
    bool out[VOTERS] = {false};
    size_t agreed = b->window;
    for (size_t at = 0; at < b->window; at++) {
        size_t votes = 0, lost = 0, best = 0, winner = 0;
        for (size_t i = 0; i < b->n; i++) {
            size_t same = 0;
            lost += out[i];
            for (size_t k = 0; k < b->n; k++)
                same += !out[i] && !out[k] && at < b->drafts[i].n && at < b->drafts[k].n &&
                        b->tokens[i][at] == b->tokens[k][at];
            votes += same > 0;
            winner = same > best ? i : winner;
            best = same > best ? same : best;
        }
        bool all = best == votes, most = 2 * best > votes + lost;
        if (rule == VOTE_ANY_DISAGREE && !all)
            return 0;
        if (at < agreed && (votes < 2 || !(rule == VOTE_MAJORITY ? most : all)))
            agreed = at;
        for (size_t i = 0; i < b->n; i++)
            out[i] = out[i] || (at < b->drafts[i].n && b->tokens[i][at] != b->tokens[winner][at]);
    }
    return agreed;
}

static uint32_t state;

static uint32_t draw(uint32_t below)
{
    state = state * 1664525u + 1013904223u;
    return (state >> 8) % below;
}

static void fill(struct ballot *b)
{
    b->n = draw(VOTERS + 1);
    b->window = 1 + draw(12);
    uint32_t kinds = 1 + draw(3), strangeness = 2 + draw(30);
    for (size_t i = 0; i < b->n; i++) {
        /* Some say nothing, some are late, some say more than is asked for. */
        b->drafts[i] = (struct vote_draft){b->tokens[i], draw(6) == 0 ? 0 : draw(3) == 0 ? draw(16) : 16};
        for (size_t at = 0; at < 16; at++)
            b->tokens[i][at] = (int32_t)(draw(strangeness) == 0 ? 100 + draw(kinds) : at);
    }
}

static void agrees_with_the_reference(void **unused)
{
    static const enum vote_rule rules[] = {VOTE_STRICT, VOTE_MAJORITY, VOTE_ANY_DISAGREE};
    size_t emitted[3] = {0}, cut[3] = {0};
    state = 1;
    for (int round = 0; round < ROUNDS; round++) {
        struct ballot b;
        struct vote_result r;
        size_t agreed[3];
        fill(&b);
        for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
            vote_count(rules[i], b.drafts, b.n, b.window, &r);
            agreed[i] = expected(rules[i], &b);
            assert_int_equal(r.agreed, agreed[i]);
            assert_int_equal(r.target, r.agreed < b.window);
            assert_true(r.n_line >= r.agreed && r.n_line <= b.window);
            emitted[i] += r.agreed;
            cut[i] += r.target && r.agreed > 0;
        }
        assert_true(agreed[0] <= agreed[1]); /* what all say most say */
        assert_true(agreed[2] <= agreed[0]);
    }
    for (size_t i = 0; i < 3; i++) /* the drafts were neither all alike nor all different */
        assert_true(emitted[i] > ROUNDS / 4 && cut[i] > ROUNDS / 100);
    assert_true(emitted[0] < emitted[1] && emitted[2] < emitted[0]);
}

static void says_what_goes_out(void **unused)
{
    static const int32_t a[] = {1, 2, 3, 4}, b[] = {1, 2, 9, 4}, c[] = {1, 2, 3, 7};
    const struct vote_draft drafts[] = {{a, 4}, {b, 4}, {c, 4}};
    struct vote_result r;
    vote_count(VOTE_STRICT, drafts, 3, 4, &r);
    assert_int_equal(r.agreed, 2);
    assert_int_equal(r.n_line, 4);
    assert_memory_equal(r.line, a, sizeof(a)); /* the target's draft: 3, and the first one's 4 */
    assert_true(r.target);
    assert_false(r.outvoted);
    vote_count(VOTE_MAJORITY, drafts, 3, 4, &r);
    assert_int_equal(r.agreed, 3); /* at the last position one of three is for 4 */
    assert_true(r.outvoted);
    vote_count(VOTE_ANY_DISAGREE, drafts, 3, 4, &r);
    assert_int_equal(r.agreed, 0);
    assert_memory_equal(r.line, a, sizeof(a));
    vote_count(VOTE_ANY_DISAGREE, drafts, 3, 2, &r);
    assert_int_equal(r.agreed, 2);
    assert_false(r.target);
}

static void nobody_votes_alone(void **unused)
{
    static const int32_t a[] = {1, 2, 3};
    const struct vote_draft drafts[] = {{a, 3}, {NULL, 0}, {a, 1}};
    struct vote_result r;
    for (enum vote_rule rule = VOTE_STRICT; rule <= VOTE_ANY_DISAGREE; rule++) {
        vote_count(rule, drafts, 3, 3, &r);
        assert_int_equal(r.agreed, 1);
        assert_int_equal(r.n_line, 3);
        assert_true(r.target);
        vote_count(rule, drafts, 2, 3, &r);
        assert_int_equal(r.agreed, 0);
        vote_count(rule, drafts, 0, 3, &r);
        assert_int_equal(r.n_line, 0);
        assert_true(r.target);
    }
    vote_count(VOTE_OFF, (const struct vote_draft[]){{a, 3}, {a, 3}}, 2, 3, &r);
    assert_int_equal(r.agreed, 0);
}

static void has_names(void **unused)
{
    enum vote_rule rule;
    for (enum vote_rule r = VOTE_OFF; r <= VOTE_ANY_DISAGREE; r++) {
        assert_true(vote_rule_find(vote_rule_name(r), &rule));
        assert_int_equal(rule, r);
    }
    assert_false(vote_rule_find("unanimous", &rule));
}

const struct CMUnitTest vote_tests[] = {
    cmocka_unit_test(agrees_with_the_reference),
    cmocka_unit_test(says_what_goes_out),
    cmocka_unit_test(nobody_votes_alone),
    cmocka_unit_test(has_names),
};
const size_t vote_test_count = ARRAY_LEN(vote_tests);
