/* Drafts put together, against what one would count by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "engines/merge.h"
#include "engines/rest.h"

enum { LINES = 6, LENGTH = 12, CASES = 4000 };

struct drafts {
    int32_t tokens[LINES][LENGTH];
    double chance[LINES][LENGTH];
    struct merge_line line[LINES];
    size_t n;
};

static uint32_t random_of(uint32_t *r, uint32_t n)
{
    *r = *r * 1664525u + 1013904223u;
    return (*r >> 8) % n;
}

/* Few different tokens, so that drafts begin alike. */
static void make(struct drafts *d, uint32_t *r)
{
    d->n = 1 + random_of(r, LINES);
    for (size_t i = 0; i < d->n; i++) {
        size_t n = random_of(r, LENGTH + 1), same = i > 0 ? random_of(r, LENGTH + 1) : 0;
        for (size_t j = 0; j < n; j++) {
            d->tokens[i][j] = j < same && j < d->line[i - 1].n ? d->tokens[i - 1][j] : (int32_t)random_of(r, 3);
            d->chance[i][j] = (1 + random_of(r, 100)) / 100.0;
        }
        d->line[i] = (struct merge_line){d->tokens[i], n, d->chance[i], (1 + random_of(r, 10)) / 10.0};
    }
}

static bool begins_with(const struct merge_line *l, const int32_t *tokens, size_t n)
{
    return l->n >= n && memcmp(l->tokens, tokens, n * sizeof(*tokens)) == 0;
}

/* Different beginnings of the lines that have `length` tokens. */
static size_t count_at(const struct drafts *d, size_t length)
{
    size_t count = 0;
    for (size_t i = 0; i < d->n; i++) {
        bool again = d->line[i].n < length;
        for (size_t j = 0; j < i && !again; j++)
            again = begins_with(&d->line[j], d->tokens[i], length);
        count += !again;
    }
    return count;
}

/* The same where lines that have ended, and are not the beginning of another, go on. */
static size_t count_open(const struct drafts *d, size_t length)
{
    size_t count = count_at(d, length);
    for (size_t i = 0; i < d->n; i++) {
        bool counted = d->line[i].n >= length;
        for (size_t j = 0; j < d->n && !counted; j++)
            counted = begins_with(&d->line[j], d->tokens[i], d->line[i].n) &&
                      (d->line[j].n > d->line[i].n || (d->line[j].n == d->line[i].n && j < i));
        count += !counted;
    }
    return count;
}

static void cuts_to_the_budget(void **state)
{
    (void)state;
    uint32_t r = 1;
    for (int c = 0; c < CASES; c++) {
        struct drafts d;
        make(&d, &r);
        size_t most = random_of(&r, 40);
        for (int go_on = 0; go_on < 2; go_on++) {
            size_t tokens = 0, depth = 0, longest = 0;
            for (size_t i = 0; i < d.n; i++)
                longest = d.line[i].n > longest ? d.line[i].n : longest;
            size_t end = go_on ? most : longest;
            while (depth < end && (tokens += go_on ? count_open(&d, depth + 1) : count_at(&d, depth + 1)) <= most)
                depth++;
            assert_int_equal(merge_depth(d.line, d.n, go_on, most), depth);
        }
    }
}

/* The line and its branches hold the beginning of every draft, and no token twice. */
static void the_tree_has_every_draft(void **state)
{
    (void)state;
    uint32_t r = 2;
    for (int c = 0; c < CASES; c++) {
        struct drafts d;
        struct merge_branch of[LINES];
        size_t chosen[LINES], n = 0, nodes = 0, tokens = 0;
        make(&d, &r);
        size_t depth = merge_depth(d.line, d.n, false, 1 + random_of(&r, 40)), main = random_of(&r, (uint32_t)d.n);
        for (size_t i = 0; i < d.n; i++)
            d.line[i].n = d.line[i].n < depth ? d.line[i].n : depth;
        for (size_t k = 1; k <= depth; k++)
            nodes += count_at(&d, k);
        for (size_t i = 0; i < d.n; i++) {
            size_t at = merge_common(d.tokens[i], d.line[i].n, d.tokens[main], d.line[main].n);
            if (at < d.line[i].n)
                of[n++] = (struct merge_branch){.line = i, .at = at, .n = d.line[i].n - at, .tokens = d.tokens[i] + at};
        }
        n = merge_choose(NULL, of, n, 0, LINES, chosen);
        for (size_t i = 0; i < d.n; i++) {
            bool there = begins_with(&d.line[main], d.tokens[i], d.line[i].n);
            for (size_t j = 0; j < n; j++)
                there = there || begins_with(&d.line[of[chosen[j]].line], d.tokens[i], d.line[i].n);
            assert_true(there);
        }
        for (size_t j = 0; j < n; j++) { /* what each adds to those before it */
            const struct merge_branch *b = &of[chosen[j]];
            size_t had = 0;
            for (size_t k = 0; k < j; k++) {
                const struct merge_branch *other = &of[chosen[k]];
                size_t same = other->at == b->at ? merge_common(b->tokens, b->n, other->tokens, other->n) : 0;
                had = same > had ? same : had;
            }
            assert_true(had < b->n);
            tokens += b->n - had;
        }
        assert_int_equal(tokens + d.line[main].n, nodes);
    }
}

