/* Every row of the classes by memory and of the table of cards, real memory before the table, and what is not known. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "advise/hardware.h"
#include "base/mem.h"

#define GIB (INT64_C(1) << 30)
#define MIB (INT64_C(1) << 20)

static void classes_by_memory(void **state)
{
    static const struct {
        int64_t bytes;
        enum hardware_class class;
    } rows[] = {
        /* 16 GB and more: target */
        {16 * GIB, HARDWARE_TARGET},
        {24 * GIB, HARDWARE_TARGET},
        {141 * GIB, HARDWARE_TARGET},
        {16376 * MIB, HARDWARE_TARGET}, /* as a card of 16 GB tells it */
        /* 8 to 15: drafter or medium target */
        {8 * GIB, HARDWARE_MEDIUM},
        {8188 * MIB, HARDWARE_MEDIUM},
        {12 * GIB, HARDWARE_MEDIUM},
        {15 * GIB, HARDWARE_MEDIUM},
        /* 2 to 7: draft only */
        {2 * GIB, HARDWARE_DRAFT},
        {1998 * MIB, HARDWARE_DRAFT},
        {4 * GIB, HARDWARE_DRAFT},
        {7 * GIB, HARDWARE_DRAFT},
        /* less, or no GPU: tiny */
        {1 * GIB, HARDWARE_TINY},
        {512 * MIB, HARDWARE_TINY},
        {0, HARDWARE_TINY},
        /* nobody knows */
        {-1, HARDWARE_UNKNOWN},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(hardware_class_of(rows[i].bytes), rows[i].class);
    assert_int_equal(hardware_gib(-1), -1);
    for (int c = HARDWARE_UNKNOWN; c <= HARDWARE_TINY; c++) {
        assert_non_null(hardware_class_name((enum hardware_class)c));
        assert_non_null(hardware_class_words((enum hardware_class)c));
    }
}

/* The guide's rows.  gib: the memory of a card as it is sold; -1 takes what the table has for the name. */
static void cards(void **state)
{
    static const struct {
        const char *name;
        double gib;
        enum hardware_class class;
        double min, max;
    } rows[] = {
        {"NVIDIA GeForce RTX 4090", 24, HARDWARE_TARGET, 32, 70},
        {"NVIDIA GeForce RTX 4090", -1, HARDWARE_TARGET, 32, 70},
        {"NVIDIA GeForce RTX 4080", 24, HARDWARE_TARGET, 32, 70}, /* the guide's 24 GB */
        {"NVIDIA GeForce RTX 4080", -1, HARDWARE_TARGET, 32, 32}, /* what one really has */
        {"NVIDIA GeForce RTX 4070 Ti SUPER", -1, HARDWARE_TARGET, 32, 32},
        {"NVIDIA GeForce RTX 4070 Ti SUPER", 16, HARDWARE_TARGET, 32, 32},
        {"NVIDIA GeForce RTX 3090", 12, HARDWARE_MEDIUM, 14, 32}, /* the guide's 12 to 16 GB */
        {"NVIDIA GeForce RTX 3090", 24, HARDWARE_TARGET, 32, 70}, /* its real memory wins */
        {"NVIDIA GeForce RTX 3090", -1, HARDWARE_TARGET, 32, 70},
        {"NVIDIA GeForce RTX 4070", -1, HARDWARE_MEDIUM, 14, 32},
        {"NVIDIA GeForce RTX 4070", 12, HARDWARE_MEDIUM, 14, 32},
        {"NVIDIA GeForce RTX 2070", -1, HARDWARE_MEDIUM, 7, 8},
        {"NVIDIA GeForce RTX 3060", 8, HARDWARE_MEDIUM, 7, 8},
        {"NVIDIA GeForce RTX 3060", -1, HARDWARE_MEDIUM, 14, 32}, /* most have 12 GB */
        {"NVIDIA GeForce GTX 1060", -1, HARDWARE_DRAFT, 3, 7},
        {"NVIDIA GeForce GTX 1060 6GB", 6, HARDWARE_DRAFT, 3, 7},
        {"NVIDIA GeForce GTX 1070", 7, HARDWARE_DRAFT, 3, 7},
        {"NVIDIA GeForce GTX 1070", -1, HARDWARE_MEDIUM, 7, 8}, /* with all of its 8 GB */
        {"NVIDIA GeForce GTX 770", -1, HARDWARE_DRAFT, 1.7, 3},
        {"NVIDIA GeForce GTX 770", 4, HARDWARE_DRAFT, 1.7, 3},
        {"some old card", 2, HARDWARE_DRAFT, 1.7, 3},
        {"AMD Radeon RX 7900 XTX", -1, HARDWARE_TARGET, 32, 70},
        {"AMD Radeon RX 7900 XTX", 24, HARDWARE_TARGET, 32, 70},
        {"AMD Radeon RX 6700", -1, HARDWARE_MEDIUM, 7, 8},
        {"AMD Radeon RX 6600", -1, HARDWARE_MEDIUM, 7, 8},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct machine_gpu g = {.vendor = GPU_OTHER, .memory = rows[i].gib < 0 ? -1 : (int64_t)(rows[i].gib * GIB)};
        snprintf(g.name, sizeof(g.name), "%s", rows[i].name);
        struct hardware_use use = hardware_use_of(hardware_gpu_memory(&g, 64 * GIB));
        if (use.class != rows[i].class || use.model_min != rows[i].min || use.model_max != rows[i].max)
            fail_msg("%s with %g GB: %s, %g to %g", rows[i].name, rows[i].gib, hardware_class_name(use.class),
                     use.model_min, use.model_max);
    }
}

