/* Names of models, every row of the pairs and of the proven ones, and the arithmetic of estimates. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "advise/estimate.h"
#include "advise/pairs.h"
#include "base/mem.h"

static void families_by_name(void **state)
{
    static const struct {
        const char *name, *architecture, *family;
    } rows[] = {
        {"qwen3:32b", "", "qwen3"},
        {"Qwen3-0.6B-Q8_0.gguf", "qwen3", "qwen3"},
        {"hf.co/unsloth/Qwen3-30B-A3B-GGUF:Q4_K_M", "qwen3moe", "qwen3"},
        {"model", "qwen3moe", "qwen3"},
        {"qwen3.5:397b", NULL, "qwen3.5"},
        {"qwen2.5-coder:7b", "qwen2", "qwen2.5"},
        {"qwen2:7b", "qwen2", "qwen2"},
        {"llama3.3:70b", "llama", "llama3"},
        {"Meta-Llama-3.1-8B-Instruct-Q4_K_M.gguf", "llama", "llama3"},
        {"llama2:13b", "llama", "llama2"},
        {"tinyllama:1.1b", "llama", "tinyllama"},
        {"deepseek-r1:8b-llama-distill-q4_K_M", "llama", "deepseek-llama"},
        {"DeepSeek-R1-Distill-Qwen-14B-Q4_K_M.gguf", "qwen2", "deepseek-qwen"},
        {"mistral:7b", "llama", "mistral"},
        {"mistral-small3.1:24b", "", "mistral-nemo"},
        {"mixtral:8x7b", "llama", "mixtral"},
        {"gemma3:27b", "gemma3", "gemma3"},
        {"gemma-2-9b-it", "gemma2", "gemma2"},
        {"phi4:14b", "phi3", "phi4"},
        {"Phi-3-mini-4k", "phi3", "phi3"},
        {"gpt-oss:20b", "gpt-oss", "gpt-oss"},
        {"philosophy", "", NULL},
        {"target", "llama", NULL},
        {"", "", NULL},
        {NULL, NULL, NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct family *f = family_of(rows[i].name, rows[i].architecture);
        if (rows[i].family ? !f || strcmp(f->id, rows[i].family) != 0 : f != NULL)
            fail_msg("%s is taken for %s", rows[i].name ? rows[i].name : "NULL", f ? f->id : "nothing");
    }
}

static void who_goes_with_whom(void **state)
{
    static const struct {
        struct family_model a, b;
        enum family_match match;
    } rows[] = {
        {{"qwen3:32b", "qwen3", ""}, {"qwen3:1.7b", "qwen3", ""}, FAMILY_SAME},
        {{"qwen3:32b", "qwen3", "aa"}, {"qwen3:1.7b", "qwen3", "bb"}, FAMILY_SAME}, /* padded */
        {{"qwen3:32b", NULL, NULL}, {"qwen2.5:0.5b", NULL, NULL}, FAMILY_LIKELY},
        {{"qwen3:32b", NULL, NULL}, {"llama3.2:1b", NULL, NULL}, FAMILY_OTHER},
        {{"llama3.1:70b", "llama", ""}, {"llama2:7b", "llama", ""}, FAMILY_OTHER},
        {{"llama3.1:70b", "llama", ""}, {"deepseek-r1:8b-llama", "llama", ""}, FAMILY_LIKELY},
        {{"target", "llama", "aa"}, {"small", "llama", "aa"}, FAMILY_SAME},
        {{"target", "llama", "aa"}, {"small", "llama", "bb"}, FAMILY_OTHER},
        {{"target", "llama", ""}, {"small", "llama", ""}, FAMILY_LIKELY},
        {{"target", "llama", ""}, {"small", "gemma", ""}, FAMILY_OTHER},
        {{"target", "", ""}, {"small", "llama", ""}, FAMILY_UNKNOWN},
        {{NULL, NULL, NULL}, {NULL, NULL, NULL}, FAMILY_UNKNOWN},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_int_equal(family_compare(&rows[i].a, &rows[i].b), rows[i].match);
        assert_int_equal(family_compare(&rows[i].b, &rows[i].a), rows[i].match);
        assert_non_null(family_match_name(rows[i].match));
    }
}

