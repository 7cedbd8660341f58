/* What bench pool concludes from what it measured, which rows it takes, and links as they are written. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cmd/bench-pool.h"
#include "cmd/demo-drawer.h"
#include "unit.h"

extern const struct CMUnitTest bench_tests[];
extern const size_t bench_count;

static struct bench_result *find(struct bench_pool *b, const char *name)
{
    for (size_t i = 0; i < b->n_rows; i++) {
        if (strcmp(b->results[i].row->name, name) == 0)
            return &b->results[i];
    }
    fail_msg("no row is called %s", name);
    return NULL;
}

static void add_run(struct bench_result *r, int64_t tokens, double seconds)
{
    r->runs = xreallocarray(r->runs, r->n_runs + 1, sizeof(*r->runs));
    r->runs[r->n_runs++] = (struct bench_run){tokens, seconds};
}

static size_t wanted(const char *list, bool repeats, bool stock, bool stock_drafts)
{
    struct bench_pool b = {0};
    struct bench_wish wish = {.only = list, .repeats = repeats, .stock = stock, .stock_drafts = stock_drafts};
    size_t n = 0;
    assert_int_equal(bench_pool_select(&b, &wish, NULL), 0);
    for (size_t i = 0; i < b.n_rows; i++)
        n += b.results[i].wanted;
    assert_true(b.results[0].wanted);
    bench_pool_finish(&b);
    return n;
}

static void rows_are_chosen_by_name_and_pattern(void **state)
{
    struct bench_pool b = {0};
    char *cause = NULL;
    assert_int_equal(wanted("pool", false, true, true), 1);
    assert_int_equal(wanted("auto", false, true, true), 2);
    assert_int_equal(wanted("k*", false, true, true), 9);
    assert_int_equal(wanted("k8,stock*", false, true, true), 12);
    assert_int_equal(wanted("k8,stock*", false, true, false), 4);
    assert_int_equal(wanted("k8,stock*", false, false, false), 2);
    assert_int_equal(wanted("ngram", true, true, true), 2);
    assert_true(wanted(NULL, false, true, true) > wanted(NULL, false, false, false));
    assert_int_equal(bench_pool_select(&b, &(struct bench_wish){.only = "auto,k9", .stock = true}, &cause), -1);
    assert_non_null(strstr(cause, "\"k9\""));
    free(cause);
    bench_pool_finish(&b);
}

static void several_drafters_are_measured_alone_and_together(void **state)
{
    char *const names[] = {"numbers", "words"};
    static const char *const want[] = {"pool",    "k32-numbers",  "k32-words",  "k16-all",
                                       "k32-all", "auto-numbers", "auto-words", "auto-all"};
    struct bench_wish wish = {.stock = true, .stock_drafts = true, .drafters = names, .n_drafters = 2};
    struct bench_pool b = {0};
    assert_int_equal(bench_pool_select(&b, &wish, NULL), 0);
    assert_int_equal(b.n_rows, ARRAY_LEN(want));
    for (size_t i = 0; i < b.n_rows; i++) {
        assert_string_equal(b.rows[i].name, want[i]);
        assert_true(b.results[i].wanted);
    }
    assert_int_equal(find(&b, "k32-words")->row->alone, 2);
    assert_int_equal(find(&b, "auto-all")->row->alone, 0);
    assert_null(bench_best_alone(&b, false));
    add_run(find(&b, "k32-numbers"), 100, 1);
    add_run(find(&b, "k32-words"), 200, 1);
    add_run(find(&b, "k16-all"), 400, 1);
    add_run(find(&b, "auto-numbers"), 300, 1);
    assert_ptr_equal(bench_best_alone(&b, false), find(&b, "k32-words"));
    assert_ptr_equal(bench_best_alone(&b, true), find(&b, "auto-numbers"));
    bench_pool_finish(&b);
    wish.only = "k16-all,auto";
    char *cause = NULL;
    assert_int_equal(bench_pool_select(&b, &wish, &cause), -1);
    assert_non_null(strstr(cause, "\"auto\""));
    free(cause);
    bench_pool_finish(&b);
}

static void rates_are_medians_and_limits_leave_drafting_out(void **state)
{
    struct bench_pool b = {0};
    assert_int_equal(bench_pool_select(&b, &(struct bench_wish){.stock = true, .stock_drafts = true}, NULL), 0);
    struct bench_result *pool = find(&b, "pool"), *k8 = find(&b, "k8"), *stock = find(&b, "stock-16-0");
    assert_true(isnan(bench_rate(k8)) && isnan(bench_limit(k8)) && isnan(bench_acceptance(k8)));
    assert_null(bench_best_stock(&b));
    add_run(pool, 100, 1);
    add_run(k8, 100, 0.5);
    add_run(k8, 100, 0.1);
    add_run(k8, 100, 0.25);
    k8->counts = (struct bench_counts){
        .rounds = 10, .drafted = 80, .accepted = 60, .emitted = 70, .timed = 8, .timed_emitted = 64, .verify_ms = 128};
    assert_float_equal(bench_rate(pool), 100, 1e-9);
    assert_float_equal(bench_rate(k8), 400, 1e-9);
    assert_float_equal(bench_limit(k8), 500, 1e-9);
    assert_float_equal(bench_tokens_per_round(k8), 7, 1e-9);
    assert_float_equal(bench_acceptance(k8), 0.75, 1e-9);
    assert_float_equal(bench_tokens_per_round(pool), 1, 1e-9);
    add_run(stock, 300, 1);
    stock->drafted = 400;
    stock->accepted = 270;
    stock->completion = 300; /* 30 tokens that no draft brought: 30 rounds */
    assert_float_equal(bench_tokens_per_round(stock), 10, 1e-9);
    assert_ptr_equal(bench_best_stock(&b), stock);
    bench_pool_finish(&b);
}