/* "CPU, any, with 16 GB and more of memory". */
static void a_cpu_drafts_tiny_models(void **state)
{
    struct hardware_use use = hardware_use_of(0);
    assert_int_equal(use.class, HARDWARE_TINY);
    assert_true(use.model_min == 0.5 && use.model_max == 1.7);
    struct machine_cpu cpu = {.packages = 2};
    assert_true(hardware_cpu_bandwidth(&cpu) == 80);
    cpu.packages = -1;
    assert_true(hardware_cpu_bandwidth(&cpu) == 40);
}

/* "M-series: draft or target, by its memory". */
static void a_mac_is_judged_by_its_memory(void **state)
{
    static const struct {
        int gib;
        enum hardware_class class;
    } rows[] = {{8, HARDWARE_DRAFT}, {16, HARDWARE_MEDIUM}, {32, HARDWARE_TARGET}, {128, HARDWARE_TARGET}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct machine_gpu g = {.vendor = GPU_APPLE, .name = "Apple M2 Max", .memory = -1, .unified = true};
        int64_t has = hardware_gpu_memory(&g, rows[i].gib * GIB);
        assert_int_equal(has, rows[i].gib * GIB / 4 * 3);
        assert_int_equal(hardware_class_of(has), rows[i].class);
        assert_true(hardware_gpu_bandwidth(&g) == 400);
    }
}

static void unified_memory(void **state)
{
    struct machine_gpu g = {.vendor = GPU_NVIDIA, .name = "NVIDIA GB10", .memory = -1};
    assert_int_equal(hardware_gpu_memory(&g, 128 * GIB), 96 * GIB);
    assert_int_equal(hardware_gpu_memory(&g, -1), -1);
    /* A processor's own graphics has no bandwidth of its own: no help. */
    struct machine_gpu own = {
        .vendor = GPU_INTEL, .name = "Intel UHD Graphics 770", .memory = 64 * GIB, .unified = true};
    assert_int_equal(hardware_gpu_memory(&own, 64 * GIB), 0);
    struct machine_gpu wide = {.vendor = GPU_AMD, .name = "AMD Radeon 8060S", .memory = 1 * GIB, .unified = true};
    assert_int_equal(hardware_gpu_memory(&wide, 128 * GIB), 96 * GIB);
}

static void names_take_the_row_that_says_most(void **state)
{
    static const struct {
        const char *name, *pattern;
    } rows[] = {
        {"NVIDIA GeForce RTX 4070 Ti SUPER", "rtx 4070 ti super"},
        {"NVIDIA GeForce RTX 4070 Ti", "rtx 4070 ti"},
        {"NVIDIA GeForce RTX 4070 Laptop GPU", "rtx 4070"},
        {"GeForce RTX 3060Ti", "rtx 3060 ti"},
        {"Radeon RX 7900 XTX", "rx 7900 xtx"},
        {"RX 7900 XT", "rx 7900 xt"},
        {"NVIDIA H100 80GB HBM3", "h100"},
        {"NVIDIA H100PCIe", "h100"},
        {"Tesla P40", "tesla p40"},
        {"Apple M1", "apple m1"},
        {"Apple M1 Ultra", "apple m1 ultra"},
        {"AMD Instinct MI300X", "mi300"},
        {"NVIDIA A10G", "a10"},
        {"NVIDIA A100-SXM4-80GB", "a100"},
        {"NVIDIA RTX A4000", "rtx a4000"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct hardware *h = hardware_find(rows[i].name);
        if (!h || strcmp(h->pattern, rows[i].pattern) != 0)
            fail_msg("%s is taken for %s", rows[i].name, h ? h->pattern : "nothing");
    }
    static const char *const none[] = {"", "Matrox G400", "RTX", "llvmpipe", "Radeon 780M", "4070"};
    for (size_t i = 0; i < ARRAY_LEN(none); i++)
        assert_null(hardware_find(none[i]));
    for (size_t i = 0; i < hardware_count; i++) { /* each row is found by its own pattern */
        assert_ptr_equal(hardware_find(hardware_table[i].pattern), &hardware_table[i]);
        assert_true(hardware_table[i].bandwidth_gbps > 50 && hardware_table[i].bandwidth_gbps < 10000);
    }
}

static void what_is_not_known(void **state)
{
    struct machine_gpu g = {.vendor = GPU_OTHER, .name = "a card", .memory = -1};
    assert_int_equal(hardware_gpu_memory(&g, 32 * GIB), -1);
    assert_true(isnan(hardware_gpu_bandwidth(&g)));
    struct hardware_use use = hardware_use_of(-1);
    assert_int_equal(use.class, HARDWARE_UNKNOWN);
    assert_true(isnan(use.model_min) && isnan(use.model_max));
}

const struct CMUnitTest hardware_tests[] = {
    cmocka_unit_test(classes_by_memory),        cmocka_unit_test(cards),
    cmocka_unit_test(a_cpu_drafts_tiny_models), cmocka_unit_test(a_mac_is_judged_by_its_memory),
    cmocka_unit_test(unified_memory),           cmocka_unit_test(names_take_the_row_that_says_most),
    cmocka_unit_test(what_is_not_known),
};
const size_t hardware_tests_count = ARRAY_LEN(hardware_tests);
