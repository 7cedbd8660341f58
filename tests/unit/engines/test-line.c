#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "base/mem.h"
#include "base/ngram.h"
#include "engines/line.h"
#include "engines/quote.h"

/* A line 10 11 12 … behind a path of 3 tokens, and a branch at position 4: 77 78 79. */
static void fill(struct line *l)
{
    line_init(l);
    line_reset(l, 3);
    for (int i = 0; i < 6; i++)
        line_add(l, 10 + i, 0.9f);
    for (int i = 0; i < 3; i++)
        line_add_branch(l, 5, 4, (size_t)i, 77 + i, 0.4f);
}

static void goes_on(void **state)
{
    struct line l;
    const int32_t path[] = {1, 2, 3, 10, 11};
    fill(&l);
    assert_int_equal(line_same(&l, path, 5), 2);
    assert_int_equal(line_follow(&l, path, 5), LINE_GOES_ON);
    assert_int_equal(l.base, 5);
    assert_int_equal(l.n, 4);
    assert_int_equal(l.tokens[0], 12);
    assert_int_equal(l.n_branches, 0); /* it is behind */
    assert_int_equal(line_follow(&l, path, 5), LINE_GOES_ON);
    assert_int_equal(l.n, 4);
    line_finish(&l);
}

static void goes_into_a_branch(void **state)
{
    struct line l;
    const int32_t path[] = {1, 2, 3, 10, 77}, beyond[] = {1, 2, 3, 10, 77, 78, 5};
    fill(&l);
    assert_int_equal(line_follow(&l, path, 5), LINE_BRANCHED);
    assert_int_equal(l.base, 5);
    assert_int_equal(l.n, 2);
    assert_int_equal(l.tokens[0], 78);
    assert_true(fabsf(l.probs[1] - 0.4f) < 1e-6f);
    line_finish(&l);
    fill(&l);
    assert_int_equal(line_follow(&l, beyond, 7), LINE_LOST);
    assert_int_equal(l.base, 7);
    assert_int_equal(l.n, 0);
    line_finish(&l);
}

static void is_lost(void **state)
{
    struct line l;
    const int32_t other[] = {1, 2, 3, 10, 12}, far[] = {1, 2, 3, 10, 11, 12, 13, 14, 15, 16}, shorter[] = {1, 2};
    fill(&l);
    assert_int_equal(line_follow(&l, other, 5), LINE_LOST);
    line_finish(&l);
    fill(&l);
    assert_int_equal(line_follow(&l, far, 10), LINE_LOST); /* further than the line has come */
    line_finish(&l);
    fill(&l);
    assert_int_equal(line_follow(&l, shorter, 2), LINE_LOST);
    assert_int_equal(l.base, 2);
    line_finish(&l);
}

static void takes_only_what_fits(void **state)
{
    struct line l;
    fill(&l);
    line_add_branch(&l, 5, 4, 4, 1, 0.1f); /* token 3 is missing */
    line_add_branch(&l, 5, 5, 3, 1, 0.1f); /* another place */
    line_add_branch(&l, 6, 2, 0, 1, 0.1f); /* before the line */
    line_add_branch(&l, 7, 9, 0, 1, 0.1f); /* behind it */
    line_add_branch(&l, 8, 5, 1, 1, 0.1f); /* begins in the middle */
    assert_int_equal(l.n_branches, 1);
    assert_int_equal(l.branch[0]->n, 3);
    for (int i = 0; i < 2 * LINE_BRANCHES; i++)
        line_add_branch(&l, 100 + i, 6, 0, 1, 0.1f);
    assert_int_equal(l.n_branches, LINE_BRANCHES);
    for (int i = 3; i < 2 * LINE_BRANCH_TOKENS; i++)
        line_add_branch(&l, 5, 4, (size_t)i, 1, 0.1f);
    assert_int_equal(l.branch[0]->n, LINE_BRANCH_TOKENS);
    line_reset(&l, 8);
    assert_int_equal(l.n_branches + l.n, 0);
    line_finish(&l);
}

static void quotes_what_comes_again(void **state)
{
    struct ngram_record record = {0};
    struct governor g;
    int32_t path[120];
    governor_init(&g);
    for (int32_t i = 0; i < 120; i++)
        path[i] = i % 40;
    struct quote *q = quote_create(&record, 40);
    for (size_t n = 41; n <= 100; n++) /* it learns that such texts go on so */
        quote_look(q, &g, path, n, 8);
    assert_int_equal(q->n, 8);
    assert_int_equal(q->tokens[0], path[100]);
    assert_int_equal(q->tokens[7], path[107]);
    assert_true(q->hope > 6 && q->hope <= 8);
    assert_true(quote_pays(q, &g, true)); /* nothing else is known */
    for (int i = 0; i < 40; i++) {
        governor_saw_verify(&g, (size_t)(i % 9), 0, 100 + 1000 * (double)(i % 9));
        governor_saw_alone(&g, 10, 5000);
    }
    quote_look(q, &g, path, 100, 8);
    assert_false(quote_pays(q, &g, false)); /* a token more costs the pass what two cost the target alone */
    quote_destroy(q);
}

const struct CMUnitTest line_tests[] = {
    cmocka_unit_test(goes_on),
    cmocka_unit_test(goes_into_a_branch),
    cmocka_unit_test(is_lost),
    cmocka_unit_test(takes_only_what_fits),
    cmocka_unit_test(quotes_what_comes_again),
};
const size_t line_test_count = ARRAY_LEN(line_tests);