static void sizes_by_name(void **state)
{
    static const struct {
        const char *name;
        double b, active;
        bool moe;
    } rows[] = {
        {"qwen3:32b", 32, 32, false},
        {"qwen3:0.6b-q8_0", 0.6, 0.6, false},
        {"Qwen3-1.7B-Q8_0.gguf", 1.7, 1.7, false},
        {"SmolLM-135M", 0.135, 0.135, false},
        {"Qwen3-30B-A3B-Q4_K_M", 30, 3, true},
        {"qwen3-235b-a22b", 235, 22, true},
        {"mixtral:8x7b", 47.04, 12.6, true},
        {"gemma3n:e4b", 4, 4, false},
        {"Meta-Llama-3.1-405B-Instruct", 405, 405, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t all = family_parameters(rows[i].name);
        double want = rows[i].b * 1e9;
        if (fabs((double)all - want) > want * 0.001 ||
            fabs((double)family_active(rows[i].name, all) - rows[i].active * 1e9) > rows[i].active * 1e6 ||
            family_is_moe(rows[i].name, "") != rows[i].moe)
            fail_msg("%s: %lld, %lld active", rows[i].name, (long long)all,
                     (long long)family_active(rows[i].name, all));
    }
    static const char *const none[] = {"", "llama3", "phi4:latest", "gpt-4", "b", "v2b3", "target", "model-7bit"};
    for (size_t i = 0; i < ARRAY_LEN(none); i++)
        assert_int_equal(family_parameters(none[i]), -1);
    assert_true(family_is_moe("x", "qwen3moe"));
    assert_false(family_is_moe("", NULL));
}

static void quantisation_by_name(void **state)
{
    static const struct {
        const char *name, *quantisation;
        double bits;
    } rows[] = {
        {"qwen3:32b-q4_K_M", "q4_k_m", 4.85},
        {"Qwen3-0.6B-Q8_0.gguf", "q8_0", 8.5},
        {"llama-2-7b.Q2_K.gguf", "q2_k", 2.8},
        {"x-IQ3_XXS", "iq3_xxs", 3.1},
        {"hf.co/a/b:BF16", "bf16", 16},
        {"qwen3:32b", "", 4.85},
        {"q4ever", "", 4.85},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char out[24];
        bool known;
        assert_int_equal(family_quantisation(rows[i].name, out, sizeof(out)), rows[i].quantisation[0] != '\0');
        assert_string_equal(out, rows[i].quantisation);
        assert_true(family_bits(out, &known) == rows[i].bits);
        assert_int_equal(known, rows[i].quantisation[0] != '\0');
    }
    assert_true(family_bits("Q4_K_M", NULL) == 4.85);
    assert_true(family_bits(NULL, NULL) == 4.85);
}

static struct pair_outlook expect(const char *target, double t, const char *draft, double d)
{
    const struct family_model tf = {target, "", ""}, df = {draft, "", ""};
    return pair_expect(&tf, t < 0 ? -1 : (int64_t)(t * 1e9), &df, d < 0 ? -1 : (int64_t)(d * 1e9));
}

static void rows_of_pairs(void **state)
{
    static const struct {
        double target, draft, low, high;
        enum pair_basis basis;
    } rows[] = {
        /* 7 to 14B with 0.5 to 1.5B: 40 to 60 % */
        {7, 0.5, 0.4, 0.6, PAIR_ROW},
        {14, 1.5, 0.4, 0.6, PAIR_ROW},
        {8.2, 1.2, 0.4, 0.6, PAIR_ROW},
        /* 32 to 72B with 3 to 8B: 50 to 70 % */
        {32, 3, 0.5, 0.7, PAIR_ROW},
        {32.8, 8.2, 0.5, 0.7, PAIR_ROW},
        {65, 8, 0.5, 0.7, PAIR_ROW},
        /* 70 to 405B with 8 to 14B: 60 to 80 % */
        {70, 8, 0.6, 0.8, PAIR_ROW},
        {72, 14, 0.6, 0.8, PAIR_ROW},
        {405, 14, 0.6, 0.8, PAIR_ROW},
        /* beside the rows: the nearer one, and said to be so */
        {16, 1.5, 0.4, 0.6, PAIR_NEAR},
        {27, 4, 0.5, 0.7, PAIR_NEAR},
        {3, 0.5, 0.4, 0.6, PAIR_NEAR},
        {0.002, 0.0002, 0.4, 0.6, PAIR_NEAR},
        {671, 14, 0.6, 0.8, PAIR_NEAR},
        {32, 0.6, 0.5, 0.7, PAIR_NEAR},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct pair_outlook o = expect("llama3.1", rows[i].target, "llama3.2", rows[i].draft);
        if (o.basis != rows[i].basis || o.low != rows[i].low || o.high != rows[i].high)
            fail_msg("%g and %g: %d, %g to %g", rows[i].target, rows[i].draft, o.basis, o.low, o.high);
    }
    for (size_t i = 0; i < pair_count; i++) { /* every row is found by what it says */
        const struct pair_row *r = &pair_table[i];
        struct pair_outlook o = expect("llama3", r->target_min, "llama3", r->draft_max);
        assert_true(o.low == r->low && o.high == r->high);
        assert_true(fabs(pair_chance(&o) - (r->low + r->high) / 2) < 1e-12);
    }
    assert_null(pair_row_of(NAN));
    assert_null(pair_row_of(-1));
}

static void proven_pairs(void **state)
{
    static const struct {
        const char *target;
        double t;
        const char *draft;
        double d, low, high;
    } rows[] = {
        {"qwen3:8b", 8.19, "qwen3:1.7b", 1.72, 0.4, 0.6},
        {"qwen3:32b", 32.8, "qwen3:8b", 8.19, 0.64, 0.64},
        {"qwen3.5:397b", 397, "qwen3:8b", 8.19, 0.8, 0.8},
        {"qwen3:32b", 32.8, "qwen3:1.7b", 1.72, 0.5, 0.7},
    };
    assert_int_equal(ARRAY_LEN(rows), pair_proven_count);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct pair_outlook o = expect(rows[i].target, rows[i].t, rows[i].draft, rows[i].d);
        assert_int_equal(o.basis, PAIR_PROVEN);
        assert_non_null(o.proven);
        assert_true(o.low == rows[i].low && o.high == rows[i].high);
    }
}

