/* Which device gets which layers: few machines, the output layer here, nothing beyond what a device has, and shares
 * that llama.cpp's own rule turns into just that plan. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "advise/split.h"
#include "base/mem.h"

#define GIB (UINT64_C(1) << 30)
#define MIB (UINT64_C(1) << 20)

/* n equal layers. */
static struct layers *model(size_t n, uint64_t layer, uint64_t output, uint64_t kv)
{
    struct layers *l = xcalloc(1, sizeof(*l));
    l->list = xcalloc(n, sizeof(*l->list));
    l->n = n;
    for (size_t i = 0; i < n; i++)
        l->list[i] = (struct layer){.weights = layer, .kv = kv};
    l->output = output;
    l->input = 500 * MIB;
    l->n_embd = 4096;
    l->n_ff = 12288;
    l->n_heads = 32;
    l->n_vocab = 150000;
    return l;
}

static const struct split_ask ask = {
    .ctx = 8192, .slots = 4, .ubatch = 512, .outputs = 512, .flash = true, .whole = true};

static struct split_device gpu(const char *name, double gib)
{
    uint64_t bytes = (uint64_t)(gib * (double)GIB);
    return (struct split_device){.name = name, .machine = "here", .kind = SPLIT_GPU, .total = bytes, .free = bytes};
}

static struct split_device rpc(const char *endpoint, double gib)
{
    struct split_device d = gpu("lent", gib);
    d.kind = SPLIT_RPC;
    d.machine = d.endpoint = endpoint;
    return d;
}

/* The device that llama.cpp gives slot i of n by the shares, as its sources have it. */
static size_t llamas_device(const char *shares, size_t i, size_t n)
{
    float split[64], sum = 0;
    size_t k = 0;
    for (const char *at = shares; *at; at += strcspn(at, ",") + (at[strcspn(at, ",")] == ','))
        split[k++] = strtof(at, NULL);
    for (size_t d = 0; d < k; d++)
        split[d] = sum += split[d];
    for (size_t d = 0; d < k; d++)
        split[d] /= sum;
    for (size_t d = 0; d < k; d++) {
        if ((float)i / (float)n < split[d])
            return d;
    }
    return k;
}

/* What must hold for every plan that fits. */
static void check_sound(const struct layers *l, const struct split_plan *p)
{
    size_t slot = 0;
    char *shares = split_shares(p);
    for (size_t i = 0; i < p->n_parts; i++) {
        const struct split_part *x = &p->parts[i];
        if (x->n > 0 || x->output)
            assert_true(x->weights + x->kv + x->compute <= x->usable);
        for (size_t k = 0; k < x->n + x->output; k++) {
            assert_int_equal(llamas_device(shares, slot, l->n + 1), i);
            slot++;
        }
        assert_true(x->n == 0 || x->first + x->n == slot - x->output);
    }
    assert_int_equal(slot, l->n + 1);
    free(shares);
}

static char *plan_text(const struct layers *l, const struct split_device *d, size_t n, const struct split_ask *a)
{
    struct split_plan *p = split_make(l, d, n, a);
    assert_non_null(p->reason);
    char *table = split_text(p, d);
    for (char *line = strtok(table, "\n"); line; line = strtok(NULL, "\n"))
        assert_true(strlen(line) <= 104); /* bytes; the dash has two more than its column */
    free(table);
    if (!p->fits) {
        split_destroy(p);
        return xstrdup("does not fit");
    }
    check_sound(l, p);
    char *shares = split_shares(p), *text = xstrdup("");
    for (size_t i = 0; i < p->n_parts; i++) {
        char *more = xasprintf("%s%s%s=%zu%s", text, i ? " " : "", d[p->parts[i].device].name, p->parts[i].n,
                               p->parts[i].output ? "+out" : "");
        free(text);
        text = more;
    }
    char *all = xasprintf("%s | %zu", text, p->n_servers);
    free(text);
    free(shares);
    split_destroy(p);
    return all;
}

static void expect(const struct layers *l, const struct split_device *d, size_t n, const struct split_ask *a,
                   const char *want)
{
    char *got = plan_text(l, d, n, a);
    assert_string_equal(got, want);
    free(got);
}

static void one_gpu_is_enough(void **state)
{
    struct layers *l = model(40, 400 * MIB, 600 * MIB, 4096);
    const struct split_device d[] = {gpu("A", 24), gpu("B", 2), rpc("w:1", 80)};
    expect(l, d, 3, &ask, "A=40+out B=0 | 0");
    const struct split_device e[] = {gpu("B", 2), gpu("A", 24)};
    expect(l, e, 2, &ask, "B=0 A=40+out | 0");
    layers_destroy(l);
}