static void chances_go_together(void **state)
{
    (void)state;
    uint32_t r = 3;
    for (int c = 0; c < CASES; c++) {
        struct drafts d, was;
        make(&d, &r);
        was = d;
        merge_chances(d.line, d.n);
        for (size_t i = 0; i < d.n; i++) {
            for (size_t k = 0; k < d.line[i].n; k++) {
                double all = 0, highest = 0;
                bool parts = false;
                for (size_t j = 0; j < d.n; j++) {
                    bool again = false;
                    if (d.line[j].n <= k || memcmp(d.tokens[j], d.tokens[i], k * sizeof(int32_t)) != 0)
                        continue;
                    for (size_t m = 0; m < j; m++)
                        again = again || begins_with(&d.line[m], d.tokens[j], k + 1);
                    all += again ? 0 : d.chance[j][k];
                    parts = parts || d.tokens[j][k] != d.tokens[i][k];
                    if (d.tokens[j][k] == d.tokens[i][k]) {
                        assert_true(d.chance[j][k] == d.chance[i][k]);
                        highest = fmax(highest, was.chance[j][k]);
                    }
                }
                if (parts)
                    assert_true(all <= 1 + 1e-9 && d.chance[i][k] <= highest);
                else
                    assert_true(d.chance[i][k] == highest);
            }
        }
    }
}

/* Where two part, who was right lately there is believed, and it is not forgotten how that changes. */
static void trusts_who_was_right(void **state)
{
    (void)state;
    const int32_t a[] = {5, 1, 1, 1}, b[] = {5, 2, 2, 2}, right[] = {5, 1, 1};
    double sure[2][4] = {{0.9, 0.9, 0.9, 0.9}, {0.9, 0.9, 0.9, 0.9}};
    struct merge_line lines[2] = {{a, 4, sure[0], 1}, {b, 4, sure[1], 1}};
    struct merge_trust trust[2] = {{0}};
    assert_true(merge_trusted(&trust[0]) == 1);
    for (int i = 0; i < 6; i++)
        merge_judge(lines, 2, right, 3, trust);
    assert_true(merge_trusted(&trust[0]) > 0.95);
    assert_true(merge_trusted(&trust[1]) < 0.2);
    lines[0].tokens = b;
    lines[1].tokens = a;
    for (int i = 0; i < 3; i++)
        merge_judge(lines, 2, right, 3, trust);
    assert_true(merge_trusted(&trust[1]) > merge_trusted(&trust[0]));
    /* Where they agree nothing is learned of either. */
    struct merge_trust before = trust[1];
    merge_judge(lines, 2, right, 1, trust);
    assert_true(trust[1].right == before.right && trust[1].hoped == before.hoped);
}

