/* Exactness stands on the sampler: it must be a pure function, draw from the right distribution, and take its short
 * cuts without changing a token. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/sampler.h"

static uint64_t rng_state = 1;

static double uniform(void)
{
    rng_state = rng_state * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (double)(rng_state >> 11) * 0x1p-53;
}

/* Logits of a typical shape: a few likely tokens over a wide tail. */
static float *make_logits(size_t n, double spread)
{
    float *x = malloc(n * sizeof(*x));
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(spread * (uniform() + uniform() + uniform() - 1.5) - 2 * log(uniform() + 1e-12));
    return x;
}

static struct sampler_params params(double temperature, uint64_t seed)
{
    struct sampler_params p;
    sampler_params_init(&p);
    p.temperature = temperature;
    p.seed = seed;
    return p;
}

static void test_greedy(void **state)
{
    float x[6] = {1, NAN, 3, 3, -1, 2};
    struct sampler *s = sampler_create(6);
    struct sampler_params p = params(0, 9);
    struct sampler_pick pick = sampler_pick(s, &p, x, NULL, 0, 0);
    assert_int_equal(pick.token, 2);
    assert_true(pick.margin == 0);
    x[3] = 2.5f;
    pick = sampler_pick(s, &p, x, NULL, 0, 0);
    assert_int_equal(pick.token, 2);
    assert_true(pick.margin == 0.5f);
    for (int i = 0; i < 6; i++)
        x[i] = i == 4 ? 0 : -INFINITY;
    pick = sampler_pick(s, &p, x, NULL, 0, 0);
    assert_int_equal(pick.token, 4);
    assert_true(isinf(pick.margin));
    p.temperature = 1;
    assert_int_equal(sampler_pick(s, &p, x, NULL, 0, 0).token, 4);
    sampler_destroy(s);
}

/* min_p that keeps everything takes the path that looks at each candidate; the short cut must find the same. */
static void test_threshold_changes_nothing(void **state)
{
    static const double temperatures[] = {0.01, 0.3, 0.7, 1, 2};
    enum { N = 3000 };
    struct sampler *s = sampler_create(N);
    int32_t path[64] = {0};
    for (int round = 0; round < 40; round++) {
        float *x = make_logits(N, round % 2 ? 8 : 0.1);
        if (round % 5 == 0)
            x[17] += 60;
        x[round] = NAN;
        x[round + 1] = -INFINITY;
        for (size_t t = 0; t < 5; t++) {
            struct sampler_params fast = params(temperatures[t], (uint64_t)round), slow = fast;
            slow.min_p = 1e-45;
            for (size_t pos = 0; pos < 8; pos++) {
                struct sampler_pick a = sampler_pick(s, &fast, x, path, pos, 0);
                slow.top_p = pos % 2 ? 1 : 0.99999999999;
                struct sampler_pick b = sampler_pick(s, &slow, x, path, pos, 0);
                assert_int_equal(a.token, b.token);
                if (slow.top_p == 1 && temperatures[t] >= 0.7)
                    assert_true(a.margin == b.margin);
            }
        }
        free(x);
    }
    sampler_destroy(s);
}

/* Frequencies over many positions against the softmax at that temperature (chi-square, 15 degrees: 50 is p < 1e-5). */
static void test_distribution(void **state)
{
    enum { N = 16, DRAWS = 40000 };
    float x[N];
    for (int i = 0; i < N; i++)
        x[i] = (float)sin(i) * 2;
    struct sampler *s = sampler_create(N);
    static int32_t path[DRAWS];
    for (int which = 0; which < 2; which++) {
        struct sampler_params p = params(which ? 0.7 : 1.3, 42);
        int seen[N] = {0};
        for (size_t pos = 0; pos < DRAWS; pos++)
            seen[sampler_pick(s, &p, x, path, pos, 0).token]++;
        double z = 0, chi = 0;
        for (int i = 0; i < N; i++)
            z += exp(x[i] / p.temperature);
        for (int i = 0; i < N; i++) {
            double expected = DRAWS * exp(x[i] / p.temperature) / z;
            chi += (seen[i] - expected) * (seen[i] - expected) / expected;
        }
        assert_true(chi < 50);
    }
    sampler_destroy(s);
}

static void test_pure(void **state)
{
    enum { N = 500 };
    float *x = make_logits(N, 4);
    struct sampler *a = sampler_create(N), *b = sampler_create(N);
    int32_t path[300] = {1, 2, 3};
    struct sampler_params p = params(1, 7), q = params(1, 8);
    int other_seed = 0, other_position = 0;
    for (size_t pos = 3; pos < 300; pos++) {
        struct sampler_pick first = sampler_pick(a, &p, x, path, pos, 1);
        sampler_pick(b, &q, x, path, 300 - pos, 0);
        assert_int_equal(first.token, sampler_pick(b, &p, x, path, pos, 1).token);
        other_seed += first.token != sampler_pick(a, &q, x, path, pos, 1).token;
        other_position += first.token != sampler_pick(a, &p, x, path, pos - 1, 1).token;
    }
    assert_true(other_seed > 100 && other_position > 100);
    free(x);
    sampler_destroy(a);
    sampler_destroy(b);
}