static void gpus_here_go_before_workers(void **state)
{
    struct layers *l = model(58, 500 * MIB, 700 * MIB, 4096);
    const struct split_device d[] = {rpc("w:1", 80), gpu("A", 24), gpu("B", 16)};
    expect(l, d, 3, &ask, "A=36 B=22+out | 0"); /* 628 MiB a layer */
    layers_destroy(l);
}

static void the_fewest_and_largest_workers(void **state)
{
    struct layers *l = model(76, 500 * MIB, 900 * MIB, 2048);
    const struct split_device d[] = {gpu("A", 24), rpc("s:1", 8), rpc("m:1", 12), rpc("l:1", 24)};
    struct split_plan *p = split_make(l, d, 4, &ask);
    assert_true(p->fits);
    check_sound(l, p);
    assert_int_equal(p->n_servers, 1);
    assert_int_equal(p->n_parts, 2);
    assert_string_equal(d[p->parts[0].device].endpoint, "l:1");
    assert_true(p->parts[1].output); /* the logits stay here */
    assert_int_equal(p->parts[0].first, 0);
    split_destroy(p);
    const struct split_device e[] = {gpu("A", 16), rpc("s:1", 8), rpc("m:1", 12), rpc("l:1", 24)};
    p = split_make(l, e, 4, &ask);
    assert_true(p->fits);
    check_sound(l, p);
    assert_int_equal(p->n_servers, 2);
    assert_string_equal(e[p->parts[0].device].endpoint,
                        "m:1"); /* the largest is filled first, so it is next to the end */
    assert_string_equal(e[p->parts[1].device].endpoint, "l:1");
    assert_true(p->parts[0].n < p->parts[1].n);
    split_destroy(p);
    layers_destroy(l);
}

static void a_server_with_two_devices_is_one_trip(void **state)
{
    struct layers *l = model(76, 500 * MIB, 900 * MIB, 2048);
    const struct split_device d[] = {rpc("a:1", 40), rpc("b:1", 24), rpc("b:1", 24)};
    struct split_plan *p = split_make(l, d, 3, &ask);
    assert_true(p->fits);
    check_sound(l, p);
    assert_int_equal(p->n_servers, 1);
    assert_int_equal(p->n_parts, 2);
    assert_string_equal(d[p->parts[0].device].endpoint, "b:1");
    assert_non_null(strstr(p->reason, "logits cross the network"));
    split_destroy(p);
    layers_destroy(l);
}

static void a_large_output_layer_goes_where_it_fits(void **state)
{
    struct layers *l = model(60, 500 * MIB, 2 * GIB, 2048);
    const struct split_device d[] = {gpu("A", 24), gpu("tiny", 2), rpc("w:1", 24)};
    expect(l, d, 3, &ask, "lent=24 A=36+out tiny=0 | 1");
    const struct split_device e[] = {rpc("w:1", 40), gpu("tiny", 1.5)};
    expect(l, e, 2, &ask, "lent=60+out tiny=0 | 1");
    layers_destroy(l);
}

static void the_cpu_is_the_last_resort(void **state)
{
    struct layers *l = model(20, 100 * MIB, 100 * MIB, 1024);
    struct split_device cpu = gpu("CPU", 16);
    cpu.kind = SPLIT_CPU;
    const struct split_device d[] = {cpu, gpu("A", 8)}, e[] = {cpu, rpc("w:1", 8)};
    expect(l, d, 2, &ask, "A=20+out | 0");
    expect(l, e, 2, &ask, "lent=20+out | 1");
    expect(l, &cpu, 1, &ask, "CPU=20+out | 0");
    layers_destroy(l);
}

static void too_big_says_by_how_much(void **state)
{
    struct layers *l = model(80, 500 * MIB, GIB, 16384);
    const struct split_device d[] = {gpu("A", 24), rpc("w:1", 24)};
    struct split_plan *p = split_make(l, d, 2, &ask);
    /* 80 × (500 MiB + 4 × 8192 × 16 KiB) and the output are 81 GiB; some 45.5 are usable. */
    assert_false(p->fits);
    assert_in_range(p->missing, 34 * GIB, 38 * GIB);
    assert_in_range(p->ctx_fits, 256, 2048);
    assert_int_equal(p->ctx_fits % 256, 0);
    assert_int_equal(p->slots_fit, 0);
    struct split_ask less = ask;
    less.ctx = p->ctx_fits;
    struct split_plan *q = split_make(l, d, 2, &less);
    assert_true(q->fits);
    split_destroy(q);
    less.ctx += 256;
    q = split_make(l, d, 2, &less);
    assert_false(q->fits);
    split_destroy(q);
    split_destroy(p);

    const struct split_device e[] = {gpu("A", 24), rpc("w:1", 40)};
    p = split_make(l, e, 2, &ask);
    assert_false(p->fits);
    assert_int_equal(p->slots_fit, 1);
    assert_non_null(strstr(p->reason, "or with 1 slot."));
    split_destroy(p);

    const struct split_device f[] = {gpu("A", 8)};
    p = split_make(l, f, 1, &ask);
    assert_false(p->fits);
    assert_int_equal(p->ctx_fits, 0);
    assert_non_null(strstr(p->reason, "a worker more"));
    split_destroy(p);
    p = split_make(l, NULL, 0, &ask);
    assert_false(p->fits);
    assert_int_equal(p->n_parts, 0);
    split_destroy(p);
    layers_destroy(l);
}