static void pairs_that_do_not_work(void **state)
{
    struct pair_outlook o = expect("qwen3:32b", 32, "llama3.2:3b", 3);
    assert_int_equal(o.basis, PAIR_OTHER);
    assert_true(pair_chance(&o) == 0.03);
    o = expect("qwen3:32b", 32, "qwen3", -1);
    assert_int_equal(o.basis, PAIR_GUESS);
    assert_true(isnan(pair_chance(&o)));
    o = expect("target", 7, "small", 1);
    assert_int_equal(o.basis, PAIR_GUESS);
}

static bool near(double a, double b)
{
    return fabs(a - b) <= 1e-9 * fabs(b);
}

static void estimates(void **state)
{
    /* 19.8 GB over 1008 GB/s at 65 % are 30.2 ms, and 1 ms beside. */
    const struct estimate_part card = {19.8e9, 1008};
    assert_true(near(estimate_token(&card, 1, 0), 0.001 + 19.8e9 / (1008e9 * 0.65)));
    const struct estimate_part two[] = {{10e9, 1000}, {10e9, 500}};
    assert_true(near(estimate_token(two, 2, 0.004), 0.001 + 0.004 + 10e9 / 650e9 + 10e9 / 325e9));
    const struct estimate_part unknown[] = {{10e9, 1000}, {10e9, NAN}};
    assert_true(isnan(estimate_token(unknown, 2, 0)));
    assert_true(isnan(estimate_token(NULL, 0, 0)));

    assert_true(near(estimate_tokens(0.5, 3), (1 - pow(0.5, 4)) / (1 - 0.5)));
    assert_true(near(estimate_tokens(1, 7), 8));
    assert_true(near(estimate_tokens(0, 7), 1));

    const struct estimate_round r = {.chance = 0.6, .fixed = 0.001, .draft = 0.005, .pass = 0.030, .more = 0.0006};
    assert_true(near(estimate_rate(&r, 0), 1 / 0.030));
    double draft = 0.001 + 4 * 0.005, verify = 0.030 + 4 * 0.0006, right = pow(0.6, 5);
    assert_true(
        near(estimate_rate(&r, 4), estimate_tokens(0.6, 4) / (right * verify + (1 - right) * (draft + verify))));
    double best, rate;
    int64_t k = estimate_best(&r, ESTIMATE_DRAFT_MAX, &best);
    for (int64_t i = 1; i <= ESTIMATE_DRAFT_MAX; i++)
        assert_true(estimate_rate(&r, i) <= best);
    assert_true(near(estimate_rate(&r, k), best));
    struct estimate_round none = r;
    none.chance = NAN;
    assert_int_equal(estimate_best(&none, 32, &rate), 0);
    assert_true(isnan(rate));
    none = r;
    none.draft = NAN;
    assert_int_equal(estimate_best(&none, 32, NULL), 0);
}

const struct CMUnitTest pairs_tests[] = {
    cmocka_unit_test(families_by_name),       cmocka_unit_test(who_goes_with_whom), cmocka_unit_test(sizes_by_name),
    cmocka_unit_test(quantisation_by_name),   cmocka_unit_test(rows_of_pairs),      cmocka_unit_test(proven_pairs),
    cmocka_unit_test(pairs_that_do_not_work), cmocka_unit_test(estimates),
};
const size_t pairs_count = ARRAY_LEN(pairs_tests);
