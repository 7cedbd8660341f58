#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "engines/governor.h"

/* A cluster in arithmetic: a pass costs v0 + v1 k, a drafted token d, the target alone `one` a token; each drafted
 * token is right with the chance `right`, and the drafter knows it. */
struct world {
    double v0, v1, d, one, right;
};

static double chance(unsigned *random)
{
    *random = *random * 1664525u + 1013904223u;
    return (double)(*random >> 8) / (double)(1u << 24);
}

/* Plays until `tokens` have come; returns tokens per second, and how many rounds speculated. */
static double play(struct governor *g, struct governor_drafter *d, const struct world *w, double tokens, unsigned seed,
                   size_t cap, double *in_rounds)
{
    double us = 0, made = 0, rounds = 0;
    float probs[64];
    double chances[64];
    for (size_t i = 0; i < ARRAY_LEN(probs); i++)
        probs[i] = (float)w->right;
    while (made < tokens) {
        if (governor_prefers_alone(g, 0)) {
            us += w->one;
            made++;
            governor_saw_alone(g, 1, w->one);
            continue;
        }
        size_t n = 0;
        double waited = 0;
        for (size_t i = 0; i < ARRAY_LEN(chances); i++)
            chances[i] = governor_chance(d, probs[i]);
        while (n < cap && governor_waits(g, chances, n, governor_mean(d), w->d)) {
            n++;
            waited += w->d;
            governor_saw_draft(d, 1, w->d);
        }
        size_t k = governor_length(g, chances, n), right = 0;
        while (right < k && chance(&seed) < w->right)
            right++;
        double pass = w->v0 + w->v1 * (double)k;
        governor_saw_verify(g, k, 0, pass);
        governor_saw_outcome(g, k, right);
        governor_saw_tokens(d, probs, k, right);
        governor_saw_round(g, right + 1, waited + pass, 0);
        us += waited + pass;
        made += (double)right + 1;
        rounds++;
    }
    *in_rounds = rounds;
    return made * 1e6 / us;
}

/* The best fixed length in the same world, by the formula E = (1 - a^(k+1)) / (1 - a). */
static double best_fixed(const struct world *w, size_t cap)
{
    double best = 1e6 / w->one;
    for (size_t k = 1; k <= cap; k++) {
        double e = (1 - pow(w->right, (double)k + 1)) / (1 - w->right);
        double rate = e * 1e6 / (w->v0 + w->v1 * (double)k + w->d * (double)k);
        best = rate > best ? rate : best;
    }
    return best;
}

static void comes_near_the_best_length(void **state)
{
    static const struct world worlds[] = {
        {20000, 300, 60, 11000, 0.95}, {150000, 1500, 10000, 140000, 0.9}, {12000, 2000, 100, 11000, 0.7},
        {900, 270, 60, 300, 0.9},      {20000, 100, 30000, 19000, 0.8},    {5000, 50, 500, 4800, 0.5},
    };
    for (size_t i = 0; i < ARRAY_LEN(worlds); i++) {
        struct governor g;
        struct governor_drafter d = {0};
        double rounds;
        governor_init(&g);
        play(&g, &d, &worlds[i], 2000, 3, 32, &rounds);
        double rate = play(&g, &d, &worlds[i], 20000, 5, 32, &rounds), best = best_fixed(&worlds[i], 32);
        if (rate < 0.93 * best)
            print_message("world %zu: %.1f of %.1f tokens/s\n", i, rate, best);
        assert_true(rate >= 0.93 * best);
    }
}

/* Where drafting can't pay the target alone does nearly everything. */
static void gives_up_what_does_not_pay(void **state)
{
    const struct world w = {1200, 280, 100, 290, 0.8};
    struct governor g;
    struct governor_drafter d = {0};
    double rounds;
    governor_init(&g);
    play(&g, &d, &w, 3000, 1, 32, &rounds);
    assert_true(play(&g, &d, &w, 20000, 2, 32, &rounds) >= 0.97 * 1e6 / w.one);
}

/* A drafter that becomes tenfold slower is noticed within ten rounds. */
static void notices_a_slow_drafter(void **state)
{
    const struct world fast = {20000, 300, 300, 9000, 0.9}, slow = {20000, 300, 60000, 9000, 0.9};
    struct governor g;
    struct governor_drafter d = {0};
    double rounds;
    governor_init(&g);
    play(&g, &d, &fast, 4000, 1, 32, &rounds);
    assert_false(g.use_alone);
    /* Rounds that do not draft any more are the target alone, token by token. */
    size_t drafted = 0, seen = 0;
    for (; !governor_prefers_alone(&g, 0) && seen < 10; seen++) {
        size_t n = governor_waits(&g, NULL, 0, governor_mean(&d), slow.d);
        governor_saw_draft(&d, n, (double)n * slow.d);
        governor_saw_verify(&g, n, 0, slow.v0 + slow.v1 * (double)n);
        governor_saw_round(&g, n + 1, slow.d * (double)n + slow.v0 + slow.v1 * (double)n, 0);
        drafted += n;
    }
    assert_true(seen < 10 || drafted <= 3);
    play(&g, &d, &slow, 400, 2, 32, &rounds);
    assert_true(g.use_alone);
}