static void test_filters(void **state)
{
    enum { N = 8 };
    const float x[N] = {0, 3, 1, 2, -1, -2, -3, -4}; /* probabilities .034 .64 .09 .24 .. */
    struct sampler *s = sampler_create(N);
    int32_t path[2000] = {0};
    struct sampler_params p[4];
    unsigned allowed[4] = {1u << 1 | 1u << 3, 1u << 1 | 1u << 3, 1u << 1, 1u << 1 | 1u << 3 | 1u << 2};
    for (int i = 0; i < 4; i++)
        p[i] = params(2, 3);
    p[0].top_k = 2;
    p[1].top_p = 0.8;
    p[2].min_p = 0.5;
    p[3].top_k = 3;
    p[3].top_p = 0.98; /* of the three: .66 .24 .09 */
    for (int i = 0; i < 4; i++) {
        unsigned seen = 0;
        for (size_t pos = 0; pos < 2000; pos++)
            seen |= 1u << sampler_pick(s, &p[i], x, path, pos, 0).token;
        assert_int_equal(seen, allowed[i]);
    }
    sampler_destroy(s);
}

static void test_penalties_and_bias(void **state)
{
    const float x[4] = {1, 2, 3, -1};
    const int32_t path[] = {2, 2, 1, 2};
    struct sampler *s = sampler_create(4);
    struct sampler_params p = params(0, 0);
    p.frequency_penalty = 0.6;
    assert_int_equal(sampler_pick(s, &p, x, path, 4, 4).token, 2); /* all of it is the prompt */
    assert_true(fabsf(sampler_pick(s, &p, x, path, 4, 3).margin - 0.4f) < 1e-6f);
    assert_int_equal(sampler_pick(s, &p, x, path, 4, 1).token, 2); /* 3 - 1.2 > 2 - 0.6 */
    p.presence_penalty = 1.2;
    assert_int_equal(sampler_pick(s, &p, x, path, 4, 1).token, 0); /* 3 - 2.4, 2 - 1.8, 1 */
    p = params(0, 0);
    p.repeat_penalty = 4;
    p.repeat_last_n = 1;
    assert_int_equal(sampler_pick(s, &p, x, path, 4, 4).token, 1); /* 3 / 4 */
    p.repeat_last_n = -1;
    assert_int_equal(sampler_pick(s, &p, x, path, 4, 4).token, 0);
    assert_true(x[2] == 3);
    p = params(0, 0);
    struct sampler_bias bias[] = {{3, 100}, {2, -100}, {99, 5}};
    p.bias = bias;
    p.n_bias = 3;
    assert_int_equal(sampler_pick(s, &p, x, path, 4, 4).token, 3);
    sampler_destroy(s);
}

static void test_logprobs(void **state)
{
    const float x[5] = {0, 2, 1, 2, -3};
    double z = 0;
    for (int i = 0; i < 5; i++)
        z += exp(x[i]);
    float lp;
    struct sampler_logprob top[8];
    assert_int_equal(sampler_logprobs(x, 5, 2, &lp, top, 3), 3);
    assert_true(fabs(lp - (1 - log(z))) < 1e-5);
    assert_int_equal(top[0].token, 1);
    assert_int_equal(top[1].token, 3);
    assert_int_equal(top[2].token, 2);
    assert_true(top[2].logprob == lp);
    assert_int_equal(sampler_logprobs(x, 5, 4, &lp, top, 8), 5);
    assert_int_equal(top[4].token, 4);
    assert_int_equal(sampler_logprobs(x, 5, 0, &lp, NULL, 0), 0);
    assert_true(fabs(lp + log(z)) < 1e-5);
}

static void test_json(void **state)
{
    struct sampler_params p = params(0.7, 123456789012345u), q;
    p.top_k = 40;
    p.top_p = 0.9;
    p.repeat_last_n = -1;
    p.bias = calloc(1, sizeof(*p.bias));
    p.bias[0] = (struct sampler_bias){5, -1.5f};
    p.n_bias = 1;
    json_t *o = sampler_params_to_json(&p);
    assert_int_equal(sampler_params_from_json(&q, o, NULL), 0);
    assert_true(q.seed == p.seed && q.temperature == p.temperature && q.top_k == 40 && q.top_p == 0.9);
    assert_true(q.repeat_last_n == -1 && q.n_bias == 1 && q.bias[0].token == 5 && q.bias[0].bias == -1.5f);
    json_decref(o);
    sampler_params_finish(&q);
    sampler_params_finish(&p);

    sampler_params_init(&p);
    o = sampler_params_to_json(&p);
    assert_int_equal(json_object_size(o), 0);
    json_object_set_new(o, "temperatur", json_integer(1));
    char *cause = NULL;
    assert_int_equal(sampler_params_from_json(&q, o, &cause), -1);
    assert_string_equal(cause, "unknown sampling parameter \"temperatur\"");
    json_decref(o);
    static const char *const bad[] = {"{\"temperature\":3}", "{\"top_p\":-0.1}",       "{\"seed\":1.5}",
                                      "{\"top_k\":\"4\"}",   "{\"logit_bias\":[[1]]}", "{\"logit_bias\":[[1,200]]}",
                                      "{\"logit_bias\":{}}", "{\"repeat_penalty\":0}", "[]"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        o = json_loads(bad[i], 0, NULL);
        assert_non_null(o);
        assert_int_equal(sampler_params_from_json(&q, o, &cause), -1);
        json_decref(o);
    }
    free(cause);
}

const struct CMUnitTest sampler_tests[] = {
    cmocka_unit_test(test_greedy),       cmocka_unit_test(test_threshold_changes_nothing),
    cmocka_unit_test(test_distribution), cmocka_unit_test(test_pure),
    cmocka_unit_test(test_filters),      cmocka_unit_test(test_penalties_and_bias),
    cmocka_unit_test(test_logprobs),     cmocka_unit_test(test_json),
};
const size_t sampler_count = sizeof(sampler_tests) / sizeof(sampler_tests[0]);