static void errors_of_rounds_come_before_the_status(void **state)
{
    struct bench_row row = {.name = "k4", .source = BENCH_PROXY};
    struct bench_result r = {.row = &row, .status_error = 0.5};
    double errors[] = {0.3, 0.1, 0.2};
    struct bench_counts one = {.errors = errors, .n_errors = 3};
    assert_float_equal(bench_error(&r), 0.5, 1e-9);
    bench_counts_add(&r.counts, &one);
    bench_counts_add(&r.counts, &one);
    assert_int_equal(r.counts.n_errors, 6);
    assert_float_equal(bench_error(&r), 0.2, 1e-9);
    bench_counts_finish(&r.counts);
}

static void links_are_a_delay_and_perhaps_a_rate(void **state)
{
    static const char *const wrong[] = {"", "fast", "-1", "2,", "2,0", "2,x", "2;100", "1e9"};
    struct drawer_link l;
    assert_int_equal(drawer_link_parse(&l, "link", NULL, NULL), 0);
    assert_false(l.given);
    assert_int_equal(drawer_link_parse(&l, "link", "2.5", NULL), 0);
    assert_true(l.given && l.delay_ms == 2.5 && l.rate_mbit == 0);
    assert_int_equal(drawer_link_parse(&l, "link", "25,100", NULL), 0);
    assert_true(l.delay_ms == 25 && l.rate_mbit == 100);
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        char *cause = NULL;
        assert_int_equal(drawer_link_parse(&l, "link", wrong[i], &cause), -1);
        assert_non_null(strstr(cause, "--link"));
        free(cause);
    }
}

const struct CMUnitTest bench_tests[] = {
    cmocka_unit_test(rows_are_chosen_by_name_and_pattern),
    cmocka_unit_test(several_drafters_are_measured_alone_and_together),
    cmocka_unit_test(rates_are_medians_and_limits_leave_drafting_out),
    cmocka_unit_test(errors_of_rounds_come_before_the_status),
    cmocka_unit_test(links_are_a_delay_and_perhaps_a_rate),
};
const size_t bench_count = ARRAY_LEN(bench_tests);
