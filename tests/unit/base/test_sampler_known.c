/* A draw from the most likely tokens alone, where it says that it is proven, is the draw from all of them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <math.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/sampler-known.h"

enum { VOCAB = 3000, PATH = 60, PROMPT = 20 };

static uint64_t state_of_rng = 7;

static double uniform(void)
{
    state_of_rng = state_of_rng * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (double)(state_of_rng >> 11) * 0x1p-53;
}

static int below(int n)
{
    return (int)(uniform() * n);
}

static int more_likely(const void *a, const void *b)
{
    const struct sampler_logprob *x = a, *y = b;
    return x->logprob != y->logprob ? (x->logprob > y->logprob ? -1 : 1)
                                    : (x->token > y->token) - (x->token < y->token);
}

/* A distribution of a typical shape: log probabilities by id, and sorted. */
static void make(float *by_id, struct sampler_logprob *sorted)
{
    double z = 0, spread = 1 + 3 * uniform();
    for (int i = 0; i < VOCAB; i++) {
        by_id[i] = (float)(-spread * log(uniform() + 1e-12));
        z += exp((double)by_id[i]);
    }
    for (int i = 0; i < VOCAB; i++) {
        by_id[i] = (float)((double)by_id[i] - log(z));
        sorted[i] = (struct sampler_logprob){i, by_id[i]};
    }
    qsort(sorted, VOCAB, sizeof(*sorted), more_likely);
}

static struct sampler_params any_params(struct sampler_bias *bias)
{
    struct sampler_params p;
    sampler_params_init(&p);
    p.seed = (uint64_t)below(1 << 30);
    p.temperature = below(4) == 0 ? 0 : 0.2 + 1.3 * uniform();
    p.top_k = below(3) == 0 ? 1 + below(100) : 0;
    p.top_p = below(3) == 0 ? 0.3 + 0.7 * uniform() : 1;
    p.min_p = below(4) == 0 ? 0.2 * uniform() : 0;
    if (below(3) == 0)
        p.frequency_penalty = 2 * uniform() - 1;
    if (below(3) == 0)
        p.presence_penalty = 2 * uniform() - 1;
    if (below(3) == 0)
        p.repeat_penalty = 0.8 + 0.6 * uniform();
    p.n_bias = below(3) == 0 ? 2 : 0;
    for (size_t i = 0; i < p.n_bias; i++)
        bias[i] = (struct sampler_bias){below(VOCAB), (float)(10 * uniform() - 5)};
    p.bias = p.n_bias > 0 ? bias : NULL;
    return p;
}

static void test_proven_is_right(void **state)
{
    static float logits[VOCAB];
    static struct sampler_logprob top[VOCAB];
    struct sampler *s = sampler_create(VOCAB);
    struct sampler_bias bias[2];
    int32_t path[PATH];
    size_t proven = 0, asked = 0, again = 0;
    for (int round = 0; round < 3000; round++) {
        make(logits, top);
        for (int i = 0; i < PATH; i++)
            path[i] = top[below(below(2) == 0 ? 8 : VOCAB)].token;
        struct sampler_params p = any_params(bias);
        int32_t want = sampler_pick(s, &p, logits, path, PATH, PROMPT).token;
        size_t n = 64, times = 0;
        for (;;) {
            struct sampler_known known = {top, n, VOCAB};
            struct sampler_draw d = sampler_pick_known(&p, &known, path, PATH, PROMPT);
            if (d.proven) {
                assert_int_equal(d.pick.token, want);
                proven += n == 64;
                break;
            }
            assert_true(d.ask > n && d.ask <= VOCAB);
            n = d.ask;
            times++;
        }
        asked += times > 0;
        again += times > 1;
    }
    print_message("# %zu of 3000 proven by 64 of %d, %zu asked once more, %zu of them again\n", proven, VOCAB, asked,
                  again);
    assert_true(proven > 1000 && asked > 100);
    sampler_destroy(s);
}

/* top_k within what is known needs no proof about the rest; a draw at temperature 0 neither. */
static void test_what_is_enough(void **state)
{
    static float logits[VOCAB];
    static struct sampler_logprob top[VOCAB];
    struct sampler_params p;
    sampler_params_init(&p);
    for (int i = 0; i < 200; i++) {
        make(logits, top);
        struct sampler_known known = {top, 40, VOCAB};
        p.seed = (uint64_t)i;
        p.top_k = 40;
        p.temperature = 1.5;
        assert_true(sampler_pick_known(&p, &known, NULL, 0, 0).proven);
        p.top_k = 0;
        p.temperature = 0;
        struct sampler_draw d = sampler_pick_known(&p, &known, NULL, 0, 0);
        assert_true(d.proven);
        assert_int_equal(d.pick.token, top[0].token);
        assert_true(fabsf(d.pick.margin - (top[0].logprob - top[1].logprob)) < 1e-5f);
    }
}

const struct CMUnitTest sampler_known_tests[] = {
    cmocka_unit_test(test_proven_is_right),
    cmocka_unit_test(test_what_is_enough),
};
const size_t sampler_known_count = sizeof(sampler_known_tests) / sizeof(sampler_known_tests[0]);