static void takes_what_is_worth_most(void **state)
{
    (void)state;
    struct governor g;
    const int32_t x[] = {1, 2, 3, 4}, y[] = {1, 2, 9, 9}, z[] = {7, 7};
    const double sure[] = {0.9, 0.9, 0.9, 0.9}, unsure[] = {0.9, 0.9, 0.05, 0.05};
    const struct merge_branch of[] = {
        {.at = 2, .n = 4, .tokens = y, .chance = unsure, .reach = 0.5},
        {.at = 2, .n = 4, .tokens = x, .chance = sure, .reach = 0.5},
        {.at = 2, .n = 2, .tokens = x, .chance = sure, .reach = 0.5},
        {.at = 5, .n = 2, .tokens = z, .chance = sure, .reach = 0.3},
    };
    size_t out[BACKEND_BRANCHES_MAX];
    governor_init(&g); /* nothing costs anything yet */
    assert_int_equal(merge_choose(&g, of, 4, 6, 4, out), 3);
    assert_int_equal(out[0], 1);
    assert_int_equal(out[1], 3); /* of the other one only its own end counts */
    assert_int_equal(out[2], 0);
    assert_int_equal(merge_choose(&g, of, 4, 6, 1, out), 1);
    for (int i = 0; i < 60; i++) { /* a token costs half of what a pass brings */
        governor_saw_verify(&g, (size_t)i % 9, 0, 10 + 100 * (double)(i % 9));
        governor_saw_round(&g, 3, 500, 0);
    }
    assert_int_equal(merge_choose(&g, of, 4, 6, 4, out), 0);
}

/* Rounds of 10 tokens in each of which the best one was wrong, after five; and in every so many (0: none) it was right
 * there, else wrong before that. */
static void see(struct rest *r, int rounds, int every)
{
    for (int i = 0; i < rounds; i++)
        rest_saw_round(r, 10, every > 0 && i % every == 0 ? 8 : 3, 5, true);
}

static void rests_who_knows_nothing_else(void **state)
{
    (void)state;
    struct rest r = {0}, better = {0}, unknown = {0}, lost = {0};
    see(&r, 5, 0);
    assert_false(rest_is_due(&r));
    see(&r, 1, 0);
    assert_true(rest_is_due(&r));
    see(&better, 30, 3);
    assert_false(rest_is_due(&better));
    for (int i = 0; i < 60; i++) {
        rest_saw_round(&unknown, 10, 10, 10, false); /* the best one was never wrong, */
        rest_saw_round(&lost, 1, 0, 0, true);        /* all were always wrong */
    }
    assert_false(rest_is_due(&unknown) || rest_is_due(&lost));
    for (int i = 0; i < 10; i++)
        rest_saw_round(&unknown, 10, 10, 10, false);
    assert_true(rest_is_due(&unknown));
    struct rest rare = {0};
    for (int i = 0; i < 60; i++) /* seldom right, but then for long */
        rest_saw_round(&rare, i % 10 == 0 ? 20 : 5, i % 10 == 0 ? 20 : 0, 5, true);
    assert_false(rest_is_due(&rare));
    struct rest good = {0};
    rest_saw_tokens(&good, 100, 95);
    rest_saw_tokens(&r, 100, 20);
    assert_true(rest_quality(&good) > rest_quality(&r));
}

static void wakes_now_and_then(void **state)
{
    (void)state;
    struct rest r = {0};
    size_t slept[3] = {0}, rounds = 1;
    for (int i = 0; i < 3; i++) {
        see(&r, 6, 0);
        rest_begin(&r, 1);
        assert_true(r.resting);
        do
            slept[i] += 8;
        while (!rest_slept(&r, 8, 1.1));
        rest_end(&r);
        assert_false(r.resting || rest_is_due(&r));
    }
    assert_int_equal(slept[0], 2048);
    assert_int_equal(slept[2], 16 * 2048);
    see(&r, 6, 0);
    rest_begin(&r, 1);
    while (!rest_slept(&r, 1, 1)) /* the others bring nothing any more */
        rounds++;
    assert_true(rounds < 8);
}

static void wakes_when_it_is_missed(void **state)
{
    (void)state;
    struct rest r = {0};
    size_t slept = 8;
    see(&r, 6, 0);
    rest_begin(&r, 1);
    while (!rest_slept(&r, 8, 0.8))
        slept += 8;
    assert_true(slept < 500);
    rest_end(&r);
    see(&r, 6, 0); /* it has to be seen for longer now */
    assert_false(rest_is_due(&r));
    see(&r, 6, 0);
    assert_true(rest_is_due(&r));
}

const struct CMUnitTest merge_tests[] = {
    cmocka_unit_test(cuts_to_the_budget),       cmocka_unit_test(the_tree_has_every_draft),
    cmocka_unit_test(chances_go_together),      cmocka_unit_test(trusts_who_was_right),
    cmocka_unit_test(takes_what_is_worth_most), cmocka_unit_test(rests_who_knows_nothing_else),
    cmocka_unit_test(wakes_now_and_then),       cmocka_unit_test(wakes_when_it_is_missed),
};
const size_t merge_test_count = ARRAY_LEN(merge_tests);