static void layers_of_different_sizes(void **state)
{
    struct layers *l = model(48, 300 * MIB, 600 * MIB, 2048);
    for (size_t i = 0; i < l->n; i++) {
        if (i % 4 == 3)
            l->list[i].weights = GIB;
        if (i % 6 != 5)
            l->list[i].sliding = true;
    }
    l->window = 1024;
    const struct split_device d[] = {gpu("A", 12), gpu("B", 8), gpu("C", 2), rpc("w:1", 11)};
    struct split_plan *whole = split_make(l, d, 4, &ask);
    struct split_ask window = ask;
    window.whole = false;
    struct split_plan *cut = split_make(l, d, 4, &window);
    assert_true(whole->fits && cut->fits);
    check_sound(l, whole);
    check_sound(l, cut);
    assert_true(cut->kv < whole->kv / 2);
    split_destroy(whole);
    split_destroy(cut);
    layers_destroy(l);
}

static void shares_of_the_user_are_followed(void **state)
{
    struct layers *l = model(9, 100 * MIB, 100 * MIB, 64);
    const struct split_device d[] = {rpc("a:1", 8), rpc("b:1", 8), gpu("A", 24)};
    struct split_ask mine = ask;
    mine.shares = (const double[]){1, 1, 0};
    mine.n_shares = 3;
    struct split_plan *p = split_make(l, d, 3, &mine);
    assert_true(p->fits);
    assert_int_equal(p->n_parts, 3);
    assert_int_equal(p->parts[0].n, 5);
    assert_int_equal(p->parts[1].n, 4);
    assert_true(p->parts[1].output);
    assert_int_equal(p->parts[2].n, 0);
    assert_int_equal(p->n_servers, 2);
    split_destroy(p);
    struct layers *big = model(9, 2 * GIB, 100 * MIB, 64);
    p = split_make(big, d, 3, &mine);
    assert_false(p->fits);
    assert_true(p->missing > GIB);
    split_destroy(p);
    layers_destroy(big);
    layers_destroy(l);
}

static void what_is_free_counts(void **state)
{
    struct layers *l = model(40, 400 * MIB, 600 * MIB, 2048);
    struct split_device d[] = {gpu("A", 24), gpu("B", 24)};
    d[0].free = 4 * GIB;
    expect(l, d, 2, &ask, "A=0 B=40+out | 0");
    assert_int_equal(split_reserve(0), 192 * MIB);
    layers_destroy(l);
}

/* What llama.cpp reserved for the demo target (6 heads, 192 wide, passes of 512), in MiB. */
static void room_to_compute_as_seen(void **state)
{
    static const struct {
        uint64_t ctx;
        bool several;
        double seen;
    } cases[] = {{512, false, 9.26}, {2048, false, 30.26}, {512, true, 17.91}, {2048, true, 47.91}};
    const struct layers target = {.n_embd = 192, .n_ff = 512, .n_heads = 6, .n_vocab = 640};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct split_ask a = ask;
        a.flash = false;
        a.ctx = cases[i].ctx;
        double mib = (double)split_compute(&target, &a, true, cases[i].several) / (double)MIB;
        assert_true(mib > 0.95 * cases[i].seen && mib < 1.15 * cases[i].seen);
    }
}

const struct CMUnitTest split_tests[] = {
    cmocka_unit_test(one_gpu_is_enough),
    cmocka_unit_test(gpus_here_go_before_workers),
    cmocka_unit_test(the_fewest_and_largest_workers),
    cmocka_unit_test(a_server_with_two_devices_is_one_trip),
    cmocka_unit_test(a_large_output_layer_goes_where_it_fits),
    cmocka_unit_test(the_cpu_is_the_last_resort),
    cmocka_unit_test(too_big_says_by_how_much),
    cmocka_unit_test(layers_of_different_sizes),
    cmocka_unit_test(shares_of_the_user_are_followed),
    cmocka_unit_test(what_is_free_counts),
    cmocka_unit_test(room_to_compute_as_seen),
};
const size_t split_count = ARRAY_LEN(split_tests);