static void learns_the_line(void **state)
{
    struct governor g;
    governor_init(&g);
    assert_true(isnan(governor_verify_us(&g, 3, 0)));
    for (size_t i = 0; i < 60; i++)
        governor_saw_verify(&g, i % 17, 0, 5000 + 120 * (double)(i % 17));
    assert_true(fabs(governor_verify_us(&g, 0, 0) - 5000) < 60);
    assert_true(fabs(governor_verify_us(&g, 32, 0) - 8840) < 120);
    governor_saw_verify(&g, 8, 0, 1e9); /* a hiccup */
    assert_true(governor_verify_us(&g, 8, 0) < 8000);
}

/* Rounds through slots: (k + 1)² tokens are read in each, and drafts are right with a chance of 0.95 a token. */
static double play_slots(struct governor *g, double v0, double w, int rounds)
{
    const double chances[16] = {0};
    double tokens = 0, us = 0;
    unsigned seed = 1;
    for (int i = 0; i < rounds; i++) {
        size_t k = governor_length(g, chances, 8), right = 0;
        double pass = v0 + w * (double)((k + 1) * (k + 1));
        while (right < k && (seed = seed * 1103515245u + 12345) / 65536 % 100 < 95)
            right++;
        governor_saw_slots(g, k, (k + 1) * (k + 1), pass);
        governor_saw_outcome(g, k, right);
        governor_saw_round(g, right + 1, pass, 0);
        tokens += (double)right + 1;
        us += pass;
    }
    return tokens / us;
}

/* Drafts are of one length, which comes near the best one; where a pass is dear it is a long one. */
static void finds_a_length_for_slots(void **state)
{
    struct governor g;
    governor_init(&g);
    play_slots(&g, 1000, 1000, 1000);
    assert_true(g.steady <= 2);
    governor_init(&g);
    play_slots(&g, 10000, 500, 1000);
    assert_true(g.steady >= 2 && g.steady <= 5);
    assert_true(governor_verify_us(&g, g.steady, 0) == 10000 + 500 * (double)((g.steady + 1) * (g.steady + 1)));
    governor_init(&g);
    play_slots(&g, 100000, 500, 3000);
    assert_true(g.steady >= 6);
}

/* No token is waited for that would not be sent. */
static void waits_for_no_more_than_that(void **state)
{
    struct governor g;
    const double chances[16] = {1, 1, 1, 1, 1, 1, 1, 1};
    governor_init(&g);
    play_slots(&g, 10000, 500, 300);
    size_t k = governor_length(&g, chances, 8);
    assert_true(k < 8);
    assert_false(governor_waits(&g, chances, k, 1, 1));
    assert_true(governor_waits(&g, chances, k - 1, 1, 1));
}

/* Each drafter's word is weighed by how it fared itself. */
static void learns_the_chances_of_each(void **state)
{
    struct governor_drafter a = {0}, b = {0};
    const float sure[] = {0.99f}, unsure[] = {0.3f};
    for (int i = 0; i < 300; i++) {
        governor_saw_tokens(&a, sure, 1, i % 10 != 0);
        governor_saw_tokens(&a, unsure, 1, i % 4 == 0);
        governor_saw_tokens(&b, sure, 1, i % 2 == 0);
        governor_saw_branch(&b, 0.2, i % 10 == 0);
    }
    assert_true(fabs(governor_chance(&a, 0.99f) - 0.9) < 0.06);
    assert_true(fabs(governor_chance(&a, 0.3f) - 0.25) < 0.06);
    assert_true(fabs(governor_chance(&b, 0.99f) - 0.5) < 0.06);
    assert_true(fabs(governor_mean(&b) - 0.5) < 0.06);
    assert_true(fabs(governor_branch_chance(&b, 0.2f) - 0.1) < 0.03);
    assert_true(governor_branch_chance(&a, 0.2f) > 0.19); /* nothing is known of its second choices */
}

/* A drafter who has nothing yet, beside others who have, is waited for where it is likely to be right and quick. */
static void waits_for_another(void **state)
{
    struct governor g;
    struct governor_drafter good = {.right = 95, .all = 100, .draft_us = 100};
    governor_init(&g);
    for (int i = 0; i < 60; i++) {
        governor_saw_verify(&g, (size_t)i % 17, 0, 20000 + 100 * (double)(i % 17));
        governor_saw_round(&g, 5, 21000, 0);
    }
    assert_true(governor_waits_other(&g, &good, 0.9, 2000));
    assert_false(governor_waits_other(&g, &good, 0.01, 2000));
    assert_false(governor_waits_other(&g, &good, 0.9, 200000));
    good.right = 10;
    assert_false(governor_waits_other(&g, &good, 0.9, 2000));
}

const struct CMUnitTest governor_tests[] = {
    cmocka_unit_test(comes_near_the_best_length), cmocka_unit_test(gives_up_what_does_not_pay),
    cmocka_unit_test(notices_a_slow_drafter),     cmocka_unit_test(learns_the_line),
    cmocka_unit_test(finds_a_length_for_slots),   cmocka_unit_test(waits_for_no_more_than_that),
    cmocka_unit_test(learns_the_chances_of_each), cmocka_unit_test(waits_for_another),
};
const size_t governor_test_count = ARRAY_LEN(governor_tests);
